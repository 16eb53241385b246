"""Departures: what the room is told of members that have ended, once each, in their order.

Runs in the host, which has reaped them: so it is told exactly once, whatever a member died of. What
cannot be recorded, on a full disk, waits until it can. Owns no process.
"""

from __future__ import annotations

import time

from duplex.protocol import events, requests
from duplex.protocol.nick import HOST
from duplex.room import page
from duplex.system.errors import Locked, TranscriptError
from duplex.system.process import how_it_ended
from duplex.transcript import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.room.page import Seat
    from duplex.room.room import Room
    from duplex.room.roster import Kept


TRY_AGAIN = 1.0  # s until an event is recorded that could not be
# s between two tries to get the lock: at first it is somebody's who will be done at once
TRY_LOCK, TRY_LOCK_LATER = 0.005, 0.1
PATIENCE = 2.0  # s of them until the operator is told


class Departures:
    """Events, and the nicks of those who are gone. `record` again after `seconds_to_wait`."""

    def __init__(self, room: Room) -> None:
        self.unrecorded: list[str] = []  # events that found no place on the disk yet
        self._room = room
        self._due = False  # the number of those who are here is to be written
        self._locked = 0.0  # monotonic, since when somebody else has had the lock
        self._told = False
        self._leaving: list[Kept] = []  # nicks of those whose leaving is not recorded
        self._closes = False
        # The nick that is kept for a member, and how, by its process id.
        self._kept: dict[int, tuple[str, Kept]] = {}

    @property
    def waits(self) -> bool:
        """Something is to be recorded."""
        return self._due or bool(self.unrecorded)

    @property
    def locked(self) -> bool:
        """Somebody else holds the transcript's lock, and something waits for it."""
        return self.waits and self._locked > 0

    def seconds_to_wait(self) -> float:
        """Until that is tried again."""
        if not self._locked:
            return TRY_AGAIN
        return TRY_LOCK if time.monotonic() - self._locked < 1 else TRY_LOCK_LATER

    def of(self, seat: Seat, status: int, closing: bool) -> None:
        """A member has ended: record it, and clear its seat, so that its nicks are free."""
        was_here = seat.state == page.HERE and not closing
        heir = self._heir(seat) if was_here and seat.ending == page.TAKEN_OVER else None
        event = how_it_left(seat, status) if was_here and seat.nick != HOST else ""
        kept = self._kept.pop(seat.pid, None)
        told = [events.left(seat.nick, event)] if event and not heir else []
        if kept and (seat.state != page.HERE or seat.claims) and not closing:
            told.append(events.left(kept[0], events.NOT_BACK))
            self._leaving.append(kept[1])
        if told:  # free only once they are recorded: who comes back with it is recorded after
            self.unrecorded += told
            self._leaving += self._room.roster.leaves(seat.holds_0, seat.holds_1)
        elif heir:
            for one in self._room.roster.leaves(heir.wants):
                self._kept[heir.pid], heir.inherits = (seat.nick, one), 1
        seat.clear()
        if was_here or told:
            self.record()

    def _heir(self, seat: Seat) -> Seat | None:
        """The last of those who are coming to take over what was said here, and the nick."""
        heirs = [
            other
            for state in (page.COMING, page.HERE)  # as a guest (late.py)
            for other in self._room.page.taken(state)
            if other.claims == seat.session and other.wants in (seat.holds_0, seat.holds_1)
        ]
        return max(heirs, key=lambda heir: heir.number, default=None)

    def closes(self, event: str) -> None:
        """The room does; or it is tried, on a full disk."""
        self.unrecorded.append(event)
        self._closes = True
        self.record()

    def record(self) -> None:
        """What has happened, in its order; on a full disk it waits for there to be space."""
        room = self._room
        self._due = True
        try:
            with room.transcript:
                if self.unrecorded:
                    at = room.transcript.stamp()
                    records = (record.event(event, at) for event in self.unrecorded)
                    room.transcript.write(b"".join(records))
                room.page.here = len(room.page.taken())
                if self._closes:
                    room.page.close_room()  # under the lock: nothing comes after its end
        except Locked as error:
            self._locked = self._locked or time.monotonic()
            if time.monotonic() - self._locked > PATIENCE:
                self._tell(error)
            return
        except TranscriptError as error:
            self._locked = 0.0
            self._tell(error)
            return
        self._locked, self._told, self._due = 0.0, False, False
        for event in self.unrecorded:
            room.tell_log(event)
        self.unrecorded.clear()
        leaving, self._leaving = self._leaving, []
        room.roster.left(leaving)
        room.bell.ring()

    def give_up(self) -> None:
        """The room closes, whoever has the lock."""
        self._locked = 0.0
        self._tell(Locked(self._room.transcript.path))

    def _tell(self, error: TranscriptError) -> None:
        """Once, until it is over."""
        if not self._told:
            self._room.tell_operator(str(error))
        self._told = True

    def all_are_gone(self) -> None:
        """Nobody is left of a room that is closing."""


def how_it_left(seat: Seat, status: int) -> str:
    """The end of the event that tells why; "" for none."""
    if seat.ending == page.LEFT:
        return events.ending(requests.LEFT, "")
    if seat.ending == page.KICKED:
        return events.ending(requests.KICKED, seat.reason)
    if seat.ending == page.TAKEN_OVER:
        return events.NOT_BACK  # unless it is told instead that it is
    how = seat.reason if seat.ending == page.LOST else f"its process {how_it_ended(status)}"
    return events.ending(requests.LOST, how)
