"""A connection that is reset as soon as it stands, before anybody has asked where it leads.

A busy port does that now and then, and so does a load balancer with nobody behind it. The reset is
waited for where nothing else would happen between the two.
"""

from __future__ import annotations

import random
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_support import log_of, said_by, start_room
from proxy import Proxy
from support import Duo, Program, until

# `duplex` that, while there is a file `wait` here, lets its connections be reset before it goes on.
SLOW = """\
import os, select
from duplex.cli.main import main
from duplex.system import tcp
connects = tcp._try
def slow(sock, *rest):
    number = connects(sock, *rest)
    if number == 0 and os.path.exists("wait"):
        open("connected", "w").close()
        poll = select.poll()
        poll.register(sock.fileno(), 0)  # for POLLHUP
        poll.poll(2000)
        sock.getsockopt(1, 4)  # SO_ERROR
    return number
tcp._try = slow
raise SystemExit(main())
"""


def start(duo: Duo, name: str, *args: str, waits: bool = True) -> Program:
    (duo.tmp / name).mkdir()
    if waits:
        (duo.tmp / name / "wait").touch()
    return duo.start([sys.executable, "-c", SLOW, *args], name)


class Resetting:
    """A port that resets whoever has just come, so many times; then it takes one and says hello."""

    def __init__(self, times: int, cwd: Path) -> None:
        self._times = times
        self._mark = cwd / "connected"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.last: socket.socket | None = None
        self.done = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for _ in range(self._times):
            sock, _ = self._listener.accept()
            until(self._mark.exists)
            self._mark.unlink()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        self.done.set()

    def takes_one(self) -> socket.socket:
        self.last, _ = self._listener.accept()
        self.last.sendall(b"hello\n")
        return self.last

    def close(self) -> None:
        self._listener.close()
        if self.last:
            self.last.close()


@pytest.fixture
def resetting() -> Iterator[list[Resetting]]:
    made: list[Resetting] = []
    yield made
    for one in made:
        one.close()


def test_a_caller_that_is_reset_at_once_says_so_in_one_line(
    duo: Duo, resetting: list[Resetting]
) -> None:
    resetting.append(Resetting(1, duo.tmp / "caller"))
    port = resetting[0].port
    caller = start(duo, "caller", "connect", "127.0.0.1", str(port))
    assert caller.status() == 1
    assert caller.err.count("\n") == 1, caller.err
    assert f"127.0.0.1:{port}: Connection reset by peer" in caller.err
    assert "Traceback" not in caller.err


def test_a_caller_that_tries_again_comes_through(duo: Duo, resetting: list[Resetting]) -> None:
    resetting.append(Resetting(2, duo.tmp / "caller"))
    caller = start(duo, "caller", "connect", "--retry", "127.0.0.1", str(resetting[0].port))
    until(resetting[0].done.is_set)
    assert "trying again until it answers" in caller.err
    (caller.cwd / "wait").unlink()
    resetting[0].takes_one()
    until(lambda: caller.out == b"hello\n")
    assert "Traceback" not in caller.err


def test_who_comes_back_to_a_room_tries_again_and_loses_nothing(
    duo: Duo, rng: random.Random
) -> None:
    host, port = start_room(duo)
    proxy = Proxy(port, rng)
    try:
        ann = start(
            duo, "ann", "connect", "127.0.0.1", str(proxy.port), "--nick", "ann", waits=False
        )
        until(lambda: "ann entered" in host.err)
        (ann.cwd / "wait").touch()
        proxy.resets_all = True
        proxy.cut()
        ann.type("said while nobody answers\n")
        until(lambda: proxy.reset >= 3)
        (ann.cwd / "wait").unlink()
        proxy.resets_all = False
        until(lambda: said_by("ann", log_of(host)) == ["said while nobody answers"])
        assert "cannot write" not in ann.err
        ann.end_input()
        assert ann.status() == 0
    finally:
        proxy.close()
