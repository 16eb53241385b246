"""The suite that every channel passes: sans I/O, whole, byte by byte, and with hostile bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from duplex import wire
from duplex.wire import plain

Channel = tuple[wire.Sender, wire.Receiver]


@pytest.fixture(params=[lambda: (plain.Sender(), plain.Receiver())], ids=["plain"])
def channel(request: pytest.FixtureRequest) -> Channel:
    make: Callable[[], Channel] = request.param
    return make()


LINES = [b"hello\n", "größer 日本語 😀\n".encode(), b"\n", b"x" * 60_000 + b"\n", b"one\ntwo\n"]


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 1 << 20])
def test_what_one_end_sends_the_other_receives(channel: Channel, size: int) -> None:
    sender, receiver = channel
    on_the_wire = b"".join(map(sender.send, LINES)) + sender.end()
    received = b"".join(
        receiver.receive(on_the_wire[i : i + size]) for i in range(0, len(on_the_wire), size)
    )
    assert received + receiver.end(cut_off=False) == b"".join(LINES)


def test_a_line_is_given_as_soon_as_it_is_whole(channel: Channel) -> None:
    sender, receiver = channel
    for line in LINES:
        assert receiver.receive(sender.send(line)) == line


def test_half_a_line_is_kept_and_given_at_the_end(channel: Channel) -> None:
    sender, receiver = channel
    assert receiver.receive(sender.send(b"whole\nhalf\n")[:-1]) == b"whole\n"
    assert receiver.end(cut_off=False) == b"half\n"


def test_a_line_that_a_lost_connection_cut_off_is_marked(channel: Channel) -> None:
    sender, receiver = channel
    receiver.receive(sender.send(b"whole\nhalf\n")[:-1])
    assert receiver.end(cut_off=True) == "half…\n".encode()
    assert receiver.end(cut_off=True) == b""


def test_nothing_is_answered_unless_something_was_asked(channel: Channel) -> None:
    sender, receiver = channel
    for line in LINES:
        receiver.receive(sender.send(line))
    assert receiver.take_answer() == b""


def test_telnets_timing_mark_is_answered_once_however_it_is_split() -> None:
    asked = b"before\xff\xfd\x06\xff\xfd\x06 after\n"
    for at in range(1, 10):
        receiver = plain.Receiver()
        lines = receiver.receive(asked[:at]) + receiver.receive(asked[at:])
        assert lines == b"before after\n"
        assert receiver.take_answer() == b"\xff\xfc\x06"
        assert receiver.take_answer() == b""


@pytest.mark.parametrize(
    "other",
    [
        b"\xff\xfd\x01",
        b"\xff\xfb\x06",
        b"\xff\xff\xfd\x06",
        b"\xff\xfa\x1f\xff\xff\xfd\x06\xff\xf0",
    ],
    ids=["do echo", "will timing-mark", "quoted", "inside a subnegotiation"],
)
def test_nothing_else_of_telnets_is_answered(other: bytes) -> None:
    receiver = plain.Receiver()
    receiver.receive(other + b"\n")
    assert receiver.take_answer() == b""


def test_hostile_bytes_raise_nothing(channel: Channel) -> None:
    _, receiver = channel
    for byte in range(256):
        lines = receiver.receive(bytes([byte, 0xFF, byte, 0x0A, 0xE2, 0x80, byte]))
        assert lines.decode() is not None
    assert receiver.end(cut_off=False).decode() is not None
