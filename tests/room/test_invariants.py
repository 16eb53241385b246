"""The room's invariants, under whatever can happen to clients and members: model clients tell."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_support import log_of
from crowd import CHUNK, LIVE, WINDOW, Crowd, Joined, reset
from room_support import seats_at, signs
from support import (
    DEADLINE,
    ROOM,
    Duo,
    Program,
    connected,
    hub_of,
    members_of,
    opened,
    port_of,
    until,
)

JOINED, PLAIN = 42, 8
# A room whose hub is followed by another at once however often it is killed.
KILLED_AT_WILL = """\
from duplex.cli.main import main
from duplex.room import helpers
helpers.SOON = 0.0
raise SystemExit(main())
"""


class Watch:
    """What a host has before the first client, and has to have after the last."""

    def __init__(self, host: Program, crowd: Crowd, name: str) -> None:
        self._host = host
        self._crowd = crowd
        self._name = name
        with connected(crowd.port) as first:  # so that the host has all that it opens only once
            until(lambda: first.recv(CHUNK))
        until(lambda: not members_of(host.pid))
        self._before = self._now()

    def check(self) -> None:
        # Somebody may still be in the backlog who is long gone: his member comes, and goes.
        deadline = time.monotonic() + DEADLINE
        while (now := self._now()) != self._before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert now == self._before
        assert seats_at(self._crowd.port) == []

    def _now(self) -> list[list[str]]:
        """What the host and its hub have open, and how many processes there are."""
        pids = [self._host.pid, hub_of(self._host.pid)]
        fds = [sorted(name.split(":")[0] for name in opened(pid)) for pid in pids]
        return [*fds, ["a process"] * len(processes(self._name))]


def processes(word: str) -> list[str]:
    """The processes that were started with that word."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if word.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(entry.name)
    return sorted(found)


@contextlib.contextmanager
def crowded_room(duo: Duo, rng: random.Random, *args: str) -> Iterator[tuple[Crowd, Watch]]:
    """A room, and at the end the proof that nothing is left of its clients, nor then of it."""
    name = f"crowd-{os.getpid()}-{id(duo)}"
    options = ["0", "--plain", "--rate", "0", "--name", name, "--max-per-address", "0", *args]
    host = duo.start([sys.executable, "-c", KILLED_AT_WILL, *ROOM[3:], *options], "room")
    port = port_of(host)
    crowd = Crowd(host, port, log_of(host), rng)
    watch = Watch(host, crowd, name)
    yield crowd, watch
    crowd.close()
    watch.check()
    host.process.send_signal(signal.SIGTERM)
    assert host.status() == 0
    assert processes(name) == []
    assert signs(crowd.port) == []
    assert "internal error" not in host.err


@pytest.mark.parametrize(
    ("lines", "happenings", "seconds"),
    [
        pytest.param(10_000, 150, 50),
        pytest.param(100_000, 1_000, 1_500, marks=(pytest.mark.long, pytest.mark.timeout(1_800))),
    ],
)
def test_whatever_happens_every_view_is_the_transcript_and_every_line_is_in_it_once(
    duo: Duo, rng: random.Random, lines: int, happenings: int, seconds: float
) -> None:
    """50 clients say numbered lines while members are killed, connections reset, halves shut."""
    with crowded_room(duo, rng) as (crowd, _):
        crowd.come(JOINED, PLAIN)
        crowd.talk(lines, happenings, seconds)
        crowd.check()


@pytest.mark.parametrize(
    ("lines", "kills", "seconds"),
    [
        pytest.param(6_000, 150, 50),
        pytest.param(80_000, 2_000, 900, marks=(pytest.mark.long, pytest.mark.timeout(1_000))),
    ],
)
def test_members_killed_while_they_record_tear_and_lose_nothing(
    duo: Duo, rng: random.Random, lines: int, kills: int, seconds: float
) -> None:
    """Long lines, many at a time: a kill meets the middle of a write now and then."""
    with crowded_room(duo, rng) as (crowd, _):
        crowd.longer = 40
        crowd.come(6, 2)
        crowd.talk(lines, kills, seconds, crowd.kill_a_speaker)
        crowd.check()


@pytest.mark.parametrize(
    ("lines", "kills", "seconds"),
    [
        pytest.param(3_000, 8, 50),
        pytest.param(100_000, 300, 1_500, marks=(pytest.mark.long, pytest.mark.timeout(1_600))),
    ],
)
def test_hubs_killed_while_they_record_and_send_tear_lose_and_double_nothing(
    duo: Duo, rng: random.Random, lines: int, kills: int, seconds: float
) -> None:
    with crowded_room(duo, rng, "--max-lag", str(1 << 40)) as (crowd, _):
        crowd.longer = 40
        crowd.come(20, 4)
        crowd.talk(lines, kills, seconds, crowd.kill_the_hub)
        crowd.check()
        assert crowd.hubs == 1 + kills
        until(lambda: crowd.host.err.count("the hub was killed by SIGKILL; there is") == kills)
        assert crowd.log.read_bytes().count(b"Z * everybody was dropped (the room's hub") == kills


def test_who_reads_again_has_all_that_was_missed_at_once(duo: Duo, rng: random.Random) -> None:
    """The socket's buffers are filled many times over, and no ring comes to help."""
    with crowded_room(duo, rng) as (crowd, _):
        crowd.longer = 100
        crowd.come(8, 0)
        sleepy = crowd.joined[0]
        sleepy.reads = False
        sleepy.set_mask()
        crowd.to_say = lines = 8_000
        for client in crowd.joined[1:]:
            client.nudge()
        crowd.until(lambda: crowd.acknowledged >= lines - 2 * WINDOW and not crowd.to_say)
        crowd.until(lambda: all(c.content for c in crowd.joined[1:]))
        before = time.monotonic()
        sleepy.reads = True
        sleepy.set_mask()
        crowd.until(lambda: sleepy.content)
        assert time.monotonic() - before < 10
        crowd.talk(100, 0, DEADLINE)
        crowd.check()


@pytest.mark.parametrize(
    "joins",
    [
        pytest.param(500),
        pytest.param(10_000, marks=(pytest.mark.long, pytest.mark.timeout(1_800))),
    ],
)
def test_who_came_and_left_leaves_nothing_behind_in_the_host(
    duo: Duo, rng: random.Random, joins: int
) -> None:
    with crowded_room(duo, rng) as (crowd, watch):
        for number in range(0, joins, 25):
            crowd.joined = [Joined(crowd, f"j{number + n}") for n in range(25)]
            for client in crowd.joined:
                client.connect()
            if rng.random() < 0.6:
                crowd.until(lambda: all(client.state == LIVE for client in crowd.joined))
            else:  # they are killed, or go, before they have come
                crowd.later(rng.uniform(0, 0.04), crowd.joined.clear)
                came = crowd.joined.copy()
                crowd.until(lambda: not crowd.joined)
                crowd.joined = came
                for pid in members_of(crowd.host.pid):
                    crowd.kill(pid)
            for client in crowd.joined:
                kind = rng.randrange(4)
                if kind == 0:
                    crowd.kill(crowd.member_at(client.port))
                client.let_go(reset if kind == 1 else type(client.sock).close)
            if number % 1_000 == 0:
                watch.check()
