"""Three hosts, their clients, and whatever may be killed or stopped meanwhile, at random."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rooms_support import Rooms, Site
from store_support import Server
from support import Program, follower_log, with_no_error

STOPPED = 10.0  # s, for a store that is stopped and goes on
AWAY = 0.5  # s, for a host or a store until it is started again


class Storm:
    """What happens, and what has to be so in the end."""

    def __init__(self, rooms: Rooms, rng: random.Random, clients: int, lines: int) -> None:
        self.rooms, self.rng, self.lines = rooms, rng, lines
        self.story: list[str] = []
        for _ in range(3):
            rooms.open()
        self.clients = [self._client(number) for number in range(clients)]

    def _client(self, number: int) -> Program:
        nick = f"c{number}"
        hosts = [site.address for site in self.rooms.sites]
        hosts = hosts[number % 3 :] + hosts[: number % 3]
        path: Path = self.rooms.duo.tmp / f"{nick}.lines"
        path.write_text("".join(f"{n} {'.' * (n * 7919 % 90)}\n" for n in range(self.lines)))
        return self.rooms.join(nick, ",".join(hosts), stdin=path.open("rb"))

    def goes_on(self, happenings: int, long: bool, seconds: float) -> None:
        """Until all clients have said all, while so much happens, evenly over what is said."""
        total, happened = len(self.clients) * self.lines, 0
        deadline = time.monotonic() + seconds
        while any(client.process.poll() is None for client in self.clients):
            done = max(self._said(site) for site in self.rooms.sites)
            while happened < happenings and done >= happened * total // happenings:
                self._something_happens(long)
                happened += 1
            if time.monotonic() > deadline:
                errors = [c.err[-300:] for c in self.clients if c.process.poll() is None]
                hosts = [site.host.err[-500:] for site in self.rooms.sites]
                pytest.fail(f"{done} of {total} said, {self.story}; {errors}; {hosts}")
            time.sleep(0.05)

    def _said(self, site: Site) -> int:
        """About so many lines are there: a line has 81 bytes or so, of which 25 are its stamp."""
        return site.log.stat().st_size // 90

    def _something_happens(self, long: bool) -> None:
        site = self.rng.choice(self.rooms.sites)
        what = self.rng.choices(["host", "process", "store"], [2, 10, 2])[0]
        if what == "host":
            self.story.append(f"kill host {site.address}")
            self._kill_host(site)
        elif what == "process":
            kind = self.rng.choice(["hub", "writer", "replicator"])
            number = self.rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])
            self.story.append(f"{number.name} {kind} {site.address}")
            if pid := getattr(site, kind):
                with_no_error(lambda: os.kill(pid, number))
        elif long and self.rng.random() < 1 / 3:
            self.story.append("stop store")
            self._stop_store()
        else:
            self.story.append("kill store")
            self._kill_store()

    def _kill_host(self, site: Site) -> None:
        site.kill()
        time.sleep(self.rng.uniform(0, AWAY))
        site.start()

    def _kill_store(self) -> None:
        self.rooms.server.kill()
        time.sleep(self.rng.uniform(0, AWAY))
        self.rooms.server.start()

    def _stop_store(self) -> None:
        self.rooms.server.stop()
        time.sleep(STOPPED)
        self.rooms.server.go_on()

    def check(self) -> None:
        log = self.rooms.are_same()
        for number, client in enumerate(self.clients):
            assert client.status() == 0, (client.err, self.story)
            said = re.findall(rb"(?m)^\S{24} <c%d> (\d+) \.*$" % number, log)
            assert said == [b"%d" % n for n in range(self.lines)], (number, self.story)
            heard = follower_log(client.cwd).read_bytes()
            assert heard in log, (number, self.story)
            assert heard.endswith(b"\n")
            assert heard.count(b" <c%d> " % number) == self.lines


def storm(
    server: Server, start_rooms: Callable[..., Rooms], size: tuple[int, int], happenings: int
) -> None:
    seed = int(os.environ.get("DUPLEX_TEST_SEED", "0")) or random.SystemRandom().randrange(1 << 30)
    print(f"DUPLEX_TEST_SEED={seed}")
    clients, lines = size
    weather = Storm(start_rooms(server), random.Random(seed), clients, lines)
    weather.goes_on(happenings, long=lines > 1000, seconds=60 if lines <= 1000 else 900)
    print(weather.story)
    weather.check()


@pytest.mark.timeout(150)
def test_a_few_clients_lose_nothing(
    start_server: Callable[..., Server], start_rooms: Callable[..., Rooms]
) -> None:
    storm(start_server(durable=True), start_rooms, (6, 600), 8)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_thirty_clients_lose_nothing(
    start_server: Callable[..., Server], start_rooms: Callable[..., Rooms]
) -> None:
    storm(start_server(durable=True), start_rooms, (30, 3334), 40)
