"""The programs that are measured: found, started, waited for, looked into, and ended by their pid.

Everything a `Bench` starts ends with it, and so does its temporary directory, in which all of it
runs. Only 127.0.0.1 is used, and every wait has a deadline. What is measured it does not know.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

HOST = "127.0.0.1"
PATIENCE = 120.0  # s for anything at all; then it is not measured
_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp
_STDERR = "stderr"

Program = subprocess.Popen[bytes]


class NotMeasured(Exception):
    """Something went wrong with a program; the text says what, for the one who reads the table."""


def duplex() -> str:
    """The console script that belongs to this interpreter."""
    path = os.path.join(os.path.dirname(sys.executable), "duplex")
    if not os.access(path, os.X_OK):
        raise NotMeasured(f"there is no {path}: install duplex into this python's environment")
    return path


def missing(*names: str) -> list[str]:
    """Which of the programs are not installed."""
    return [name for name in names if shutil.which(name) is None]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


class Bench:
    """A place to run programs in. Use it with `with`."""

    def __enter__(self) -> Bench:
        self._directory = tempfile.TemporaryDirectory(prefix="duplex-bench-")
        self._programs: list[Program] = []
        self._stderr = open(self.path(_STDERR), "ab")
        # As an installed program has it: compiled once. In a place of its own, because a source
        # tree may have been told not to (PYTHONDONTWRITEBYTECODE).
        self.environment = {**os.environ, "PYTHONPYCACHEPREFIX": self.path("pycache")}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.environment["DUPLEX_DEBUG"] = "1"  # else only root may see what memory members have
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end_all()
        self._stderr.close()
        self._directory.cleanup()

    def path(self, name: str) -> str:
        return os.path.join(self._directory.name, name)

    def start(
        self, *command: str, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
    ) -> Program:
        program = subprocess.Popen(
            command,
            bufsize=0,
            stdin=stdin,
            stdout=stdout,
            stderr=self._stderr,
            cwd=self._directory.name,
            env=self.environment,
        )
        self._programs.append(program)
        return program

    def start_listener(
        self,
        port: int,
        *command: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
    ) -> Program:
        """Start it, and wait until it listens at `port`."""
        program = self.start(*command, stdin=stdin, stdout=stdout)
        self.until(lambda: _listens(port), f"{command[0]} to listen", program)
        return program

    def until(self, happened: Callable[[], bool], what: str, *programs: Program) -> None:
        """Look again and again, all of the time but 0.1 ms. Raises NotMeasured."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            for program in programs:
                if program.poll() is not None:
                    raise NotMeasured(f"{program.args!r} ended early: {self._said()}")
            if time.monotonic() > deadline:
                raise NotMeasured(f"waited {PATIENCE:g} s for {what}: {self._said()}")
            time.sleep(0.0001)

    def until_ended(self, program: Program, *, may_fail: bool = False) -> None:
        """Wait for the end, without the pauses of Popen.wait; NotMeasured if it failed."""
        pidfd = os.pidfd_open(program.pid)
        try:
            ended, _, _ = select.select([pidfd], [], [], PATIENCE)
        finally:
            os.close(pidfd)
        if not ended:
            raise NotMeasured(f"{program.args!r} did not end in {PATIENCE:g} s: {self._said()}")
        if program.wait() and not may_fail:
            status = program.returncode
            raise NotMeasured(f"{program.args!r} ended with {status}: {self._said()}")

    def end_all(self) -> None:
        """End what still runs, forked children too, and forget it."""
        for program in self._programs:
            if program.poll() is None:
                for pid in (*children(program.pid), program.pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                program.wait()
            for pipe in (program.stdin, program.stdout):
                if pipe:
                    pipe.close()
        self._programs.clear()

    def _said(self) -> str:
        with open(self.path(_STDERR), "rb") as file:
            lines = file.read().decode(errors="replace").splitlines()
        return " / ".join(lines[-3:]) or "it said nothing"


def _listens(port: int) -> bool:
    with open("/proc/net/tcp") as file:
        return any(
            line.split()[1].endswith(f":{port:04X}") and line.split()[3] == _LISTEN for line in file
        )


def children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:  # it is gone
        return []


class Memory(NamedTuple):
    """Bytes of resident memory."""

    peak: int  # VmHWM: each process's own peak, pages shared with others included
    share: int  # PSS: a page that n processes share counts 1/n for each


def memory(program: Program) -> Memory:
    """A program and its children, summed."""
    pids = [program.pid, *children(program.pid)]
    return Memory(
        sum(_kilobytes(pid, "status", "VmHWM") for pid in pids),
        sum(_kilobytes(pid, "smaps_rollup", "Pss") for pid in pids),
    )


def _kilobytes(pid: int, file_name: str, field: str) -> int:
    with open(f"/proc/{pid}/{file_name}") as file:
        found = re.search(rf"^{field}:\s+(\d+) kB", file.read(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024
