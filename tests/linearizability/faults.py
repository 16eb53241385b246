"""What happens to a run, by a seeded generator: something every now and then, to whom it meets.

A fault has a beginning, and most have an end that comes by itself: what is stopped goes on, who was
killed is started again. `mend` brings all ends about at once.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from .rooms import Host, Joined, Rooms

# How likely each is, against the others.
WEIGHTS = {
    "kill-helper": 3,  # member, hub, flusher, writer, replicator: whatever a host has forked
    "kill-host": 1,
    "kill-store": 1,
    "kill-half": 0.4,  # the parent or the child of a client: it ends
    "stop-helper": 3,
    "replace-helper": 0.7,  # hub, writer, replicator: it stands still until the server has another
    "stop-host": 2,
    "stop-store": 1,
    "stop-half": 5,
    "stop-all": 0.7,  # of a room
    "cut": 4,
    "cut-half": 2,  # one side of the connection does not hear of it
    "cut-after": 3,  # somewhere within what is under way
    "hold": 3,
    "refuse": 1,
}
REPLACED = 3.0  # s: a helper that stands still for 2 s is killed, and followed
HALVES = 3  # clients that may be killed in a run


class Faults:
    """`turn` lets happen what is due."""

    def __init__(
        self,
        rooms: Rooms,
        rng: random.Random,
        tell: Callable[[str], None],
        only: list[str],
        every: float,
        longest: float,
    ) -> None:
        """One of `only` about every so many seconds, for so many seconds at most."""
        self.restarts: list[int] = []  # offsets at which everybody was gone
        self.killed_halves = 0
        self.store_away = 0.0  # monotonic, when something happened to the store last
        self._rooms, self._rng, self._tell = rooms, rng, tell
        self._every, self._longest = every, longest
        known = {kind: weight for kind, weight in WEIGHTS.items() if kind in only}
        if rooms.kind != "store":
            known = {kind: weight for kind, weight in known.items() if "store" not in kind}
        self._kinds, self._weights = list(known), list(known.values())
        self._ends: list[tuple[float, Callable[[], None]]] = []
        self._next = 0.0
        self._down: set[Host] = set()

    def turn(self, clients: list[Joined]) -> None:
        now = time.monotonic()
        self._end_what_is_due(now)
        if self._kinds and now >= self._next:
            self._next = now + self._rng.expovariate(1 / self._every)
            kind = self._rng.choices(self._kinds, self._weights)[0]
            here = [client for client in clients if client.process.poll() is None]
            getattr(self, "_" + kind.replace("-", "_"))(here)

    def mend(self) -> None:
        self._kinds = []
        self._end_what_is_due(float("inf"))
        for link in self._rooms.network.links:
            link.mend()

    def _end_what_is_due(self, now: float) -> None:
        due = [end for end in self._ends if end[0] <= now]
        self._ends = [end for end in self._ends if end[0] > now]
        for _, end in sorted(due, key=lambda end: end[0]):
            end()

    def _later(self, seconds: float, end: Callable[[], None]) -> None:
        self._ends.append((time.monotonic() + seconds, end))

    def _while(self) -> float:
        """How long something lasts, in s: mostly not long."""
        most = self._rng.choices([0.3, 1.0, self._longest], [5, 3, 1])[0]
        return self._rng.uniform(0.02, min(most, self._longest))

    # Processes:

    def _signal(self, pid: int, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def _stop(self, name: str, *pids: int, seconds: float = 0.0) -> None:
        seconds = seconds or self._while()
        self._tell(f"stopped for {seconds:.2f} s: {name} ({', '.join(map(str, pids))})")
        for pid in pids:
            self._signal(pid, signal.SIGSTOP)

        def go_on() -> None:
            self._tell(f"goes on: {name}")
            for pid in pids:
                self._signal(pid, signal.SIGCONT)

        self._later(seconds, go_on)

    def _host(self) -> Host | None:
        up = [host for host in self._rooms.hosts if host.pid]
        return self._rng.choice(up) if up else None

    def _helper(self) -> tuple[str, int] | None:
        host = self._host()
        helpers = host.helpers() if host else {}
        if not host or not helpers:
            return None
        role = self._rng.choice(sorted(helpers))
        return f"{role} of {host.directory.name}", self._rng.choice(helpers[role])

    def _kill_helper(self, _clients: list[Joined]) -> None:
        if found := self._helper():
            self._tell(f"killed: {found[0]} ({found[1]})")
            self._signal(found[1], signal.SIGKILL)

    def _stop_helper(self, _clients: list[Joined]) -> None:
        if found := self._helper():
            self._stop(*found)

    def _replace_helper(self, _clients: list[Joined]) -> None:
        if host := self._host():
            helpers = host.helpers()
            roles = [role for role in ("hub", "writer", "replicator") if role in helpers]
            if roles:
                role = self._rng.choice(roles)
                name = f"{role} of {host.directory.name}"
                self._stop(name, *helpers[role], seconds=REPLACED)

    def _kill_host(self, _clients: list[Joined]) -> None:
        if host := self._host():
            self._tell(f"killed: {host.directory.name}")
            host.kill()
            self._down.add(host)
            self._later(self._rng.uniform(0, 0.6), lambda: self.start(host))

    def start(self, host: Host) -> None:
        if self._rooms.kind != "store" and host.log.exists():
            self.restarts.append(host.log.stat().st_size)
        self._tell(f"started again: {host.directory.name}")
        self._down.discard(host)
        host.start()

    def is_down(self, host: Host) -> bool:
        """Killed, and not to be started yet."""
        return host in self._down

    def _stop_host(self, _clients: list[Joined]) -> None:
        if host := self._host():
            self._stop(host.directory.name, host.pid)

    def _stop_all(self, _clients: list[Joined]) -> None:
        if host := self._host():
            helpers = [pid for pids in host.helpers().values() for pid in pids]
            self._stop(f"all of {host.directory.name}", host.pid, *helpers)

    def _kill_store(self, _clients: list[Joined]) -> None:
        server = self._rooms.server
        if server and server.process.poll() is None:
            self._tell("killed: the store")
            self.store_away = time.monotonic()
            server.kill()

            def start() -> None:
                server.start()
                self._tell("started again: the store")

            self._later(self._rng.uniform(0, 0.6), start)

    def _stop_store(self, _clients: list[Joined]) -> None:
        server = self._rooms.server
        if server and server.process.poll() is None:
            self.store_away = time.monotonic()
            self._stop("the store", server.process.pid)

    def _half(self, clients: list[Joined]) -> tuple[Joined, str, int] | None:
        client = self._rng.choice(clients) if clients else None
        halves = client.halves if client else {}
        if not client or not halves:
            return None
        half = self._rng.choice(sorted(halves))
        return client, half, halves[half]

    def _stop_half(self, clients: list[Joined]) -> None:
        if found := self._half(clients):
            client, half, pid = found
            self._stop(f"{half} of {client.name}", pid)

    def _kill_half(self, clients: list[Joined]) -> None:
        if self.killed_halves < HALVES and (found := self._half(clients)):
            client, half, pid = found
            self._tell(f"killed: {half} of {client.name} ({pid})")
            if half != "relay":  # without it the connection is lost, and made again
                client.killed = half
                self.killed_halves += 1
            self._signal(pid, signal.SIGKILL)

    # Connections:

    def _links(self, clients: list[Joined]) -> tuple[str, list]:
        client = self._rng.choice(clients) if clients else None
        return (client.name, client.links) if client else ("", [])

    def _cut(self, clients: list[Joined]) -> None:
        name, links = self._links(clients)
        reset = self._rng.random() < 0.6
        self._tell(f"cut{' by a reset' if reset else ''}: {name}")
        for link in links:
            link.cut(reset=reset)

    def _cut_half(self, clients: list[Joined]) -> None:
        name, links = self._links(clients)
        half = self._rng.choice(("client", "room"))
        seconds = self._while()
        self._tell(f"cut at the {half}'s end, and {seconds:.2f} s later at the other: {name}")
        for link in links:
            link.cut(reset=self._rng.random() < 0.6, half=half)
        self._later(seconds, lambda: [pair.cut(True, "") for pair in _halves(links)])

    def _cut_after(self, clients: list[Joined]) -> None:
        name, links = self._links(clients)
        count = int(10 ** self._rng.uniform(0, 4))
        self._tell(f"cut after {count} bytes: {name}")
        for link in links:
            link.cut_after(count)

    def _hold(self, clients: list[Joined]) -> None:
        name, links = self._links(clients)
        seconds = self._while()
        self._tell(f"held for {seconds:.2f} s: {name}")
        for link in links:
            link.hold(seconds)

    def _refuse(self, clients: list[Joined]) -> None:
        name, links = self._links(clients)
        seconds = self._while()
        self._tell(f"cut and refused for {seconds:.2f} s: {name}")
        for link in links:
            link.refuses = True
            link.cut(reset=True)
        self._later(seconds, lambda: [setattr(link, "refuses", False) for link in links])


def _halves(links: list) -> list:
    return [pair for link in links for pair in link.pairs if pair.is_half]
