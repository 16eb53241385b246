"""Targets: a member of a room, from the first byte that a client sends to the last. It is the real
one, with a real socket, roster and transcript, in this process; somebody else, eve, is there, too.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
from contextlib import suppress
from pathlib import Path

from duplex.room.mailbox import Mailbox

from duplex.channel import protection
from duplex.cli import room as options
from duplex.client.follower import RECORD_LIMIT
from duplex.client.outbox import Line
from duplex.protocol import commands
from duplex.protocol.nick import HOST, NickError, free_nick, prepare_nick, same_nick
from duplex.room import join, page, room
from duplex.room.files import Files
from duplex.room.member import Member
from duplex.system.address import banned_as
from duplex.transcript import record
from duplex.transcript.sanitize import safe

from .promise import STAMP, Check, Target, are_safe_lines, is_safe_line, numbers
from .texts import TOKENS

EVE = "eve"
_ADDED = 4096  # bytes that an answer may be longer than a record
_TO_CLIENT = re.compile(rf"(?:! |-\S+- |{STAMP} ).*")
_EVENT = re.compile(r"(\S+) (?:entered the room \(.*\)|is back \(.*\)|is now (\S+)|left)")
_LETTER = re.compile(r"-(-\S+- .*)|k(.*)|t")
_WISH = re.compile(r"(?:ban|unban) \d+ (.+)|bans \d+ .*|close \d+ (.*)")
_NO_TIMING_MARK = b"\xff\xfc\x06"
SECRET = b"s" * 32
MOMENT = 0.005  # s: who says a request that is refused, and ends, is waited for so long


class _Room:
    """A room with eve in it, and what one client after another does there."""

    def __init__(self, directory: Path) -> None:
        join.MOMENT = join.OPERATORS_MOMENT = MOMENT
        self._path = str(directory / "room.log")
        secret = Path(f"{self._path}.key")
        secret.write_bytes(SECRET)
        secret.chmod(0o600)
        parser = argparse.ArgumentParser()
        options.add_arguments(parser)
        arguments = ["5000", "--log", self._path, "--rate", "0", "--history", "5", "--plain"]
        files = Files(self._path)
        self._transcript = files.transcript
        self._room = room.Room(parser.parse_args(arguments), 5000, files, protection.Protection())
        self._room.tell_log = is_safe_line  # type: ignore[method-assign]
        self._control = self._room.roster.open_control()
        self._mailbox = Mailbox()
        seat = self._seat(0, EVE)
        seat.session = 9
        seat.mailbox = self._mailbox.number
        self._room.roster.take(seat, EVE)
        self._room.page.here = 1

    def key(self) -> bytes:
        return self._room.keys.key("ann", 7).encode()

    def serve(self, said: bytes, *, operator: bool) -> None:
        """One client that says all this, reads all it is sent, and ends."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        seat = self._seat(1, "")
        member = Member(self._room, self._transcript, ours, seat, 3, operator=operator)
        assert member._arrival
        member._arrival.welcome()
        member._send()
        heard = b""
        while not member._has_ended():
            said = _says(theirs, said)
            member._turn()
            heard += _reads(theirs)
        heard += _reads(theirs)
        theirs.close()
        member._part()
        self._look_at(heard, operator)
        member.close()
        ours.close()
        seat.clear()
        self._room.page.here = 1

    def _seat(self, index: int, nick: str) -> page.Seat:
        seat = self._room.page.seat(index)
        seat.take("127.0.0.1:5", page.HERE if nick else page.COMING)
        if nick:
            seat.nick = nick
        return seat

    def _look_at(self, heard: bytes, operator: bool) -> None:
        """What the client, the others and the host got to see, and what is recorded."""
        lines = are_safe_lines(heard.replace(_NO_TIMING_MARK, b""), RECORD_LIMIT + _ADDED)
        for line in lines:
            assert _TO_CLIENT.fullmatch(line.decode()), f"neither a record nor an answer: {line!r}"
        for letter in _letters(self._mailbox):
            kind = _LETTER.fullmatch(letter)
            assert kind, f"not a letter: {letter!r}"
            is_safe_line(letter)
            assert operator or not kind[2], "anybody may kick"
        for letter in _letters(self._control):
            wish = _WISH.fullmatch(letter)
            assert wish, f"nothing that the host could do: {letter!r}"
            assert operator, "anybody may tell the host"
            is_safe_line(letter)
            _is_address(wish[1] or "")
        end = self._room.page.watermark
        written = os.pread(self._transcript.fd, end + 1, 0)
        assert len(written) == end
        for line in are_safe_lines(written, RECORD_LIMIT):
            _is_own(line, operator)
        os.truncate(self._transcript.fd, 0)
        self._room.page.watermark = 0


