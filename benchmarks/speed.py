"""How fast a file goes through, and how much memory that takes.

The clock runs from the start of the sending program until the receiving one has ended by itself;
that its log is complete is checked afterwards. The receiver listens before the clock starts.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from typing import TYPE_CHECKING

from programs import HOST, PATIENCE, Bench, Memory, NotMeasured, free_port, memory

if TYPE_CHECKING:
    from pairs import Pair
    from sample import Sample

_PREFIX = len("2026-11-23T23:34:31.123Z <client> ")
_NAME_AT = len("2026-11-23T23:34:31.123Z")
_PIECE = 1024 * 1024  # bytes read at a time


def pair_seconds(bench: Bench, sample: Sample, pair: Pair) -> float:
    """The caller `< file` to the listener `> /dev/null`, with the listener's log."""
    port, log = str(free_port()), bench.path("listen.log")
    receiver = bench.start_listener(int(port), *pair.listen(port, log), stdin=pair.stdin)
    command = pair.call(port, bench.path("connect.log"))
    seconds = _send(bench, sample, command, receiver, may_fail=pair.fails)
    if pair.stamps:
        _check_transcript(log, sample)
        os.unlink(log)
    else:
        _check_size(log, sample.size)
    return seconds


def socat_seconds(bench: Bench, sample: Sample) -> float:
    """`socat -u - TCP < file` to `socat -u -r log TCP-LISTEN - > /dev/null`."""
    port, log = str(free_port()), bench.path("socat.log")
    listen = f"TCP4-LISTEN:{port},bind={HOST}"
    receiver = bench.start_listener(int(port), "socat", "-u", "-r", log, listen, "STDOUT")
    seconds = _send(bench, sample, ("socat", "-u", "STDIN", f"TCP4:{HOST}:{port}"), receiver)
    _check_size(log, sample.size)
    return seconds


def ts_seconds(bench: Bench, sample: Sample) -> float:
    """`ncat --send-only < file` to `ncat --recv-only | ts > log`."""
    port, log = str(free_port()), bench.path("ts.log")
    receiver = bench.start_listener(
        int(port), "ncat", "-l", "--recv-only", HOST, port, stdout=subprocess.PIPE
    )
    assert receiver.stdout
    with open(log, "wb") as file:
        stamping = bench.start("ts", stdin=receiver.stdout.fileno(), stdout=file.fileno())
    receiver.stdout.close()
    seconds = _send(bench, sample, ("ncat", "--send-only", HOST, port), stamping)
    lines = _count_lines(log)
    os.unlink(log)
    if lines != sample.lines:
        raise NotMeasured(f"ts wrote {lines} lines instead of {sample.lines}")
    return seconds


def memories(bench: Bench, sample: Sample, pair: Pair) -> tuple[Memory, Memory]:
    """Of who calls and who listens, after a file has gone through a session that still stands."""
    port, log = str(free_port()), bench.path("listen.log")
    receiver = bench.start_listener(int(port), *pair.show(port, log), stdin=subprocess.PIPE)
    command = pair.call(port, bench.path("connect.log"))
    sender = bench.start(*command, stdin=subprocess.PIPE)
    assert sender.stdin
    expected = sample.size + sample.lines * (_PREFIX if pair.stamps else 0)
    with open(sample.path, "rb") as file:
        _feed(sender.stdin.fileno(), file.read())
    bench.until(lambda: os.path.getsize(log) >= expected, "the file", sender, receiver)
    found = memory(sender), memory(receiver)
    bench.end_all()
    os.unlink(log)
    return found


def _send(
    bench: Bench,
    sample: Sample,
    command: tuple[str, ...],
    last: subprocess.Popen[bytes],
    *,
    may_fail: bool = False,
) -> float:
    """Seconds from the start of `command`, with the file as its input, to the end of `last`."""
    with open(sample.path, "rb") as file:
        start = time.perf_counter()
        sender = bench.start(*command, stdin=file.fileno())
    bench.until_ended(last, may_fail=may_fail)
    seconds = time.perf_counter() - start
    bench.until_ended(sender, may_fail=may_fail)
    bench.end_all()
    return seconds


def _feed(fd: int, data: bytes) -> None:
    """Write all of it to a pipe that somebody reads."""
    os.set_blocking(fd, False)
    view = memoryview(data)
    while view:
        if not select.select([], [fd], [], PATIENCE)[1]:
            raise NotMeasured(f"nobody has read the pipe for {PATIENCE:g} s")
        view = view[os.write(fd, view) :]


def _check_size(log: str, expected: int) -> None:
    size = os.path.getsize(log)
    os.unlink(log)
    if size != expected:
        raise NotMeasured(f"{os.path.basename(log)} has {size} bytes instead of {expected}")


def _check_transcript(log: str, sample: Sample) -> None:
    """Every line is there, between one event and another, and some are looked at byte by byte.

    All records have the same length but for their text, so it is known where each must be.
    """
    with open(log, "rb") as file:
        first = len(file.readline())
        for line in sample.checks:
            file.seek(first + line.offset + line.index * _PREFIX)
            record = file.readline()
            if record[_NAME_AT:] != b" <client> " + line.text:
                raise NotMeasured(f"record {line.index} of the transcript is {record!r}")
        if (rest := file.read()).count(b"\n") != 1:
            raise NotMeasured(f"after the last line the transcript has {rest[:200]!r}")
    count = _count_lines(log)
    if count != sample.lines + 2:
        raise NotMeasured(f"the transcript has {count} lines instead of {sample.lines + 2}")


def _count_lines(path: str) -> int:
    with open(path, "rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(_PIECE), b""))
