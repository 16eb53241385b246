"""All members of a room on one channel, in this process: the channel's own classes, one epoll.

What a member is sent is counted in bytes and not decoded, for here it would take from the room's
processors what many machines would do; only one member, the sample, decodes all that comes, sees
that every line is there once and in its order, and so tells how far the room is. It owns the
sockets and the numbers in what is said. Which room it talks to it does not know.
"""

from __future__ import annotations

import re
import select
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

from programs import HOST, NotMeasured

from duplex.channel import plain
from duplex.channel.base import Channel
from duplex.channel.handshake import shake

if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.channel import base

TEXT = 59  # characters of a line; with its newline 60
BATCH = 1000  # lines that a speaker says at once at most
WINDOW = 20_000  # lines that are said, and that the sample has not got
BUFFER = 256 * 1024  # bytes a read
QUIET = 1.0  # s without a byte: whoever has come has been announced
OVER = 0.3  # s without a byte after the sample has everything: nobody is behind
PATIENCE = 60.0  # s for anything

_LINE = re.compile(rb"~(\d\d) (\d{10}) \.*$", re.MULTILINE)


class Talk(NamedTuple):
    """What came of speakers who said as much as the room took."""

    deliveries: int  # lines that somebody got
    seconds: float  # from the first line said to the last byte received
    bytes: int  # received
    cpu: float  # this process's processor time / wall time

    @property
    def rate(self) -> float:
        return self.deliveries / self.seconds


class _Member:
    def __init__(self, port: int, handshake: base.Handshake | None) -> None:
        self.sock = socket.create_connection((HOST, port), PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        if handshake:
            channel = shake(self.sock, handshake, {})
        else:
            channel = Channel(plain.Sender(), plain.Receiver(), plain.NAME)
        self.sender = channel.sender
        self.receiver = channel.receiver
        self.got = 0  # bytes
        self.said = 0  # lines
        self.outgoing = b""

    def push(self) -> None:
        try:
            while self.outgoing:
                self.outgoing = self.outgoing[self.sock.send(self.outgoing) :]
        except BlockingIOError:
            return


class SealedLoad:
    """`join`, then any of the others. Use it with `with`."""

    def __init__(self, port: int, make: Callable[[], base.Handshake] | None) -> None:
        self._port = port
        self._make = make
        self._members: list[_Member] = []
        self._poller = select.epoll()
        self._by_fd: dict[int, _Member] = {}
        self._buffer = bytearray(BUFFER)
        self._latest = 0.0  # when the last byte came
        self._rest = b""  # the piece of a line that the sample's last read ended in
        self._next: dict[int, int] = {}  # by speaker: the number of what the sample is to get
        self._seen = 0  # lines that the sample got

    def __enter__(self) -> SealedLoad:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self._members:
            member.sock.close()
        self._poller.close()

    def join(self, members: int) -> None:
        """One after the other; then it waits until the room is quiet."""
        for _ in range(members):
            member = _Member(self._port, self._make and self._make())
            self._members.append(member)
            self._by_fd[member.sock.fileno()] = member
            self._poller.register(member.sock, select.EPOLLIN)
            self._turn(0)
        self._settle(QUIET)

    def single(self, lines: int, gap: float) -> list[float]:
        """Seconds until the last member had something, for each line; `gap` is the silence before.

        In a quiet room that is the line: a room sends it in one piece.
        """
        return [self._one(self._members[i % (len(self._members) - 1)], gap) for i in range(lines)]

    def _one(self, speaker: _Member, gap: float) -> float:
        self._settle(gap)
        speaker.outgoing = speaker.sender.send(self._compose(speaker, 1))
        before = {member: member.got for member in self._members if member is not speaker}
        start = time.perf_counter()
        speaker.push()
        while before:
            self._turn(0.1)
            before = {member: got for member, got in before.items() if member.got == got}
            if time.perf_counter() - start > PATIENCE:
                raise NotMeasured(f"{len(before)} members did not get a line")
        return time.perf_counter() - start

    def talk(self, speakers: int, seconds: float) -> Talk:
        speaking = self._members[:speakers]
        lines, seen = 0, self._seen
        got = sum(member.got for member in self._members)
        start, used = time.perf_counter(), time.process_time()
        batch = min(BATCH, WINDOW // (2 * speakers))
        while time.perf_counter() - start < seconds:
            busy = False
            for member in speaking:
                if not member.outgoing and lines - (self._seen - seen) + batch <= WINDOW:
                    member.outgoing = member.sender.send(self._compose(member, batch))
                    lines += batch
                    busy = True
                member.push()
            self._turn(0 if busy else 0.001)
        while self._seen - seen < lines:
            for member in speaking:
                member.push()
            self._turn(0.001)
            if time.perf_counter() - self._latest > PATIENCE:
                raise NotMeasured(f"of {lines} lines {self._seen - seen} came")
        spent = time.process_time() - used, time.perf_counter() - start
        self._settle(OVER)
        taken = sum(member.got for member in self._members) - got
        deliveries = lines * (len(self._members) - 1)
        return Talk(deliveries, self._latest - start, taken, spent[0] / spent[1])

    def _settle(self, seconds: float) -> None:
        """Until nothing has come for so long."""
        start = self._latest = time.perf_counter()
        while time.perf_counter() - self._latest < seconds:
            self._turn(seconds / 4)
            if time.perf_counter() - start > PATIENCE:
                raise NotMeasured("the room does not become quiet")

    def _turn(self, seconds: float) -> None:
        """One look at all sockets; `seconds` at most if none has anything."""
        for fd, _ in self._poller.poll(seconds):
            member = self._by_fd[fd]
            try:
                count = member.sock.recv_into(self._buffer)
            except BlockingIOError:
                continue
            if not count:
                raise NotMeasured("a member was cut")
            self._latest = time.perf_counter()
            member.got += count
            if member is self._members[-1]:
                self._look_at(member.receiver.decode(bytes(self._buffer[:count])))

    def _compose(self, speaker: _Member, lines: int) -> bytes:
        number = self._members.index(speaker)
        first, speaker.said = speaker.said, speaker.said + lines
        texts = (b"~%02d %010d " % (number, n) for n in range(first, speaker.said))
        return b"".join(text.ljust(TEXT, b".") + b"\n" for text in texts)

    def _look_at(self, said: bytes) -> None:
        said, _, rest = (self._rest + said).rpartition(b"\n")
        self._rest = rest
        for speaker, number in _LINE.findall(said):
            if int(number) != self._next.get(int(speaker), 0):
                raise NotMeasured(f"line {number.decode()} came out of its order")
            self._next[int(speaker)] = int(number) + 1
            self._seen += 1
