"""Targets: the protected channels. Their handshakes are fed anything, and what was sealed is
changed on its way: all that comes out was said, in this order, and no error is raised but theirs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import tls_support
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_ABYTES as SEAL,
    crypto_secretstream_xchacha20poly1305_HEADERBYTES as HEADER,
)

from duplex.channel import base, code, tls

from .promise import Check, Target, is_safe_line, numbers, pieces

CODE = b"walrus-dexterity-zookeeper-kangaroo"
KEY = b"k" * 32
# What is said in a session; no two lines are the same, so that nothing can stand in for another.
SAID = [b"%d hello\n" % n if n % 5 else b"%d " % n + b"x" * 300 + b"\n" for n in range(12)]
OTHER = [b"from another session %d\n" % n for n in range(6)]
BIG = b"".join(b"%d\n" % n for n in range(6000))
_KEPT = 2 * (code.STEPS[-1] + SEAL + 2)  # bytes that a frame not yet whole can have


def _tampered(records: list[bytes], others: list[bytes], script: bytes) -> list[bytes]:
    """The records after what the script says, three bytes a step."""
    records = list(records)
    for at in range(0, len(script) - 2, 3):
        kind, where, value = script[at : at + 3]
        where %= max(1, len(records))
        if kind % 9 == 0:
            del records[where : where + 1]
        elif kind % 9 == 1:
            records[where:where] = records[where : where + 1 + value % 3]
        elif kind % 9 == 2:
            records[where : where + 2] = reversed(records[where : where + 2])
        elif kind % 9 == 3:
            records.insert(where, others[value % len(others)])
        elif kind % 9 == 4:
            del records[where:]
        elif kind % 9 == 5:
            records.insert(where, script[at:])
        elif records:
            records[where] = _changed(records[where], kind, value)
    return records


def _changed(record: bytes, kind: int, value: int) -> bytes:
    at = value % max(1, len(record))
    if kind % 9 == 6 or not record:
        return record[:at]
    if kind % 9 == 7:
        return record[:at] + bytes([record[at] ^ (1 << kind % 8)]) + record[at + 1 :]
    return record[:at] + record[at + 1 :]


def _received(receiver: base.Receiver, parts: Iterator[bytes], bound: Callable[[], bool]) -> bytes:
    """All that is given until the end or Tampered."""
    got = b""
    try:
        for part in parts:
            got += receiver.receive(part)
            receiver.decode(b"")
            receiver.take_answer()
            assert bound(), "too much is kept"
    except base.Tampered as error:
        is_safe_line(str(error))
        with suppress(base.Tampered):
            assert receiver.receive(b"more\n") == b"", "it goes on after what was tampered with"
    return got


def _is_part_of(got: bytes, ended: bool, *sessions: bytes) -> None:
    """What came out was said, from the beginning; all of it, if its end was proved."""
    assert any(said.startswith(got) for said in sessions), f"never said: {got!r}"
    assert not ended or got in sessions, f"an end that was not said after {got[-50:]!r}"


def _sealed(lines: list[bytes]) -> list[bytes]:
    sender = code.Sender(KEY)
    first = sender.send(lines[0])
    return [first[:HEADER], first[HEADER:], *map(sender.send, lines[1:]), sender.end()]


def _frames(_directory: Path) -> Check:
    sessions = [_sealed(SAID), _sealed(OTHER), _sealed([BIG])]
    said = [b"".join(lines) for lines in (SAID, OTHER, [BIG])]

    def check(data: bytes) -> None:
        (which, size), script = numbers(data, 2)
        number = (which % 17 and which % 2) or (2 if which % 17 == 0 else 0)
        parts = b"".join(_tampered(sessions[number], sessions[number - 1], script))
        receiver = code.Receiver(KEY)
        kept = lambda: len(receiver._came) <= _KEPT + 1  # noqa: E731
        got = _received(receiver, pieces(parts, bytes([size, which])), kept)
        _is_part_of(got, receiver.ended, *said)
        if len(script) < 3:
            assert receiver.ended
            assert got == said[number], "what was not tampered with did not come"

    return check


def _noise(_directory: Path) -> Check:
    def check(data: bytes) -> None:
        (size,), sealed = numbers(data, 1)
        receiver = code.Receiver(KEY)
        got = _received(receiver, pieces(sealed, bytes([size])), lambda: True)
        assert got == b""
        assert not receiver.ended

    return check


def _told(handshake: base.Handshake, data: bytes, sizes: bytes) -> None:
    """Nobody who knows nothing gets a channel."""
    try:
        handshake.start()
        for piece in pieces(data, sizes):
            handshake.feed(piece)
            assert handshake.channel is None, "a channel, for who knows nothing"
        raise handshake.stopped("it ended the connection")
    except base.HandshakeError as error:
        is_safe_line(str(error))


def _hello(_directory: Path) -> Check:
    def check(data: bytes) -> None:
        (how, size), came = numbers(data, 2)
        made = code.Server(CODE) if how & 1 else code.Client(CODE)
        _told(made, came, bytes([size, how]))

    return check


def _spake2(_directory: Path) -> Check:
    """Somebody in between who changes what two with the same code tell each other."""

    def check(data: bytes) -> None:
        (turn, kind, at), rest = numbers(data, 3)
        server, client = code.Server(CODE), code.Client(CODE)
        to_server, to_client, changed = b"", server.start(), False
        try:
            for step in range(6):
                for_server = bool(step % 2)
                message = to_server if for_server else to_client
                if step == turn % 6 and message:
                    other = _changed(message, 6 + kind % 3, at) if kind % 4 else rest
                    message, changed = other, changed or other != message
                if for_server:
                    to_client, to_server = server.feed(message), b""
                else:
                    to_server, to_client = client.feed(message), b""
        except base.HandshakeError as error:
            is_safe_line(str(error))
            assert changed
        if changed and (client.channel or server.channel):
            _is_harmless(server, client)
        if not changed:
            assert client.channel
            assert server.channel
            assert client.channel.receiver.receive(server.channel.sender.send(b"x\n")) == b"x\n"

    return check


def _is_harmless(server: base.Handshake, client: base.Handshake) -> None:
    """One may have a channel: who is in between may cut off, or add to, the last message."""
    for ours, other in ((server.channel, client.channel), (client.channel, server.channel)):
        if ours and other:
            receiver, sent = ours.receiver, other.sender.send(b"said\n")
            got = _received(receiver, iter([b"", sent]), lambda: True)
            assert got in (b"", b"said\n")


@functools.cache
def _certificates(directory: Path) -> tls_support.Certificates:
    return tls_support.Certificates(directory)


def _sessions(directory: Path) -> Callable[[int], tuple[tls.Server, tls.Client]]:
    """How to make the two sides; 0 for TLS 1.2, 1 for 1.3."""
    made = _certificates(directory)
    server = tls.server_context(made.cert("good"), made.key("good"))
    clients = []
    for version in ("TLSv1.2", "TLSv1.3"):
        context = tls.client_context(made.cert("ca"), pinned=False)
        tls_support.only(context, version)
        clients.append(context)
    return lambda number: (tls.Server(server), tls.Client(clients[number], "localhost", None))


def _tls_records(directory: Path) -> Check:
    new = _sessions(directory)

    def check(data: bytes) -> None:
        (how, size), script = numbers(data, 2)
        ours, theirs = tls_support.join(*new(how & 1))
        if how & 2:
            ours, theirs = theirs, ours
        lines = SAID if how % 19 else [BIG]
        records = [*map(theirs.sender.send, lines), theirs.sender.end()]
        receiver = ours.receiver
        assert isinstance(receiver, tls.Receiver)
        receiver.parted = bool(how & 4)
        others = [ours.sender.send(b"ours\n"), b"\x17\x03\x03\0\x05hello", b"\x16\x03\x03\0\x01\0"]
        parts = b"".join(_tampered(records, others, script))
        unsent = lambda: receiver._outgoing.pending <= tls.UNSENT_LIMIT  # noqa: E731
        got = _received(receiver, pieces(parts, bytes([size, how])), unsent)
        _is_part_of(got, receiver.ended, b"".join(lines))
        ours.sender.send(b"still\n")
        ours.sender.end()
        if len(script) < 3:
            assert receiver.ended
            assert got == b"".join(lines), "what was not tampered with did not come"

    return check


def _tls_hello(directory: Path) -> Check:
    """Both sides fed with changed messages of sessions of before."""
    new = _sessions(directory)
    flights: list[tuple[list[bytes], list[bytes]]] = []
    for version in (0, 1):
        server, client = new(version)
        hello = client.start()
        answer = server.feed(hello)
        more = client.feed(answer)
        flights.append(([hello, more], [answer, server.feed(more)]))

    def check(data: bytes) -> None:
        (how, size), script = numbers(data, 2)
        server, client = new(how & 1)
        of_client, of_server = flights[how >> 1 & 1]
        handshake, told = (server, of_client) if how & 4 else (client, of_server)
        records = [record for flight in told for record in _records(flight)]
        others = [*of_client, *of_server]
        came = script if how & 8 else b"".join(_tampered(records, others, script))
        _told(handshake, came, bytes([size, how]))

    return check


def _records(flight: bytes) -> Iterator[bytes]:
    """The records of TLS in it: their five bytes of head, and what these announce."""
    while flight:
        size = 5 + int.from_bytes(flight[3:5], "big")
        yield flight[:size]
        flight = flight[size:]


_STEPS = [bytes([kind, where, value]) for kind in range(9) for where, value in ((0, 0), (3, 40))]
_SCRIPTS = [[bytes([how, size]), *_STEPS[how % 7 :: 5]] for how in range(20) for size in (0, 1, 7)]
_WHOLE = [[bytes([how, size])] for how in range(20) for size in (0, 5)]
_HEADER = b"h" * HEADER
_FRAME = [size.to_bytes(2, "big") for size in (0, 1, 145, 16401, 0xFFFF)]
_HELLOS = [
    [b"\1\0", b"duplex ", b"code 1", b"\n"],
    [b"\1\3", b"GET / HTTP/1.1\r\n", b"\r\n"],
    [b"\0\0", code.BANNER[:-1], b"x" * 1000, b"\n"],
    [b"\0\1", b"! ", b"the room is full: \x1b[31m", b"\r", b"two\n"],
    [b"\0\5", b"! duplex code 2: so\n"],
]
_SHOOK = [
    *([b"\4\0", b"\x16\x03\x01", b"\0\5", b"\1\0\0\1\0"], [b"\x0c\1", b"\x16\x03\x01\0\xff"]),
    *([b"\x08\0", b"\x16\x03\x03", b"\0\4", b"\2\0\0\0"], [b"\x08\1", b"\x15\x03\3\0\2\2\x28"]),
]
_BETWEEN = [[bytes([turn, kind, 7 * turn])] for turn in range(6) for kind in range(4)]

TARGETS = [
    Target("code-frames", _frames, [*_SCRIPTS, *_WHOLE], _STEPS, 60_000, 3000),
    Target("code-noise", _noise, [[b"\0", _HEADER, *_FRAME], [b"\1" + _HEADER]], _FRAME, 120_000),
    Target("code-hello", _hello, _HELLOS, [code.HELLO[:-1], b"\r", b"\x1b", b"\n"], 60_000),
    Target("code-spake2", _spake2, _BETWEEN, [code.HELLO], 100, 1000),
    Target("tls-records", _tls_records, [*_SCRIPTS, *_WHOLE], _STEPS, 2_000, 3000),
    Target("tls-hello", _tls_hello, [*_SCRIPTS, *_WHOLE[4:], *_SHOOK], _STEPS, 10_000, 3000),
]
