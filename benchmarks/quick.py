"""How soon: the way of one line through a standing session, and the start of the programs.

Both ends' pipes are held by the benchmark, so one clock measures both. Contenders take turns line
by line and start by start.
"""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from programs import PATIENCE, Bench, NotMeasured, duplex, free_port

if TYPE_CHECKING:
    from pairs import Pair
    from programs import Program

LINES = 100  # timed in each session
WARMING = 10  # lines before that


class _Session(NamedTuple):
    """A sender and a receiver; their connection stands."""

    sender: Program
    receiver: Program

    def seconds(self, line: bytes) -> float:
        """From writing a line to the sender's input to reading it from the receiver's output."""
        assert self.sender.stdin
        assert self.receiver.stdout
        end = self.receiver.stdout.fileno()
        got = b""
        start = time.perf_counter()
        os.write(self.sender.stdin.fileno(), line)
        while not got.endswith(b"\n"):
            if not select.select([end], [], [], PATIENCE)[0]:
                raise NotMeasured(f"{self.receiver.args!r} has not shown {line!r}")
            piece = os.read(end, 4096)
            if not piece:
                raise NotMeasured(f"{self.receiver.args!r} has ended instead of showing {line!r}")
            got += piece
        seconds = time.perf_counter() - start
        if got != line:
            raise NotMeasured(f"{self.receiver.args!r} showed {got!r} for {line!r}")
        return seconds


def latencies(bench: Bench, pace: float, pairs: dict[str, Pair]) -> dict[str, float]:
    """Median seconds of a line's one way, one session of each pair, all standing at once.

    About `pace` seconds pass between two lines of a pair; it has fallen asleep meanwhile.
    """
    sessions = {name: _session(bench, pair) for name, pair in pairs.items()}
    generator = random.Random(1)
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for number in range(WARMING + LINES):
        for name, session in sessions.items():
            time.sleep(generator.uniform(0.5, 1.5) * pace / len(sessions))
            took = session.seconds(f"line {number}, schön\n".encode())
            if number >= WARMING:
                seconds[name].append(took)
    bench.end_all()
    return {name: median(values) for name, values in seconds.items()}


def _session(bench: Bench, pair: Pair) -> _Session:
    pipe, port = subprocess.PIPE, str(free_port())
    listen = pair.show(port, bench.path(f"quick-listen-{port}.log"))
    receiver = bench.start_listener(int(port), *listen, stdin=pipe, stdout=pipe)
    call = pair.call(port, bench.path(f"quick-connect-{port}.log"))
    return _Session(bench.start(*call, stdin=pipe), receiver)


def start_seconds(bench: Bench, *command: str) -> float:
    """Seconds from the start to the end of a program."""
    start = time.perf_counter()
    bench.until_ended(bench.start(*command))
    seconds = time.perf_counter() - start
    bench.end_all()
    return seconds


def python_seconds(bench: Bench) -> float:
    return start_seconds(bench, sys.executable, "-c", "pass")


def version_seconds(bench: Bench) -> float:
    return start_seconds(bench, duplex(), "--version")


def first_line_seconds(bench: Bench, pair: Pair) -> float:
    """`echo hi | duplex connect`: until the line is in the log of a listener that waits.

    The pipe holds what echo has written, so that echo's own start is not measured.
    """
    port, log = str(free_port()), bench.path("first.log")
    listener = bench.start_listener(int(port), *pair.listen(port, log), stdin=pair.stdin)
    bench.until(lambda: os.path.exists(log), "the log", listener)
    end, echo = os.pipe()
    os.write(echo, b"hi\n")
    os.close(echo)
    fd = os.open(log, os.O_RDONLY)
    try:
        start = time.perf_counter()
        bench.start(*pair.call(port, bench.path("first-connect.log")), stdin=end)
        bench.until(lambda: b"hi\n" in os.pread(fd, 1000, 0), "the line")
        seconds = time.perf_counter() - start
    finally:
        os.close(fd)
        os.close(end)
        bench.end_all()
        os.unlink(log)
    return seconds
