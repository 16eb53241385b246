"""Late: a guest that says only now that it is more, and is let in as what it says.

A busy or stopped client, or one lost packet, makes the answer to the welcome come when the moment
for it is over, and the guest's entry is recorded. It is let in all the same. After `/join` it keeps
its entry and what it has said: `! joined` tells its END as the offset of that entry, under the
guest's nick, and a change of nick follows. After `/resume` the guest leaves, and who comes back is
recorded as ever. Either way all records from OFFSET on are sent once more: what came before
`! joined` counts nothing.

Runs in the member, as a command. Everything that join.py says holds here, too.
"""

from __future__ import annotations

from duplex.protocol import events, messages, refusals
from duplex.protocol.commands import read_resume
from duplex.protocol.nick import NickError, Taken, free_nick, numbered, same_nick
from duplex.room import page
from duplex.room.join import Arrival, NotResumed
from duplex.system.errors import TranscriptError
from duplex.transcript import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.room.member import Member


class Late(Arrival):
    """`join` or `resume`, once."""

    def __init__(self, member: Member) -> None:
        super().__init__(member, 0)
        self.session = member.seat.session
        self._guest = member.nick

    def join(self, wanted: str) -> None:
        member = self._member
        if member.delivery.echo:
            member.answer("you have joined already")
            return
        start = member.transcript.back(self._room.history, member.entry)
        self._tell_joined(member.entered_as, start, member.entry)
        self._follow(start, echo=True)
        if member.operator:
            return
        try:
            nick = self._rename(free_nick(wanted))
        except NickError as error:
            member.answer(str(error))
        except TranscriptError as error:
            member.answer(messages.not_recorded(error.reason))
        else:
            key = self._room.keys.key(nick, self.session)
            member.answer(messages.renamed(nick, key))

    def resume(self, argument: str) -> None:
        if self._member.delivery.echo:
            self._member.answer("you have joined already")
            return
        try:
            self._resume(read_resume(argument))
        except NotResumed as error:
            self._member.seat.claims = 0
            self._member.notice(messages.not_resumed(error))

    def _rename(self, wanted: str) -> str:
        """Take it, or it with the first number that is free behind it, and record that."""
        number = 1
        while True:
            nick = numbered(wanted, number)
            try:
                if nick != self._member.nick:
                    self._change(nick)
            except Taken:
                number += 1
            else:
                return nick

    def _change(self, nick: str) -> None:
        """Raises Taken, TranscriptError."""
        start, end = rename(self._member, nick)
        self._member.delivery.mark(start, end, self._member.number)

    def _record(self, text: str) -> int | None:
        """That the guest leaves and that it is back, in one; the offset of the latter."""
        member = self._member
        try:
            with member.transcript:
                at = member.transcript.stamp()
                left = record.event(events.left(self._guest, "left"), at)
                offset = member.write(left + record.event(text, at)) + len(left)
                member.seat.session = self.session
        except TranscriptError as error:
            member.notice(refusals.no_transcript(error.reason))
            member.leave(page.LEFT, "", 1)
            return None
        self._room.tell_log(text)
        return offset

    def _follow(self, start: int, echo: bool) -> None:
        assert echo
        self._member.delivery.begin_again(start)


def rename(member: Member, nick: str) -> tuple[int, int]:
    """Call it so from now on, and record that; where. Raises Taken, TranscriptError."""
    room, former = member.room, member.nick
    other = same_nick(nick) != same_nick(former)  # not only in the case of its letters
    if other:
        room.roster.take(member.seat, nick)
    else:
        room.roster.respell(member.seat, nick)
    try:
        with member.transcript:
            at = member.transcript.stamp()
            event = record.event(events.renamed(former, nick), at)
            start = member.write(event)
            member.seat.nick = nick
    except TranscriptError:
        if other:
            room.roster.free(member.seat, nick)
        raise
    if other:
        room.roster.free(member.seat, former)
        member.called(nick)
    else:
        member.nick = nick
    room.bell.ring()
    return start, start + len(event)
