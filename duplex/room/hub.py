"""The hub: the one process that owns a room's transcript, its people, and what all are sent.

Forked by the server, and again if it has ended. It holds the transcript, the hub's end of a pair
for each member, and a descriptor of each client: its socket, or for an encoding channel a stream to
the member. One epoll loop. A turn: take requests, write once, send, reply. It reads no client's
byte, believes no member, waits for nobody, and takes no more than SAY_LIMIT from one member and
TURN_LIMIT in all before it sends.

    members ─ requests ─► service ─► ledger ─► journal ─► transcript
                                                  └─► clients ─► every client, from its offset
"""

from __future__ import annotations

import os
import socket

from duplex.protocol import messages, requests
from duplex.protocol.requests import LIMIT, Malformed, Request
from duplex.room.clients import Clients
from duplex.room.control import Control
from duplex.room.journal import Journal
from duplex.room.keys import Keys
from duplex.room.ledger import LocalLedger
from duplex.room.link import Notes
from duplex.room.loop import Loop
from duplex.room.operator import Operator
from duplex.room.people import People
from duplex.room.rate import Rate, Rates
from duplex.room.seat import NEW, Seat
from duplex.room.seats import Seats
from duplex.room.service import Service
from duplex.system.address import source_of
from duplex.system.errors import EXIT_OK, say_status
from duplex.system.tcp import Pulse, is_tcp, unacknowledged
from duplex.transcript.secret import read_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.room.ledger import Ledger
    from duplex.room.room import Room

TURN_LIMIT = 256 * 1024  # bytes recorded in one turn
LOOK_EVERY = 0.5  # s between two looks at the transcript
CHECK_EVERY = 2.0  # s between two looks whether clients live, and keep up
CLOSING = 4.0  # s for all clients to get the last records
UNTOLD = 20  # lines for an operator who is not there yet
SMALL = 4096  # bytes of a turn: then all have it before those who said it are answered


