"""The engine: one target in a process of its own, watched over from outside.

The process writes each input into memory that both share before it executes it; so whatever ends
the process (an exception, a crash of a library in C, an execution that does not end, memory that
grows) the input is there, and is kept in a file.
"""

from __future__ import annotations

import faulthandler
import hashlib
import mmap
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from .mutation import Mutation
from .promise import Check, Target

HANGS = 5.0  # s of one execution
MEMORY = 1 << 30  # bytes of address space more than at first: beyond that there is no more
GROWTH = 64 << 20  # bytes of memory more than after WARM_UP: the target keeps something
WARM_UP = 2000  # executions; the caches of Python and of the libraries are full then
LOOK_EVERY = 500  # executions
MOST = 1 << 20  # bytes of an input that are kept
_HEAD = struct.Struct("QQQ")  # executions begun, the size of the input, growth in KiB


class Result(NamedTuple):
    """What became of a target; `failure` is "" or what is wrong, `kept` the input's file."""

    executions: int
    seconds: float
    growth: int  # KiB
    failure: str = ""
    kept: str = ""


def run(target: Target, executions: int, seed: int, seconds: float, keep_in: Path) -> Result:
    """Execute it so many times, or for so long at most."""
    shared = mmap.mmap(-1, _HEAD.size + MOST)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="duplex-fuzz-") as directory:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _work(target, executions, seed, begun + seconds, shared, Path(directory))
        failure = _watch(pid, shared)
    count, size, growth = _HEAD.unpack_from(shared)
    took = time.monotonic() - begun
    if not failure:
        return Result(count, took, growth)
    data = shared[_HEAD.size : _HEAD.size + size]
    kept = keep_in / f"fuzz-{target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
    keep_in.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(data)
    return Result(count, took, growth, failure, str(kept))


def _watch(pid: int, shared: mmap.mmap) -> str:
    """Until the process has ended: "", or what was wrong."""
    last, since, hung = -1, time.monotonic(), False
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        count, now = _HEAD.unpack_from(shared)[0], time.monotonic()
        if count != last:
            last, since = count, now
        elif now - since > HANGS + 60 * (count == 0) and not hung:  # at first it is prepared
            hung = True
            os.kill(pid, signal.SIGABRT)  # the faulthandler tells where it is
        elif now - since > 2 * HANGS + 60:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    if hung:
        return f"an execution took more than {HANGS:g} s"
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return "" if code == 0 else "a promise was broken, as told above"


def _work(
    target: Target, executions: int, seed: int, deadline: float, shared: mmap.mmap, place: Path
) -> None:
    """All that the process does; it never returns."""
    status = 1
    try:
        faulthandler.enable()
        _limit_memory()
        _execute(target.make(place), Mutation(target, seed), executions, deadline, shared)
        status = 0
    except BaseException:
        traceback.print_exc(limit=-8)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _execute(
    check: Check, mutation: Mutation, executions: int, deadline: float, shared: mmap.mmap
) -> None:
    first = growth = 0
    for count in range(1, executions + 1):
        data = mutation.make()[:MOST]
        _HEAD.pack_into(shared, 0, count, len(data), growth)
        shared[_HEAD.size : _HEAD.size + len(data)] = data
        check(data)
        if count % LOOK_EVERY == 0:
            now = _pages(1) * resource.getpagesize() >> 10
            first = first if count > WARM_UP else now
            growth = max(0, now - first)
            assert growth < GROWTH >> 10, f"{growth} KiB more than after {WARM_UP} executions"
            if time.monotonic() > deadline:
                break


def _limit_memory() -> None:
    limit = _pages(0) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _pages(which: int) -> int:
    """Of this process now: 0 of its address space, 1 resident.

    Not the most that it has had: a fork begins with that of its parent.
    """
    return int(Path("/proc/self/statm").read_text().split()[which])


def repeat(target: Target, data: bytes) -> None:
    """Execute it once, here, with that input. Raises what it raises."""
    with tempfile.TemporaryDirectory(prefix="duplex-fuzz-") as directory:
        target.make(Path(directory))(data)
