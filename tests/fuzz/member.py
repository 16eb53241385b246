"""Targets: a member of a room, from the first byte that a client sends to the last. It is the real
one, with a real socket, and a real hub in this process; somebody else, eve, is there, too.
"""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from duplex.channel import plain
from duplex.channel.base import Channel
from duplex.channel.sniff import Sniffer
from duplex.client.outbox import Line
from duplex.protocol import commands
from duplex.protocol.nick import NickError, free_nick, prepare_nick, same_nick
from duplex.room import join
from duplex.room.keys import Keys
from duplex.room.member import Member
from duplex.room.rate import Rate
from duplex.system.address import banned_as
from duplex.transcript import record
from duplex.transcript.sanitize import safe

from .promise import Check, Target, is_safe_line, numbers, pieces
from .rooms import SECRET, OneRoom, are_told, reads
from .texts import TOKENS

OPERATOR, ENCODED, SLOWED, SNIFFED, VANISHES = 1, 2, 4, 8, 16  # bits of how it is done
MOMENT = 0.005  # s: who says a request that is refused, and ends, is waited for so long
PATIENCE = 4.0  # s for a member's last reader; an execution may take a little more
_NO_TIMING_MARK = b"\xff\xfc\x06"
_FAST = Rate(50_000, 3)  # lines a second: few at once, but none is waited for long
_NUMBER = 3


class _Poll:
    """A member's poll, which never waits: instead all others have their turn."""

    def __init__(self, others: Callable[[], None]) -> None:
        self._others = others
        self._poll = select.poll()
        self.register, self.unregister = self._poll.register, self._poll.unregister

    def poll(self, _milliseconds: float | None = None) -> list[tuple[int, int]]:
        self._others()
        return self._poll.poll(0)


class _Member(Member):
    """Remembers what it told a stranger."""

    stranger = b""

    def waits_by(self, others: Callable[[], None]) -> None:
        self._poll = _Poll(others)  # type: ignore[assignment]
        for fd, mask in self._wanted.items():
            self._poll.register(fd, mask)

    def _refuse(self, reply: bytes) -> None:
        self.stranger = reply
        super()._refuse(reply)


class _Visit:
    """One client that says all this, reads all it is sent, and ends, or vanishes."""

    def __init__(self, room: OneRoom, how: int) -> None:
        self._room = room
        self._how = how
        self._operator = bool(how & OPERATOR)
        pair = room.arrives(0 if self._operator else _NUMBER, operator=self._operator)
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        receiver = plain.Receiver()
        if how & SNIFFED:
            receiver.sniffer = Sniffer()
        name = "sealed" if how & ENCODED else plain.NAME
        channel = Channel(plain.Sender(), receiver, name)
        self._member = _Member(pair, self._ours, channel, operator=self._operator)
        self._heard = b""
        self._vanished = False

    def take_place(self, said: bytes, sizes: bytes) -> None:
        seat = self._room.hub.seats.get(0 if self._operator else _NUMBER)
        assert seat
        if self._how & SLOWED:
            seat.rate = Rate(_FAST.lines, 3)
        self._member.begin()
        self._waiting = [*pieces(said, sizes)][::-1]
        self._member.waits_by(self._others_do_something)
        while not self._member._done:
            if self._member._only_listens:
                self._member.listen()
            self._member.turn()
        self._end()
        self._room.look(operator=self._operator)
        self._look()

    def _others_do_something(self) -> None:
        self._say(self._waiting)
        self._room.turn()
        self._read()

    def _say(self, waiting: list[bytes]) -> None:
        if self._vanished:
            return
        try:
            if waiting:
                piece = waiting.pop()
                if rest := piece[self._theirs.send(piece) :]:
                    waiting.append(rest)
            elif self._how & VANISHES:
                self._theirs.close()
                self._vanished = True
            else:
                self._theirs.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            waiting.append(piece)
        except OSError:  # nobody listens any more
            waiting.clear()

    def _read(self) -> None:
        if not self._vanished:
            self._heard += reads(self._theirs)[0]

    def _end(self) -> None:
        """It waits for its client, which so reads in a thread of its own."""
        if not self._vanished:
            with suppress(OSError):
                self._theirs.shutdown(socket.SHUT_WR)
            self._theirs.settimeout(PATIENCE)
        reader = threading.Thread(target=self._read)
        reader.start()
        self._member.end()
        self._member.pair.close()
        self._ours.close()
        if own := self._member._filter:
            own._ours.close()
        self._room.rests()  # the hub lets go of the connection, which only then ends
        reader.join(PATIENCE)
        assert not reader.is_alive(), "the connection does not end"
        self._theirs.close()

    def _look(self) -> None:
        assert not self._room.told, f"a member of ours: {self._room.told}"
        heard = self._heard.replace(_NO_TIMING_MARK, b"")
        if self._member.stranger and heard.endswith(self._member.stranger):
            heard = heard.removesuffix(self._member.stranger)
        if self._vanished:
            heard = heard[: heard.rfind(b"\n") + 1]
        are_told(heard)


