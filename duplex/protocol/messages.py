"""What a room says to one client alone: how each line is made, and how that client reads it.

Made by the member, and read by both processes of a client; each line's maker and its pattern stand
beside each other. docs/protocol.md says when the room says which. Text and patterns only; knows no
socket and no state. A number has 18 digits at most: of one with thousands Python makes none, and
what has more is not heeded.

A client that has asked for it (`commands.NUMBERS`) is told which of its lines each answer answers,
where its own records stand, and every so often where it is:

    ! numbered from line 4      what answers lines before that is not numbered
    ! [17+] /who: who is here   a line of the answer to its 17th line in this connection: more come
    ! [17] /quit: leave         the last line of that answer, or all of it
    ! at 1234: 18-20            the records from offset 1234 on, which come next, are its lines 18
                                to 20
    ! at 9876                   the record that comes next stands at offset 9876
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# The beginning of the first line of a room, and all of it. Whoever says anything else is no room.
ANSWER = b"! "
WELCOME = re.compile(
    rb"! welcome to room (?P<room>.+): you are (?P<nick>\S+), "
    rb"(?P<count>\d{1,18}) (?:is|are) here; .*\n"
)
# What a host says to whom it does not let in, and a protected port to who is not protected.
REFUSED = re.compile(
    rb"! (?:duplex code \d+: )?(?P<why>the room is full: .*|your address is banned|"
    rb"\d+ are here from your address .*|no process can be made: .*|"
    rb"wrong codes came from your address: .*|too many are on their way in: .*|"
    rb"this port speaks TLS: .*|the room's store .*; come back later|"
    rb"only who knows the code comes in here: .*)\n"
)


def welcome(room: str, nick: str, count: int) -> str:
    return f"welcome to room {room}: you are {nick}, {are_here(count)}; /help lists the commands"


# Coming in:

# A client keeps these words, so none is longer than in any room: a nick has 32 characters, of 4
# bytes each at most, and a key fewer.
JOINED = re.compile(
    rb"! joined (?P<room>.{1,1024}) as (?P<nick>\S{1,128}): key (?P<key>\S{1,128}), "
    rb"offset (?P<offset>\d{1,18}), end (?P<end>\d{1,18}), (?P<count>\d{1,18}) (?:is|are) here\n"
)
NOT_RESUMED = re.compile(rb"! not resumed: (?P<reason>.*)\n")
# By rooms of before 0.2, which let nobody in who says so late, and number nothing.
TOO_LATE = re.compile(rb"! there is no command /(?:join|resume);.*\n")
NOT_NUMBERED = re.compile(rb"! there is no command /numbers;.*\n")


def joined(room: str, nick: str, key: str, start: int, end: int, count: int) -> str:
    return f"joined {room} as {nick}: key {key}, offset {start}, end {end}, {are_here(count)}"


def not_resumed(reason: object) -> str:
    return f"not resumed: {reason}"


# Answers to lines:

RENAMED = re.compile(rb"! you are (?P<nick>\S{1,128}) now(?:: key (?P<key>\S{1,128}))?\n")
IS_RENAMED = re.compile(rb"! you are \S+ now\n?")
KICKED = re.compile(rb"! (?P<what>you were kicked by .*)\n")
NOT_RECORDED = re.compile(rb"! not recorded: (?P<reason>.*)")
HERE = re.compile(rb"! (?P<count>\d{1,18}) (?:is|are) here: (?P<nicks>.*)")
HERE_TOO = re.compile(rb"! and: (?P<nicks>.*)")
NAMES_A_LINE = 50
# What answers no command, of what is not numbered: the end of a change of nick, and warnings.
NO_ANSWER = re.compile(
    rb"! (?:you are \S+ now|slowly: |the room's store is out of reach; lines wait|"
    rb"what you told \S+ is lost |\S+ was not kicked |somebody else is \S+ now, so you are )"
)


def renamed(nick: str, key: str) -> str:
    """`key` is "" for who has none."""
    return f"you are {nick} now{f': key {key}' if key else ''}"


def not_recorded(reason: str) -> str:
    return f"not recorded: {reason}"


def here(names: Sequence[str]) -> list[str]:
    """Everybody who is here, in as many lines as it takes."""
    parts = [names[at : at + NAMES_A_LINE] for at in range(0, len(names), NAMES_A_LINE)] or [[]]
    heads = [are_here(len(names)), *["and"] * (len(parts) - 1)]
    return [f"{head}: {', '.join(part)}" for head, part in zip(heads, parts, strict=True)]


def are_here(count: int) -> str:
    return f"{count} is here" if count == 1 else f"{count} are here"


# Numbers:

NUMBERED_FROM = re.compile(rb"! numbered from line (?P<line>\d{1,18})\n?")
NUMBERED = re.compile(rb"! \[(?P<line>\d{1,18})(?P<more>\+?)\] ")
AT = re.compile(rb"! at (?P<offset>\d{1,18})(?:: (?P<first>\d{1,18})(?:-(?P<last>\d{1,18}))?)?\n?")


def numbered_from(line: int) -> str:
    return f"numbered from line {line}"


def answer(texts: Iterable[str], line: int) -> list[str]:
    """The lines of one answer: to that line, or (0) to who has not asked for numbers."""
    lines = list(texts)
    if not line:
        return [f"! {text}" for text in lines]
    return [f"! [{line}+] {text}" for text in lines[:-1]] + [f"! [{line}] {lines[-1]}"]


def at(offset: int, first: int = 0, count: int = 0) -> bytes:
    """Where the next record stands, and which lines of the client's it and the next ones are."""
    last = first + count - 1
    lines = f": {first}{f'-{last}' if count > 1 else ''}" if count else ""
    return f"! at {offset}{lines}\n".encode()


def taken_apart(line: bytes) -> tuple[int, bool, bytes]:
    """(the line that it answers, or 0; whether more of the answer comes; the answer without)."""
    if number := NUMBERED.match(line):
        return int(number["line"]), bool(number["more"]), ANSWER + line[number.end() :]
    return 0, False, line


# Whatever is no record: a private message, or one of the above.
PRIVATE = re.compile(rb"^(?!\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ).*\n", re.MULTILINE)
