"""kill -9 of either process of either side while lines flow: whole records, a prefix of all.

The suite does a few dozen; `pytest -m long tests/test_crashes.py` does a thousand. The seed is
printed: DUPLEX_TEST_SEED=… repeats a run.
"""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from support import DEADLINE, Duo, Program, alive, said, until

LINES = 100_000


def the_lines() -> list[str]:
    return [f"{n} größer 日本 {'x' * (n % 150)}" for n in range(LINES)]


@pytest.fixture(scope="module")
def many_lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines") / "lines"
    path.write_text("".join(f"{line}\n" for line in the_lines()))
    return path


@pytest.mark.parametrize("part", range(4))
def test_kill_9_at_a_random_instant_leaves_a_prefix(
    part: int, tmp_path: Path, many_lines: Path, rng: random.Random
) -> None:
    _crash_often(10, random.Random(rng.randrange(1 << 30) + part), tmp_path, many_lines)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_kill_9_at_a_thousand_random_instants_leaves_a_prefix(
    part: int, tmp_path: Path, many_lines: Path, rng: random.Random
) -> None:
    _crash_often(100, random.Random(rng.randrange(1 << 30) + part), tmp_path, many_lines)


def _crash_often(times: int, rng: random.Random, tmp: Path, many_lines: Path) -> None:
    lines = the_lines()
    cut_short = number = 0
    while number < times or (cut_short <= times // 3 and number < 3 * times):
        number += 1  # a few more, where by chance most kills came too late to prove anything
        duo = Duo(tmp / str(number))
        try:
            got = _crash(rng, duo, many_lines)
        finally:
            duo.stop()
        # Of the line in which a killed sender's stream stopped, the beginning may have arrived:
        # for a receiver that is the last line of a peer that left (as `printf hi | nc` leaves).
        if got and len(got) <= LINES and got[-1] != lines[len(got) - 1]:
            beginning = re.sub(r"(\\x[0-9a-f]{2})*…?$", "", got.pop())  # or half a character
            assert lines[len(got)].startswith(beginning)
        assert got == lines[: len(got)]
        cut_short += len(got) < LINES
    assert cut_short > times // 3, "most of the kills are to come while lines flow"


def _crash(rng: random.Random, duo: Duo, many_lines: Path) -> list[str]:
    """Kill one of the four processes once some share of the lines is through; what was recorded."""
    listener, port = duo.listen()
    connector = duo.connect(port)
    processes = {
        "listener": listener.pid,
        "listener's child": listener.child(),
        "connector": connector.pid,
        "connector's child": connector.child(),
    }
    victim = rng.choice(list(processes))
    target = processes[victim]
    log = duo.heard_by_listener
    wanted = rng.random() * many_lines.stat().st_size
    killed = threading.Event()  # before that nobody is to end by himself
    feeder = threading.Thread(target=_feed, args=(connector, many_lines, killed))
    feeder.start()
    deadline = time.monotonic() + 20
    while log.stat().st_size < wanted:  # without a pause: the whole takes a tenth of a second
        assert time.monotonic() < deadline
    os.kill(target, signal.SIGKILL)
    killed.set()
    listener.end_input()
    _expect_endings(victim, listener, connector)
    feeder.join(20)
    until(lambda: not any(alive(pid) for pid in processes.values()), 10)
    return said(log)


def _feed(connector: Program, lines: Path, killed: threading.Event) -> None:
    try:
        connector.type(lines.read_bytes())
        killed.wait(DEADLINE)
        connector.end_input()
    except BrokenPipeError:
        return


def _expect_endings(victim: str, listener: Program, connector: Program) -> None:
    """Nobody is left behind, and who was bereft says so."""
    for name, program in (("listener", listener), ("connector", connector)):
        status = program.status(20)
        assert "Traceback" not in program.err, program.err
        assert "internal error" not in program.err, program.err
        if victim == name:
            assert status == -signal.SIGKILL
        elif victim == f"{name}'s child" and status == 1:
            assert "was killed by SIGKILL" in program.err or "connection lost" in program.err
