"""The commands that are others in a room in a store: those that the store has to answer.

Runs in the member. The texts are those of room/commands.py.
"""

from __future__ import annotations

from duplex.protocol import events, messages
from duplex.protocol.nick import HOST, NickError, free_nick
from duplex.room import commands
from duplex.room.roster import claimed
from duplex.store.arrival import refused
from duplex.transcript.record import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.room.member import Member
    from duplex.store.member import SharedMember
    from duplex.store.pen import Heard


def _who(member: SharedMember, _argument: str) -> None:
    def then(heard: Heard) -> None:
        if heard.word != "ok":
            member.answer(messages.not_done(b" ".join(heard.rest).decode(errors="replace")))
            return
        names = [name.decode(errors="replace") for name in heard.rest]
        commands.tell(member, messages.here(sorted(names, key=str.casefold)))

    member.ask("who", then=then)


def _nick(member: SharedMember, wanted: str) -> None:
    if member.operator:
        member.answer(f"you keep this room: you stay {HOST}")
        return
    former = member.nick
    member.charge(commands.NICK_COST)
    try:
        nick = free_nick(wanted)
    except NickError as error:
        member.answer(str(error))
        return
    if nick == former:
        member.answer(f"you are {nick}")
        return
    text = events.renamed(former, nick)

    def then(heard: Heard) -> None:
        if heard.word == "ok":
            start = int(heard.rest[2])
            if start < 0:  # it was asked twice, or this host was taken for dead meanwhile
                member.call("claim", *claimed(nick, ""))
            member.when_copied(start + len(event(text)) if start >= 0 else 0, copied)
        elif heard.word in ("taken", "alike"):
            member.answer(str(refused(nick, heard)))
        else:
            reason = b" ".join(heard.rest).decode(errors="replace") or "try again"
            member.answer(messages.not_recorded(reason))

    def copied() -> None:
        """The answer stands behind the record."""
        member.rename(nick)
        keys = member.room.keys
        key = keys.key(nick, member.seat.session) if member.delivery.echo else ""
        member.answer(messages.renamed(nick, key))

    member.ask("claim", *claimed(nick, text), then=then)


def _here(order: Callable[[SharedMember, str], None]) -> Callable[[Member, str], None]:
    """All members of a room in a store are SharedMembers."""
    return order  # type: ignore[return-value]


ORDERS = {**commands.ORDERS, "who": _here(_who), "nick": _here(_nick)}
OPERATORS = commands.OPERATORS
