"""One run: six clients talk in a real room while things happen; then all is mended, and all end.

    open    the room is there, and every client is in it
    storm   lines and commands, and faults (faults.py)
    settle  no more faults: the room is there, each client says a last line, and its stdin ends
    close   the room ends; what all have left behind is the evidence

What happened, and what the programs told, is kept in order with its times: the story.
"""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from support import alive

from .checker import judge
from .evidence import Evidence, Fault, Line
from .faults import WEIGHTS, Faults
from .rooms import Host, Joined, Rooms, marked

PATIENCE = 90.0  # s for all clients to be through when nothing happens any more
STORE_AWAY = 15.0  # s after something has happened to it
POOL = ("x", "y", "zoë", "Ann", "bob")  # nicks that several want
# How likely each is, against the others; "" is a line.
MIX = {"": 70, "me": 5, "slash": 4, "nick": 6, "who": 6, "msg": 8, "history": 4}


@dataclass
class Options:
    """Of a run."""

    kind: str
    seed: int
    seconds: float = 4.0  # of the storm
    clients: int = 6
    rate: float = 12.0  # times a second that a client says something
    every: float = 0.25  # s between two faults, about
    longest: float = 1.5  # s that one lasts
    faults: Sequence[str] = tuple(WEIGHTS)
    mix: Sequence[str] = tuple(MIX)
    known: Sequence[str] = ()  # kinds of faults that are not told


