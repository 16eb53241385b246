"""What the tests of one room on many hosts share: real hosts, each at an address of its own."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from room_support import Client
from store_support import Server
from support import (
    DUPLEX,
    ROOM,
    Duo,
    Program,
    children,
    events,
    free_port,
    open_by,
    port_of,
    until,
)

ANSWERED = re.compile(r"you are \S+|connected again, as \S+")


class Site:
    """A host of the room, at 127.0.0.N; `start` it again when it has ended."""

    def __init__(
        self, rooms: Rooms, number: int, *args: str, within: Sequence[str] = (), url: str = ""
    ) -> None:
        """`within` is a command that runs another: in a network namespace, say."""
        self.within = within
        self.env = {**rooms.env, "DUPLEX_REDIS": url} if url else rooms.env
        self.rooms = rooms
        self.address = f"127.0.0.{number}"
        self.directory = f"host{number}"
        self.args = args
        self.start()

    def start(self) -> None:
        rooms = self.rooms
        command = [
            *self.within,
            *ROOM,
            str(rooms.port),
            "--host",
            self.address,
            "--plain",
            "--rate",
            "0",
        ]
        command += ["--name", "lobby", "--max-per-address", "0", *self.args]
        self.host: Program = rooms.duo.start(command, self.directory, env=self.env)
        self.log: Path = self.host.cwd / "logs" / "room-lobby" / "client_input.log"
        port_of(self.host)
        until(lambda: self.writer and self.replicator and self.hub)

    @property
    def writer(self) -> int:
        """Its process, 0 if there is none just now: it has the socket that the hub dials."""
        return self._child(lambda names: any(name.startswith("duplex-writer-") for name in names))

    @property
    def replicator(self) -> int:
        return self._child(lambda names: any(name.startswith("duplex-repl") for name in names))

    @property
    def hub(self) -> int:
        """It has the position."""
        return self._child(lambda names: any(name.endswith(".store") for name in names))

    def _child(self, is_it: Callable[[list[str]], bool]) -> int:
        """Those that have let go of all that is the server's: they have few descriptors."""
        found = [pid for pid in children(self.host.pid) if is_it(open_by(pid))]
        return found[0] if len(found) == 1 else 0

    def client(self, nick: str = "", **options: Any) -> Client:
        """Somebody at a bare socket who has been welcomed; who is here if there is a nick."""
        made = Client(self.rooms.port, to=self.address, **options)
        self.rooms.clients.append(made)
        made.sees("! welcome to room lobby: ")
        if nick:
            made.say(f"/nick {nick}")
            made.sees(f"! you are {nick} now")
        return made

    def events(self) -> list[str]:
        """Without the addresses of those who came."""
        return [re.sub(r" \(127\.[^)]*\)", "", text) for text in events(self.log)]

    def kill(self) -> None:
        """With all that it has forked."""
        self.host.process.kill()
        self.host.process.wait()

    def end(self) -> int:
        self.host.process.send_signal(signal.SIGTERM)
        return self.host.status()


class Rooms:
    """One room, its store, and its hosts."""

    def __init__(self, duo: Duo, server: Server) -> None:
        self.duo = duo
        self.server = server
        self.port = free_port()
        self.env = {**os.environ, "DUPLEX_REDIS": server.url}
        self.sites: list[Site] = []
        self.clients: list[Client] = []

    def open(self, *args: str, **options: Any) -> Site:
        self.sites.append(Site(self, len(self.sites) + 1, *args, **options))
        return self.sites[-1]

    def join(self, nick: str, hosts: str, *args: str, **options: object) -> Program:
        """A `duplex connect` at one of the hosts, once it is in the room."""
        command = [*DUPLEX, "connect", hosts, str(self.port), "--nick", nick, *args]
        client = self.duo.start(command, nick, **options)
        until(lambda: ANSWERED.search(client.err) or client.process.poll() is not None)
        return client

    def are_same(self) -> bytes:
        """Wait until all transcripts are the same bytes; these."""
        until(lambda: len({site.log.read_bytes() for site in self.sites}) == 1)
        return self.sites[0].log.read_bytes()

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        for site in self.sites:
            assert "internal error" not in site.host.err, site.host.err
