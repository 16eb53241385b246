"""A hub in this process, on a thread of its own, and members that say to it what a test wants."""

from __future__ import annotations

import argparse
import os
import socket
import threading
from pathlib import Path

from support import DEADLINE, until

from duplex.channel.protection import Protection
from duplex.cli import room as options
from duplex.protocol import requests
from duplex.protocol.requests import Reply
from duplex.room.files import Files
from duplex.room.hub import Hub
from duplex.room.room import Room


class HubHere:
    """Its server is this process: `notes` has what it was told."""

    def __init__(self, path: Path, *args: str) -> None:
        parser = argparse.ArgumentParser()
        options.add_arguments(parser)
        given = parser.parse_args(["5000", "--log", str(path), "--plain", "--rate", "0", *args])
        given.keeper = "nobody"
        self.log = path
        self.room = Room(given, 65_001, Files(str(path)), Protection())
        self.server, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.server.settimeout(DEADLINE)
        self._come = 0
        self.hub = Hub(self.room, theirs)
        self._thread = threading.Thread(target=self.hub.run, daemon=True)
        self._thread.start()

    def arrives(self, where: str = "127.0.0.1:5", *, operator: bool = False) -> FakeMember:
        """A member that has said nothing yet."""
        self._come += 1
        number = 0 if operator else self._come
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        known = "127.0.0.1", where, str(os.getpid()), "operator" if operator else ""
        note = requests.note(requests.ARRIVED, number, *known)
        socket.send_fds(self.server, [note], [theirs.fileno()])
        theirs.close()
        return FakeMember(ours, number)

    def enters(self, nick: str = "") -> FakeMember:
        """One whose client is in."""
        member = self.arrives()
        member.says_hello()
        member.asks(requests.request(requests.JOIN, 0, nick))
        member.hears(b" entered the room (")
        return member

    def tells(self, kind: bytes, number: int = 0, *words: str) -> None:
        self.server.send(requests.note(kind, number, *words))

    def is_told(self, kind: bytes, number: int = 0) -> list[str]:
        """Wait for a note of that kind about that member; its words."""
        while True:
            told, about, words = requests.read_note(self.server.recv(requests.LIMIT))
            if (told, about) == (kind, number):
                return words

    @property
    def runs(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self.server.close()
        self._thread.join(DEADLINE)
        assert not self.runs
        self.room.sign.close()


class FakeMember:
    """The other end of a seat, and of its client."""

    def __init__(self, pair: socket.socket, number: int) -> None:
        self.pair = pair
        self.number = number
        pair.settimeout(DEADLINE)
        self.client, self._hubs = socket.socketpair()
        self.client.settimeout(DEADLINE)
        self.heard = b""

    def says_hello(self) -> str:
        """The nick that it is welcomed with."""
        hello = requests.request(requests.HELLO)
        socket.send_fds(self.pair, [hello], [self._hubs.fileno()])
        self._hubs.close()
        nick = self.reply().text
        self.hears(b"! welcome to room ")
        return nick

    def asks(self, data: bytes) -> Reply:
        self.pair.send(data)
        return self.reply()

    def reply(self) -> Reply:
        return Reply(self.pair.recv(requests.LIMIT))

    def hears(self, text: bytes) -> bytes:
        """Wait until its client was sent that; all that it was sent."""
        while text not in self.heard:
            data = self.client.recv(1 << 16)
            assert data, f"no {text!r} until the end: {self.heard!r}"
            self.heard += data
        return self.heard

    def is_let_go(self) -> None:
        """Both its pair and its client's connection end."""
        until(lambda: ended(self.pair))
        until(lambda: ended(self.client))

    def close(self) -> None:
        self.pair.close()
        self.client.close()


def ended(sock: socket.socket) -> bool:
    """Read what there is; whether that is all there will ever be."""
    try:
        return not sock.recv(1 << 20)
    except ConnectionError:
        return True
