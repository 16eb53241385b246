"""What is said to a port that refuses a plain connection was not said, and is not shown so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from protected_support import Kind
from support import DUPLEX, Duo, Terminal, records, until
from talk_support import Start
from tls_support import contexts


@pytest.fixture(params=["code", "tls", "another TLS", "an alert"])
def protected(request: pytest.FixtureRequest, duo: Duo) -> Iterator[int]:
    """The port of somebody who wants more than a plain connection."""
    if request.param in ("code", "tls"):
        yield Kind(request.param).listen(duo)[1]
        return
    context = contexts()[0]
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            sock, _ = server.accept()
            if request.param == "an alert":
                with sock:
                    assert sock.recv(100) == b"a secret\n"
                    sock.sendall(bytes.fromhex("15030100020246"))
                    return
            with suppress(OSError), context.wrap_socket(sock, server_side=True) as tls:
                tls.recv(100)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


Connect = Callable[..., Terminal]


@pytest.fixture
def connect(terminal: Start, protected: int, tmp_path: Path) -> Connect:
    def start(*options: str) -> Terminal:
        command = [*DUPLEX, "connect", "127.0.0.1", str(protected), "--both", *options]
        return terminal(*command, cwd=tmp_path / "plain")

    return start


@pytest.mark.parametrize("options", [(), ("--plain",)], ids=["screen", "plain"])
def test_nothing_is_shown_or_kept_as_said(
    request: pytest.FixtureRequest, connect: Connect, options: tuple[str, ...], tmp_path: Path
) -> None:
    caller = connect(*options)
    kind = request.node.callspec.params["protected"]
    if kind != "code":  # that port tells at once what it wants
        caller.sees("not encrypted")
        if not options:
            caller.is_ready()
    caller.line("a secret")
    how = caller.spawned.expect(["refused: ", "connection lost: Connection reset by peer"])
    assert how == (kind == "another TLS")
    shown = caller.spawned.before
    caller.sees("not sent: a secret")
    shown += caller.spawned.before
    assert caller.status() == 1
    assert "me: a secret" not in shown + caller.spawned.before
    (log,) = (tmp_path / "plain" / "logs").glob("*.log")
    assert [text for nick, text in records(log) if nick is not None] == []


def test_what_is_said_to_a_person_is_shown_as_said_once_it_is_there(
    terminal: Start, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        caller = terminal(*DUPLEX, "connect", "127.0.0.1", port, "--both", cwd=tmp_path)
        peer, _ = server.accept()
        with peer:
            caller.is_ready()
            caller.line("one")
            caller.line("two")
            heard = peer.makefile()
            assert [heard.readline(), heard.readline()] == ["one\n", "two\n"]
            caller.sees("me: one")
            caller.sees("me: two")
            caller.line("three")
            assert heard.readline() == "three\n"
            caller.sees("me: three")
            log = tmp_path / "logs" / "server_input.log"
            until(lambda: [t for n, t in records(log) if n == "me"] == ["one", "two", "three"])
            caller.line("quit")
    assert caller.status() == 0


def test_what_a_person_answers_shows_at_once_what_was_said(terminal: Start, tmp_path: Path) -> None:
    listener = terminal(*DUPLEX, "listen", "0", cwd=tmp_path / "l")
    listener.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    port = listener.spawned.match[1]
    caller = terminal(*DUPLEX, "connect", "127.0.0.1", port, "--both", cwd=tmp_path / "c")
    listener.is_ready()
    caller.is_ready()
    caller.line("hello")
    listener.sees("client: hello")
    listener.line("hello, too")
    caller.sees("me: hello")
    caller.sees("server: hello, too")
    caller.line("quit")
    assert (caller.status(), listener.status()) == (0, 0)
    log = tmp_path / "c" / "logs" / "server_input.log"
    assert ("me", "hello") in records(log)


def test_who_leaves_at_once_has_said_what_he_said(terminal: Start, tmp_path: Path) -> None:
    listener = terminal(*DUPLEX, "listen", "0", cwd=tmp_path / "l")
    listener.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    port = listener.spawned.match[1]
    caller = terminal(*DUPLEX, "connect", "127.0.0.1", port, "--both", cwd=tmp_path / "c")
    caller.is_ready()
    caller.line("so long")
    caller.line("quit")
    listener.sees("client: so long")
    caller.sees("me: so long")
    assert (caller.status(), listener.status()) == (0, 0)
    assert ("me", "so long") in records(tmp_path / "c" / "logs" / "server_input.log")
