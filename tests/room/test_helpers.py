"""The server's helpers: who is followed by another, and who is killed for standing still."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from support import until

from duplex.room import helpers
from duplex.room.helpers import Helpers


class Owner:
    """What a server is to its helpers: it reaps, and starts those that follow."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.helpers = Helpers(self.told.append)

    def start(self) -> None:
        self.helpers.start("hub", _sleep)

    @property
    def pid(self) -> int:
        return self.helpers.pid_of("hub")

    def turn(self) -> None:
        """Reap, and go on."""
        pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            self.helpers.stopped(pid)
        elif pid:
            kind, how = self.helpers.ended(pid, f"ended with {status}")
            assert self.helpers.follow(kind, how)
        self.helpers.go_on()

    def has_another(self, pid: int) -> bool:
        self.turn()
        return self.pid not in (0, pid)


def _sleep() -> int:
    while True:
        time.sleep(60)


@pytest.fixture
def owner() -> Iterator[Owner]:
    made = Owner()
    made.start()
    yield made
    for pid in made.helpers.kinds:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_one_that_is_killed_is_followed_at_once(owner: Owner) -> None:
    pid = owner.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: owner.has_another(pid))
    assert owner.told == [f"the hub ended with {int(signal.SIGKILL)}; there is another"]


def test_one_that_is_stopped_is_killed_and_followed(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helpers, "STOPPED_TOO_LONG", 0.05)
    pid = owner.pid
    os.kill(pid, signal.SIGSTOP)
    until(lambda: owner.has_another(pid))
    assert owner.told == ["the hub stood still; there is another"]


def test_one_whose_beat_stays_away_is_killed_and_followed(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a frozen cgroup, or blocked by what a member did to a socket: no signal tells of that."""
    monkeypatch.setattr(helpers, "SILENT_TOO_LONG", 0.2)
    pid = owner.pid
    owner.turn()
    assert owner.pid == pid  # it has never beaten, so it is not known to stand still
    for _ in range(20):
        owner.helpers.beat("hub")
        owner.turn()
        assert owner.pid == pid
        time.sleep(0.02)
    until(lambda: owner.has_another(pid))
    assert owner.told == ["the hub stood still; there is another"]
