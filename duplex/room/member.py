"""The member: the forked process that reads one client of a room.

It makes a channel with its client, turns bytes into safe lines, and lines into requests to the hub,
one under way at a time: so whoever says too much is not read. What its client is sent is the hub's
business: the hub has the client's socket, or where the channel encodes the other end of a stream
(filter.py). The member owns nothing of the room. It is killed when the server dies, and ends when
the hub does.

    coming     the moment after the welcome, when its client may say who it is (join.py)
    in         what it says is carried out, in its order
    leaving    LEAVE is under way: the hub answers when its client has been sent all there is
"""

from __future__ import annotations

import select
import socket
import struct
import time

from duplex.channel import plain
from duplex.channel.base import Tampered
from duplex.channel.sniff import Stranger
from duplex.protocol import requests
from duplex.protocol.requests import CLOSING, ECHO, IN, SAY_LIMIT, SLOWLY, Reply
from duplex.room.commands import next_request
from duplex.room.filter import Filter
from duplex.room.join import Join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.base import Channel

CHUNK = 56 * 1024  # bytes a read: with the rest of a line before it is one request
KEPT = 64 * 1024  # bytes of lines that wait until it is in, beyond which no more are read
LAST_WORDS = 10.0  # s for what was heard from a client whose connection is lost to be said, too
PARTING = 1.0  # s for a client to see the end, before the rest of what it sends is thrown away
HANG = 6.0  # s for the hub to let go of a client that leaves: longer than it takes at most
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, socket(7): its close is a reset
_READS = select.POLLIN | select.POLLPRI  # something has come; something urgent


