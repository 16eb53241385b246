"""Standard streams that fail, are closed, or do not block: nothing is cut in silence."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from room_support import Room
from support import DUPLEX, Duo, port_of, until

PRINTING = [["--version"], ["--help"], ["help"], ["listen", "--help"], ["help", "room"]]


@pytest.fixture
def room(duo: Duo) -> Room:
    return Room(duo)


def run(args: list[str], stdout: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DUPLEX, *args],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )


def fill(pipe: int) -> int:
    """Make it non-blocking, and full; the bytes that it took."""
    os.set_blocking(pipe, False)
    filled = 0
    try:
        while True:
            filled += os.write(pipe, b"x" * 4096)
    except BlockingIOError:
        return filled


def commands(room: Room) -> Iterator[list[str]]:
    yield from PRINTING
    yield ["who", str(room.port)]
    yield ["who", str(room.port), "--json"]
    yield ["log", str(room.log)]


def test_a_full_device_is_told_in_one_line(room: Room) -> None:
    room.enter("ann")
    with open("/dev/full", "wb") as full:
        for args in commands(room):
            done = run(args, full.fileno())
            assert done.returncode == 1, args
            assert done.stderr.count("\n") == 1, done.stderr
            assert done.stderr.endswith(": No space left on device\n")


def test_a_closed_pipe_ends_it_as_it_ends_other_programs(room: Room) -> None:
    room.enter("ann")
    for args in commands(room):
        reading, writing = os.pipe()
        os.close(reading)
        done = run(args, writing)
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, ""), args


def test_a_pipe_that_does_not_block_gets_everything(room: Room) -> None:
    room.enter("ann")
    for args in commands(room):
        expected = read_by_a_reader(args)
        reading, writing = os.pipe()
        filled = fill(writing)
        program = subprocess.Popen([*DUPLEX, *args], stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        # It waits for room in its full output: then all of it comes.
        until(lambda p=program: waits(p.pid) or p.poll() is not None)
        parts = []
        while data := os.read(reading, 65536):
            parts.append(data)
        os.close(reading)
        assert program.wait(30) == 0, program.stderr.read()
        shown = b"".join(parts)[filled:]
        if "who" not in args:  # it tells the time that somebody is here, too
            assert shown == expected
        assert shown.count(b"\n") == expected.count(b"\n")


def read_by_a_reader(args: list[str]) -> bytes:
    done = subprocess.run([*DUPLEX, *args], capture_output=True, check=True)
    return done.stdout


def waits(pid: int) -> bool:
    try:
        return (
            "poll" in Path(f"/proc/{pid}/wchan").read_text()
            or "select" in Path(f"/proc/{pid}/wchan").read_text()
        )
    except OSError:
        return False


def test_standard_error_that_does_not_block_gets_the_whole_line() -> None:
    reading, writing = os.pipe()
    filled = fill(writing)
    program = subprocess.Popen([*DUPLEX, "nosuch"], stderr=writing)
    os.close(writing)
    until(lambda: waits(program.pid) or program.poll() is not None)
    parts = []
    while data := os.read(reading, 65536):
        parts.append(data)
    os.close(reading)
    assert program.wait(30) == 2
    assert b"cannot run 'nosuch'" in b"".join(parts)[filled:]


def test_input_that_somebody_else_has_read_is_no_end_of_it(duo: Duo) -> None:
    """Two talks share a pipe: each line wakes both, and one of them finds nothing to read."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    listeners, connectors = [], []
    for name in ("ann", "bob"):
        listener = duo.start([*DUPLEX, "listen", "0"], f"l-{name}", stdin=subprocess.DEVNULL)
        command = [*DUPLEX, "connect", "127.0.0.1", str(port_of(listener)), "--no-log"]
        connectors.append(duo.start(command, f"c-{name}", stdin=reading))
        listeners.append(listener)
    os.close(reading)
    until(lambda: all("connected from" in listener.err for listener in listeners))
    lines = [f"line {n}\n".encode() for n in range(100)]
    for number, line in enumerate(lines, 1):
        os.write(writing, line)
        until(lambda n=number: sum(one.out.count(b"\n") for one in listeners) == n)
    os.close(writing)
    assert [connector.status() for connector in connectors] == [0, 0]
    heard = b"".join(listener.out for listener in listeners)
    assert sorted(heard.splitlines(keepends=True)) == sorted(lines)
    assert "cannot read" not in connectors[0].err + connectors[1].err
