"""A hub is killed anywhere: the next one, or the next room, has all that was said, each once.

The parent here is the server: it opens the transcript, and keeps what a hub hands over to it.
"""

from __future__ import annotations

import array
import os
import pwd
import random
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from duplex.transcript.record import said
from duplex.transcript.retention import FOR_EVER, Retention, Rotation
from duplex.transcript.segments import Segments

# What changes anything on the disk, or hands it over.
DISK = ("open", "write", "pwrite", "ftruncate", "fdatasync", "close")
NAMES = ("link", "rename", "mkdir", "unlink")
BEFORE, LINES = 10, 25


def words(segments: Segments) -> list[int]:
    data = segments.read(segments.first, segments.end).decode()
    assert data == "" or data.endswith("\n")
    return [int(line.split("> ", 1)[1].split()[0]) for line in data.splitlines()]


class Server:
    """Forks hubs, one after the other."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.segments = Segments.open(str(path), **options)
        self.said = 0  # lines that a hub has said to be there
        self.trouble = ""
        self.become = 0  # a hub is this user

    def hub(self, work: Callable[[Segments, Callable[[int], None]], None]) -> None:
        """Let one work, in a process of its own, until it ends or is killed."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                here.close()
                self._be_hub(there, work)
                status = 0
            except BaseException as error:
                there.send(repr(error).encode())
            finally:
                os._exit(status)
        there.close()
        self.pid = pid
        self.hub_end = here

    def wait(self, timeout: float = 20.0) -> int:
        """Its wait status, once all is taken that it has handed over."""
        self.hub_end.settimeout(timeout)
        while self._take_one():
            pass
        self.hub_end.close()
        return os.waitpid(self.pid, 0)[1]

    def _take_one(self) -> bool:
        fds = array.array("i")
        data, ancillary, _, _ = self.hub_end.recvmsg(1000, socket.CMSG_SPACE(fds.itemsize))
        for _, _, found in ancillary:
            fds.frombytes(found)
            self.segments.take(fds[0])
        if data.isdigit():
            self.said = int(data)
        elif data not in (b"", b"fd"):
            self.trouble = data.decode()
        return bool(data)

    def _be_hub(
        self,
        there: socket.socket,
        work: Callable[[Segments, Callable[[int], None]], None],
    ) -> None:
        def opened(fd: int) -> None:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            there.sendmsg([b"fd"], rights)

        if self.become:
            os.setgid(self.become)
            os.setuid(self.become)
        self.segments.opened = opened
        self.segments.tell = lambda _text: None
        self.segments.resume()
        work(self.segments, lambda number: there.sendall(b"%d" % number))

    def check(self, first: int = 0) -> None:
        """By another hub: all is there that was said, in order, and perhaps one line more."""
        self.hub(lambda segments, done: done(count(segments, first)))
        said = self.said
        assert self.wait() == 0, self.trouble
        assert said <= self.said <= said + 1

    def end(self) -> None:
        os.close(self.segments.fd)
        os.close(self.segments.key)
        self.segments._closed.close()


def count(segments: Segments, first: int = 0) -> int:
    """How many lines there are, without a gap, from that one on at the latest."""
    found = words(segments)
    start = found[0] if found else first
    assert start <= first
    assert found == list(range(start, start + len(found)))
    return start + len(found)


def say(segments: Segments, number: int) -> None:
    line = f"{number} {'x' * (number * 37 % 120)}\n".encode()
    segments.append(said("ann", line, segments.stamp()))


def killed_at(step: int, after: bool) -> None:
    """Have this process kill itself at that call, counted from now on, before it or after it."""
    left = [step]

    def trap(call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0 and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*args, **named)
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return step

    for name in DISK + NAMES:
        setattr(os, name, trap(getattr(os, name)))


def fill_up(segments: Segments, done: Callable[[int], None]) -> None:
    found = words(segments)
    for number in range(found[-1] + 1 if found else BEFORE, LINES):
        say(segments, number)
        done(number + 1)


def go_on(segments: Segments, done: Callable[[int], None]) -> None:
    segments.look()
    fill_up(segments, done)


def rotate(segments: Segments, done: Callable[[int], None], path: Path) -> None:
    fill_up(segments, done)


def move(segments: Segments, done: Callable[[int], None], path: Path) -> None:
    path.rename(path.with_name("moved"))
    segments.look()
    fill_up(segments, done)


def remove(segments: Segments, done: Callable[[int], None], path: Path) -> None:
    segments.begin_another(f"{path}.{segments.base}")
    fill_up(segments, done)
    path.unlink()
    segments.look()


def put_another(segments: Segments, done: Callable[[int], None], path: Path) -> None:
    path.unlink()
    path.write_bytes(b"another program's\n")
    segments.look()
    fill_up(segments, done)