class Hub:
    """`run` is all that the process does. `control` is the hub's end of the link to the server."""

    def __init__(self, room: Room, control: socket.socket) -> None:
        self.room = room
        self.transcript = transcript = room.transcript
        self.keys = Keys(room.secret or read_secret(transcript.key))
        self.loop = Loop()
        self.server = Notes(control)
        self.seats = Seats(self.loop, self.server, transcript)
        self.clients = Clients(transcript, self.loop, lambda client, _: self.seats.lost(client))
        self.people = People()
        self._journal = Journal(
            transcript, synced=room.synced, tell=self.tell_operator, log=self.log
        )
        self.ledger: Ledger = (
            room.ledger(self, self._journal)
            if room.ledger
            else LocalLedger(self._journal, self.people, self.seats.cut, self.seats.end)
        )
        self.seats.clients, self.seats.ledger = self.clients, self.ledger
        self._operator = Operator(self)
        self._service = Service(self, room)
        self._control = Control(room.sign, self.clients.lag)
        self._rates = Rates(room.max_members)
        self._waiting: dict[int, None] = {}  # pairs that have something, and could not be taken
        self._paid_soon: list[Seat] = []  # who is answered in this turn
        self._closing = self._retired = self._done = False
        self._host: Seat | None = None
        self._untold: list[str] = []  # while the operator's client begins
        transcript.tell = lambda text: self.server.tell(requests.NOTICE, 0, "transcript", text)
        transcript.opened = lambda fd: self.server.tell(requests.SEGMENT, fd=os.dup(fd))
        transcript.lowest = lambda: min(transcript.end, self.clients.lowest())

    def run(self) -> int:
        """Serve until the room is closed, or the server is gone; the exit status."""
        loop = self.loop
        loop.watch(self.server.fileno(), self._hear_server)
        loop.watch(self._control.fileno(), self._answer_who)
        loop.after(LOOK_EVERY, self._look)
        loop.after(CHECK_EVERY, self._check)
        while not self._done:
            self._turn()
        return EXIT_OK

    # A turn:

    def _turn(self) -> None:
        busy = self._waiting or self.clients.busy
        by_fd = self.seats.by_fd
        for fd, _ in self.loop.poll(0 if busy else self._journal.seconds_to_wait):
            if seat := by_fd.get(fd):
                self._waiting[seat.number] = None
            else:
                self.loop.call(fd)
        waiting, self._waiting = self._waiting, {}
        for number in waiting:
            if self._journal.size >= TURN_LIMIT:
                self._waiting[number] = None  # first in the next turn
            elif seat := self.seats.get(number):
                self._take(seat)
        self.loop.run_timers()
        self._finish_turn()

    def _finish_turn(self) -> None:
        self._journal.go_on()
        start, data = self._journal.commit()
        if len(data) > SMALL:
            self._reply()
        self.clients.publish(start, data)
        self._reply()
        while self._journal.size:  # what came of that
            self.clients.publish(*self._journal.commit())
            self._reply()

    def _reply(self) -> None:
        paid, self._paid_soon = self._paid_soon, []
        for seat in paid:
            seat.reply(requests.OK)

    def reply_soon(self, seat: Seat) -> None:
        """OK, when all have what was recorded."""
        self._paid_soon.append(seat)

    def _take(self, seat: Seat) -> bool:
        """One request; whether there was one."""
        try:
            data, sock = self._receive(seat)
        except BlockingIOError:
            return False
        except OSError:
            data, sock = b"", None
        if not data:
            self.seats.has_ended(seat)
            return False
        if seat.heeds:
            self._carry_out(seat, data, sock)
        return True

    def _carry_out(self, seat: Seat, data: bytes, sock: socket.socket | None) -> None:
        try:
            if not seat.asks():
                raise Malformed
            request = Request(data)
            if request.verb == requests.HELLO:
                if sock is None:
                    raise Malformed
                self._service.hello(seat, sock)
            else:
                self._service.serve(seat, request)
        except (Malformed, KeyError):
            self.tell_operator(f"the member of {seat.where} asks what cannot be: it is dropped")
            self.seats.end(seat, requests.LOST, "its process went wrong")

    def _receive(self, seat: Seat) -> tuple[bytes, socket.socket | None]:
        if seat.state != NEW:
            return seat.pair.recv(LIMIT), None
        data, fds, _, _ = socket.recv_fds(seat.pair, LIMIT, 1)
        if not fds:
            return data, None
        try:
            sock = socket.socket(fileno=fds[0])
        except OSError:  # no socket: no member of ours would have sent it
            os.close(fds[0])
            raise
        sock.setblocking(False)
        return data, sock

    def _look(self) -> None:
        self.loop.after(LOOK_EVERY, self._look)
        self.transcript.look()
        self.server.tell(requests.BEAT)

    def _check(self) -> None:
        """Is every client alive, and not too far behind?"""
        self.loop.after(CHECK_EVERY, self._check)
        for client in list(self.clients.all.values()):
            seat = self.seats.of(client)
            if not seat.heeds:
                continue
            if self.clients.lag(client) > self.room.max_lag and not seat.operator:
                seat.notice(messages.fallen_behind(self.room.max_lag / (1 << 20)))
                self.seats.end(seat, requests.LOST, "fell too far behind")
            elif is_tcp(client.sock) and unacknowledged(client.sock):
                try:
                    seat.pulse = seat.pulse or Pulse(client.sock)
                    seat.pulse.check()
                except OSError:
                    self.seats.is_dead(client)

    # The server:

    def _hear_server(self) -> None:
        for kind, number, words, fd in self.server.hear():
            self._heed(kind, number, words, fd)
        if self.server.fileno() < 0:
            self._done = True  # it is gone: so are we

    def _heed(self, kind: bytes, number: int, words: list[str], fd: int) -> None:
        if kind == requests.ARRIVED and fd >= 0:
            self._seat(socket.socket(fileno=fd), number, *words)
        elif kind == requests.ENDED:
            self.seats.died(number, words[0], self._take)
        elif kind == requests.CLOSE:
            self._close(words[0])
        elif kind == requests.BANNED:
            self._operator.banned.add(words[0])
        elif kind == requests.DROPPED:
            self.ledger.all_dropped(words[0])
        elif kind == requests.TELL:
            self.tell_operator(words[0])

    def _seat(
        self, pair: socket.socket, number: int, ip: str, where: str, pid: str, operator: str
    ) -> None:
        pair.setblocking(False)
        room = self.room
        rate = Rate(room.rate, room.burst, self._rates, source_of(ip))
        seat = Seat(pair, number, ip, where, int(pid), Rate(0, 0) if operator else rate)
        seat.operator = bool(operator)
        self.seats.add(seat, _never)
        if self._closing:
            self.seats.drop(seat)

    def seated(self, seat: Seat) -> None:
        """Its handshake is over."""
        if self.room.protected:
            self.server.tell(requests.SEATED, seat.number)

    # Who keeps the room:

    def operate(self, word: str, argument: str, answer: Callable[..., None]) -> None:
        """What the operator wants. Raises KeyError for a word that is none."""
        self._operator.carry_out(word, argument, answer)

    def tell_operator(self, text: str) -> None:
        """One line for whoever keeps the room, there or on standard error."""
        if self._host is not None and self._host.heeds:
            self._host.tell(messages.operator(text))
            if self.room.has_operator:
                return
        elif self._host is None and self.room.has_operator:
            self._untold = [*self._untold[-UNTOLD:], text]
            return
        say_status(text)

    def has_operator(self, seat: Seat) -> None:
        """Who keeps the room is there."""
        self._host = seat
        untold, self._untold = self._untold, []
        for text in untold:
            self.tell_operator(text)

    def log(self, event: str) -> None:
        """On standard error, unless the operator sees the room live."""
        if not self.room.has_operator:
            say_status(event)

    def _answer_who(self) -> None:
        self._control.answer(dict.fromkeys((*self.seats, *self.people.by_nick.values())))

    # The end:

    def _close(self, event: str) -> None:
        """Record it, let every client have what it has not been sent yet, and be done."""
        if self._closing:
            return
        self.ledger.close(event)
        self._closing = True
        self._finish_turn()
        self._journal.closed = self.ledger.ends_room
        for seat in self.seats:
            if seat.state == NEW:
                self.seats.drop(seat)  # nobody has seen it
            elif seat.heeds:
                seat.send(requests.reply(requests.CLOSING))
        self.loop.after(CLOSING, self._end_all)
        self._look_whether_closed()

    def _look_whether_closed(self) -> None:
        if not self.seats:
            self._end_all()
        else:
            self.loop.after(0.02, self._look_whether_closed)

    def _end_all(self) -> None:
        for seat in self.seats:
            self.seats.drop(seat)
        if not self._retired:
            self._retired = True
            self.ledger.retire(self._be_done)

    def _be_done(self) -> None:
        self.transcript.close()
        self.server.tell(requests.CLOSED_NOW)
        self._done = True


def _never() -> None:
    """Pairs are looked at in each turn, before all else."""
