"""The rooms of a run, of four kinds, and their real clients: how each is started, and its files.

    plain, code, tls    one host; killed, it is started again on its port and transcript
    store               two hosts of one room, and a Redis server; clients name both

Everything that is started has the run's mark on its command line, so that it is found again
whatever has become of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from protected_support import CODE, Kind, environment
from support import DUPLEX, ROOM, accepts, children, free_port, open_by

from .evidence import Client, Line
from .links import Link, Network

KINDS = ("plain", "code", "tls", "store")
_PARTS = Path(__file__).parent.parent


def marked(mark: str) -> list[int]:
    """The living processes that a run has started, and those that these have forked."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return sorted(found)


class Host:
    """A `duplex room`, and all that it forks."""

    def __init__(self, command: Sequence[str], directory: Path, env: dict[str, str]) -> None:
        self.command, self.directory, self.env = command, directory, env
        self.log = directory / "room.log"
        self.err = directory / "err"
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir()

    def start(self) -> None:
        with self.err.open("ab") as err:
            self.process = subprocess.Popen(
                self.command, cwd=self.directory, env=self.env, stdin=subprocess.DEVNULL, stderr=err
            )

    @property
    def pid(self) -> int:
        """0 if it does not run."""
        return self.process.pid if self.process and self.process.poll() is None else 0

    def kill(self) -> None:
        """With SIGKILL; what it has forked dies with it, or does not."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def helpers(self) -> dict[str, list[int]]:
        """What it has forked, by what it seems to be."""
        found: dict[str, list[int]] = {}
        for pid in children(self.pid) if self.pid else []:
            found.setdefault(_role(pid), []).append(pid)
        return found


def _role(pid: int) -> str:
    names = open_by(pid)
    for role in ("writer", "replicator"):
        if any(name.startswith(f"duplex-{role}-") for name in names):
            return role
    sockets = any(name.startswith("socket:") for name in names)
    if any(name.endswith("room.log") for name in names):
        return "hub" if sockets else "flusher"
    return "member" if sockets else "child"


class Rooms:
    """The hosts of one room, what they share, and the way to each."""

    def __init__(self, kind: str, directory: Path, mark: str) -> None:
        self.kind, self.directory, self.mark = kind, directory, mark
        self.network = Network()
        self.server = None
        self.addresses: dict[str, str] = {}  # which client comes from there
        self._protection = Kind(kind)
        self._port = free_port()
        env = environment(CODE if kind == "code" else None)
        if kind == "store":
            env["DUPLEX_REDIS"] = self._start_server()
        self._env = env
        self.hosts = [self._host(number) for number in range(2 if kind == "store" else 1)]

    def _start_server(self) -> str:
        sys.path.append(str(_PARTS / "store"))
        from store_support import Server

        tmp = self.directory / "redis"
        tmp.mkdir()
        self.server = Server(tmp, durable=True)
        return self.server.url

    def _host(self, number: int) -> Host:
        room = [*ROOM[:1], "-X", self.mark, *ROOM[1:]]
        command = [*room, str(self._port), "--plain", "--rate", "0", "--max-per-address", "0"]
        command += ["--log", "room.log", "--name", "lobby", *self._protection.listening]
        if self.kind != "code":
            command += ["--host", f"127.0.0.{number + 1}"]
        return Host(command, self.directory / f"host{number}", self._env)

    @property
    def listens(self) -> bool:
        """Whether every host does."""
        return all(host.pid and accepts(self._port) for host in self.hosts)

    def client(self, name: str, nick: str, *options: str) -> Joined:
        """Somebody new, each with links of its own to the hosts."""
        number = int(name[1:]) + 10
        source = f"127.2.0.{number}"
        self.addresses[source] = name
        if self.kind == "store":
            port, links = free_port(), []
            for host in range(2):
                at = (f"127.1.{host}.{number}", port)
                links.append(self.network.link((f"127.0.0.{host + 1}", self._port), at, source))
            hosts = [f"127.1.{host}.{number}" for host in range(2)]
            where = [",".join(hosts if number % 2 else hosts[::-1]), str(port)]
        else:
            links = [self.network.link(("127.0.0.1", self._port), ("127.0.0.1", 0), source)]
            where = ["127.0.0.1", str(links[0].port)]
        command = [*DUPLEX[:1], "-X", self.mark, *DUPLEX[1:], "connect", *where, "--nick", nick]
        command += [*self._protection.calling, *options]
        return Joined(name, command, self.directory / name, self._env, links)

    def transcripts(self) -> list[bytes]:
        logs = [host.log for host in self.hosts]
        return [log.read_bytes() if log.exists() else b"" for log in logs]

    def close(self) -> None:
        """End whatever is left, by its process id."""
        self.network.close()
        if self.server:
            self.server.kill()
        for pid in marked(self.mark):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for host in self.hosts:
            host.kill()


class Joined:
    """A `duplex connect` whose stdin is a pipe; what it does not read is there at the end."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        env: dict[str, str],
        links: list[Link],
    ) -> None:
        self.name, self.directory, self.links = name, directory, links
        self.script: list[Line] = []
        self.killed = ""
        self.ends = False  # its stdin's end has come
        self._waiting: deque[bytes] = deque()  # for there to be room in the pipe
        self._typed = 0  # bytes
        directory.mkdir()
        self._unread, self._stdin = os.pipe()
        os.set_blocking(self._stdin, False)
        with self._file("out").open("wb") as out, self._file("err").open("wb") as err:
            self.process = subprocess.Popen(
                command, cwd=directory, env=env, stdin=self._unread, stdout=out, stderr=err
            )

    def _file(self, name: str) -> Path:
        return self.directory / name

    @property
    def err(self) -> str:
        return self._file("err").read_text(errors="replace")

    @property
    def halves(self) -> dict[str, int]:
        """Its processes: of a protected one a relay may be among them."""
        if self.process.poll() is not None:
            return {}
        found = {"parent": self.process.pid}
        for pid in children(self.process.pid):
            found["child"] = pid
            found.update(("relay", relay) for relay in children(pid))
        return found

    def type(self, line: Line) -> None:
        self.script.append(line)
        self._waiting.append(line.typed.encode() + b"\n")

    def end_input(self) -> None:
        self.ends = True

    def pump(self) -> None:
        """Give the pipe what it takes."""
        with suppress(BlockingIOError):
            while self._waiting:
                written = os.write(self._stdin, self._waiting[0])
                self._typed += written
                self._waiting[0] = self._waiting[0][written:]
                if not self._waiting[0]:
                    self._waiting.popleft()
            if self.ends and self._stdin >= 0:
                os.close(self._stdin)
                self._stdin = -1

    def evidence(self) -> Client:
        """Once it has ended, or will not."""
        if self._stdin >= 0:
            os.close(self._stdin)
        os.set_blocking(self._unread, False)
        left = b"".join(self._waiting)
        with suppress(BlockingIOError):
            rest = b""
            while data := os.read(self._unread, 1 << 16):
                rest += data
            left = rest + left
        os.close(self._unread)
        # beside them there may be a talk's, of a room that was slow to greet
        logs = sorted(self.directory.glob("logs/room-*/*/server_input*.log"))
        return Client(
            name=self.name,
            script=self.script,
            unread=left.count(b"\n"),
            status=self.process.poll(),
            killed=self.killed,
            log=b"".join(log.read_bytes() for log in logs),
            out=self._file("out").read_bytes(),
            err=self.err,
        )
