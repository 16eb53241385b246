"""The suite that every channel passes: sans I/O, whole, byte by byte, and with hostile bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tls_support
from tls_support import join

from duplex.channel import base, code, plain, tls

Channel = tuple[base.Sender, base.Receiver]
Handshakes = tuple[base.Handshake, base.Handshake]

CODE = b"walrus-dexterity-zookeeper-kangaroo"


def code_handshakes() -> Handshakes:
    return code.Server(CODE), code.Client(CODE)


def tls_handshakes(version: str) -> Handshakes:
    server, client = tls_support.contexts(version)
    return tls.Server(server), tls.Client(client, "localhost", None)


HANDSHAKES: dict[str, Callable[[], Handshakes]] = {
    "code": code_handshakes,
    "tls 1.2": lambda: tls_handshakes("TLSv1.2"),
    "tls 1.3": lambda: tls_handshakes("TLSv1.3"),
}


def plain_channel() -> Channel:
    return plain.Sender(), plain.Receiver()


def to_the_server(name: str) -> Channel:
    server, client = join(*HANDSHAKES[name]())
    return client.sender, server.receiver


def to_the_client(name: str) -> Channel:
    server, client = join(*HANDSHAKES[name]())
    return server.sender, client.receiver


PROTECTED: dict[str, Callable[[], Channel]] = {
    **{f"{name}, to the server": lambda n=name: to_the_server(n) for name in HANDSHAKES},
    **{f"{name}, to the client": lambda n=name: to_the_client(n) for name in HANDSHAKES},
}
ALL = {"plain": plain_channel, **PROTECTED}


@pytest.fixture(params=ALL)
def channel(request: pytest.FixtureRequest) -> Channel:
    return ALL[request.param]()


@pytest.fixture(params=PROTECTED)
def protected(request: pytest.FixtureRequest) -> Callable[[], Channel]:
    return PROTECTED[request.param]


@pytest.fixture(params=HANDSHAKES)
def handshakes(request: pytest.FixtureRequest) -> Handshakes:
    return HANDSHAKES[request.param]()


LINES = [b"hello\n", "größer 日本語 😀\n".encode(), b"\n", b"x" * 60_000 + b"\n", b"one\ntwo\n"]


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 1 << 20])
def test_what_one_end_sends_the_other_receives(channel: Channel, size: int) -> None:
    sender, receiver = channel
    on_the_wire = b"".join(map(sender.send, LINES)) + sender.end()
    received = b"".join(
        receiver.receive(on_the_wire[i : i + size]) for i in range(0, len(on_the_wire), size)
    )
    assert received + receiver.end(cut_off=False) == b"".join(LINES)
    assert receiver.ended


def test_a_line_is_given_as_soon_as_it_is_whole(channel: Channel) -> None:
    sender, receiver = channel
    for line in LINES:
        assert receiver.receive(sender.send(line)) == line


def test_half_a_line_is_kept_and_given_at_the_end(channel: Channel) -> None:
    sender, receiver = channel
    assert receiver.receive(sender.send(b"whole\nhalf")) == b"whole\n"
    assert receiver.end(cut_off=False) == b"half\n"


def test_a_line_may_come_in_many_pieces(channel: Channel) -> None:
    sender, receiver = channel
    pieces = [b"a", b" line", b"", b" in", b" pieces\nand", b" the next\n"]
    received = [receiver.receive(sender.send(piece)) for piece in pieces]
    assert received == [b"", b"", b"", b"", b"a line in pieces\n", b"and the next\n"]


def test_a_line_that_a_lost_connection_cut_off_is_marked(channel: Channel) -> None:
    sender, receiver = channel
    receiver.receive(sender.send(b"whole\nhalf"))
    assert receiver.end(cut_off=True) == "half…\n".encode()
    assert receiver.end(cut_off=True) == b""


def test_nothing_is_answered_unless_something_was_asked(channel: Channel) -> None:
    sender, receiver = channel
    for line in LINES:
        receiver.receive(sender.send(line))
    assert receiver.take_answer() == b""


def test_nothing_said_is_nothing_to_write(channel: Channel) -> None:
    sender, _ = channel
    assert sender.send(b"") == b""
    assert sender.send(b"hello\n")
    assert sender.send(b"") == b""


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


def test_hostile_text_raises_nothing(channel: Channel) -> None:
    sender, receiver = channel
    for byte in range(256):
        hostile = bytes([byte, 0xFF, byte, 0x0A, 0xE2, 0x80, byte])
        lines = receiver.receive(sender.send(hostile))
        assert lines.decode() is not None
    assert receiver.end(cut_off=False).decode() is not None


# What only the protected ones promise


def test_bytes_that_the_peer_has_not_sent_give_nothing(
    protected: Callable[[], Channel],
) -> None:
    for byte in range(0, 256, 17):
        sender, receiver = protected()
        start = sender.send(b"so far, so good\n")
        assert receiver.receive(start) == b"so far, so good\n"
        hostile = bytes([byte, 0xFF, byte, 0x0A, 0xE2, 0x80, byte]) * 10
        with pytest.raises(base.Tampered) as caught:
            receive_again_and_again(receiver, hostile)  # a length may be believed for a while
        assert "\n" not in str(caught.value)
        assert not receiver.ended


def receive_again_and_again(receiver: base.Receiver, data: bytes) -> None:
    for _ in range(70_000 // len(data)):
        assert receiver.receive(data) == b""


def test_what_came_before_the_damage_is_given_before_it_is_told(
    protected: Callable[[], Channel],
) -> None:
    sender, receiver = protected()
    good, bad = sender.send(b"good\n"), bytearray(sender.send(b"bad\n"))
    bad[-1] ^= 1
    assert receiver.decode(good + bad) == b"good\n"
    for _ in range(2):
        with pytest.raises(base.Tampered):
            receiver.decode(b"")
    assert not receiver.ended


def test_an_end_that_was_not_said_is_no_end(protected: Callable[[], Channel]) -> None:
    sender, receiver = protected()
    whole = sender.send(b"hello\n")
    end = sender.end()
    assert receiver.receive(whole + end[:-1]) == b"hello\n"
    assert not receiver.ended
    assert receiver.receive(end[-1:]) == b""
    assert receiver.ended
    assert receiver.receive(b"anything, and more") == b""


def test_no_line_can_be_read_on_the_wire(protected: Callable[[], Channel]) -> None:
    sender, _ = protected()
    said = b"a line that nobody else is to read\n"
    on_the_wire = b"".join(sender.send(said) for _ in range(50)) + sender.end()
    assert not any(said[at : at + 5] in on_the_wire for at in range(len(said) - 4))


def test_two_sessions_have_nothing_in_common(protected: Callable[[], Channel]) -> None:
    one, other = protected(), protected()
    for sender, receiver in ((one[0], other[1]), (other[0], one[1])):
        with pytest.raises(base.Tampered):
            receiver.receive(sender.send(b"hello\n") + sender.send(b"x" * 20_000))


# Handshakes


@pytest.mark.parametrize("size", [1, 2, 7, 100, 1 << 20])
def test_a_handshake_may_come_in_any_pieces(handshakes: Handshakes, size: int) -> None:
    server, client = join(*handshakes, size)
    assert server.receiver.receive(client.sender.send(b"from the client\n")) == b"from the client\n"
    assert client.receiver.receive(server.sender.send(b"from the server\n")) == b"from the server\n"


def test_what_comes_with_the_last_of_a_handshake_is_not_lost(handshakes: Handshakes) -> None:
    """Whoever is done first speaks at once, with what the other still needs."""
    server, client = handshakes
    on_the_way = {server: client.start(), client: server.start()}  # to each
    while not (server.channel and client.channel):
        for one, other in ((server, client), (client, server)):
            if not one.channel:
                data, on_the_way[one] = on_the_way[one], b""
                on_the_way[other] += one.feed(data)
                if one.channel and not other.channel:
                    on_the_way[other] += one.channel.sender.send(b"early\n")
                    last = other
    assert last.channel
    assert last.channel.receiver.receive(b"") == b"early\n"


def test_a_handshake_that_stops_has_an_error_in_one_line(handshakes: Handshakes) -> None:
    for handshake in handshakes:
        handshake.start()
        text = str(handshake.stopped("it ended the connection"))
        assert text.endswith(": it ended the connection")
        assert "\n" not in text
