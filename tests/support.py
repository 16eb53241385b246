"""What the tests share: real programs, real terminals, and waiting for events.

Nothing here sleeps and hopes: `until` asks again until something is so, or fails at a deadline.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import pexpect
import pytest

DUPLEX = [sys.executable, "-m", "duplex"]
ROOM = [*DUPLEX, "room", "--allow-root"]  # the tests may run as anybody
DEADLINE = 30.0  # s: far beyond what anything takes, so that only what never comes fails
RECORD = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?:<([^<> ]+)> |\* )(.*)")
TIME_WAIT, LISTEN = "06", "0A"  # states in /proc/net/tcp (net/tcp_states.h)
T = TypeVar("T")


def until(what: Callable[[], T], seconds: float = DEADLINE) -> T:
    """Call `what` until it returns something true, and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if result := what():
            return result
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain; the last answer was {result!r}")
        time.sleep(0.01)


def needs(program: str) -> str:
    """The path of a program that may be missing: then the test skips, or fails where it must not.

    DUPLEX_TEST_ALL=1 is set where everything has been installed.
    """
    path = shutil.which(program)
    if path is None:
        if os.environ.get("DUPLEX_TEST_ALL"):
            pytest.fail(f"{program} is not installed, and DUPLEX_TEST_ALL is set")
        pytest.skip(f"{program} is not installed")
    return path


def needs_ipv6() -> None:
    """Skip where there is none, not even to this machine itself."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("there is no IPv6 here")


class Program:
    """A running program with its output in files: nothing blocks, and all can be read again."""

    def __init__(
        self, args: Sequence[str], cwd: Path, stdin: Any = subprocess.PIPE, **options: Any
    ) -> None:
        self.cwd = cwd
        cwd.mkdir(parents=True, exist_ok=True)
        unique = f"{time.monotonic_ns()}"
        self.out_path = cwd / f"out.{unique}"
        self.err_path = cwd / f"err.{unique}"
        options.setdefault("stdout", self.out_path.open("wb"))
        options.setdefault("stderr", self.err_path.open("wb"))
        self.process = subprocess.Popen(args, cwd=cwd, stdin=stdin, **options)
        self.pid = self.process.pid

    @property
    def out(self) -> bytes:
        return self.out_path.read_bytes()

    @property
    def err(self) -> str:
        return self.err_path.read_text(errors="replace")

    def type(self, data: bytes | str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data.encode() if isinstance(data, str) else data)
        self.process.stdin.flush()

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def status(self, seconds: float = DEADLINE) -> int:
        """Wait for its end; its exit status."""
        return self.process.wait(seconds)

    def child(self) -> int:
        """The process it has forked, once it has."""
        return until(lambda: children(self.pid))[0]

    def stop(self) -> None:
        """End it, and what it has forked, whatever it is doing."""
        for pid in [*children(self.pid), self.pid]:
            with_no_error(lambda pid=pid: os.kill(pid, signal.SIGKILL))
        self.process.wait()
        if self.process.stdin:
            with_no_error(self.process.stdin.close)


def with_no_error(action: Callable[[], object]) -> None:
    try:
        action()
    except OSError:
        return


def children(pid: int) -> list[int]:
    """The living or unreaped children of a process."""
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def opened(pid: int) -> list[str]:
    """What a process has open, as /proc names it."""
    found: list[str] = []
    with suppress(OSError):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with_no_error(lambda fd=fd: found.append(os.readlink(fd)))
    return found


def hub_of(room: int) -> int:
    """The hub of a room whose first process that is, once there is one."""
    return until(lambda: _only([pid for pid in children(room) if _is_hub(opened(pid))]))


def flusher_of(room: int) -> int:
    """The process that puts its transcript on the disk."""
    return until(lambda: _only([pid for pid in children(room) if _is_flusher(opened(pid))]))


def members_of(room: int) -> list[int]:
    """The processes that serve its clients, and its operator's screen, the oldest first."""
    helpers = [pid for pid in children(room) if _has_transcript(opened(pid))]
    return [pid for pid in children(room) if pid not in helpers]


def _is_hub(files: list[str]) -> bool:
    return _has_transcript(files) and _has_sockets(files)


def _is_flusher(files: list[str]) -> bool:
    return _has_transcript(files) and not _has_sockets(files)


def _has_transcript(files: list[str]) -> bool:
    return any(".log" in os.path.basename(name) for name in files)


def _has_sockets(files: list[str]) -> bool:
    return any(name.startswith("socket:") for name in files)


def _only(pids: list[int]) -> int:
    """0 if there is none, or another that is only just being forked."""
    return pids[0] if len(pids) == 1 else 0


def open_by(pid: int) -> list[str]:
    """What a process has open; of a Unix socket its name, without the NUL."""
    sockets = {}
    try:
        for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
            words = line.split()
            if len(words) > 7:
                sockets[f"socket:[{words[6]}]"] = words[7].lstrip("@")
        names = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []  # it has just ended, or closed one
    return [sockets.get(name, name) for name in names]


def alive(pid: int) -> bool:
    """Whether the process is there and has not ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def port_of(listener: Program) -> int:
    """The port that a `duplex listen 0` says it has picked."""
    match = until(lambda: re.search(r"listening on \S+?:(\d+)[, ;]", listener.err))
    return int(match[1])


def port_bound_by(program: Program) -> int:
    """The port that a program listens on, once it does: so any program can pick one itself."""

    def bound() -> int | None:
        inodes = sockets_of(program.pid)
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTEN and fields[9] in inodes:
                    return int(fields[1].rpartition(":")[2], 16)
        assert program.process.poll() is None, program.err
        return None

    port = until(bound)
    assert port is not None
    return port


def sockets_of(pid: int) -> set[str]:
    """The inodes of the sockets that a process has open."""
    names = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with_no_error(lambda fd=fd: names.add(os.readlink(fd)))
    return {name[len("socket:[") : -1] for name in names if name.startswith("socket:[")}


def probes(pid: int) -> bool:
    """Whether a closed window is being probed for it (the timer 04 of proc_net_tcp.txt)."""
    inodes = sockets_of(pid)
    table = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return any(row[5].startswith("04:") and row[9] in inodes for row in map(str.split, table))


def peak(pid: int) -> int:
    """The most memory that the process has had resident, in kB."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match[1])


