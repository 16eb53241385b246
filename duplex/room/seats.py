"""The seats: who has a member, and how each of them ends.

A member leaves (it says so, and its client is sent all there is), has to go (a kick, a broken
rule), is cut (its client is back in another connection), is lost (nothing can be sent to it), or
dies. What the room is told of that is told once, through the ledger, and the nick is free then.
Part of the hub; waits for nobody.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from duplex.protocol import events, messages, requests
from duplex.room.seat import COMING, GOING, GONE, HERE, Seat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duplex.room.client import Client
    from duplex.room.clients import Clients
    from duplex.room.ledger import Ledger
    from duplex.room.link import Notes
    from duplex.room.loop import Loop
    from duplex.transcript.segments import Segments

FLUSH = 5.0  # s to get rid of what a client that leaves has not been sent yet
DRAIN = 1.0  # s of them for one that has to go
LAST_WORDS = 12.0  # s for a member to say what it has heard (member.LAST_WORDS), and a little
REASON = 0.2  # s for the server to tell what a member died of


class Seats:
    """All of them, by number and by their pair's descriptor."""

    ledger: Ledger  # set once there is one
    clients: Clients

    def __init__(self, loop: Loop, server: Notes, transcript: Segments) -> None:
        self.by_fd: dict[int, Seat] = {}
        self._by_number: dict[int, Seat] = {}
        self._by_client: dict[Client, Seat] = {}
        self._loop = loop
        self._server = server
        self._transcript = transcript
        self._died_of: dict[int, str] = {}  # of whom the end of the pair is not seen yet

    def __iter__(self) -> Iterator[Seat]:
        return iter(list(self._by_number.values()))

    def __len__(self) -> int:
        return len(self._by_number)

    def get(self, number: int) -> Seat | None:
        return self._by_number.get(number)

    def of(self, client: Client) -> Seat:
        return self._by_client[client]

    def add(self, seat: Seat, asks: Callable[[], None]) -> None:
        """A member is there; `asks` is called when its pair has something."""
        seat.wake = self.clients.wake
        self._by_number[seat.number] = self.by_fd[seat.pair.fileno()] = seat
        self._loop.watch(seat.pair.fileno(), asks)

    def has_client(self, seat: Seat, client: Client) -> None:
        """Its handshake is over."""
        seat.client = client
        client.relieved = seat.pay
        self._by_client[client] = seat
        self.clients.add(client)

    # How they end:

    def leave(self, seat: Seat, kind: str, reason: str) -> None:
        """It says that it leaves: what its client was not sent yet is still sent, for a while."""
        self._leaves(seat, kind, reason)
        self._flush(seat, FLUSH, lambda: self._part(seat))

    def end(self, seat: Seat, kind: str, reason: str) -> None:
        """It has to go: nothing more of it is heeded."""
        if kind == requests.KICKED:
            seat.notice(messages.kicked(reason))
        self._leaves(seat, kind, reason)
        self._flush(seat, DRAIN, lambda: self.drop(seat))

    def cut(self, seat: Seat) -> None:
        """Its client has come back in another connection."""
        seat.state = GOING
        self.drop(seat)

    def lost(self, client: Client) -> None:
        """Its connection has failed. What its member has heard is still said, unless the client
        will say it again; the member knows by itself, and leaves when that is done."""
        seat = self._by_client[client]
        if seat.state != HERE or client.echo:
            self.is_dead(client)
            return
        self._forget_client(seat)
        seat.pay()
        self._loop.after(LAST_WORDS, lambda: self._lose(seat))

    def is_dead(self, client: Client) -> None:
        """Nobody is there any more, and nothing tells its member so."""
        self._lose(self._by_client[client])

    def _lose(self, seat: Seat) -> None:
        if seat.heeds:
            self._leaves(seat, requests.LOST, "connection lost")
        self.drop(seat)

    def has_ended(self, seat: Seat) -> None:
        """Its member has let go of the pair: it has left, or it is dead."""
        if seat.state not in (COMING, HERE):
            self._forget(seat)
            return
        self._loop.unwatch(seat.pair.fileno())
        if how := self._died_of.get(seat.number, ""):
            self._bury(seat, how)
        else:
            self._loop.after(REASON, lambda: self._bury(seat, "ended"))

    def died(self, number: int, how: str, take: Callable[[Seat], bool]) -> None:
        """The server has reaped it: of what it had asked before (`take`) nothing is left out."""
        seat = self._by_number.get(number)
        if seat is None:
            return
        self._died_of[number] = how
        while seat.heeds and take(seat):
            pass
        self._died_of.pop(number, None)
        self._bury(seat, how)

    def drop(self, seat: Seat) -> None:
        """Nothing more is sent: the connection ends, and its member, whatever that is doing."""
        if seat.client:
            with suppress(OSError):  # it is gone
                seat.client.sock.shutdown(socket.SHUT_RDWR)
        self._forget(seat)
        self._server.tell(requests.OVER, seat.number)

    def _leaves(self, seat: Seat, kind: str, reason: str) -> None:
        if seat.state in (COMING, HERE):
            self.ledger.leave(seat, events.ending(kind, reason))
        seat.state = GOING

    def _flush(self, seat: Seat, seconds: float, then: Callable[[], None]) -> None:
        """Call `then` once its client has been sent all there is, or after some seconds."""
        client, called = seat.client, False
        if client is None:
            then()
            return

        def once() -> None:
            nonlocal called
            if not called and seat.state == GOING:
                called = True
                then()

        client.until, client.ended = self._transcript.end, once
        self.clients.wake(client)
        self._loop.after(seconds, once)

    def _part(self, seat: Seat) -> None:
        """All was sent: the member, which has asked to leave, sees to the rest."""
        self._forget_client(seat)
        seat.reply(requests.OK)

    def _bury(self, seat: Seat, how: str) -> None:
        if seat.heeds:
            self._leaves(seat, requests.LOST, f"its process {how}")
        self._forget(seat)

    def _forget_client(self, seat: Seat) -> None:
        if client := seat.client:
            self.clients.remove(client)
            del self._by_client[client]
            client.sock.close()
            seat.client = None

    def _forget(self, seat: Seat) -> None:
        if seat.state == GONE:
            return
        seat.state = GONE
        self._forget_client(seat)
        fd = seat.pair.fileno()
        self._loop.unwatch(fd)
        del self._by_number[seat.number], self.by_fd[fd]
        seat.pair.close()
