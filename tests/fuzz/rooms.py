"""A room for one input: the real hub, in this process, turn by turn, with eve in it, and a server
that only listens. Nothing in it waits, so one thread is enough for all who take part.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
from contextlib import suppress
from pathlib import Path

from duplex.channel.protection import Protection
from duplex.cli import room as options
from duplex.client.follower import RECORD_LIMIT
from duplex.protocol import requests
from duplex.protocol.nick import HOST, prepare_nick, same_nick
from duplex.protocol.requests import Reply
from duplex.room.files import Files
from duplex.room.hub import Hub
from duplex.room.room import Room
from duplex.system.address import banned_as
from duplex.transcript import record

from .promise import STAMP, are_safe_lines, is_safe_line

EVE = "eve"
SECRET = b"s" * 32
TURNS = 20_000  # of the hub for one input: it is at rest long before
_ADDED = 4096  # bytes that an answer may be longer than a record
_RECORD = re.compile(rf"{STAMP} .*")
_TO_CLIENT = re.compile(rf"(?:! |-\S+- |{STAMP} ).*")
_EVENT = re.compile(
    r"(\S+) (?:entered the room \(.*\)|is back \(.*\)|is now (\S+)|left|was dropped \(.*\))"
)
_KICKED = re.compile(r"\S+ was kicked by host(: .*)?")
_OF_OPERATORS = (requests.BAN, requests.UNBAN, requests.CLOSES)
_NOTES = (requests.SEATED, requests.OVER, requests.NOTICE, requests.BEAT)


class _Hub(Hub):
    """Remembers what it would have told whoever keeps the room."""

    told: list[str]

    def tell_operator(self, text: str) -> None:
        is_safe_line(text)
        self.told.append(text)

    def log(self, event: str) -> None:
        is_safe_line(event)


class OneRoom:
    """`told` is what its operator was; `arrives` seats a member, `turn` is one of the hub's."""

    def __init__(self, directory: Path) -> None:
        for old in directory.glob("room.log*"):
            old.unlink()
        path = str(directory / "room.log")
        parser = argparse.ArgumentParser()
        options.add_arguments(parser)
        given = parser.parse_args(
            ["5000", "--log", path, "--rate", "0", "--history", "5", "--plain"]
        )
        given.keeper = "nobody"
        self._room = Room(given, 5000, Files(path), Protection())
        self._room.secret = SECRET
        self._server, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.setblocking(False)
        self.hub = _Hub(self._room, theirs)
        self.told = self.hub.told = []
        self._hubs = theirs
        poll = self.hub.loop.poll
        self.hub.loop.poll = lambda _seconds: poll(0)  # type: ignore[method-assign]
        self.eve = Client(self)
        self.eve.asks(requests.request(requests.HELLO), self.eve.hubs)
        self.eve.asks(requests.request(requests.JOIN, 0, EVE))
        self._begun = self.hub.transcript.end
        self._said_by_eve: set[int] = set()  # offsets

    def arrives(self, number: int, *, operator: bool = False) -> socket.socket:
        """The member's end of its pair."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        known = "127.0.0.1", "127.0.0.1:5", str(os.getpid()), "operator" if operator else ""
        self.hub._seat(theirs, number, *known)
        return ours

    def turn(self) -> None:
        self.hub._turn()
        self.eve.reads()

    def rests(self) -> None:
        """Until the hub has nothing more to do at once."""
        for _ in range(TURNS):
            self.turn()
            if not (self.hub._waiting or self.hub.clients.busy or self.hub.clients.blocked):
                return
        raise AssertionError("the hub does not come to rest")

    def look(self, *, operator: bool) -> None:
        """At what the others and the server got to see, and at what is recorded."""
        self.rests()
        self._look_at_notes(operator)
        transcript = self.hub.transcript
        written = transcript.read(0, transcript.end)
        assert len(written) == transcript.end == os.fstat(transcript.fd).st_size
        offset = self._begun
        for line in are_safe_lines(written[offset:], RECORD_LIMIT):
            if offset not in self._said_by_eve:
                _is_of_strangers(line, operator)
            offset += len(line) + 1
        heard = are_told(self.eve.heard)
        records = b"".join(line + b"\n" for line in heard if _RECORD.fullmatch(line.decode()))
        if self.eve.is_here:
            assert records == written, "eve was not sent what is recorded"
        else:
            assert operator, "anybody may have somebody go"
            assert written.startswith(records)

    def goes_on(self) -> None:
        """Eve says something, and is heeded."""
        self.rests()
        start = self.hub.transcript.end
        said = self.eve.asks(requests.said(b"still here\n", 1))
        assert said.word == requests.OK
        written = self.hub.transcript.read(start, self.hub.transcript.end)
        assert written.endswith(b" <eve> still here\n")
        self._said_by_eve.add(self.hub.transcript.end - len(written.splitlines(True)[-1]))

    def _look_at_notes(self, operator: bool) -> None:
        with suppress(BlockingIOError):
            while True:
                kind, _, words = requests.read_note(self._server.recv(requests.LIMIT))
                for word in words:
                    is_safe_line(word)
                if kind in _OF_OPERATORS:
                    assert operator, "anybody may tell the server"
                    assert kind == requests.CLOSES or banned_as(words[0]) == words[0]
                else:
                    assert kind in _NOTES, f"nothing that the server could do: {kind!r}"

    def close(self) -> None:
        for seat in self.hub.seats:
            self.hub.seats.drop(seat)
        self.eve.close()
        self._server.close()
        self._hubs.close()
        self._room.sign.close()
        self.hub.loop._epoll.close()
        for fd in self._room.files.descriptors.values():
            os.close(fd)


class Client:
    """Eve: her member and her client in one."""

    def __init__(self, room: OneRoom) -> None:
        self._room = room
        self._pair = room.arrives(1)
        self._client, self.hubs = socket.socketpair()
        self._client.setblocking(False)
        self.hubs.setblocking(False)
        self.heard = b""
        self.is_here = True

    def asks(self, request: bytes, own: socket.socket | None = None) -> Reply:
        """`own` goes along, and is closed here."""
        if own:
            socket.send_fds(self._pair, [request], [own.fileno()])
            own.close()
        else:
            self._pair.send(request)
        for _ in range(TURNS):
            self._room.hub._turn()
            with suppress(BlockingIOError):
                return Reply(self._pair.recv(requests.LIMIT))
        raise AssertionError("no reply")

    def reads(self) -> None:
        data, ended = reads(self._client)
        self.heard += data
        self.is_here = self.is_here and not ended

    def close(self) -> None:
        self._pair.close()
        self._client.close()


def reads(sock: socket.socket) -> tuple[bytes, bool]:
    """What there is, and whether it is all there will ever be."""
    heard = b""
    try:
        while data := sock.recv(1 << 20):
            heard += data
    except BlockingIOError:
        return heard, False
    except OSError:
        pass
    return heard, True


def are_told(heard: bytes) -> list[bytes]:
    """The lines that a client was sent: safe, and each a record or an answer."""
    lines = are_safe_lines(heard, RECORD_LIMIT + _ADDED)
    for line in lines:
        assert _TO_CLIENT.fullmatch(line.decode()), f"neither a record nor an answer: {line!r}"
    return lines


def _is_of_strangers(line: bytes, operator: bool) -> None:
    """A record of someone who has come, and of nobody else."""
    parts = record.parse(line)
    assert parts, f"no record: {line!r}"
    text = parts.text.decode()
    if parts.nick is not None:
        names = [parts.nick.decode()]
    elif operator and _KICKED.fullmatch(text):
        return
    else:
        event = _EVENT.fullmatch(text)
        assert event, f"no event of a member's: {line!r}"
        names = [name for name in event.groups() if name]
    for name in names:
        assert prepare_nick(name) == name, f"not a nick as it is written: {name!r}"
        assert same_nick(name) != EVE, "said in somebody else's name"
        assert operator or same_nick(name) != HOST, "said in the host's name"