class Run:
    """`evidence` is all of it."""

    def __init__(self, options: Options, directory: Path) -> None:
        self.options = options
        self.rng = random.Random(f"{options.kind} {options.seed}")
        self.story: list[str] = []
        self.clients: list[Joined] = []
        self._begun = time.monotonic()
        self._directory = directory
        self._rooms = Rooms(options.kind, directory, f"linear={directory.name}")
        self._errors: dict[Path, int] = {}  # how far these are told
        self._faults = Faults(
            self._rooms,
            self.rng,
            self.tell,
            list(options.faults),
            options.every,
            options.longest,
        )
        self._speaks: dict[str, float] = {}  # when each client does next
        self._bad: list[str] = []  # what went wrong with rooms

    def tell(self, text: str) -> None:
        self.story.append(f"{time.monotonic() - self._begun:8.3f}  {text}")

    def evidence(self) -> Evidence:
        try:
            self._open()
            self._storm()
            self._settle()
            return self._close()
        finally:
            self._rooms.close()
            for client in self.clients:
                client.process.wait()

    # Its four parts:

    def _open(self) -> None:
        for host in self._rooms.hosts:
            host.start()
        self._until(lambda: self._rooms.listens, "the room does not listen")
        for _ in range(self.options.clients):
            self._come()
        self._until(
            lambda: all("you are " in client.err for client in self.clients),
            "the clients do not come in",
        )

    def _storm(self) -> None:
        end = time.monotonic() + self.options.seconds
        while time.monotonic() < end:
            self._faults.turn(self.clients)
            self._look_after_hosts()
            for client in self._here():
                if time.monotonic() >= self._speaks[client.name]:
                    self._speak(client)
            self._turn()
            if len(self._here()) < self.options.clients and self.rng.random() < 0.05:
                self._come()

    def _settle(self) -> None:
        self.tell("all is mended")
        self._faults.mend()
        for client in self._here():
            client.type(self._line(client, "last"))
            client.end_input()
        deadline = time.monotonic() + PATIENCE
        while self._here() and time.monotonic() < deadline:
            self._look_after_hosts()
            self._turn()

    def _close(self) -> Evidence:
        transcripts = self._rooms.transcripts
        end = time.monotonic() + 30
        while len(set(map(len, transcripts()))) > 1 and time.monotonic() < end:
            self._turn()
        for host in self._rooms.hosts:
            self._look_at_members(host)
            self._end(host)
        clients = [client.evidence() for client in self.clients]
        for client in self.clients:
            if client.process.poll() is None:
                client.process.kill()
        return Evidence(
            transcripts=transcripts(),
            clients=clients,
            restarts=self._faults.restarts,
            addresses=self._rooms.addresses,
            processes=self._left(),
            rooms=self._bad,
        )

    # What they are made of:

    def _turn(self) -> None:
        self._rooms.network.turn(0.01)
        for client in self.clients:
            client.pump()
        for who in [*self.clients, *self._rooms.hosts]:
            self._tell_errors(who.directory)

    def _tell_errors(self, directory: Path) -> None:
        path = directory / "err"
        said = self._errors.get(path, 0)
        if path.stat().st_size > said:
            data = path.read_bytes()[said:]
            data = data[: data.rfind(b"\n") + 1]
            self._errors[path] = said + len(data)
            for line in data.decode(errors="replace").splitlines():
                self.tell(f"{directory.name}: {line}")

    def _until(self, what: Callable[[], bool], failure: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not what():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{failure}; all that was written is in {self._directory}")
            self._turn()

    def _here(self) -> list[Joined]:
        return [client for client in self.clients if client.process.poll() is None]

    def _look_after_hosts(self) -> None:
        for host in self._rooms.hosts:
            if not host.pid and not self._faults.is_down(host):
                status = host.process.returncode if host.process else None
                last = host.err.read_text(errors="replace").splitlines()[-1:]
                ended = f"{host.directory.name} ended with {status}: {last}"
                self.tell(ended)
                # As documented, a host does not begin while the store is away.
                away = time.monotonic() - self._faults.store_away < STORE_AWAY
                if not (away and status == 1 and "is out of reach" in str(last)):
                    self._bad.append(ended)
                self._faults.start(host)

    def _come(self) -> None:
        number = len(self.clients)
        nick = self.rng.choice([f"n{number}", f"n{number}", *POOL])
        name = f"c{number}"
        self.tell(f"{name} comes, to be called {nick}")
        self.clients.append(self._rooms.client(name, nick, "--retry"))
        self._speaks[name] = time.monotonic() + self.rng.uniform(0, 0.3)

    def _speak(self, client: Joined) -> None:
        self._speaks[client.name] = time.monotonic() + self.rng.expovariate(self.options.rate)
        known = [what for what in MIX if what in self.options.mix]
        weights = [MIX[what] for what in known]
        count = self.rng.choices([1, 2, 8, 40], [80, 12, 6, 2])[0]
        for what in self.rng.choices(known, weights, k=count):
            client.type(self._line(client, what))

    def _line(self, client: Joined, what: str) -> Line:
        rng = self.rng
        tag = f"{client.name}-{len(client.script)}"
        length = rng.choices([rng.randrange(60), rng.randrange(2000)], [95, 5])[0]
        text = f"{tag} {'.' * length}é"
        if what == "me":
            return Line(f"/me {text}", argument=f"* {text}")
        if what == "slash":
            return Line(f"//{text}", argument=f"/{text}")
        if what in ("nick", "msg"):
            own = [f"n{rng.randrange(len(self.clients))}", f"{client.name}n"]
            nick = rng.choice([*POOL, *own])
            argument = nick if what == "nick" else f"{nick} {text}"
            return Line(f"/{what} {argument}", what, argument)
        if what == "who":
            return Line("/who", "who")
        if what == "history":
            count = str(rng.choice([1, 7, 30, 400]))
            return Line(f"/history {count}", "history", count)
        return Line(text, argument=text)

    def _look_at_members(self, host: Host) -> None:
        """All clients have ended: who has served them has, too, and was reaped."""
        end = time.monotonic() + 15  # a stale connection may have to be noticed first

        def left() -> list[str]:
            helpers = host.helpers()
            zombies = [pid for pids in helpers.values() for pid in pids if not alive(pid)]
            members = helpers.get("member", [])
            return [f"member {pid}" for pid in members] + [f"zombie {pid}" for pid in zombies]

        while (found := left()) and time.monotonic() < end:
            self._turn()
        self._bad += [f"{host.directory.name} still has {what}" for what in found]

    def _end(self, host: Host) -> None:
        """As an operator would, by SIGTERM."""
        name = host.directory.name
        if not host.pid or not host.process:
            self._bad.append(f"{name} was not there at the end")
            return
        host.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 20
        while host.process.poll() is None and time.monotonic() < end:
            self._turn()
        if host.process.returncode != 0:
            self._bad.append(f"{name} ended with {host.process.poll()} when it was told to end")
        errors = host.err.read_text(errors="replace")
        for word in ("internal error", "Traceback"):
            if word in errors:
                self._bad.append(f"{name}: {errors[errors.index(word) :][:600]}")

    def _left(self) -> list[str]:
        end = time.monotonic() + 5
        while (left := [pid for pid in marked(self._rooms.mark) if alive(pid)]) and (
            time.monotonic() < end
        ):
            self._turn()
        return [f"process {pid} is still there" for pid in left]


def run(options: Options) -> tuple[list[Fault], str]:
    """The faults found, and what to print of them. The directory is kept if there are any."""
    directory = Path(tempfile.mkdtemp(prefix="duplex-linear-"))
    one = Run(options, directory)
    try:
        evidence = one.evidence()
    finally:
        (directory / "story").write_text("\n".join(one.story) + "\n")
    faults = judge(evidence)
    told = [fault for fault in faults if fault.kind not in options.known]
    if not told:
        shutil.rmtree(directory, ignore_errors=True)
        return [], ""
    text = [f"{len(told)} faults; all that was written is in {directory}:"]
    text += [f"  {fault}" for fault in told[:30]]
    text += ["the story:", *one.story[-200:]]
    (directory / "faults").write_text("\n".join(map(str, faults)) + "\n")
    return told, "\n".join(text)