def _is_address(typed: str) -> None:
    """Whether it is one or not: what it stands for is its own one form."""
    with suppress(ValueError):
        assert banned_as(banned_as(typed)) == banned_as(typed)


def _is_own(line: bytes, operator: bool) -> None:
    """A record of this client, and of nobody else."""
    parts = record.parse(line)
    assert parts, f"no record: {line!r}"
    if parts.nick is None:
        event = _EVENT.fullmatch(parts.text.decode())
        assert event, f"no event of a member's: {line!r}"
        names = [name for name in event.groups() if name]
    else:
        names = [parts.nick.decode()]
    for name in names:
        assert prepare_nick(name) == name, f"not a nick as it is written: {name!r}"
        assert same_nick(name) != EVE, "said in somebody else's name"
        assert operator or same_nick(name) != HOST, "said in the host's name"


def _says(sock: socket.socket, data: bytes) -> bytes:
    """What is left to be said; the end is said once."""
    try:
        if data:
            return data[sock.send(data) :]
        sock.shutdown(socket.SHUT_WR)
    except OSError:  # full, or it has been said, or nobody listens any more
        pass
    return data


def _reads(sock: socket.socket) -> bytes:
    heard = b""
    try:
        while data := sock.recv(1 << 20):
            heard += data
    except OSError:
        pass
    return heard


def _letters(mailbox: Mailbox) -> list[str]:
    found = []
    while letter := mailbox.take():
        found.append(letter.decode(errors="replace"))
    return found


def _member(directory: Path) -> Check:
    made = _Room(directory)
    key = made.key()

    def check(data: bytes) -> None:
        (how,), said = numbers(data, 1)
        made.serve(said.replace(_KEY, key), operator=how % 4 == 1)

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
    [b"\0", b"hello\n", b"/nick ann\n", b"/who\n", b"/me waves\n", b"/msg eve psst\n", b"/quit\n"],
    [b"\0", b"/join ann\n", b"hi\n", b"/history 3\n", b"/nick Ann\n", b"//x\n", b"/help\n", b"bye"],
    [b"\0", _RESUME, b"back\n", b"/nick bob\n", b"/msg ann x\n", b"/history\n", b"\xff\xfd\x06"],
    [b"\0", b"/resume eve KEY 0\n", b"/join eve\n", b"/nick EVE\n", b"/nick host\n"],
    [b"\0", b"/numbers\n", b"/join ann\n", b"hi\n", b"/who\n", b"/history\n", b"/nick z\n"],
    [b"\2", b"hi\n", b"/who\n", b"/numbers\n", b"/join ann\n", b"/join b\n", _RESUME],
    [b"\2", b"hi\n", b"/numbers\n", _RESUME, b"x\n", b"/who\n"],
    [b"\1", b"/join\n", b"/kick eve out\n", b"/ban 127.0.0.1\n", b"/bans\n", b"/unban ::1\n"],
    [b"\1", b"/kick guest-3\n", b"/close so late\n", b"/kick host\n", b"/nick x\n", b"/ban\n"],
    [b"\0", b"/nick ", "größe ｅｖｅ e\u0301ve ß".encode(), b"\n", b"/msg a b\n", b"/ME x\n"],
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
