"""What one client is sent: from its offset to the watermark, and lines of its own in between."""

from __future__ import annotations

import os
import random
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from duplex.room.bell import Bell, Budget
from duplex.room.delivery import SOON, Delivery
from duplex.room.page import Page
from duplex.transcript import record
from duplex.transcript.file import Transcript

AT = b"2026-11-24T13:00:00.000Z"


class Client:
    """A delivery over a real pair of sockets, the transcript it sends from, and what arrives."""

    def __init__(self, path: Path, buffer: int) -> None:
        self.page = Page.make(1)
        self.transcript = Transcript.open(str(path))
        self.transcript.share(self.page, synced=False)
        ours, self.theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        ours.setblocking(False)
        self.theirs.setblocking(False)
        self.ours = ours
        self.delivery = Delivery(ours, self.transcript, self.page, self.page.seat(0))
        self.heard = b""

    def said(self, text: bytes) -> tuple[int, bytes]:
        """Append a record; where it is, and what."""
        line = record.said("ann", text + b"\n", AT)
        return self.transcript.append(line), line

    def reads(self) -> bytes:
        """Let all go out, reading as it comes; all that was heard so far."""
        sent = False
        while not sent:
            sent = self.delivery.go_on()
            try:
                while data := self.theirs.recv(1000):
                    self.heard += data
            except BlockingIOError:
                continue
        return self.heard

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()
        self.transcript.close()


@pytest.fixture(params=[1, 1 << 20], ids=["small buffer", "large buffer"])
def client(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Client]:
    made = Client(tmp_path / "t.log", request.param)
    yield made
    made.close()


def test_the_records_come_in_their_order_from_the_offset_on(client: Client) -> None:
    lines = [client.said(b"%d " % n * 3000) for n in range(50)]
    client.delivery.follow(lines[10][0], echo=False)
    assert client.reads() == b"".join(line for _, line in lines[10:])
    assert client.delivery.lag == 0


def test_nothing_past_the_watermark_is_sent(client: Client) -> None:
    """What a writer has begun, or was killed over, is nobody's to see."""
    _, first = client.said(b"whole")
    client.delivery.follow(0, echo=False)
    torn = record.said("eve", b"never committed\n", AT)
    for end in (1, 25, len(torn) - 1, len(torn)):
        fd = os.open(client.transcript.path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, torn[:end])
        os.close(fd)
        assert client.reads() == first
        client.delivery.look_at = time.monotonic()  # so that one ring is all that `tail` waits for
        assert listened(client)
        assert client.reads() == first
        os.truncate(client.transcript.path, len(first))


def test_a_torn_tail_is_cut_and_a_whole_record_committed_by_the_next_append(
    client: Client,
) -> None:
    client.delivery.follow(0, echo=False)
    others = record.said("eve", b"whole, of one killed before the watermark\n", AT)
    client.page.announced = len(others)
    fd = os.open(client.transcript.path, os.O_WRONLY | os.O_APPEND)
    os.write(fd, others + others[:40])
    os.close(fd)
    assert client.reads() == b""
    _, line = client.said(b"next")
    assert client.reads() == others + line
    assert client.transcript.mended == 40


def test_ones_own_records_are_left_out_unless_one_asked_for_them(client: Client) -> None:
    for echo in (False, True):
        client.heard = b""
        client.delivery.follow(client.page.watermark, echo)
        wanted = b""
        for number in range(40):
            start, line = client.said(b"%d" % number)
            if number % 4 < 2:
                client.delivery.leave_out(start, start + len(line))
            if echo or number % 4 >= 2:
                wanted += line
        assert client.reads() == wanted


def test_a_line_for_it_alone_never_stands_inside_a_record(
    client: Client, rng: random.Random
) -> None:
    client.delivery.follow(0, echo=False)
    records, private = [], []
    for number in range(300):
        if rng.random() < 0.5:
            records.append(client.said(b"x" * rng.randrange(1, 3000))[1])
        else:
            private.append(b"-bob- %d" % number + b"y" * rng.randrange(500))
            client.delivery.tell(private[-1].decode())
        if rng.random() < 0.3:
            client.delivery.go_on()
        if rng.random() < 0.3:
            client.reads()
    lines = client.reads().splitlines(keepends=True)
    assert [line for line in lines if line.startswith(AT)] == records
    assert [line[:-1] for line in lines if not line.startswith(AT)] == private


def test_a_line_for_it_alone_comes_after_what_was_said_before_it(client: Client) -> None:
    client.delivery.follow(0, echo=False)
    _, before = client.said(b"before")
    client.delivery.tell("! answer")
    _, after = client.said(b"after")
    assert client.reads() == before + b"! answer\n" + after


def test_but_it_does_not_wait_for_all_that_a_late_client_lacks(client: Client) -> None:
    lines = b"".join(client.said(b"x" * 1000)[1] for _ in range(2 * SOON // 1000))
    client.delivery.follow(0, echo=False)
    client.delivery.tell("! you are late")
    assert client.reads() == b"! you are late\n" + lines


def test_what_is_told_before_it_follows_comes_first(client: Client) -> None:
    _, line = client.said(b"history")
    client.delivery.tell("! welcome")
    client.delivery.follow(0, echo=True)
    assert client.reads() == b"! welcome\n" + line


def test_ones_own_record_at_the_very_end_holds_up_no_answer(client: Client) -> None:
    client.delivery.follow(0, echo=False)
    start, line = client.said(b"mine")
    client.delivery.leave_out(start, start + len(line))
    client.delivery.tell("! answer")
    assert client.reads() == b"! answer\n"
    assert client.delivery.lag == 0


def test_who_takes_nothing_from_the_first_byte_on_is_looked_after(client: Client) -> None:
    """Or nobody would notice that it is dead, or has fallen too far behind."""
    client.delivery.follow(0, echo=False)
    for _ in range(8):
        client.said(b"x" * 600_000)
    for send in (lambda: listened(client), client.delivery.go_on):
        client.delivery.look_at = 0.0
        assert not send()
        assert client.delivery.look_at > 0


def listened(client: Client) -> bool:
    """`tail` with one ring to be heard."""
    bell, every, mine = Bell(), select.epoll(), select.epoll()
    with every, mine:
        every.register(bell.fd, select.EPOLLIN | select.EPOLLET)
        every.register(mine.fileno(), select.EPOLLIN)
        bell.ring()
        done = client.delivery.tail(every, mine, bell.fd, Budget(client.page))
    bell.close()
    return done