class Member:
    """`run` is all that the process does with a client whose handshake is over."""

    def __init__(
        self, pair: socket.socket, sock: socket.socket, channel: Channel | None, *, operator: bool
    ) -> None:
        """`pair` leads to the hub; neither it nor `sock` blocks."""
        self.pair = pair
        self.sock = sock
        self.operator = operator
        self.lines = b""  # said, and not carried out yet
        self.number = 0  # of the line that was carried out last, among all of this connection
        self.obeyed: set[int] = set()  # lines that were carried out on arrival
        self.over = False  # the client says no more
        self.echo = False  # and it will say again what was lost
        self._receiver = channel.receiver if channel else plain.Receiver()
        self._filter: Filter | None = None
        if channel is not None and channel.name != plain.NAME:
            self._filter = Filter(sock, channel.sender)
        self._join: Join | None = Join(self)
        self._asked = False  # a request is under way
        self._said = b""  # the lines that it says
        self._again = b""  # lines that were not heeded, to be said before all others
        self._command = b""  # the request that is under way, if it says no lines
        self._retry = b""  # one that was not heeded
        self._wait_until = 0.0  # monotonic; nothing is asked before
        self._gone = False  # the connection is
        self._lost = ""  # why the connection is, while what was heard before is still said
        self._silent_from = 0.0  # monotonic: when that is over, too
        self._leaving = False
        self._leave_by = 0.0
        self._closing = False  # the room is
        self._done = False
        self._welcomed = False  # the hub has its client, and speaks to it
        self._answers = b""  # for the client's program, as bytes
        self._farewell = b""  # the same, and nothing after it
        self._poll = select.poll()
        self._wanted: dict[int, int] = {}
        self._want(pair.fileno(), select.POLLIN)

    def run(self) -> None:
        """Serve until the client has left. Raises OSError if something is wanting."""
        self.begin()
        while not self._done:
            if self._only_listens:
                self.listen()
            self.turn()
        self.end()

    def ask(self, request: bytes) -> None:
        """The hub, which answers: nothing else is asked before. Raises OSError."""
        self._asked = True
        try:
            self.pair.send(request)
        except (ConnectionError, BrokenPipeError):
            self._done = True  # the hub is gone, or done with us

    def begin(self) -> None:
        """Tell the hub that a client is there. Raises OSError."""
        own = self._filter.theirs if self._filter else self.sock
        flags = requests.FILTER if self._filter else 0
        try:
            socket.send_fds(self.pair, [requests.request(requests.HELLO, flags)], [own.fileno()])
        except ConnectionError:
            self._done = True
        self._asked = True
        if self._filter:
            self._filter.theirs.close()
        self._hear(self._receiver.receive(b""))  # what came together with the handshake's end

    # A turn:

    @property
    def _only_listens(self) -> bool:
        """Whether nothing is under way, and nothing but lines is to be expected; nearly always."""
        busy = self._asked or self._join or self._filter or self._has_more or self._wait_until
        return not busy and self._receiver.sniffer is None

    def listen(self) -> None:
        """The common case: its client says something, and the hub takes it.

        Returns when anything else has happened, which then is done by `turn`. One function with
        local names only: it stands between each line and all who are to have it, and finds the
        processor's caches cold. Raises OSError.
        """
        self._set_masks()
        poll, sock, recv, receive = self._poll.poll, self.sock.fileno(), self.sock.recv, self._hears
        while poll() == [(sock, select.POLLIN)]:
            try:
                data = recv(CHUNK)
            except OSError:
                self._lose("connection lost")
                return
            lines = receive(data)
            if not data or b"/" in lines or len(lines) > SAY_LIMIT or self._answers:
                self.lines = lines
                return
            if lines:
                self._said = lines
                self.ask(requests.said(lines, self.number + 1))
                if poll() != [(self.pair.fileno(), select.POLLIN)]:
                    return
                self._on_reply()
                if self._asked or self._again or self._wait_until or self._done or self._closing:
                    return

    def _hears(self, data: bytes) -> bytes:
        lines = self._receiver.receive(data)
        self._wire(self._receiver.take_answer())
        return lines

    def turn(self) -> None:
        """Wait for something, and do what follows from it. Raises OSError."""
        self._set_masks()
        ready = dict(self._poll.poll(self._milliseconds()))
        if self.pair.fileno() in ready:
            self._on_reply()
        if events := ready.get(self.sock.fileno()):
            self._on_socket(events)
        if self._filter and (self._filter.fileno() in ready or self._filter.due):
            self._forward(self._filter)
        if not (self._asked or self._done):
            self._ask_next()
        if self._leaving and time.monotonic() >= self._leave_by:
            self._done = True  # the hub stands still, or our client takes nothing

    def _set_masks(self) -> None:
        mask = 0  # that it is over is told even so
        if not self.over and len(self.lines) <= (KEPT if self._join else 0):
            mask = _READS
        if self._filter:
            mask |= select.POLLOUT if self._filter.blocked else 0
            self._want(self._filter.fileno(), self._filter.wanted)
        self._want(self.sock.fileno(), -1 if self._gone else mask)

    def _want(self, fd: int, mask: int) -> None:
        """Wait for that; -1: for nothing at all."""
        if self._wanted.get(fd, -1) == mask:
            return
        self._wanted[fd] = mask
        if mask < 0:
            self._poll.unregister(fd)
        else:
            self._poll.register(fd, mask)

    def _milliseconds(self) -> float | None:
        moments = []
        if self._leaving:
            moments.append(self._leave_by)
        elif not self._asked:
            if self._join:
                moments.append(self._join.deadline)
            elif self._has_more:
                moments.append(self._wait_until)
        if self._lost and not self._leaving:
            moments.append(self._silent_from)
        if self._filter and self._filter.look_at:
            moments.append(self._filter.look_at)
        if not moments:
            return None
        return max(0.0, min(moments) - time.monotonic()) * 1000

    @property
    def _has_more(self) -> bool:
        return bool(
            self.lines or self._again or self._retry or self.over or self._lost or self._closing
        )

    # What the client says:

    def _on_socket(self, events: int) -> None:
        if events & select.POLLPRI:
            self._receiver.urgent()
        if events & select.POLLIN:
            self._read()
        elif events & (select.POLLHUP | select.POLLERR):
            self._lose("connection lost")
        if events & select.POLLOUT and self._filter:
            self._filter.blocked = False

    def _read(self) -> None:
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._lose("connection lost")
            return
        if data:
            self._take(data)
        elif not self._receiver.ended:
            self._lose("connection lost")
        else:
            rest = self._receiver.end(cut_off=False)
            if not self.echo:  # who may resume says a line that was cut again, and whole
                self._hear(rest)
            self.over = True

    def _take(self, data: bytes) -> None:
        try:
            self._hear(self._receiver.receive(data))
            self._receiver.decode(b"")  # what it has kept, so that what came before is heard
        except Stranger as error:
            self._refuse(error.reply)
            return
        except Tampered:
            self._wire(self._receiver.take_answer())
            self._lose("what it sent was changed on its way")
            return
        self._wire(self._receiver.take_answer())
        if self._join:
            self._join.wait_for_line(self._receiver.undecided)

    def _hear(self, lines: bytes) -> None:
        self.lines += lines

    def _wire(self, answer: bytes) -> None:
        """What the client's program waits for."""
        if not answer:
            return
        if self._filter:
            self._filter.write(answer)
        else:
            self._answers = (self._answers + answer)[-CHUNK:]

    def _refuse(self, reply: bytes) -> None:
        """A program that speaks something else is told so in its own words, and nothing more."""
        self.lines = self._again = b""
        self._join = None
        self._farewell = reply
        self.over = True

    def _lose(self, reason: str) -> None:
        """The connection is gone; what was heard is said, unless the client will say it again."""
        self._gone = True
        if self.over:
            return  # it has said all that it wanted to, and so it has left
        self._lost = reason
        self._silent_from = time.monotonic() + (0 if self._join or self.echo else LAST_WORDS)
        if self._join or self.echo:
            self.lines = self._again = self._retry = b""
        else:
            self.lines += self._receiver.end(cut_off=True)

    # What the hub is asked:

    def _ask_next(self) -> None:
        now = time.monotonic()
        if self._closing:
            self._leave(requests.CLOSED, "", self._unsaid())
        elif self._answers:
            answers, self._answers = self._answers, b""
            self.ask(requests.said(answers, 0, requests.WIRE))
        elif self._farewell:
            farewell, self._farewell = self._farewell, b""
            self.ask(requests.said(farewell, 0, requests.LAST))
        elif self._join:
            self._join.go_on(now)
        elif now < self._wait_until and not (self._lost and now >= self._silent_from):
            return
        elif self._lost and now >= self._silent_from:
            unsaid = self._unsaid()
            why = f"{self._lost}, {unsaid} lines were not said" if unsaid else self._lost
            self._leave(requests.LOST, why)
        elif self._again:
            self._said, self._again = self._again, b""
            self.ask(requests.said(self._said, self.number + 1))
        elif self._retry:
            self._command, self._retry = self._retry, b""
            self.ask(self._command)
        elif self.lines:
            self._ask_for_lines()
        elif self._lost:
            self._leave(requests.LOST, self._lost)
        elif self.over:
            self._leave(requests.LEFT, "")

    def _ask_for_lines(self) -> None:
        request, self._said, count, self.lines = next_request(
            self.lines, self.number, operator=self.operator
        )
        if not self._said:
            self.number += count
            if self.number in self.obeyed:
                return  # it was carried out when it came
            if request[:1] == requests.LEAVE:
                self.lines = b""
                self._leave(requests.LEFT, "")
                return
            self._command = request
        self.ask(request)

    def _unsaid(self) -> int:
        waiting = (self._again + self.lines).count(b"\n") + bool(self._retry)
        return waiting - sum(n > self.number for n in self.obeyed)

    @property
    def is_gone(self) -> bool:
        return bool(self._lost)

    def leave(self) -> None:
        """Its client has only looked whether somebody is there."""
        self._leave(requests.LEFT, "")

    def _leave(self, kind: str, reason: str, unsaid: int = 0) -> None:
        self._leaving = True
        self._leave_by = time.monotonic() + HANG
        self.ask(requests.request(requests.LEAVE, unsaid, kind, reason))

    # What the hub says:

    def _on_reply(self) -> None:
        try:
            data = self.pair.recv(requests.LIMIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._done = True  # the hub is gone, or has no more to do with our client
            return
        reply = Reply(data)
        self._welcomed = True
        if reply.word == CLOSING:
            self._closing = True
            return
        self._asked = False
        if self._leaving:
            self._done = True
            return
        if self._said:
            self._was_said(reply)
        elif reply.word == SLOWLY:
            self._retry = self._command
        if reply.word in (IN, ECHO):
            self._join = None
            self.echo = self.echo or reply.word == ECHO
        self._wait_until = time.monotonic() + reply.seconds if reply.seconds else 0.0
        if self._join:
            self._join.answered()

    def _was_said(self, reply: Reply) -> None:
        lines, self._said = self._said, b""
        if reply.word != SLOWLY:
            self.number += lines.count(b"\n")
            return
        at = 0
        for _ in range(reply.count):
            at = lines.index(b"\n", at) + 1
        self._again = lines[at:]
        self.number += reply.count

    # The end:

    def _forward(self, to_client: Filter) -> None:
        """What the hub has for the client goes through the channel."""
        try:
            if not to_client.go_on() and not self._leaving:
                self._done = True
        except OSError:
            if not (self._lost or self._leaving):
                self._lose("connection lost")

    def end(self) -> None:
        """End the connection in good order: a close with bytes unread would be a reset."""
        if self._gone:
            return
        try:
            if not self._welcomed:  # to whom nobody has spoken this is no room that has ended
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                return
            self.sock.settimeout(PARTING)
            if self._filter:
                self._filter.finish(PARTING)
            self.sock.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + PARTING
            while time.monotonic() < deadline and self.sock.recv(CHUNK):
                pass
        except OSError:
            return  # it is gone, or slow to go: either way this was its time
