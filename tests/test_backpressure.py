"""Whoever does not read slows the other side down, and costs it no memory and no line."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest
from support import (
    DEADLINE,
    DUPLEX,
    Duo,
    Terminal,
    alive,
    children,
    connected,
    events,
    peak,
    probes,
    said,
    until,
)

Start = Callable[..., Terminal]

MEMORY = 40_000  # kB that a process may have used at most: Python itself takes 12,000
MEMORY_WITH_SCREEN = 60_000  # kB: prompt_toolkit takes 20,000 more
SIZE = 200_000_000  # bytes: far more than buffers and MEMORY hold
LINE = b"%09d " + b"x" * 85 + " 日\n".encode()
LENGTH = len(LINE % 0)
LINES_A_CHUNK = 10_000


def chunks(size: int = SIZE) -> Iterator[bytes]:
    """`size` bytes at least, in numbered lines."""
    for first in range(0, size // LENGTH + 1, LINES_A_CHUNK):
        yield b"".join(LINE % n for n in range(first, first + LINES_A_CHUNK))


def digest_of(parts: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.writelines(chunks())
    yield path
    path.unlink()


@contextmanager
def flooding(sock: socket.socket, size: int, how: int = socket.SHUT_WR) -> Iterator[None]:
    """Send without end, and then shut our half, while other things happen."""

    def flood() -> None:
        for chunk in chunks(size):
            sock.sendall(chunk)
        sock.shutdown(how)

    sock.settimeout(None)
    thread = Thread(target=flood, daemon=True)
    thread.start()
    yield
    thread.join(DEADLINE)
    assert not thread.is_alive()


def watched(
    parts: Iterator[bytes], pids: tuple[int, ...], limit: int, size: int
) -> Iterator[bytes]:
    """Pass `parts` on; before the last of them come, see how much memory it has taken."""
    assert [pid for pid in pids if peak(pid) > limit] == []
    left = size - 500_000
    for part in parts:
        if left > 0 >= (left := left - len(part)):
            assert [pid for pid in pids if peak(pid) > limit] == []
        yield part
    assert left <= 0


def until_end(fd: int) -> Iterator[bytes]:
    while data := os.read(fd, 1 << 16):
        yield data


def test_a_peer_that_does_not_read_costs_the_sender_no_memory(duo: Duo, large: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, large.open("rb") as file:
        sender = duo.connect(server.getsockname()[1], stdin=file)
        peer, _ = server.accept()
        with peer:
            until(lambda: probes(sender.pid))
            assert os.lseek(file.fileno(), 0, os.SEEK_CUR) < SIZE / 2, "it reads on regardless"
            pids = (sender.pid, sender.child())
            received = watched(until_end(peer.fileno()), pids, MEMORY, SIZE)
            assert digest_of(received) == digest_of(chunks())
    assert sender.status() == 0


def test_an_output_that_is_not_read_costs_the_receiver_no_memory(duo: Duo) -> None:
    read, write = os.pipe()
    receiver, port = duo.listen(stdout=write)
    os.close(write)
    receiver.end_input()
    log = duo.heard_by_listener
    with connected(port) as peer, flooding(peer, SIZE):
        until(lambda: probes(os.getpid()))
        assert log.stat().st_size < SIZE / 2, "it receives on regardless"
        pids = (receiver.pid, receiver.child())
        shown = watched(until_end(read), pids, MEMORY, SIZE)
        assert digest_of(shown) == digest_of(chunks())
    os.close(read)
    assert receiver.status() == 0
    with log.open("rb") as file:
        texts = (line.partition(b"> ")[2] for line in file if b" <client> " in line)
        assert digest_of(texts) == digest_of(chunks())
    log.unlink()


def test_a_terminal_that_is_not_read_costs_the_screen_no_memory(
    terminal: Start, tmp_path: Path
) -> None:
    size = 20_000_000
    screen = terminal(*DUPLEX, "listen", "0", "--no-log", cwd=tmp_path)
    screen.spawned.expect(r"listening on 127\.0\.0\.1:(\d+),")
    port = int(screen.spawned.match[1])
    with connected(port) as peer:
        screen.is_ready()
        pids = (screen.pid, children(screen.pid)[0])
        with flooding(peer, size, socket.SHUT_RDWR):  # so that it has left, and the screen ends
            until(lambda: probes(os.getpid()))
            shown = watched(until_gone(screen.spawned.child_fd), pids, MEMORY_WITH_SCREEN, size)
            lines = re.sub(rb"\x1b\[0m\r\n {17}\x1b\[36m", b"", b"".join(shown))  # as one row
            numbers = re.findall(rb"client: (\d{9}) x{85} \xe6\x97\xa5", lines)
    assert numbers == [line[:9] for chunk in chunks(size) for line in chunk.splitlines()]
    assert screen.status() == 0


def until_gone(terminal: int) -> Iterator[bytes]:
    """Read a terminal until nobody has it open any more: EIO."""
    try:
        yield from until_end(terminal)
    except OSError as error:
        assert error.errno == errno.EIO  # noqa: PT017 - this is its end, not a failure


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_sender_whose_peer_does_not_read(
    duo: Duo, large: Path, number: signal.Signals
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = duo.connect(server.getsockname()[1], stdin=large.open("rb"))
        peer, _ = server.accept()
        with peer:
            until(lambda: probes(sender.pid))
            os.kill(sender.pid, number)
            assert sender.status(10) == 128 + number
    assert events(duo.heard_by_connector)[-1] == f"this side left ({number.name})"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_receiver_whose_output_is_not_read(
    duo: Duo, number: signal.Signals
) -> None:
    read, write = os.pipe()
    receiver, port = duo.listen(stdout=write)
    os.close(write)
    with connected(port) as peer:
        peer.setblocking(False)
        with suppress(BlockingIOError):
            for chunk in chunks():
                peer.sendall(chunk)
        until(lambda: probes(os.getpid()))
        os.kill(receiver.pid, number)
        assert receiver.status(10) == 128 + number
    os.close(read)
    assert events(duo.heard_by_listener)[-1] == f"this side left ({number.name})"
    numbers = [int(text[:9]) for text in said(duo.heard_by_listener)]
    assert numbers[:-1] == list(range(len(numbers) - 1))


def test_a_signal_ends_a_screen_whose_terminal_is_not_read(terminal: Start, tmp_path: Path) -> None:
    screen = terminal(*DUPLEX, "listen", "0", cwd=tmp_path)
    screen.spawned.expect(r"listening on 127\.0\.0\.1:(\d+),")
    with connected(int(screen.spawned.match[1])) as peer:
        screen.is_ready()
        peer.setblocking(False)
        with suppress(BlockingIOError):
            for chunk in chunks():
                peer.sendall(chunk)
        until(lambda: probes(os.getpid()))
        os.kill(screen.pid, signal.SIGTERM)
        until(lambda: not alive(screen.pid), 10)
    assert screen.status() == 143