WHAT: dict[str, tuple[Callable[..., None], Rotation]] = {
    "rotated": (rotate, Rotation(size=1500)),
    "moved": (move, Rotation(size=1 << 20)),
    "removed": (remove, Rotation(size=1 << 20)),
    "replaced": (put_another, Rotation(size=1 << 20)),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("what", WHAT)
def test_a_hub_is_killed_at_each_step_and_the_next_one_has_all(
    what: str, links: bool, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, rotation = WHAT[what]
    first = BEFORE if what == "moved" else 0  # that is only there as long as a hub has it
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    step, status = 0, -1
    while status:
        path = tmp_path / str(step) / "t.log"
        server = Server(path, rotate=rotation)

        def begin(segments: Segments, done: Callable[[int], None]) -> None:
            for number in range(BEFORE):
                say(segments, number)
            done(BEFORE)

        def killed(segments: Segments, done: Callable[[int], None]) -> None:
            killed_at(step, after)  # noqa: B023
            work(segments, done, path)  # noqa: B023

        server.hub(begin)
        assert server.wait() == 0, server.trouble
        server.hub(killed)
        status = server.wait()
        assert status in (0, signal.SIGKILL), server.trouble
        server.check(first)
        server.hub(go_on)
        assert server.wait() == 0, server.trouble
        server.check(first)
        assert server.said == LINES
        server.end()
        step += 1
    assert step > 10


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_room_and_hub_are_killed_at_each_step_and_the_next_room_has_all(
    links: bool, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    step, status = 0, -1
    while status:
        path = tmp_path / str(step) / "t.log"
        server = Server(path, rotate=Rotation(size=1500))

        def killed(segments: Segments, done: Callable[[int], None]) -> None:
            say(segments, 0)
            done(1)
            killed_at(step, after)  # noqa: B023
            fill_up(segments, done)

        server.hub(killed)
        status = server.wait()
        assert status in (0, signal.SIGKILL), server.trouble
        server.end()
        again = Segments.open(str(path), rotate=Rotation(size=1500))
        found = count(again)
        assert server.said <= found <= server.said + 1
        say(again, found)
        assert count(again) == found + 1
        again.close()
        step += 1
    assert step > 30


def no_links(*_args: object, **_named: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("retain", [FOR_EVER, Retention(size=20_000)], ids=["all", "some"])
def test_hubs_that_are_killed_at_any_instant_lose_nothing_and_say_nothing_twice(
    tmp_path: Path, rng: random.Random, retain: Retention
) -> None:
    hubs_killed(40, tmp_path / "t.log", random.Random(rng.random()), retain)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_hubs_that_are_killed_at_any_instant_lose_nothing(
    tmp_path: Path, rng: random.Random
) -> None:
    hubs_killed(1000, tmp_path / "t.log", rng, Retention(size=200_000))


def hubs_killed(times: int, path: Path, rng: random.Random, retain: Retention) -> None:
    server = Server(path, rotate=Rotation(size=3000), retain=retain)
    for number in range(times):
        server.hub(partial(say_all_the_time, server.said))
        time.sleep(rng.random() * 0.03)
        os.kill(server.pid, signal.SIGKILL)
        assert server.wait() == signal.SIGKILL, server.trouble
        server.check(max(0, server.said - 100))
        if number % 5 == 4:  # and the server
            server.end()
            said = server.said
            server = Server(path, rotate=Rotation(size=3000), retain=retain)
            server.said = said
    server.end()
    assert server.said > 100


def say_all_the_time(number: int, segments: Segments, done: Callable[[int], None]) -> None:
    while True:
        say(segments, number)
        number += 1
        done(number)
        if number % 10 == 0:
            segments.look()


# Another user than who has opened it


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become somebody else")
@pytest.mark.parametrize("owner", ["root", "nobody"])
def test_a_hub_that_is_nobody_rotates_where_it_may_and_goes_on_where_not(
    owner: str,
) -> None:
    place = Path(tempfile.mkdtemp())  # to which nobody can go
    place.chmod(0o755)
    nobody = pwd.getpwnam("nobody")
    path = place / "t.log"
    try:
        server = Server(path, rotate=Rotation(size=1500))
        for one in (path, Path(f"{path}.key"), *([place] if owner == "nobody" else [])):
            os.chown(one, nobody.pw_uid, nobody.pw_gid)

        def work(segments: Segments, done: Callable[[int], None]) -> None:
            told: list[str] = []
            segments.tell = told.append
            for number in range(LINES):
                say(segments, number)
                segments.look()
            done(count(segments))
            assert told == (
                [] if owner == "nobody" else [f"{path} cannot be rotated: Permission denied"]
            )

        server.become = nobody.pw_uid
        server.hub(work)
        assert server.wait() == 0, server.trouble
        server.check()
        assert server.said == LINES
        server.end()
        assert bool(list(place.glob("t.log.[0-9]*"))) == (owner == "nobody")
    finally:
        shutil.rmtree(place)
