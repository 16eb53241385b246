"""What the tests of a room with plain clients share: the room, and who sits at a bare socket."""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support import DEADLINE, RECORD, ROOM, Duo, Program, events, hub_of, port_of, until

from duplex.room import control

STRANGER = 61_001  # a user; rooms that root starts run as nobody
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER


class Client:
    """A bare socket in a room: it is sent what nc would be, and reads only when it is asked to."""

    family = socket.AF_INET

    def __init__(
        self, port: int, address: str = "127.0.0.1", buffer: int = 0, to: str = "127.0.0.1"
    ) -> None:
        self.sock = socket.socket(self.family)
        self.sock.settimeout(DEADLINE)
        if buffer:  # bytes that its kernel keeps of what it does not read
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.sock.bind((address, 0))
        self.sock.connect((to, port))
        self.place = "{}:{}".format(*self.sock.getsockname()[:2])
        self.heard = b""
        self._seen = 0

    def say(self, *lines: str) -> None:
        self.sock.sendall("".join(f"{line}\n" for line in lines).encode())

    def sees(self, text: str) -> str:
        """Wait for a line with `text` in it, after those seen before; that line."""
        wanted = text.encode()
        while True:
            while (end := self.heard.find(b"\n", self._seen)) >= 0:
                line = self.heard[self._seen : end]
                self._seen = end + 1
                if wanted in line:
                    return line.decode(errors="replace")
            try:
                data = self.sock.recv(65536)
            except OSError as error:
                pytest.fail(f"no {text!r} but {error} after {self.heard[-2000:]!r}")
            if not data:
                pytest.fail(f"no {text!r} until the end: {self.heard[-2000:]!r}")
            self.heard += data

    def reads_to_the_end(self) -> list[str]:
        """All lines it was ever sent, once the room has shut the connection; then it is closed."""
        while data := self.sock.recv(65536):
            self.heard += data
        self.close()
        return self.heard.decode().splitlines()

    @property
    def records(self) -> list[bytes]:
        """The records among the lines read so far."""
        return [line for line in self.heard.splitlines() if RECORD.fullmatch(line)]

    @property
    def said(self) -> list[str]:
        """Who said what, as far as it was read: `<ann> hello`."""
        return [line[25:].decode() for line in self.records if line[25:26] == b"<"]

    def reads_records(self, room: Room) -> None:
        """What it has read are the room's records, in their order, but for its own."""
        recorded = iter(room.log.read_bytes().splitlines())
        assert all(line in recorded for line in self.records), self.heard[-2000:]

    def shut(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.sock.close()


class Client6(Client):
    """The same by IPv6."""

    family = socket.AF_INET6

    def __init__(self, port: int, address: str = "::1") -> None:
        super().__init__(port, address, to=address)


@dataclass
class Seat:
    """A member as `duplex who` is told of it."""

    nick: str
    pid: int
    address: str
    joined: float
    lag: int
    here: bool


class Room:
    """A running `duplex room`, and its clients."""

    def __init__(
        self, duo: Duo, *args: str, port: int = 0, wrapper: Sequence[str] = (), **options: Any
    ) -> None:
        command = [*wrapper, *ROOM, str(port), "--plain", "--rate", "0", *args]
        self.host: Program = duo.start(command, "room", **options)
        self.port = port_of(self.host)
        name = args[args.index("--name") + 1] if "--name" in args else self.port
        self.log: Path = self.host.cwd / "logs" / f"room-{name}" / "client_input.log"
        self.clients: list[Client] = []

    def client(self, address: str = "127.0.0.1", buffer: int = 0) -> Client:
        """Somebody who has connected, and has been welcomed."""
        made = self.connect(address, buffer)
        made.sees("! welcome to room ")
        return made

    def connect(self, address: str = "127.0.0.1", buffer: int = 0) -> Client:
        made = Client(self.port, address, buffer)
        self.clients.append(made)
        return made

    def enter(self, *nicks: str, address: str = "127.0.0.1", buffer: int = 0) -> list[Client]:
        """Plain clients that are here, under these nicks, and have seen each other come."""
        come = [self.client(address, buffer) for _ in nicks]
        for client, nick in zip(come, nicks, strict=True):
            client.say(f"/nick {nick}")
        for client, nick in zip(come, nicks, strict=True):
            client.sees(f"! you are {nick} now")
        for client, nick in zip(come, nicks, strict=True):
            client.say(f"/msg {nick} that is all")
            client.sees(f"-{nick}- that is all")
        return come

    def events(self) -> list[str]:
        """The events so far, without the addresses of those who came."""
        return [re.sub(r" \(127\.[^)]*\)", "", text) for text in events(self.log)]

    def recorded(self, event: str) -> None:
        until(lambda: event in self.events())

    @property
    def hub(self) -> int:
        """The process that owns the room."""
        return hub_of(self.host.pid)

    def member_of(self, client: Client) -> int:
        """The process that serves a client."""
        (pid,) = [seat.pid for seat in self.seats() if seat.address == client.place]
        return pid

    def seat(self, nick: str) -> Seat:
        """What the room knows of who is here."""
        (seat,) = [seat for seat in self.seats() if seat.nick == nick and seat.here]
        return seat

    def seats(self) -> list[Seat]:
        """Those of all members, also of those who are coming or going."""
        return seats_at(self.port)

    def held(self) -> int:
        """How many nicks cannot be had."""
        return sum(bool(seat.nick) for seat in self.seats())

    def is_well(self) -> None:
        """Somebody who comes now is welcomed, enters, is heard and leaves."""
        ann, bob = self.enter("well1", "well2")
        ann.say("all is well")
        bob.sees("<well1> all is well")
        ann.say("/quit")
        bob.say("/quit")
        ann.reads_to_the_end()
        bob.reads_to_the_end()

    def stop(self) -> None:
        for client in self.clients:
            client.close()


def seats_at(port: int) -> list[Seat]:
    """Those of the one room at a port."""
    (people,), silent = control.ask(port)
    assert not silent
    return [Seat(**person) for person in people]


def signs(port: int) -> list[str]:
    """What tells of rooms at a port, in the whole machine."""
    names = Path("/proc/net/unix").read_text(errors="replace").split()
    return sorted({name for name in names if name.startswith(f"@duplex-room-{port}-")})


def within(seconds: float, what: Callable[[], object]) -> float:
    """How long `what` took, which has to be less than that."""
    begun = time.monotonic()
    what()
    took = time.monotonic() - begun
    assert took < seconds, f"it took {took:.1f} s"
    return took


class AnotherUser:
    """A process of another user, forked from this one; `result` is what it comes to."""

    def __init__(self, first: Callable[[], Any], then: Callable[[Any], Any] | None) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root can be somebody else")
        self._ours, theirs = socket.socketpair()
        self._ours.settimeout(DEADLINE)
        self._pid = os.fork()
        if self._pid == 0:
            self._ours.close()
            _be_nobody(theirs, first, then)
        theirs.close()
        assert self._ours.recv(5) == b"ready", "it has failed"
        self._result: Any = None

    def result(self) -> Any:
        """It goes on, and ends."""
        if self._pid:
            self._ours.send(b"go on")
            self._result = eval(self._ours.recv(1 << 16))
            self._reap()
        return self._result

    def __enter__(self) -> AnotherUser:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid:
            self._reap()

    def _reap(self) -> None:
        self._ours.close()
        os.waitpid(self._pid, 0)
        self._pid = 0


def _be_nobody(
    sock: socket.socket, first: Callable[[], Any], then: Callable[[Any], Any] | None
) -> NoReturn:
    try:
        os.setgroups([])
        os.setgid(STRANGER)
        os.setuid(STRANGER)
        made = first()
        sock.send(b"ready")
        if sock.recv(5):
            sock.send(repr(then(made) if then else made).encode())
    finally:
        os._exit(0)


def as_another_user(
    first: Callable[[], Any], then: Callable[[Any], Any] | None = None
) -> AnotherUser:
    """The user nobody has done `first`; `then`, with what came of it, follows when asked for."""
    return AnotherUser(first, then)
