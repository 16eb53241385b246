"""What the tests of protected talks share: both sides' options, and somebody in between."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support import DEADLINE, DUPLEX, Duo, Program, port_of
from tls_support import certificates

from duplex.channel import code

CODE = "walrus-dexterity-zookeeper-kangaroo"
WRONG = "walrus-dexterity-zookeeper-kayak"
DIFFER = "the codes differ, or somebody is in between"
CHANGED = "what came was changed on its way, or is not from the other side"
CUT_OFF = "cut off: the other side has not said that this is the end"


def environment(spoken: str | None = CODE) -> dict[str, str]:
    """This process's, with that code in it, or none."""
    kept = {name: value for name, value in os.environ.items() if name != "DUPLEX_CODE"}
    return kept if spoken is None else {**kept, "DUPLEX_CODE": spoken}


class Kind:
    """A way to protect a talk: the options of both sides, and what they say of it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        if kind == "code":
            self.listening = ["--code", "--host", "127.0.0.1"]
            self.calling = ["--code"]
            self.name_listening = self.name_calling = "encrypted, code"
        elif kind == "tls":
            certs = certificates()
            self.listening = ["--tls-cert", certs.cert("good"), "--tls-key", certs.key("good")]
            self.calling = ["--tls-ca", certs.cert("ca")]
            self.name_listening = "encrypted, TLS"
            self.name_calling = "encrypted, TLS, certificate of localhost"
        else:
            self.listening, self.calling = [], []
            self.name_listening = self.name_calling = "not encrypted"

    @property
    def spoken(self) -> str | None:
        """The code in the environment: there it means --code, so only where that is the kind."""
        return CODE if self.kind == "code" else None

    def listen(self, duo: Duo, *args: str, **options: Any) -> tuple[Program, int]:
        return duo.listen(*self.listening, *args, **{"env": environment(self.spoken), **options})

    def connect(self, duo: Duo, port: int, *args: str, **options: Any) -> Program:
        env = environment(self.spoken)
        return duo.connect(port, *self.calling, *args, **{"env": env, **options})


def call(duo: Duo, port: int, name: str, *args: str, spoken: str | None = CODE) -> Program:
    """A `duplex connect` in a directory of its own, where there is more than one."""
    command = [*DUPLEX, "connect", *args, "127.0.0.1", str(port)]
    return duo.start(command, name, env=environment(spoken if "--code" in args else None))


def code_file(directory: Path, spoken: str = CODE) -> str:
    path = directory / "code"
    path.write_text(f"{spoken}\n")
    path.chmod(0o600)
    return str(path)


def exactly(sock: socket.socket, count: int) -> bytes:
    """The next `count` bytes, or as many as there are before the end."""
    data = b""
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return data


def frame_of(sock: socket.socket) -> bytes:
    """The next frame of a code channel; b"" at the end."""
    length = exactly(sock, 2)
    return length + exactly(sock, int.from_bytes(length, "big")) if length else b""


@contextmanager
def hostile_listener() -> Iterator[tuple[socket.socket, int]]:
    """A socket at which the test itself answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        yield listener, listener.getsockname()[1]


def accepted(listener: socket.socket) -> socket.socket:
    sock, _ = listener.accept()
    sock.settimeout(DEADLINE)
    return sock


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Between:
    """Somebody between two who share a code, who carries the handshake and then does as told.

    `listener` and `caller` are the sockets to the two; their bytes are read a frame at a time.
    """

    def __init__(self, listener_port: int, call_at: Callable[[int], Program]) -> None:
        with hostile_listener() as (server, port):
            self.calling = call_at(port)
            self.caller = accepted(server)
        self.listener = socket.create_connection(("127.0.0.1", listener_port), DEADLINE)
        banner = self._carry(self.listener, self.caller, len(code.BANNER))
        hello = self._carry(self.caller, self.listener, len(code.HELLO) + 33)
        answer = self._carry(self.listener, self.caller, 33)
        proof = self._carry(self.caller, self.listener, 32)
        confirmation = self._carry(self.listener, self.caller, 32)
        self.from_caller = [hello, proof]
        self.from_listener = [banner, answer, confirmation]
        self._headed: set[socket.socket] = set()

    def _carry(self, source: socket.socket, to: socket.socket, count: int) -> bytes:
        data = exactly(source, count)
        to.sendall(data)
        return data

    def frame(self, source: socket.socket) -> bytes:
        """The next frame from there; with the first comes the stream's header."""
        header = b"" if source in self._headed else exactly(source, code.HEADER)
        self._headed.add(source)
        frame = header + frame_of(source)
        (self.from_caller if source is self.caller else self.from_listener).append(frame)
        return frame

    def close(self) -> None:
        self.caller.close()
        self.listener.close()


@contextmanager
def between(duo: Duo) -> Iterator[tuple[Program, Program, Between]]:
    """Two who share a code, and who is between them."""
    kind = Kind("code")
    listening, port = kind.listen(duo)
    middle = Between(port, lambda port: kind.connect(duo, port))
    try:
        yield listening, middle.calling, middle
    finally:
        middle.close()


class Tap:
    """Carries one connection, and keeps all that goes through it; `run` until both have ended."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE)
        self.port: int = self._listener.getsockname()[1]
        self._target = port
        self.to_listener = bytearray()
        self.to_caller = bytearray()
        self.damages = False  # a bit of what goes to the listener

    def run(self, until: Callable[[], object] = lambda: False) -> None:
        """Then nothing more is carried, and both sides see an end that nobody has said."""

        def kept(to: socket.socket, data: bytes) -> bytes:
            into = self.to_listener if to is listener else self.to_caller
            into += data
            if self.damages and to is listener:
                return data[:-1] + bytes([data[-1] ^ 1])
            return data

        with (
            self._listener,
            accepted(self._listener) as caller,
            socket.create_connection(("127.0.0.1", self._target), DEADLINE) as listener,
        ):
            carry(caller, listener, until, kept)


def carry(
    one: socket.socket,
    other: socket.socket,
    until: Callable[[], object],
    passing: Callable[[socket.socket, bytes], bytes] = lambda _to, data: data,
) -> None:
    """What each says goes to the other as `passing` has it, until then or until both have ended."""
    ways = {one: other, other: one}
    while ways and not until():
        for source in select.select(list(ways), [], [], 0.01)[0]:
            to = ways[source]
            if data := source.recv(65536):
                to.sendall(passing(to, data))
            else:
                del ways[source]
                end(to)
    for source in ways:
        end(source)
    for source in ways:
        while source.recv(65536):
            pass


def end(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


__all__ = ["CHANGED", "CODE", "CUT_OFF", "DIFFER", "WRONG", "Between", "Kind", "Tap", "between"]
__all__ += ["accepted", "call", "carry", "code_file", "end", "environment", "exactly", "frame_of"]
__all__ += ["hostile_listener", "port_of", "reset"]
