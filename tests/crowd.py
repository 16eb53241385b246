"""A crowd of model clients of a room, driven by one epoll: what docs/protocol.md says, and no more.

    Joined   /join-s, counts its offset, keeps what it has said until it comes back, /resume-s
    Plain    what nc is: everybody's lines but its own, and a new guest each time

What a client hears is held against the transcript at once (nothing is shown before it is there)
and again at the end (nothing that was shown has changed). A line is a client's own number and some
padding, so that it can be told from every other, and made again to compare it.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import random
import re
import select
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from room_support import Seat, seats_at
from support import DEADLINE, Program, hub_of, with_no_error

CHUNK = 1 << 18  # bytes a read
WINDOW = 60  # lines that a client says ahead of what it has seen of its own
BURST = 25  # lines that a plain client says at once
SMALL_BUFFER = 4096  # bytes: a client with it soon makes its member wait
HUB_IS_NEW = 2.0  # s after which there is another hub, which knows all who have come since
SNAPSHOTS = 8  # offsets that a client could go back to
HISTORY = 20  # records that the room shows on joining
STAMP = len("2026-11-23T23:34:31.123Z ")
AWAY, COMING, ASKED, LATE = "away", "coming", "asked", "late"
CATCHING_UP, LIVE, ENDING = "catching up", "live", "ending"
_JOINED = re.compile(rb"! joined \S+ as (\S+): key (\S+), offset (\d+), end (\d+), \d+ (is|are) .*")


def reset(sock: socket.socket) -> None:
    """Close it, and not in good order."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Client:
    """One connection after another to a room."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.rng = crowd.rng
        self.state = AWAY
        self.sock: socket.socket | None = None
        self.outgoing = b""
        self.tail = b""  # of a line that has not come whole yet
        self.reads = True
        self.shuts = False  # no more is said on this connection
        self.story: deque[str] = deque(maxlen=20)  # what has befallen it, for when it goes wrong
        self._mask = 0
        self._port = 0

    def connect(self) -> None:
        sock = socket.socket()
        if self.rng.random() < 0.3:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        sock.settimeout(DEADLINE)
        sock.connect(("127.0.0.1", self.crowd.port))
        sock.setblocking(False)
        self._port = sock.getsockname()[1]
        self.crowd.killed.discard(self._port)  # it is another's now
        if time.monotonic() < self.crowd.new_hub_at:
            self.crowd.killed.add(self._port)  # perhaps: its member may belong to the former hub
        self.sock, self.outgoing, self.tail = sock, b"", b""
        self.reads, self.shuts = True, False
        self.state = COMING
        self._mask = select.EPOLLIN
        self.crowd.add(sock, self._on_events)

    def _on_events(self, events: int) -> None:
        assert self.sock
        try:
            if events & select.EPOLLOUT or (self.outgoing and not events):
                self.outgoing = self.outgoing[self.sock.send(self.outgoing) :]
            if events & ~select.EPOLLOUT and self.reads:
                if data := self.sock.recv(CHUNK):
                    self.hear(data)
                else:
                    self.lost()
                    return
        except BlockingIOError:
            pass
        except OSError:
            self.lost()
            return
        self.set_mask()

    def set_mask(self) -> None:
        if not self.sock:
            return
        if self.shuts and not self.outgoing:
            self.shuts = False
            with_no_error(lambda: self.sock and self.sock.shutdown(socket.SHUT_WR))
        mask = (select.EPOLLIN if self.reads else 0) | (select.EPOLLOUT if self.outgoing else 0)
        if mask != self._mask:
            self._mask = mask
            self.crowd.epoll.modify(self.sock.fileno(), mask)

    def hear(self, data: bytes) -> None:
        data = self.tail + data
        cut = data.rfind(b"\n") + 1
        self.tail = data[cut:]
        if cut:
            self._hear_lines(data[:cut])

    def _hear_lines(self, lines: bytes) -> None:
        if not lines.startswith(b"!") and b"\n!" not in lines:
            self.on_records(lines)
            return
        records = b""
        for line in lines.splitlines(keepends=True):
            if line.startswith(b"!"):
                if records:
                    self.on_records(records)
                records = b""
                self.on_answer(line[:-1])
            else:
                records += line
        if records:
            self.on_records(records)

    def on_records(self, records: bytes) -> None:
        raise NotImplementedError

    def on_answer(self, line: bytes) -> None:
        raise NotImplementedError

    def lost(self) -> None:
        """The connection has ended, for a reason that we know of; the next is made."""
        if self.state not in (ENDING, LATE) and self.port not in self.crowd.killed:
            pytest.fail(f"{self.nick!r} was cut off: {list(self.story)}; {self.crowd}")
        self.let_go()
        self.crowd.later(self.rng.uniform(0, 0.05), self.connect)

    def let_go(self, close: Callable[[socket.socket], None] = socket.socket.close) -> None:
        assert self.sock
        self.crowd.remove(self.sock)
        close(self.sock)
        self.sock = None
        self.state = AWAY

    # What can happen to it:

    def is_reset(self) -> None:
        if self.sock:
            self.let_go(reset)
            self.crowd.later(self.rng.uniform(0, 0.2), self.connect)

    def closes(self) -> None:
        if self.sock:
            self.let_go()
            self.crowd.later(self.rng.uniform(0, 0.2), self.connect)

    def pauses(self) -> None:
        """It does not read for a while: only its own part waits."""
        if self.sock and self.reads:
            self.reads = False
            self.set_mask()
            self.crowd.later(self.rng.uniform(0.05, 0.6), self._reads_again)

    def _reads_again(self) -> None:
        self.reads = True
        self.set_mask()

    def shuts_its_half(self) -> None:
        raise NotImplementedError

    @property
    def port(self) -> int:
        return self._port if self.sock else 0


class Joined(Client):
    """Has its nick for good, and loses and doubles nothing."""

    def __init__(self, crowd: Crowd, nick: str) -> None:
        super().__init__(crowd)
        self.nick = nick.encode()
        self._mark = b"Z <%s> " % self.nick
        self._key = b""
        self.start = 0
        self.offset = 0
        self.digest = hashlib.blake2b()  # of the transcript from start to offset
        self.seen = 0  # of its own lines, up to the offset
        self.acknowledged = 0  # the most of them it has seen
        self.said = 0
        self._end = 0
        self._first: list[bytes] = []  # requests before the one that is meant
        self._snapshots: list[tuple[int, hashlib.blake2b, int]] = []

    def on_answer(self, line: bytes) -> None:
        self.story.append(f"{line.decode()} at {self.offset}")
        if self.state == LATE:
            return
        if line.startswith(b"! welcome to room "):
            assert self.state == COMING
            self._ask()
        elif line.startswith(b"! not resumed: there is no offset ") and self._first:
            self._first.pop(0)
            self._ask()
        elif match := _JOINED.fullmatch(line):
            assert self.state == ASKED
            assert match[1] == self.nick, line
            if not self._key:
                self.start = self.offset = int(match[3])
            assert int(match[3]) == self.offset, (line, self.offset)
            self._key, self._end = match[2], int(match[4])
            self.state = CATCHING_UP
            self._go_live()
        else:
            pytest.fail(f"{self.nick!r} was told {line!r}")

    def _ask(self) -> None:
        self.state = ASKED
        if self._first:
            self.outgoing += self._first[0]
        elif self._key:
            self.outgoing += b"/resume %s %s %d\n" % (self.nick, self._key, self.offset)
        else:
            self.outgoing += b"/join %s\n" % self.nick

    def on_records(self, records: bytes) -> None:
        if self.state in (COMING, ASKED):  # its request came too late: it is a guest
            self.state = LATE
            self.crowd.later(0, self._is_late)
        if self.state == LATE:
            return
        there = os.pread(self.crowd.log_fd, len(records), self.offset)
        if records != there:
            at = self.crowd.log.read_bytes().find(records)
            pytest.fail(
                f"{self.nick!r} is at {self.offset}, and what came stands at {at}: "
                f"{records[:200]!r} is not {there[:200]!r}; {list(self.story)}"
            )
        self.digest.update(records)
        self.offset += len(records)
        at = 0
        while (at := records.find(self._mark, at)) >= 0:
            end = records.index(b"\n", at)
            text = records[at + len(self._mark) : end]
            assert text == self.crowd.line(self.seen), (
                f"{self.nick!r}: {text!r} is not no. {self.seen}"
            )
            self.seen += 1
            at = end
        if self.seen > self.acknowledged:
            self.crowd.acknowledged += self.seen - self.acknowledged
            self.acknowledged = self.seen
        self._go_live()
        if self.state == LIVE:
            self._say_more()

    def _go_live(self) -> None:
        if self.state != CATCHING_UP or self.offset < self._end:
            return
        event = os.pread(self.crowd.log_fd, 200, self._end)[STAMP:].split(b" (")[0]
        assert event in (b"* %s is back" % self.nick, b"* %s entered the room" % self.nick), event
        assert self.acknowledged <= self.seen <= self.said
        self.state = LIVE
        self._snapshots = [*self._snapshots[-SNAPSHOTS:], self._snapshot()]
        self.outgoing += b"".join(self.crowd.line(n) + b"\n" for n in range(self.seen, self.said))
        self._say_more()

    def _is_late(self) -> None:
        if self.state == LATE:
            self.is_reset()

    def _snapshot(self) -> tuple[int, hashlib.blake2b, int]:
        return self.offset, self.digest.copy(), self.seen

    def _say_more(self) -> None:
        count = min(WINDOW - (self.said - self.seen), self.crowd.to_say)
        if count > WINDOW // 2 or (count > 0 and self.said == self.seen):
            self.outgoing += b"".join(
                self.crowd.line(n) + b"\n" for n in range(self.said, self.said + count)
            )
            self.said += count
            self.crowd.to_say -= count

    def nudge(self) -> None:
        """Say something although nothing has been heard."""
        if self.state == LIVE and not self.shuts:
            self._say_more()
            self.set_mask()

    @property
    def content(self) -> bool:
        """It has all there is."""
        return (
            self.state == LIVE
            and self.reads
            and self.said == self.acknowledged == self.seen
            and self.offset == os.fstat(self.crowd.log_fd).st_size
        )

    # What can happen to it:

    def shuts_its_half(self) -> None:
        """It says no more, perhaps in the middle of a line, but reads on."""
        if self.state == LIVE:
            if self.rng.random() < 0.5:
                self.outgoing += b"half a li"
            self.state = ENDING
            self.shuts = True
            self.set_mask()

    def quits(self) -> None:
        if self.state == LIVE:
            self.outgoing += b"/quit\n"
            self.state = ENDING
            self.set_mask()

    def goes_back(self) -> None:
        """It comes again with an offset it had before."""
        if self.sock and self._snapshots:
            self.is_reset()
            self.offset, digest, self.seen = self.rng.choice(self._snapshots)
            self.digest = digest.copy()

    def errs(self) -> None:
        """It comes again in the middle of a record, or with what is no offset at all."""
        if self.sock and self._key and self.offset:
            self.is_reset()
            for offset in (self.offset - 1, 1 << 40):
                self._first.append(b"/resume %s %s %d\n" % (self.nick, self._key, offset))

    def takes_over(self) -> None:
        """It comes again while its earlier connection is still there."""
        if self.state == LIVE and self.sock:
            earlier = self.sock
            self.crowd.remove(earlier)
            self.crowd.expect_end(earlier)
            self.connect()

    def takes_over_from_a_stopped_member(self) -> None:
        if self.state == LIVE and (pid := self.crowd.member_at(self.port)):
            with_no_error(lambda: os.kill(pid, signal.SIGSTOP))
            self.takes_over()


class Plain(Client):
    """A guest, as long as its connection lasts."""

    def __init__(self, crowd: Crowd) -> None:
        super().__init__(crowd)
        self._begin()

    def _begin(self) -> None:
        self.nick = b""
        self.view = bytearray()
        self.texts: list[bytes] = []  # it has said
        self.orderly = False
        self._entered = False
        self.killed = False

    def connect(self) -> None:
        if self.nick:
            self.crowd.former.append(self._as_it_was())
        self._begin()
        super().connect()
        self.killed = self.port in self.crowd.killed

    def _as_it_was(self) -> Plain:
        former = object.__new__(Plain)
        former.__dict__.update(self.__dict__)
        return former

    def on_answer(self, line: bytes) -> None:
        match = re.fullmatch(rb"! welcome to room \S+: you are (\S+), .*", line)
        assert match, line
        self.nick = match[1]

    def on_records(self, records: bytes) -> None:
        self.view += records
        if not self._entered:
            self._entered = b"Z * %s entered the room (" % self.nick in records
            self.state = LIVE if self._entered else COMING
        if self.state == LIVE and not self.outgoing and self.rng.random() < 0.05:
            count = self.rng.randrange(1, BURST)
            fresh = [self.crowd.line(len(self.texts) + n) for n in range(count)]
            self.texts += fresh
            self.outgoing += b"\n".join(fresh) + b"\n"

    def shuts_its_half(self) -> None:
        if self.state == LIVE:
            self.state = ENDING
            self.shuts = self.orderly = True
            self.set_mask()

    @property
    def mark(self) -> bytes:
        return b"Z <%s> " % self.nick

    def expected(self, log: bytes) -> bytes:
        """All that it could have been sent."""
        entry = log.index(b"Z * %s entered the room (" % self.nick)
        entry = log.rfind(b"\n", 0, entry) + 1
        start = entry
        for _ in range(HISTORY):
            start = log.rfind(b"\n", 0, max(0, start - 1)) + 1
        own = re.compile(rb"(?m)^[^ \n]+Z <%s> .*\n" % self.nick)
        return own.sub(b"", log[start:])

    def check(self, log: bytes, *, alive: bool) -> None:
        said = re.findall(rb"(?m)^[^ \n]+Z <%s> (.*)\n" % self.nick, log)
        if not self._entered:
            assert not self.view
            assert not said
            return
        expected, view = self.expected(log), bytes(self.view)
        assert view == expected if alive else expected.startswith(view), self.nick
        if alive or (self.orderly and not self.killed):
            assert said == self.texts, (self.nick, len(said), len(self.texts))
        elif said != self.texts[: len(said)]:  # the last one was cut in the middle
            assert said[:-1] == self.texts[: len(said) - 1]
            assert self.texts[len(said) - 1].startswith(said[-1].removesuffix("…".encode())[:-1])


class Crowd:
    """The clients, what befalls them, and the one loop."""

    def __init__(self, host: Program, port: int, log: Path, rng: random.Random) -> None:
        self.host = host
        self.port = port
        self.log = log
        self.rng = rng
        self.log_fd = os.open(log, os.O_RDONLY)
        self.epoll = select.epoll()
        self.longer = 1  # how many times as long the lines are
        self.to_say = 0
        self.acknowledged = 0
        self.joined: list[Joined] = []
        self.plain: list[Plain] = []
        self.former: list[Plain] = []
        self.hubs = 1
        self.killed: set[int] = set()  # the ports of clients whose member we have killed
        self.new_hub_at = 0.0  # monotonic
        self._on: dict[int, Callable[[int], None]] = {}
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._due_at = 0  # bytes of the transcript, for which is known
        self._due: dict[
            bytes, tuple[int, int]
        ] = {}  # what each guest has to have, and to have said
        self.earlier: set[socket.socket] = set()  # connections taken over, that have to end

    def close(self) -> None:
        for client in [*self.joined, *self.plain]:
            if client.sock:
                client.let_go()
        self.epoll.close()
        os.close(self.log_fd)

    def line(self, number: int) -> bytes:
        """What any client says as its line of that number."""
        return b"%d %s" % (number, b"x\xc3\xa9-" * (self.longer * (number * 7919 % 17)))

    # The loop:

    def add(self, sock: socket.socket, on_events: Callable[[int], None]) -> None:
        self._on[sock.fileno()] = on_events
        self.epoll.register(sock.fileno(), select.EPOLLIN)

    def remove(self, sock: socket.socket) -> None:
        self.epoll.unregister(sock.fileno())
        del self._on[sock.fileno()]

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._later, (time.monotonic() + seconds, self._count, action))

    def turn(self) -> None:
        wait = 0.05
        if self._later:
            wait = min(wait, max(0, self._later[0][0] - time.monotonic()))
        for fd, events in self.epoll.poll(wait):
            if fd in self._on:
                self._on[fd](events)
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()

    def until(self, what: Callable[[], object], seconds: float = DEADLINE) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            self.turn()
            if time.monotonic() > deadline:
                pytest.fail(f"waited {seconds:g} s in vain: {self}")

    def __str__(self) -> str:
        states = [
            f"{c.nick!r} {c.state} {c.seen}/{c.said} at {c.offset} of {c._end}"
            for c in self.joined
            if not c.content
        ]
        return (
            f"{self.acknowledged} acknowledged, {self.to_say} to say, "
            f"{os.fstat(self.log_fd).st_size} bytes, "
            f"{len(self.earlier)} taken over; {states}; {[c.state for c in self.plain]}; "
            f"{self.host.err[-500:]}"
        )

    # Who is there:

    def come(self, joined: int, plain: int) -> None:
        self.joined = [Joined(self, f"c{number}") for number in range(joined)]
        self.plain = [Plain(self) for _ in range(plain)]
        for client in [*self.joined, *self.plain]:
            client.connect()
        self.until(lambda: all(client.state == LIVE for client in [*self.joined, *self.plain]))

    def member_at(self, port: int) -> int:
        """The process that serves the client with that port; 0 if there is none."""
        address = f"127.0.0.1:{port}"
        return next((seat.pid for seat in self.seats() if seat.address == address), 0)

    def seats(self) -> list[Seat]:
        """None while there is no hub."""
        return [] if time.monotonic() < self.new_hub_at else seats_at(self.port)

    def expect_end(self, sock: socket.socket) -> None:
        """It is not a client's any more: read it until the room ends it."""
        self.earlier.add(sock)

        def on_events(_events: int) -> None:
            try:
                if sock.recv(CHUNK):
                    return
            except BlockingIOError:
                return
            except OSError:
                pass  # a reset is an end, too
            self.remove(sock)
            self.earlier.discard(sock)
            sock.close()

        self.add(sock, on_events)

    # What befalls them:

    def kill_a_member(self) -> None:
        """With SIGKILL, at whatever it is doing."""
        self._kill_member_of(self.rng.choice([*self.joined, *self.plain]))

    def kill_a_speaker(self) -> None:
        """The member of somebody who has just said something: perhaps while it is recorded."""
        speakers = [c for c in self.joined if c.state == LIVE and c.said > c.seen]
        if speakers:
            client = self.rng.choice(speakers)
            self.later(self.rng.uniform(0, 0.003), lambda: self._kill_member_of(client))

    def _kill_member_of(self, client: Client) -> None:
        if pid := self.member_at(client.port):
            client.story.append(f"its member {pid} is killed, {client.state}")
            self.killed.add(client.port)
            if isinstance(client, Plain):
                client.killed = True
            self.kill(pid)

    def kill_the_hub(self) -> None:
        """And with it every connection; not again before there is another one."""
        self.until(lambda: time.monotonic() >= self.new_hub_at)
        self.new_hub_at = time.monotonic() + HUB_IS_NEW
        for client in [*self.joined, *self.plain]:
            if client.sock:
                client.story.append("the hub is killed")
                self.killed.add(client.port)
            if isinstance(client, Plain):
                client.killed = True
        self.hubs += 1
        self.kill(hub_of(self.host.pid))

    def kill(self, pid: int) -> None:
        """Only what is the room's own child."""
        if pid in self.members():
            with_no_error(lambda: os.kill(pid, signal.SIGKILL))

    def members(self) -> list[int]:
        path = Path(f"/proc/{self.host.pid}/task/{self.host.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def something_happens(self) -> None:
        everybody: list[Client] = [*self.joined, *self.plain]
        one, any_one = self.rng.choice(self.joined), self.rng.choice(everybody)
        happenings: dict[Callable[[], None], int] = {
            self.kill_a_member: 30,
            self.kill_the_hub: 3,
            any_one.is_reset: 12,
            any_one.closes: 6,
            any_one.pauses: 20,
            any_one.shuts_its_half: 8,
            one.quits: 4,
            one.goes_back: 6,
            one.errs: 3,
            one.takes_over: 8,
            one.takes_over_from_a_stopped_member: 3,
        }
        happening = self.rng.choices(list(happenings), list(happenings.values()))[0]
        subject = getattr(happening, "__self__", None)
        if isinstance(subject, Client):
            subject.story.append(f"{happening.__name__} at {subject.port}, {subject.state}")
        happening()

    def talk(
        self,
        lines: int,
        happenings: int,
        seconds: float,
        happens: Callable[[], None] | None = None,
    ) -> None:
        """Say so many lines, while so much happens, evenly spread over what is acknowledged."""
        happens = happens or self.something_happens
        self.to_say += lines
        goal = self.acknowledged + lines
        begun = self.acknowledged
        happened = 0
        deadline = time.monotonic() + seconds
        while self.acknowledged < goal or happened < happenings:
            self.turn()
            for client in self.joined:
                client.nudge()
            due = (self.acknowledged - begun + 1) * happenings // lines
            while happened < min(due, happenings):
                happens()
                happened += 1
            if time.monotonic() > deadline:
                pytest.fail(f"{happened} of {happenings} in {seconds:g} s: {self}")
        left = max(1.0, deadline - time.monotonic())
        self.until(lambda: not self.earlier and all(c.content for c in self.joined), left)
        self.until(self._plain_are_content, left)

    def _plain_are_content(self) -> bool:
        if not all(c.content for c in self.joined):
            return False
        if any(c.state != LIVE or c.outgoing for c in self.plain):
            return False
        if self._due_at != (
            size := os.fstat(self.log_fd).st_size
        ):  # looking is slow: once is enough
            self._due_at, log = size, self.log.read_bytes()
            self._due = {c.nick: (len(c.expected(log)), log.count(c.mark)) for c in self.plain}
        return all(self._due[c.nick] == (len(c.view), len(c.texts)) for c in self.plain)

    # What has to be so in the end:

    def check(self) -> None:
        """Every view is the transcript, and every line is in it once, in its speaker's order."""
        self.until(lambda: all(client.content for client in self.joined))  # an event may come late
        log = self.log.read_bytes()
        for client in self.joined:
            assert client.offset == len(log)
            assert client.digest.digest() == hashlib.blake2b(log[client.start :]).digest()
            said = re.findall(rb"(?m)^[^ \n]+Z <%s> (.*)\n" % client.nick, log)
            assert said == [self.line(n) for n in range(client.said)], client.nick
        for plain in self.former:
            plain.check(log, alive=False)
        for plain in self.plain:
            plain.check(log, alive=True)
        check_presence(log)


def check_presence(log: bytes) -> None:
    """Who speaks is here; who leaves was here; nobody comes twice, except back from a stale one."""
    here: set[bytes] = set()
    for line in log.splitlines():
        text = line[STAMP:]
        if text.startswith(b"<"):
            assert text[1 : text.index(b">")] in here, line
            continue
        nick, _, event = text[2:].partition(b" ")
        if nick == b"everybody":
            here.clear()
            continue
        if event.startswith(b"entered the room ("):
            assert nick not in here, line
            here.add(nick)
        elif event.startswith(b"is back ("):
            here.add(nick)
        elif event == b"left" or event.startswith(b"was dropped ("):
            assert nick in here, line
            here.remove(nick)
        else:
            pytest.fail(f"what is {line!r}?")
