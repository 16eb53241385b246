"""A real network that can be cut: two namespaces, and a pair of veths between them."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support import needs

HOST_ADDRESS, CLIENT_ADDRESS = "10.77.0.1", "10.77.0.2"
_serial = itertools.count()


class Network:
    """Two namespaces with one link: the room is in one, a client in the other."""

    def __init__(self) -> None:
        self._ip = needs("ip")
        unique = f"{os.getpid()}-{next(_serial)}"
        self.room, self.client = f"duplex-a{unique}", f"duplex-b{unique}"
        self._made: list[str] = []

    def make(self) -> None:
        for name in (self.room, self.client):
            if why := self._refused("netns", "add", name):
                pytest.skip(f"no network namespace may be made here: {why}")
            self._made.append(name)
        pair = ["link", "add", "end", "netns", self.room, "type", "veth"]
        if why := self._refused(*pair, "peer", "name", "end", "netns", self.client):
            pytest.skip(f"no pair of veths may be made here: {why}")
        for name, address in ((self.room, HOST_ADDRESS), (self.client, CLIENT_ADDRESS)):
            self._do("-n", name, "address", "add", f"{address}/24", "dev", "end")
            self._do("-n", name, "link", "set", "lo", "up")
            self._do("-n", name, "link", "set", "end", "up")

    def cut(self) -> None:
        self._do("-n", self.client, "link", "set", "end", "down")

    def mend(self) -> None:
        self._do("-n", self.client, "link", "set", "end", "up")

    def within(self, name: str, *command: str) -> list[str]:
        """That command in a namespace; the process is the command's own."""
        return [self._ip, "netns", "exec", name, *command]

    def remove(self) -> None:
        for name in self._made:
            self._refused("netns", "delete", name)

    def _do(self, *args: str) -> None:
        assert not (why := self._refused(*args)), why

    def _refused(self, *args: str) -> str:
        done = subprocess.run([self._ip, *args], capture_output=True, text=True, check=False)
        return (done.stderr.strip() or f"status {done.returncode}") if done.returncode else ""


@contextmanager
def cuttable() -> Iterator[Network]:
    """It is removed whatever happens."""
    made = Network()
    try:
        made.make()
        yield made
    finally:
        made.remove()
