"""What a member's own lines hold back while it is not known where they stand (no store needed)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from duplex.room.page import Page
from duplex.store.delivery import Held
from duplex.store.member import SharedMember
from duplex.transcript import record
from duplex.transcript.file import Transcript


@pytest.fixture
def client(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A delivery of three records over a real pair of sockets; the third is the client's own."""
    page, transcript = Page.make(1), Transcript.open(str(tmp_path / "t.log"))
    transcript.share(page, synced=False)
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    offsets = [transcript.append(record.said("ann", b"%d\n" % n)) for n in range(3)]
    delivery = Held(ours, transcript, page, page.seat(0))
    yield SimpleNamespace(page=page, delivery=delivery, theirs=theirs, offsets=offsets)
    for sock in (ours, theirs):
        sock.close()
    transcript.close()


def numbers(client: SimpleNamespace) -> bytes:
    """Of the records that were sent."""
    assert client.delivery.go_on()
    try:
        return b"".join(line[-1:] for line in client.theirs.recv(65536).splitlines())
    except BlockingIOError:
        return b""


def test_nothing_that_may_be_ones_own_is_sent_before_that_is_known(client: SimpleNamespace) -> None:
    client.delivery.hold = client.offsets[1]
    client.delivery.follow(0, echo=False)
    assert not client.delivery.only_follows  # or a ring would send all of it
    assert numbers(client) == b"0"
    client.delivery.leave_out(client.offsets[2], client.page.watermark)
    client.delivery.hold = None
    assert numbers(client) == b"1"
    assert client.delivery.offset == client.page.watermark


def test_who_is_sent_its_own_is_held_back_by_nothing(client: SimpleNamespace) -> None:
    client.delivery.hold = 0
    client.delivery.follow(0, echo=True)
    assert numbers(client) == b"012"


def test_what_is_said_holds_back_at_once() -> None:
    """Not only when the store is heard: the mirror may be faster."""
    member = SharedMember.__new__(SharedMember)
    asked: list[tuple[bytes, int]] = []
    pen = SimpleNamespace(say=lambda body, at, _first: asked.append((body, at)), hold=7)
    room, delivery = SimpleNamespace(page=SimpleNamespace(watermark=7)), SimpleNamespace(hold=None)
    vars(member).update(pen=pen, nick="ann", room=room, delivery=delivery)
    member.say(b"hello\n", 1)
    assert [at for _, at in asked] == [7]
    assert delivery.hold == 7
