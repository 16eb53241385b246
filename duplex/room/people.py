"""The people of a room on this host: who has which nick, and which session.

Tables of the hub's; what takes a nick asks here whether it may. Computation alone.
"""

from __future__ import annotations

from duplex.protocol.lookalikes import look
from duplex.protocol.nick import NickError, Taken, refusal, same_nick
from duplex.room.seat import HERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.room.seat import Seat


class Undeliverable(Exception):
    """The text says why."""


class People:
    """The seats of this host by nick, by what a nick looks like, and by session."""

    def __init__(self) -> None:
        self.by_nick: dict[str, Seat] = {}
        self.by_session: dict[int, Seat] = {}
        self.by_look: dict[str, Seat] = {}

    def find(self, nick: str) -> Seat:
        """Raises Undeliverable."""
        try:
            seat = self.by_nick.get(same_nick(nick))
        except NickError as error:
            raise Undeliverable(str(error)) from None
        if seat is None or not seat.heeds:
            raise Undeliverable(f"nobody here is called {nick}")
        return seat

    def reader(self, nick: str) -> Seat:
        """Who may be told something alone. Raises Undeliverable."""
        seat = self.find(nick)
        if seat.state != HERE or seat.client is None:
            raise Undeliverable(f"nobody here is called {nick}")
        if seat.crowded:
            raise Undeliverable(f"{nick} has a full mailbox; try again later")
        return seat

    def take(self, seat: Seat, nick: str) -> None:
        """It is called so from now on; what it was called is not free yet. Raises Taken."""
        self.check(seat, nick)
        key, appearance = same_nick(nick), look(nick)
        self.by_nick[key] = self.by_look[appearance] = seat
        if key != seat.key:
            seat.rate.be_called(key)
        seat.nick, seat.key, seat.look = nick, key, appearance

    def check(self, seat: Seat, nick: str) -> None:
        """Whether it may be called so. Raises Taken."""
        holder, twin = self.by_nick.get(same_nick(nick)), self.by_look.get(look(nick))
        if holder is not None and holder is not seat:
            raise Taken(nick)
        if twin is not None and twin is not seat:
            raise refusal(nick, twin.nick)

    def free(self, seat: Seat, nick: str) -> None:
        """A nick that it was called before."""
        key, appearance = same_nick(nick), look(nick)
        if key != seat.key and self.by_nick.get(key) is seat:
            del self.by_nick[key]
        if appearance != seat.look and self.by_look.get(appearance) is seat:
            del self.by_look[appearance]

    def enter(self, seat: Seat) -> None:
        self.by_session[seat.session] = seat

    def leave(self, seat: Seat) -> None:
        nick, seat.nick, seat.key, seat.look = seat.nick, "", "", ""
        if nick:
            self.free(seat, nick)
        if self.by_session.get(seat.session) is seat:
            del self.by_session[seat.session]
