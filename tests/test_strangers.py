"""Nobody's wait ends because a web page, or another program, has come to `duplex listen`."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from protected_support import Kind
from room_support import within
from support import (
    DEADLINE,
    DUPLEX,
    Duo,
    Program,
    Terminal,
    connected,
    events,
    needs,
    read_all,
    records,
    said,
    until,
)
from tls_support import contexts

Start = Callable[..., Terminal]

POST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8\r\n\r\na secret"
STRANGERS = {
    "HTTP": (POST, b"HTTP/1.1 400 Bad Request\r\n"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2p1\r\n", b"! this port speaks no SSH\n"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"! this port speaks no TLS\n"),
    "SMTP": (b"EHLO mail.example.org\r\n", b"554 This is no mail server\r\n"),
}


def answered(port: int, says: bytes, size: int = 1 << 16) -> bytes:
    """What a stranger reads that says that, so many bytes at a time."""
    with connected(port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(says), size):
            try:
                sock.sendall(says[at : at + size])
            except OSError:
                break  # it has been told, and closed
        return read_all(sock)


def assert_waits(duo: Duo, listener: Program, port: int) -> None:
    """And then somebody comes, and is heard."""
    assert listener.process.poll() is None
    connector = duo.connect(port)
    connector.type("hello\n")
    until(lambda: said(duo.heard_by_listener) == ["hello"])
    listener.type("and hello\n")
    until(lambda: connector.out == b"and hello\n")


@pytest.mark.parametrize("size", [1 << 16, 1], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("keep", [(), ("--keep",)], ids=["once", "keep"])
@pytest.mark.parametrize("protocol", sorted(STRANGERS))
def test_a_stranger_ends_nobodys_wait(
    duo: Duo, protocol: str, keep: tuple[str, ...], size: int
) -> None:
    listener, port = duo.listen(*keep)
    says, answer = STRANGERS[protocol]
    assert answered(port, says, size).startswith(answer)
    told = rf"^127\.0\.0\.1:\d+ was refused: it speaks {protocol}$"
    until(lambda: re.search(told, listener.err, re.MULTILINE))
    assert "connected from" not in listener.err
    assert records(duo.heard_by_listener) == []
    assert_waits(duo, listener, port)
    assert len(events(duo.heard_by_listener)) == 1
    assert listener.out == b"hello\n"


@pytest.mark.parametrize("size", [1 << 16, 1], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("keep", [(), ("--keep",)], ids=["once", "keep"])
def test_a_stranger_that_speaks_late_is_told_and_the_wait_goes_on(
    duo: Duo, keep: tuple[str, ...], size: int
) -> None:
    """A browser may connect long before it asks for anything."""
    listener, port = duo.listen(*keep)
    with connected(port) as sock:
        until(lambda: "connected from" in listener.err)
        for at in range(0, 16, size):
            sock.sendall(POST[at : at + size])
        sock.sendall(POST[16 if size == 1 else 1 << 16 :])
        assert read_all(sock).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        place = "{}:{}".format(*sock.getsockname())
    until(lambda: f"{place} was refused: it speaks HTTP\n" in listener.err)
    until(lambda: "waiting for the next at" in listener.err)
    assert said(duo.heard_by_listener) == []
    assert events(duo.heard_by_listener)[1:] == [f"{place} was refused: it speaks HTTP"]
    assert_waits(duo, listener, port)
    assert listener.out == b"hello\n"


def test_on_a_screen_the_wait_goes_on_too(duo: Duo, terminal: Start, tmp_path: Path) -> None:
    screen = terminal(*DUPLEX, "listen", "0", cwd=tmp_path)
    screen.spawned.expect(r"listening on 127\.0\.0\.1:(\d+),")
    port = int(screen.spawned.match[1])
    with connected(port) as sock:
        screen.is_ready()
        sock.sendall(POST)
        assert read_all(sock).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    screen.sees("was refused: it speaks HTTP")
    screen.sees("waiting for the next at")
    connector = duo.connect(port)
    screen.is_ready()
    connector.type("hello\n")
    screen.sees("hello")
    screen.line("and hello")
    until(lambda: connector.out == b"and hello\n")
    assert said(tmp_path / "logs" / "client_input.log") == ["hello"]


def test_the_next_peer_does_not_get_the_rest_of_a_file(duo: Duo, tmp_path: Path) -> None:
    """A stranger that says nothing at first has got its beginning: this cannot go on."""
    (tmp_path / "file").write_text("the beginning\n")
    with (tmp_path / "file").open("rb") as file:
        listener, port = duo.listen(stdin=file)
        with connected(port) as sock:
            assert sock.recv(100) == b"the beginning\n"
            sock.sendall(POST)
            read_all(sock)
        assert listener.status() == 1
    assert listener.err.endswith(
        " was refused: it speaks HTTP; it has got the beginning of what was to be said\n"
    )


def test_a_page_that_never_stops_asking_keeps_nobody_out(duo: Duo) -> None:
    listener, port = duo.listen()
    for _ in range(40):
        assert answered(port, POST).startswith(b"HTTP/1.1 400 ")
    assert 1 <= listener.err.count("was refused") < 40, "a flood is not one on the terminal"
    assert_waits(duo, listener, port)


def test_a_stranger_that_dawdles_keeps_nobody_out(duo: Duo) -> None:
    listener, port = duo.listen()
    with connected(port) as dawdler:
        dawdler.sendall(b"POST /")
        assert_waits(duo, listener, port)
        with pytest.raises(ConnectionResetError):
            read_all(dawdler)


def test_a_peer_that_says_nothing_is_there_at_once(duo: Duo) -> None:
    listener, port = duo.listen()
    with connected(port) as silent:
        within(1, lambda: until(lambda: "connected from" in listener.err))
        listener.type("hello?\n")
        assert silent.recv(100) == b"hello?\n"


@pytest.mark.parametrize("line", ["GET up", "HELO bob", "GET / HTTP", "GET"])
def test_what_a_person_says_first_is_heard(duo: Duo, line: str) -> None:
    _, port = duo.listen()
    connector = duo.connect(port)
    connector.type(f"{line}\nGET / HTTP/1.1\n")
    until(lambda: said(duo.heard_by_listener) == [line, "GET / HTTP/1.1"])


@pytest.mark.parametrize("end", ["", "\n"], ids=["cut", "whole"])
def test_who_says_a_word_and_goes_is_heard(duo: Duo, end: str) -> None:
    listener, port = duo.listen()
    with connected(port) as peer:
        peer.sendall(f"POST{end}".encode())
    until(lambda: "client left" in listener.err)
    assert said(duo.heard_by_listener) == ["POST"]


def test_https_is_told_inside_of_tls(duo: Duo) -> None:
    listener, port = Kind("tls").listen(duo)
    _, theirs = contexts()
    for wait_first in (False, True):
        with connected(port) as plain, theirs.wrap_socket(plain, server_hostname="localhost") as s:
            if wait_first:
                until(lambda: "connected from" in listener.err)
            s.settimeout(DEADLINE)
            s.sendall(POST)
            assert read_all(s).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        until(lambda: "was refused: it speaks HTTP" in listener.err)
        if not wait_first:
            assert "connected from" not in listener.err
    until(lambda: "waiting for the next" in listener.err)
    assert said(duo.heard_by_listener) == []


def test_plain_http_is_told_where_tls_is_spoken(duo: Duo) -> None:
    listener, port = Kind("tls").listen(duo)
    assert answered(port, POST).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert listener.process.poll() is None


def test_curl_and_openssl_are_told_and_the_wait_goes_on(duo: Duo) -> None:
    listener, port = duo.listen()
    curl = duo.start([needs("curl"), "-sS", "-d", "a secret", f"http://127.0.0.1:{port}/"], "curl")
    assert curl.status() == 0, curl.err
    assert curl.out.startswith(b"This is no web server")
    client = duo.start([needs("openssl"), "s_client", "-connect", f"127.0.0.1:{port}"], "openssl")
    assert client.status() == 1
    assert "wrong version number" in client.err
    assert_waits(duo, listener, port)
