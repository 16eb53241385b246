"""What the parts of a hub, and a room in a store, see of the hub: no more than this.

Types alone: so nothing here is there while the program runs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from duplex.room.clients import Clients
    from duplex.room.keys import Keys
    from duplex.room.ledger import Ledger
    from duplex.room.link import Notes
    from duplex.room.loop import Loop
    from duplex.room.people import People
    from duplex.room.seat import Seat
    from duplex.room.seats import Seats
    from duplex.transcript.segments import Segments

    class Hub(Protocol):
        """The one process that owns a room (hub.py)."""

        transcript: Segments
        loop: Loop
        server: Notes
        seats: Seats
        clients: Clients
        people: People
        ledger: Ledger
        keys: Keys

        def reply_soon(self, seat: Seat) -> None:
            """OK, when all have what was recorded."""

        def seated(self, seat: Seat) -> None:
            """Its handshake is over."""

        def has_operator(self, seat: Seat) -> None:
            """Who keeps the room is there."""

        def operate(self, word: str, argument: str, answer: Callable[..., None]) -> None:
            """What the operator wants. Raises KeyError for a word that is none."""

        def tell_operator(self, text: str) -> None:
            """One line for whoever keeps the room, there or on standard error."""

        def log(self, event: str) -> None:
            """On standard error, unless the operator sees the room live."""