def free_port() -> int:
    """A port that was free just now, for programs that cannot pick one themselves."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether somebody listens on the port, without connecting to it."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == LISTEN:
                return True
    return False


def connections(port: int) -> int:
    """Those of a port that somebody holds: others the kernel keeps for a while, in TIME_WAIT."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [row.split() for row in rows if f":{port:04X} " in row]
    return len([row for row in fields if row[3] not in (TIME_WAIT, LISTEN)])


class Duo:
    """A `duplex listen` and a `duplex connect` in directories of their own."""

    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.programs: list[Program] = []

    def start(self, args: Sequence[str], name: str = "", **options: Any) -> Program:
        program = Program(args, self.tmp / name if name else self.tmp, **options)
        self.programs.append(program)
        return program

    def listen(self, *args: str, **options: Any) -> tuple[Program, int]:
        listener = self.start([*DUPLEX, "listen", "0", *args], "listener", **options)
        return listener, port_of(listener)

    def connect(self, port: int, *args: str, **options: Any) -> Program:
        command = [*DUPLEX, "connect", "127.0.0.1", str(port), *args]
        return self.start(command, "connector", **options)

    @property
    def heard_by_listener(self) -> Path:
        return self.tmp / "listener" / "logs" / "client_input.log"

    @property
    def heard_by_connector(self) -> Path:
        return self.tmp / "connector" / "logs" / "server_input.log"

    def stop(self) -> None:
        for program in self.programs:
            program.stop()


def room_log(cwd: Path) -> Path:
    """The transcript of the one room, without --log, that was started in `cwd`, once it is there.

    Whatever the room is called: its directory's name is a test's own business (test_places.py).
    """
    return until(lambda: list((cwd / "logs").glob("room-*/client_input.log")))[0]


def follower_log(cwd: Path) -> Path:
    """The same of the one client in a room."""
    return until(lambda: list((cwd / "logs").glob("room-*/*/server_input.log")))[0]


def records(path: Path) -> list[tuple[str | None, str]]:
    """(nick, text) of every record, nick None for an event; fails on anything that is no record."""
    found = []
    data = path.read_bytes() if path.exists() else b""
    proof_gone_by = time.monotonic() + 5
    while data.rpartition(b"\n")[2] == b"2" and time.monotonic() < proof_gone_by:
        data = path.read_bytes()  # whoever opens it writes a byte, and takes it back at once
    assert data == b"" or data.endswith(b"\n"), f"torn: {data[-80:]!r}"
    for line in data.splitlines():
        match = RECORD.fullmatch(line)
        assert match, f"not a record: {line!r}"
        found.append((match[1].decode() if match[1] else None, match[2].decode()))
    return found


def said(path: Path) -> list[str]:
    """The texts of what was said, in order."""
    return [text for nick, text in records(path) if nick is not None]


def events(path: Path) -> list[str]:
    """The texts of the events, in order."""
    return [text for nick, text in records(path) if nick is None]


class Terminal:
    """A program on a terminal of its own, as a person would see and type it."""

    def __init__(self, args: Sequence[str], cwd: Path, **env: str) -> None:
        cwd.mkdir(parents=True, exist_ok=True)
        variables = {**os.environ, "TERM": "xterm", **env}
        variables.pop("NO_COLOR", None) if "NO_COLOR" not in env else None
        self.spawned = pexpect.spawn(
            args[0],
            list(args[1:]),
            cwd=str(cwd),
            env=variables,
            timeout=DEADLINE,
            dimensions=(24, 80),
            encoding="utf-8",
        )
        self.pid: int = self.spawned.pid

    def sees(self, text: str) -> None:
        """Wait until `text` appears after what was seen before."""
        self.spawned.expect_exact(text)

    def is_ready(self) -> None:
        """Wait for the input line and its bar."""
        self.sees("not encrypted ·")

    def line(self, text: str) -> None:
        self.spawned.send(text + "\r")

    def key(self, character: str) -> None:
        """Ctrl and that character."""
        self.spawned.sendcontrol(character)

    def status(self) -> int:
        """Wait for its end; its exit status, as a shell tells it."""
        self.spawned.expect(pexpect.EOF)
        self.spawned.close()
        if self.spawned.signalstatus is not None:
            return 128 + int(self.spawned.signalstatus)
        return int(self.spawned.exitstatus)

    def hang_up(self) -> None:
        """Its window is closed: nobody has the other side of the terminal any more."""
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, self.spawned.child_fd)
        os.close(null)

    def stop(self) -> None:
        for pid in [*children(self.pid), self.pid]:
            with_no_error(lambda pid=pid: os.kill(pid, signal.SIGKILL))
        self.spawned.close(force=True)


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A bare client."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as sock:
        yield sock


def read_all(sock: socket.socket) -> bytes:
    """What comes until the other side has shut its half."""
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts)


def unread(of: int | socket.socket | IO[bytes]) -> int:
    """The bytes that have come there, or wait in a pipe, and that nobody has read."""
    return int.from_bytes(fcntl.ioctl(of, termios.FIONREAD, bytes(4)), sys.byteorder)


def readable(fd: int, seconds: float = 0) -> bool:
    return bool(select.select([fd], [], [], seconds)[0])
