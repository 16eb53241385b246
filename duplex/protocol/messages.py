"""What a room says to one client alone: how each line is made, and how that client reads it.

Made by the hub and the members, and read by both processes of a client. Each maker has its reader
right behind it: `joined` makes what `read_joined` reads. A maker takes texts and numbers and gives
the text behind `! `, or the whole line where it says so. A reader takes the line as it came, with
or without its newline, and gives back what the maker took; None for any other line. Who is not
let in is told so by refusals.py. docs/protocol.md says when the room says which.

Text and patterns only; knows no socket and no state. A number has 18 digits at most, for a client
keeps it, and a word is no longer than in any room: a nick has 32 characters, of 4 bytes each.
"""

from __future__ import annotations

import re

from duplex.protocol.lines import first, parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ANSWER = b"! "
# Whatever is no record: one of the lines below.
NO_RECORD = re.compile(rb"^(?!\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ).*\n", re.MULTILINE)
NAMES_A_LINE = 50
_NUMBER = rb"(\d{1,18})"
_NICK = rb"(\S{1,128})"
_HERE = _NUMBER + rb" (?:is|are) here"


def are_here(count: int) -> str:
    return f"{count} is here" if count == 1 else f"{count} are here"


# Coming in:


def welcome(room: str, nick: str, count: int) -> str:
    """The first line of a room. Whoever says anything else is no room."""
    return f"welcome to room {room}: you are {nick}, {are_here(count)}; /help lists the commands"


def read_welcome(line: bytes) -> tuple[str, str, int] | None:
    found = parts(rb"! welcome to room (.+): you are (\S+), " + _HERE + rb"(?:; .*)?", line)
    return (found[0], found[1], int(found[2])) if found else None


def joined(room: str, nick: str, key: str, start: int, end: int, count: int) -> str:
    """`start` and `end` are offsets."""
    return f"joined {room} as {nick}: key {key}, offset {start}, end {end}, {are_here(count)}"


def read_joined(line: bytes) -> tuple[str, str, str, int, int, int] | None:
    pattern = rb"! joined (.{1,1024}) as %b: key %b, offset %b, end %b, %b"
    if not (found := parts(pattern % (_NICK, _NICK, _NUMBER, _NUMBER, _HERE), line)):
        return None
    room, nick, key, start, end, count = found
    return room, nick, key, int(start), int(end), int(count)


def not_resumed(reason: object) -> str:
    return f"not resumed: {reason}"


def read_not_resumed(line: bytes) -> str | None:
    return first(rb"! not resumed: (.*)", line)


def so_you_are(why: str, nick: str) -> str:
    """Who comes is not called what it asked for."""
    return f"{why}, so you are {nick}"


def read_so_you_are(line: bytes) -> tuple[str, str] | None:
    found = parts(rb"! (.*), so you are " + _NICK, line)
    return (found[0], found[1]) if found else None


# Answers to lines:


def no_command(name: str) -> str:
    """Rooms of before 0.2 say it of /numbers, and to who is late of /join and /resume."""
    return f"there is no command /{name}; /help lists them, //… says /…"


def read_no_command(line: bytes) -> str | None:
    return first(rb"! there is no command /(.*?);.*", line)


def renamed(nick: str, key: str) -> str:
    """`key` is "" for who has none."""
    return f"you are {nick} now{f': key {key}' if key else ''}"


def read_renamed(line: bytes) -> tuple[str, str] | None:
    found = parts(rb"! you are " + _NICK + rb" now(?:: key " + _NICK + rb")?", line)
    return (found[0], found[1]) if found else None


def not_recorded(reason: str, lines: int = 1) -> str:
    """So many lines were not; a client that waits for each line's record is told of each."""
    return f"{f'{lines} lines ' if lines != 1 else ''}not recorded: {reason}"


def read_not_recorded(line: bytes) -> tuple[str, int] | None:
    found = parts(rb"! (?:" + _NUMBER + rb" lines )?not recorded: (.*)", line)
    return (found[1], int(found[0] or 1)) if found else None


def not_done(why: str) -> str:
    return f"not done: {why}"


def read_not_done(line: bytes) -> str | None:
    return first(rb"! not done: (.*)", line)


def is_failure(line: bytes) -> bool:
    """Whether it tells that something was not done, recorded, resumed or delivered."""
    return line.startswith(b"! not ")


def here(names: Sequence[str]) -> list[str]:
    """Everybody who is here, in as many lines as it takes."""
    shares = [names[at : at + NAMES_A_LINE] for at in range(0, len(names), NAMES_A_LINE)] or [[]]
    heads = [are_here(len(names)), *["and"] * (len(shares) - 1)]
    return [f"{head}: {', '.join(share)}" for head, share in zip(heads, shares, strict=True)]


def read_here(line: bytes) -> tuple[int | None, list[str]] | None:
    """How many are here, and the nicks that this line names; None and more of them after that."""
    if not (found := parts(rb"! (?:" + _HERE + rb"|and): (.*)", line)):
        return None
    return int(found[0]) if found[0] else None, found[1].split(", ") if found[1] else []


def you_told(nick: str, text: str) -> str:
    return f"you told {nick}: {text}"


