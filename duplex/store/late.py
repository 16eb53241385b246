"""The late arrival of a client in a room in a store: what late.py says, asked of the store.

Runs in the member, as a command; what is asked is waited for, as in arrival.py.
"""

from __future__ import annotations

from duplex.protocol import events
from duplex.room import page
from duplex.room.late import Late
from duplex.room.roster import claimed
from duplex.store.arrival import OutOfReach, SharedArrival, refused
from duplex.transcript.record import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.store.member import SharedMember


class SharedLate(Late, SharedArrival):
    """`join` or `resume`, once."""

    _member: SharedMember

    def __init__(self, member: SharedMember) -> None:
        super().__init__(member)
        self._here = 0
        self._entry: int | None = None
        self._patient_until = float("inf")

    def join(self, wanted: str) -> None:
        try:
            self._claim("", "", "")  # nothing but how many are here
            super().join(wanted)
        except OutOfReach as error:
            self._give_up(error)

    def resume(self, argument: str) -> None:
        try:
            super().resume(argument)
        except OutOfReach as error:
            self._give_up(error)

    def _give_up(self, error: OutOfReach) -> None:
        self._member.notice(str(error))
        self._member.leave(page.LEFT, "", 1)

    def _change(self, nick: str) -> None:
        member, text = self._member, events.renamed(self._member.nick, nick)
        heard = self._call("claim", *claimed(nick, text))
        if heard.word in ("taken", "alike"):
            raise refused(nick, heard)
        self._look_at(heard)
        start = int(heard.rest[2])
        if start >= 0:
            end = start + len(event(text))
            self._wait_for(end)
            member.delivery.mark(start, end, member.number)
        member.rename(nick)

    def _record(self, text: str) -> int | None:
        return SharedArrival._record(self, text)