def _is_address(typed: str) -> None:
    """Whether it is one or not: what it stands for is its own one form."""
    with suppress(ValueError):
        assert banned_as(banned_as(typed)) == banned_as(typed)


def _member(directory: Path) -> Check:
    join.MOMENT = join.OPERATORS_MOMENT = MOMENT
    key = Keys(SECRET).key("ann", 7).encode()

    def check(data: bytes) -> None:
        (how, size), said = numbers(data, 2)
        room = OneRoom(directory)
        _Visit(room, how).take_place(said.replace(_KEY, key), bytes([size]) if size else b"")
        room.close()

    return check


def _commands(_directory: Path) -> Check:
    """What a line means, to the member and to its client, and what may be a nick or an address."""

    def check(data: bytes) -> None:
        for line in safe(data).split(b"\n")[:-1]:
            name, argument = commands.split(line)
            assert b"\n" not in argument
            assert name == name.lower()
            if name:
                assert line.startswith(b"/")
                assert not line.startswith(b"//")
            elif not line.startswith(b"/"):
                assert argument == line
            kept = Line(line + b"\n")
            assert kept.text == (None if name else argument)
            given = argument.decode()
            _is_address(given)
            try:
                nick = free_nick(given)
            except NickError as error:
                is_safe_line(str(error))
                continue
            is_safe_line(nick)
            assert 1 <= len(nick) <= record.NICK_LIMIT
            assert not re.search(r"[<>\s]|^[-/!*]", nick)
            assert prepare_nick(nick) == nick
            assert safe(f"{nick}\n".encode()) == f"{nick}\n".encode(), "a client reads another"
            assert same_nick(same_nick(nick)) == same_nick(nick)

    return check


_KEY = b"KEY"  # stands for one that is right, for ann
_RESUME = b"/resume ann KEY 0\n"
_SEEDS = [
    [
        b"\0\0",
        b"hello\n",
        b"/nick ann\n",
        b"/who\n",
        b"/me waves\n",
        b"/msg eve psst\n",
        b"/quit\n",
    ],
    [
        b"\0\0",
        b"/join ann\n",
        b"hi\n",
        b"/history 3\n",
        b"/nick Ann\n",
        b"//x\n",
        b"/help\n",
        b"bye",
    ],
    [b"\0\0", _RESUME, b"back\n", b"/nick bob\n", b"/msg ann x\n", b"/history\n", b"\xff\xfd\x06"],
    [b"\2\7", b"/resume eve KEY 0\n", b"/join eve\n", b"/nick EVE\n", b"/nick host\n"],
    [b"\2\0", b"/numbers\n", b"/join ann\n", b"hi\n", b"/who\n", b"/history\n", b"/nick z\n"],
    [b"\0\5", b"hi\n", b"/who\n", b"/numbers\n", b"/join ann\n", b"/join b\n", _RESUME],
    [b"\6\3", b"hi\n", b"/numbers\n", _RESUME, b"x\n", b"/who\n", b"1\n2\n", b"3\n4\n"],
    [b"\1\0", b"/join\n", b"/kick eve out\n", b"/ban 127.0.0.1\n", b"/bans\n", b"/unban ::1\n"],
    [b"\1\0", b"/kick guest-3\n", b"/close so late\n", b"/kick host\n", b"/nick x\n", b"/ban\n"],
    [b"\4\0", b"/nick ", "größe ｅｖｅ e\u0301ve ß".encode(), b"\n", b"/msg a b\n", b"/ME x\n"],
    [b"\10\4", b"GET / ", b"HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n"],
    [b"\x14\0", b"1\n2\n3\n4\n5\n", b"/who\n", b"6\n7\n8\n", b"/help\n", b"9"],
    [b"\x10\6", b"/numbers\n/join ann\n", b"1\n2\n3\n", b"/nick b\n", b"4\n", b"5"],
]
_MARKS: list[str | bytes] = [
    *(b"/", b"//", b"/nick ", b"/join ", b"/resume ", b"/msg ", b"/history ", b"/kick ", b" "),
    *(_RESUME, b"KEY", b"eve", b"host", b"guest-3", b"ann", b"<", b">", b"! ", b"-", b"* "),
    *(
        "ｅｖｅ",
        "ＥＶＥ",
        "e\u0301",
        "\u0344" * 8,
        "İ",
        "ß",
        "\u0130\u0307",
        "\u3000",
        "a\u00adb",
        "١",
        "²",
    ),
]
_SAID = [mark.encode() if isinstance(mark, str) else mark for mark in _MARKS]

TARGETS = [
    Target("member", _member, _SEEDS, [*_SAID, *TOKENS], 3_000),
    Target("commands", _commands, [seed[1:] for seed in _SEEDS], [*_SAID, *TOKENS], 90_000),
]