def read_you_told(line: bytes) -> tuple[str, str] | None:
    found = parts(rb"! you told " + _NICK + rb": (.*)", line)
    return (found[0], found[1]) if found else None


# A client that has asked for it (`commands.NUMBERS`) is told which of its lines each answer
# answers, where its own records stand, and every so often where it is:
#
#     ! numbered from line 4      what answers lines before that is not numbered
#     ! [17+] /who: who is here   a line of the answer to its 17th line: more come
#     ! [17] /quit: leave         the last line of that answer, or all of it
#     ! at 1234: 18-20            the records from offset 1234 on, which come next, are its lines
#                                 18 to 20
#     ! at 9876                   the record that comes next stands at offset 9876


def numbered_from(line: int) -> str:
    return f"numbered from line {line}"


def read_numbered_from(line: bytes) -> int | None:
    found = parts(rb"! numbered from line " + _NUMBER, line)
    return int(found[0]) if found else None


def answer(texts: Iterable[str], line: int) -> list[str]:
    """The whole lines of one answer: to that line, or (0) to who has not asked for numbers."""
    lines = list(texts)
    if not line:
        return [f"! {text}" for text in lines]
    return [f"! [{line}+] {text}" for text in lines[:-1]] + [f"! [{line}] {lines[-1]}"]


_ANSWERS = re.compile(rb"! \[(\d{1,18})(\+?)\] ")


def read_answer(line: bytes) -> tuple[int, bool, bytes]:
    """(the line that it answers, or 0; whether more of the answer comes; the answer without)."""
    if found := _ANSWERS.match(line):
        return int(found[1]), bool(found[2]), ANSWER + line[found.end() :]
    return 0, False, line


def at(offset: int, first: int = 0, count: int = 0) -> bytes:
    """The whole line: where the next record stands, and which lines of the client's it and the
    next ones are."""
    last = first + count - 1
    lines = f": {first}{f'-{last}' if count > 1 else ''}" if count else ""
    return f"! at {offset}{lines}\n".encode()


_AT = re.compile(rb"! at (\d{1,18})(?:: (\d{1,18})(?:-(\d{1,18}))?)?\n?")


def read_at(line: bytes) -> tuple[int, int, int] | None:
    if not (found := _AT.fullmatch(line)):
        return None
    first = int(found[2] or 0)
    return int(found[1]), first, int(found[3] or first) - first + 1 if found[2] else 0


# What nobody has asked for:


def private(nick: str, text: str) -> str:
    """The whole line."""
    return f"-{nick}- {text}"


def read_private(line: bytes) -> tuple[str, str] | None:
    found = parts(rb"-" + _NICK + rb"- (.*)", line)
    return (found[0], found[1]) if found else None


def operator(text: str) -> str:
    """The whole line: what happens to the room, for who keeps it."""
    return f"!! {text}"


def read_operator(line: bytes) -> str | None:
    return first(rb"!! (.*)", line)


def slowly(why: str) -> str:
    return f"slowly: {why}; all will be said"


def read_slowly(line: bytes) -> str | None:
    return first(rb"! slowly: (.*?)(?:; all will be said)?", line)


def lines_wait() -> str:
    """A room on many hosts records nothing for now."""
    return "the room's store is out of reach; lines wait"


def read_lines_wait(line: bytes) -> bool:
    return re.fullmatch(rb"! the room's store is out of reach; lines wait\n?", line) is not None


def lost(nick: str, why: str, text: str) -> str:
    """What was sent to `nick` alone, and found nobody in the end."""
    return f"what you told {nick} is lost ({why}): {text}"


def read_lost(line: bytes) -> tuple[str, str, str] | None:
    found = parts(rb"! what you told " + _NICK + rb" is lost \((.*?)\): (.*)", line)
    return (found[0], found[1], found[2]) if found else None


def not_kicked(nick: str, why: str) -> str:
    return f"{nick} was not kicked ({why})"


def read_not_kicked(line: bytes) -> tuple[str, str] | None:
    found = parts(rb"! " + _NICK + rb" was not kicked \((.*)\)", line)
    return (found[0], found[1]) if found else None


def answers_nothing(line: bytes) -> bool:
    """Whether it answers no command, of what is not numbered: warnings, and the end of a change of
    nick, which its record tells."""
    unasked = (read_slowly, read_lost, read_not_kicked, read_so_you_are, read_lines_wait)
    return bool(read_renamed(line)) or any(read(line) not in (None, False) for read in unasked)


# Going:


def kicked(by: str) -> str:
    """`by`: "host", or "host: why"."""
    return f"you were kicked by {by}"


def read_kicked(line: bytes) -> str | None:
    return first(rb"! you were kicked by (.*)", line)


def fallen_behind(mib: float) -> str:
    return f"you have fallen more than {mib:g} MiB behind, and are dropped"


def read_fallen_behind(line: bytes) -> float | None:
    found = parts(rb"! you have fallen more than ([\d.e+-]{1,18}) MiB behind, and .*", line)
    return float(found[0]) if found else None


def not_said(count: int, why: str = "the room closed") -> str:
    return f"{count} lines were not said: {why}"


def read_not_said(line: bytes) -> tuple[int, str] | None:
    found = parts(rb"! " + _NUMBER + rb" lines were not said: (.*)", line)
    return (int(found[0]), found[1]) if found else None
