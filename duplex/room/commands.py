"""What a member does about the lines its client says: say them, or carry a command out.

Runs in the member. Every line has a consequence the client sees: its record, or a line beginning
with `! ` (docs/protocol.md). Knows the commands and the roster, and no socket of a client.
"""

from __future__ import annotations

from duplex.protocol import messages
from duplex.protocol.commands import HELP, HELP_OPERATOR, split
from duplex.protocol.nick import HOST, NickError, Taken, free_nick, same_nick
from duplex.room import page
from duplex.room.late import rename
from duplex.room.roster import Undeliverable
from duplex.system.errors import TranscriptError, reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.room.member import Member

HISTORY_LIMIT = 500  # records of one /history
HISTORY_BYTES = 256 * 1024  # of them at most
# What a command costs beside its own line, in lines, for it makes the room do more than one does:
BYTES_A_LINE = 1024  # of an answer
NICK_COST = 9.0  # Unicode's tables, a look at all seats, and an event for all


def carry_out(member: Member, lines: bytes) -> bytes:
    """Say `lines`, whole ones, and carry the commands among them out, in their order.

    Returns those that are left: where answers pile up, the client has to take them first, and
    where they were dear it has to wait.
    """
    if not lines.startswith(b"/") and b"\n/" not in lines:  # nearly always
        _say(member, lines)
        return b""
    said, waiting = b"", lines.split(b"\n")[-2::-1]  # the first is the last
    while waiting and not member.leaving and not member.held:
        name, argument = split(waiting.pop())
        if not name:
            said += argument + b"\n"
            continue
        if said:
            _say(member, said)
            said = b""
        member.number += 1
        if member.number in member.obeyed:  # before it was here, and at no cost
            continue
        member.charge(1)
        _order(member, name, argument.decode(errors="replace"))
        if not member.may_say:
            break
    if said:
        _say(member, said)
    return b"" if member.leaving else b"".join(line + b"\n" for line in reversed(waiting))


def _say(member: Member, lines: bytes) -> None:
    first, count = member.number + 1, lines.count(b"\n")
    member.charge(count)
    member.number += count
    member.say(lines, first)


def tell(member: Member, lines: list[str]) -> None:
    """An answer that may be long, which costs as much as saying it would."""
    member.charge(sum(map(len, lines)) / BYTES_A_LINE)
    member.answer(*lines)


def _order(member: Member, name: str, argument: str) -> None:
    order = member.orders.get(name) or (member.operators.get(name) if member.operator else None)
    if order:
        order(member, argument)
    else:
        member.answer(messages.no_command(name.strip("/")))


def _help(member: Member, _argument: str) -> None:
    tell(member, [*HELP, *HELP_OPERATOR] if member.operator else [*HELP])


def _who(member: Member, _argument: str) -> None:
    tell(member, messages.here(member.room.roster.who()))


def _nick(member: Member, wanted: str) -> None:
    if member.operator:
        member.answer(f"you keep this room: you stay {HOST}")
        return
    member.charge(NICK_COST)
    try:
        nick = free_nick(wanted)
        if nick == member.nick:
            member.answer(f"you are {nick}")
            return
        rename(member, nick)
    except (NickError, Taken) as error:
        member.answer(str(error))
    except OSError as error:
        member.answer(messages.not_done(reason_of(error)))
    except TranscriptError as error:
        member.answer(messages.not_recorded(error.reason))
    else:
        keys = member.room.keys
        key = keys.key(nick, member.seat.session) if member.delivery.echo else ""
        member.answer(messages.renamed(nick, key))


def _join(member: Member, wanted: str) -> None:
    member.late().join(wanted)


def _resume(member: Member, argument: str) -> None:
    member.late().resume(argument)


def _number(member: Member, _argument: str) -> None:
    member.number_answers()


def _msg(member: Member, argument: str) -> None:
    nick, _, text = argument.partition(" ")
    if not nick or not text.strip():
        member.answer("/msg takes NICK TEXT")
        return
    _send(member, nick, f"-{messages.private(member.nick, text)}", messages.you_told(nick, text))


def _send(member: Member, nick: str, letter: str, done: str) -> None:
    try:
        member.send(nick, letter, done)
    except (NickError, Undeliverable) as error:
        member.answer(str(error))


def _history(member: Member, argument: str) -> None:
    count = argument or str(member.room.history)
    # the length first: of a number of thousands of digits Python makes none
    if not count.isdecimal() or len(count) > 9 or not 0 < int(count) <= HISTORY_LIMIT:
        member.answer(f"/history takes a number from 1 to {HISTORY_LIMIT}")
        return
    end = member.room.page.watermark
    start = member.transcript.back(int(count), end)
    lines = member.transcript.read(start, end, HISTORY_BYTES).decode(errors="replace")
    tell(member, lines.split("\n")[:-1] or ["nothing is recorded yet"])


def _quit(member: Member, _argument: str) -> None:
    member.leave(page.LEFT)


def _kick(member: Member, argument: str) -> None:
    nick, _, why = argument.partition(" ")
    try:
        if same_nick(nick) == HOST:
            member.answer("you keep this room: /close ends it")
            return
    except NickError as error:
        member.answer(str(error))
        return
    _send(member, nick, f"k{HOST}{': ' if why else ''}{why}", f"{nick} is to go")


def _ask_host(word: str, needs_address: bool) -> Callable[[Member, str], None]:
    """What only the host can do is asked of it, and it answers."""

    def order(member: Member, argument: str) -> None:
        if needs_address and not argument:
            member.answer(f"/{word} takes an ADDRESS")
            return
        try:
            number = member.number if member.delivery.numbered else 0
            member.room.roster.tell_host(f"{word} {number} {argument}".encode())
        except Undeliverable as error:
            member.answer(str(error))

    return order


ORDERS: dict[str, Callable[[Member, str], None]] = {
    "help": _help,
    "who": _who,
    "nick": _nick,
    "msg": _msg,
    "history": _history,
    "quit": _quit,
    # what nobody types, and so /help does not list
    "join": _join,
    "resume": _resume,
    "numbers": _number,
}
OPERATORS: dict[str, Callable[[Member, str], None]] = {
    "kick": _kick,
    "ban": _ask_host("ban", needs_address=True),
    "unban": _ask_host("unban", needs_address=True),
    "bans": _ask_host("bans", needs_address=False),
    "close": _ask_host("close", needs_address=False),
}
