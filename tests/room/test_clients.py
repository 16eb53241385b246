"""What clients are sent: from an offset on, and lines for one alone in between."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from duplex.room.client import PRIVATE_LIMIT, SOON, Client
from duplex.room.clients import Clients
from duplex.room.journal import Journal
from duplex.room.loop import Loop
from duplex.transcript import record
from duplex.transcript.segments import Segments

AT = b"2026-11-24T13:00:00.000Z"


class Sent:
    """A transcript, and clients of it over real sockets."""

    def __init__(self, path: Path, buffer: int) -> None:
        self.transcript = Segments.open(str(path))
        self.loop = Loop()
        self.lost: list[Client] = []
        self.clients = Clients(self.transcript, self.loop, self._lose)
        self.buffer = buffer
        self.heard: dict[Client, bytes] = {}
        self._theirs: dict[Client, socket.socket] = {}

    def _lose(self, client: Client, _error: OSError) -> None:
        self.lost.append(client)
        self.clients.remove(client)

    def comes(self) -> Client:
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer)
        ours.setblocking(False)
        theirs.setblocking(False)
        client = Client(ours, self.transcript)
        self.clients.add(client)
        self._theirs[client], self.heard[client] = theirs, b""
        return client

    def follows(self, offset: int, *, echo: bool = False) -> Client:
        client = self.comes()
        client.follow(offset, echo=echo)
        self.clients.wake(client)
        return client

    def said(self, text: bytes) -> tuple[int, bytes]:
        """Record and publish it; where it is, and what."""
        line = record.said("ann", text + b"\n", AT)
        start = self.transcript.append(line, False)
        self.clients.publish(start, line)
        return start, line

    def tells(self, client: Client, line: bytes) -> None:
        client.tell(line + b"\n")
        self.clients.wake(client)

    def turn(self) -> None:
        for fd, _ in self.loop.poll(0):
            self.loop.call(fd)
        self.clients.publish(self.transcript.end, b"")

    def reads(self, client: Client) -> bytes:
        """Let all go out, reading as it comes; all that was heard so far."""
        quiet = 0
        while quiet < 3:
            self.turn()
            try:
                self.heard[client] += self._theirs[client].recv(100_000)
                quiet = 0
            except BlockingIOError:
                quiet += 1
        return self.heard[client]

    def close(self) -> None:
        for client, theirs in self._theirs.items():
            theirs.close()
            client.sock.close()
        self.transcript.close()


@pytest.fixture(params=[1, 1 << 20], ids=["small buffer", "large buffer"])
def room(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sent]:
    made = Sent(tmp_path / "t.log", request.param)
    yield made
    made.close()


def test_the_records_come_in_their_order_from_the_offset_on(room: Sent) -> None:
    lines = [room.said(b"%d " % n * 3000) for n in range(50)]
    client = room.follows(lines[10][0])
    lines += [room.said(b"%d " % n * 3000) for n in range(50)]
    assert room.reads(client) == b"".join(line for _, line in lines[10:])
    assert room.clients.lag(client) == 0


def test_who_is_level_and_who_is_behind_are_sent_the_same(room: Sent, rng: random.Random) -> None:
    clients = [room.follows(0) for _ in range(5)]
    for number in range(300):
        room.said(b"%d " % number * rng.randrange(1, 900))
        room.reads(rng.choice(clients))
    whole = Path(room.transcript.path).read_bytes()
    assert all(room.reads(client) == whole for client in clients)


def test_ones_own_records_are_left_out_unless_one_asked_for_them(room: Sent) -> None:
    for echo in (False, True):
        client = room.follows(room.transcript.end, echo=echo)
        wanted = b""
        for number in range(40):
            line = record.said("ann", b"%d\n" % number, AT)
            start = room.transcript.append(line, False)
            if number % 4 < 2:
                room.clients.wake(client)
                client.leave_out(start, start + len(line), number, 1)
            room.clients.publish(start, line)
            if echo or number % 4 >= 2:
                wanted += line
        assert room.reads(client) == wanted
        assert room.clients.lag(client) == 0


def test_a_line_for_it_alone_never_stands_inside_a_record(room: Sent, rng: random.Random) -> None:
    client = room.follows(0)
    records, private = [], []
    for number in range(300):
        if rng.random() < 0.5:
            records.append(room.said(b"x" * rng.randrange(1, 3000))[1])
        else:
            private.append(b"-bob- %d" % number + b"y" * rng.randrange(500))
            room.tells(client, private[-1])
        if rng.random() < 0.3:
            room.turn()
        if rng.random() < 0.3:
            room.reads(client)
    lines = room.reads(client).splitlines(keepends=True)
    assert [line for line in lines if line.startswith(AT)] == records
    assert [line[:-1] for line in lines if not line.startswith(AT)] == private


def test_a_line_for_it_alone_comes_after_what_was_said_before_it(room: Sent) -> None:
    client = room.follows(0)
    _, before = room.said(b"before")
    room.tells(client, b"! answer")
    _, after = room.said(b"after")
    assert room.reads(client) == before + b"! answer\n" + after


def test_but_it_does_not_wait_for_all_that_a_late_client_lacks(room: Sent) -> None:
    lines = b"".join(room.said(b"x" * 1000)[1] for _ in range(2 * SOON // 1000))
    client = room.follows(0)
    room.tells(client, b"! you are late")
    assert room.reads(client) == b"! you are late\n" + lines


def test_what_is_told_before_it_follows_comes_first(room: Sent) -> None:
    _, line = room.said(b"history")
    client = room.comes()
    room.tells(client, b"! welcome")
    client.follow(0, echo=True)
    assert room.reads(client) == b"! welcome\n" + line


def test_who_begins_again_is_told_what_waits_and_sent_all_with_its_own(room: Sent) -> None:
    client = room.follows(0)
    start, line = room.said(b"mine")
    client.leave_out(start, start + len(line), 1, 1)
    room.reads(client)
    room.heard[client] = b""
    room.tells(client, b"! joined")
    client.begin_again(0)
    assert room.reads(client) == b"! joined\n" + line


def test_who_takes_nothing_costs_an_offset_and_delays_nobody(room: Sent) -> None:
    deaf, client = room.follows(0), room.follows(0)
    for _ in range(80):
        room.said(b"x" * 60_000)
        room.reads(client)
    assert room.clients.lag(client) == 0
    assert deaf.blocked
    assert room.clients.lag(deaf) > 500_000
    assert not room.clients.busy
    assert not deaf.crowded
    room.tells(deaf, b"y" * (PRIVATE_LIMIT + 1))
    assert deaf.crowded
    assert room.clients.lowest() == deaf.offset
    assert room.reads(deaf).count(AT) == 80


def test_whose_connection_is_lost_is_told_of_once(room: Sent) -> None:
    client, other = room.follows(0), room.follows(0)
    room.said(b"hello")
    room.reads(client)
    room._theirs[client].close()
    for _ in range(3):
        room.said(b"x" * 300_000)
        room.clients.wake(client)  # who is gone is not woken again
        room.turn()
    assert room.lost == [client]
    assert room.reads(other).count(AT) == 4


# The journal


def test_all_of_a_turn_are_one_write_and_each_is_told_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcript, told = Segments.open(str(tmp_path / "t.log")), []
    writes: list[bytes] = []
    real = transcript.append
    monkeypatch.setattr(
        transcript, "append", lambda data, *s: writes.append(data) or real(data, *s)
    )
    journal = Journal(transcript, synced=False, tell=told.append, log=told.append)
    places: list[tuple[int, int, str]] = []
    for number in range(5):
        line = record.said("ann", b"%d\n" % number, journal.now())
        journal.add(line, lambda *place: places.append(place))
    assert not writes
    start, data = journal.commit()
    assert writes == [data]
    assert (start, journal.commit()) == (0, (len(data), b""))
    assert [data[first:end].split()[-1] for first, end, _ in places] == [
        b"%d" % n for n in range(5)
    ]
    assert not any(why for _, _, why in places)


def test_what_is_owed_is_recorded_in_its_order_as_soon_as_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcript, told, done = Segments.open(str(tmp_path / "t.log")), [], []
    journal = Journal(transcript, synced=False, tell=told.append, log=lambda _: None)
    real, full = transcript._write, True

    def write(*args: object) -> None:
        if full:
            raise OSError(28, "No space left on device")
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(transcript, "_write", write)
    monkeypatch.setattr("duplex.room.journal.TRY_AGAIN", 0.0)
    assert journal.seconds_to_wait is None
    for nick in ("ann", "bob", "eve"):
        journal.owe(f"{nick} left", lambda *_, nick=nick: done.append(nick))
        journal.go_on()
        assert journal.commit()[1] == b""
    failed: list[str] = []
    journal.event("ann entered", lambda _start, _end, why: failed.append(why))
    journal.commit()
    assert (done, failed) == ([], ["No space left on device"])
    assert len(told) == 1  # once, until it is over
    assert journal.seconds_to_wait == 0
    full = False
    journal.go_on()
    assert [line[25:] for line in journal.commit()[1].splitlines()] == [
        b"* ann left",
        b"* bob left",
        b"* eve left",
    ]
    assert done == ["ann", "bob", "eve"]
    assert journal.seconds_to_wait is None
