"""A web page, and other programs that mistake a room for something else, are told and not heard."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from protected_support import Kind
from room_support import Client, Room
from support import DEADLINE, needs, read_all, until
from tls_support import contexts

OpenRoom = Callable[..., Room]
POST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 12\r\n\r\nI am a guest"
REFUSED = re.compile(rb"HTTP/1\.1 400 Bad Request\r\n(?:[^\r\n]+\r\n)*Connection: close\r\n")
STRANGERS = {
    "http": (POST, REFUSED),
    "ssh": (b"SSH-2.0-OpenSSH_9.2p1\r\n", re.compile(rb"! this port speaks no SSH\n")),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", re.compile(rb"! this port speaks no TLS\n")),
    "smtp": (b"EHLO mail.example.org\r\n", re.compile(rb"554 This is no mail server\r\n")),
}


@pytest.fixture(params=sorted(STRANGERS))
def stranger(request: pytest.FixtureRequest) -> tuple[bytes, re.Pattern[bytes]]:
    return STRANGERS[request.param]


def call(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), DEADLINE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def without_greeting(came: bytes) -> bytes:
    """On a very busy machine the room may have greeted before the first byte came."""
    return re.sub(rb"^! welcome to room [^\n]*\n", b"", came)


def assert_nothing_was_said(room: Room, ann: Client) -> None:
    """She hears what is said next, and nothing before."""
    room.enter("bob")[0].say("hello")
    ann.sees("<bob> hello")
    assert len(ann.said) == 1
    text = room.log.read_bytes()
    assert not any(word in text for word in (b"HTTP", b"SSH", b"EHLO", b"Host", b"guest\n"))


def entered(room: Room) -> list[str]:
    return [text.split()[0] for text in room.events() if text.endswith("entered the room")]


def test_a_stranger_is_told_and_nobody_hears_it(
    room: Room, stranger: tuple[bytes, re.Pattern[bytes]]
) -> None:
    says, answer = stranger
    (ann,) = room.enter("ann")
    with call(room.port) as sock:
        sock.sendall(says)
        came = read_all(sock)
    assert answer.match(without_greeting(came)), came
    assert_nothing_was_said(room, ann)
    assert len(entered(room)) == 2, "ann and bob, as guests"


def test_a_stranger_that_speaks_byte_by_byte_is_told_too(
    room: Room, stranger: tuple[bytes, re.Pattern[bytes]]
) -> None:
    says, answer = stranger
    (ann,) = room.enter("ann")
    with call(room.port) as sock:
        for at in range(len(says)):
            try:
                sock.send(says[at : at + 1])
            except OSError:
                break  # it has been told, and closed
        came = read_all(sock)
    assert answer.match(without_greeting(came)), came
    assert_nothing_was_said(room, ann)
    assert len(entered(room)) == 2


def test_nobody_enters_while_its_first_line_may_be_a_request(room: Room) -> None:
    (ann,) = room.enter("ann")
    with call(room.port) as sock:
        sock.sendall(POST[:12])
        room.enter("bob")  # who has come later is here meanwhile
        sock.sendall(POST[12:])
        came = read_all(sock)
    assert REFUSED.match(without_greeting(came)), came
    assert len(entered(room)) == 2
    ann.say("/who")
    assert ann.sees("are here") == "! 2 are here: ann, bob"


def test_a_stranger_that_is_here_already_says_nothing(room: Room) -> None:
    """A browser may connect long before it asks for anything."""
    (ann,) = room.enter("ann")
    late = room.client()
    late.sees("entered the room")
    late.sock.sendall(POST[:30])
    late.sock.sendall(POST[30:])
    lines = late.reads_to_the_end()
    assert "HTTP/1.1 400 Bad Request" in lines
    ann.sees("* guest-2 left")
    assert_nothing_was_said(room, ann)


@pytest.mark.parametrize("line", ["GET up", "HELO bob", "GET / HTTP", "SSH-keys?"])
def test_a_person_who_says_something_like_it_is_heard(room: Room, line: str) -> None:
    (ann,) = room.enter("ann")
    bob = room.connect()
    bob.say(line)
    ann.sees(f"> {line}")
    bob.say("GET / HTTP/1.1", "EHLO mail.example.org", "SSH-2.0-x")
    for later in ("GET / HTTP/1.1", "EHLO mail.example.org", "SSH-2.0-x"):
        ann.sees(f"> {later}")


def test_half_a_line_that_no_more_comes_of_is_welcomed_and_said(room: Room) -> None:
    (ann,) = room.enter("ann")
    bob = room.connect()
    bob.sock.sendall(b"POST")
    bob.sees("! welcome to room ")
    bob.shut()
    ann.sees("> POST")


def test_https_is_told_inside_of_tls(open_room: OpenRoom) -> None:
    kind = Kind("tls")
    room = open_room(*kind.listening)
    with https(room.port) as sock:
        sock.sendall(POST)
        came = read_all(sock)
    assert REFUSED.match(without_greeting(came)), came
    until(lambda: room.seats() == [])
    assert room.events() == []


def test_curl_reads_the_answer(room: Room, duo: Any) -> None:
    curl = duo.start(
        [needs("curl"), "-sS", "-d", "I am a guest", "-w", "%{http_code}", f"127.0.0.1:{room.port}"]
    )
    assert curl.status() == 0, curl.err
    assert curl.out.startswith(b"This is no web server")
    assert curl.out.endswith(b"400")
    assert room.events() == []


def test_where_tls_is_wanted_http_is_answered_as_http(open_room: OpenRoom) -> None:
    room = open_room(*Kind("tls").listening)
    with call(room.port) as sock:
        sock.sendall(POST)
        assert REFUSED.match(read_all(sock))


@contextmanager
def https(port: int) -> Any:
    _, theirs = contexts()
    with call(port) as plain, theirs.wrap_socket(plain, server_hostname="localhost") as sock:
        sock.settimeout(DEADLINE)
        yield sock
