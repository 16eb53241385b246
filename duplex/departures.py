"""Departures: what the room is told of members that have ended, once each, in their order.

Runs in the host, which has reaped them: so it is told exactly once, whatever a member died of. What
cannot be recorded, on a full disk, waits until it can. Owns no process.
"""

from __future__ import annotations

from duplex import page, record, roster
from duplex.errors import TranscriptError
from duplex.process import how_it_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.page import Seat
    from duplex.room import Room


class Departures:
    """Events, and the nicks of those who are gone."""

    def __init__(self, room: Room) -> None:
        self.unrecorded: list[str] = []  # events that found no place on the disk yet
        self._room = room

    def of(self, seat: Seat, status: int, closing: bool) -> None:
        """A member has ended: record it, clear its seat, free its nicks."""
        nicks = seat.nicks
        if was_here := seat.state == page.HERE and not closing:
            event = how_it_left(seat, status)
            if event and seat.nick != roster.HOST:
                self.unrecorded.append(f"{seat.nick} {event}")
        seat.clear()
        if was_here:
            self.record()
        for nick in nicks:  # only now: who comes back with it is recorded after this
            self._room.roster.free_of_dead(nick)

    def closes(self, event: str) -> None:
        """The room does; or it is tried, on a full disk."""
        self.unrecorded.append(event)
        self.record()

    def record(self) -> None:
        """What has happened, in its order; on a full disk it waits for there to be space."""
        room = self._room
        try:
            with room.transcript:
                if self.unrecorded:
                    at = room.transcript.stamp()
                    events = (record.event(event, at) for event in self.unrecorded)
                    room.transcript.write(b"".join(events))
                room.page.here = len(room.page.taken())
        except TranscriptError as error:
            if len(self.unrecorded) == 1:
                room.tell_operator(str(error))
            return
        for event in self.unrecorded:
            room.tell_log(event)
        self.unrecorded.clear()
        room.bell.ring()

    def all_are_gone(self) -> None:
        """Nobody is left of a room that is closing."""


def how_it_left(seat: Seat, status: int) -> str:
    """The end of the event that tells why; "" for none."""
    if seat.ending == page.LEFT:
        return "left"
    if seat.ending == page.LOST:
        return f"was dropped ({seat.reason})"
    if seat.ending == page.KICKED:
        return f"was kicked by {seat.reason}"
    if seat.ending == page.TAKEN_OVER:
        return ""  # that it is back is told instead
    return f"was dropped (its process {how_it_ended(status)})"
