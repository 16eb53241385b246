"""Targets: a client of a room that lies. Its child reads whatever bytes a server sends; what it
then reports goes to its parent, and what that shows to the screen. All of them are the real ones;
the sockets and the descriptors between them are not.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from duplex.channel import plain
from duplex.client.detect import Undecided
from duplex.client.follower import RECORD_LIMIT, Following
from duplex.client.incoming import LIVE, RoomState
from duplex.client.outbox import Disagreement, Outbox
from duplex.client.ownership import Ownership
from duplex.client.participant import Participant
from duplex.client.tracker import KNOWN
from duplex.talk.child import Child
from duplex.talk.report import Output, Report
from duplex.talk.session import Session
from duplex.terminal.paint import Painter
from duplex.terminal.room_view import RoomView
from duplex.terminal.talk_view import TalkView
from duplex.transcript import record
from duplex.transcript.recording import Recording
from duplex.transcript.sanitize import safe
from duplex.transcript.wrap import width_of

from .promise import STAMP, Check, Target, are_safe_lines, is_safe_line, numbers, pieces
from .texts import TOKENS

CUT = b"\0cut\0"  # in an input: the connection is lost here, and made again
COLUMNS = 80  # of its terminal
FEW = 100  # lines said: of more, the size is looked at only once
ADDED = 4096  # bytes that a line shown may be longer than a record
# What a child may report (client/follower.py, talk/report.py).
_REPORT = re.compile(
    r"\.(begun|pair|current|late|bye|left|stopped|connection)"
    r"|\.(refused|anew|over|lost|tampered) .*|\.answer ([0-9a-f]{2})+|!.*"
    r"|\.kept .*|\.welcome \d+ \d+ [^ ]+ .+|\.joined [^ ]+ [^ ]+ \d+ .+|\.renamed [^ ]+ [^ ]+"
)
_LINE = re.compile(f"{STAMP} .*|[=~].*".encode())  # what is handed on: a record, or marked


class _Socket:
    """Takes everything, and is nobody's."""

    family = socket.AF_UNIX

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def send(self, data: bytes) -> int:
        return len(data)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class _Child(Child):
    """The other of the two, which is told what it is."""

    def __init__(self, told: list[str]) -> None:
        self.reports = True
        self.handed = []
        self._told = told

    def tell(self, what: str) -> None:
        self._told.append(what)


class _Report(Report):
    """Where the child tells its parent, who hears it at once."""

    def __init__(self, fd: int, hear: Callable[[bytes], None]) -> None:
        self.fd = fd
        self._hear = hear

    def tell(self, line: str) -> None:
        is_safe_line(line)
        assert _REPORT.fullmatch(line), f"not a report: {line!r}"
        self._hear(line.encode())


class _Output(Output):
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def write(self, data: bytes) -> None:
        self._take(data)


class _Recording(Recording):
    def record(self, records: bytes) -> None:
        for line in are_safe_lines(records, RECORD_LIMIT + ADDED):
            assert record.HEAD.match(line) or re.match(STAMP.encode(), line), "not a record"


class Client:
    """Both processes of a `duplex connect`, as one."""

    def __init__(self, fd: int, *, on_screen: bool, operates: bool) -> None:
        sock = cast(socket.socket, _Socket(fd))
        options = argparse.Namespace(
            peer="server",
            nick="ann",
            explicit=operates,
            plain=True,
            **dict.fromkeys(("verbatim", "both", "keep", "stays"), False),
        )
        more: Any = (None, None, None)
        self.parent = Session(sock, plain.channel(), "server:5000", options, *more)
        reconnect: Any = object()
        self.parent.policy = Undecided(self.parent, b"", reconnect, None)
        self.parent.tell = is_safe_line  # type: ignore[method-assign]
        self._told: list[str] = []
        self.parent.child = _Child(self._told)
        self.parent.on_screen = on_screen
        self._painter = Painter(lambda: COLUMNS)
        self._view = TalkView(self.parent, self._painter)
        self._sock = sock
        report = _Report(fd, self._hear)
        show = self._hand_on if on_screen else lambda lines, _: self._shown(lines)
        self.child = Following(
            *(sock, plain.Receiver(), "server", _Recording(None, report.warn), show, report),
            begun=b"2026-11-23T23:34:31.123Z * connected\n",
            reconnect=None,
            pending=None,
            on_screen=on_screen,
            verbatim=False,
        )
        self.child._told = lambda: f"{self._told[-1]}\n".encode()  # type: ignore[method-assign]
        self.child._stream._to_parent = _Output(self._handed_on)
        self.child._stream._to_stdout = None if on_screen else _Output(self._shown)

    def is_sent(self, data: bytes, size: int) -> None:
        """All of its connections, one after another."""
        child, parent = self.child, self.parent
        for number, part in enumerate(data.split(CUT)):
            if number:
                child._receiver, child._greeting = plain.Receiver(), b""
                parent.child.handed = [socket.socketpair()[0]]
                child._report.tell(".connection")
            if not self._until_end(part, size) or not child._in_room or child._stream.over:
                return

    @property
    def room(self) -> RoomState:
        """What the parent knows of the room."""
        return cast(Participant, self.parent.policy).room

    def close(self) -> None:
        self.parent.connection.close()

    def _until_end(self, data: bytes, size: int) -> bool:
        """One connection, to its end; whether it was not refused."""
        child = self.child
        ending = ""
        for piece in pieces(data, bytes([size])):
            ending = child._take_or_refuse(piece)
            if ending or self.parent.ending:
                break
        if not ending:
            child._end(cut_off=size % 2 == 1)
            ending = ".lost connection reset"
        child._report.tell(ending)
        return not ending.startswith(".refused")

    def _hand_on(self, _lines: bytes, records: bytes) -> None:
        self._handed_on(records)

    def _handed_on(self, lines: bytes) -> None:
        for line in are_safe_lines(lines, RECORD_LIMIT + ADDED):
            assert _LINE.fullmatch(line), f"not to be handed on: {line!r}"
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        parent = self.parent
        if parent.ending:
            return
        shown = parent.on_report(line)
        room = parent.policy
        if isinstance(room, Participant):
            if not isinstance(self._view, RoomView):
                self._view = RoomView(self.parent, room.room, self._painter)
            assert len(room.room.people.nicks) <= KNOWN
        if shown:
            self._on_screen(self._view.painted(shown).removesuffix(b"\a"))
            is_safe_line(self._view.bar())
            self._view.candidates("a")
            "".join(map(is_not_harmful, self._view.pending()))
        if parent.ending:
            is_safe_line(parent.ending.text)

    def _on_screen(self, rows: bytes) -> None:
        self._shown(rows)
        for row in rows.decode().split("\n"):
            assert width_of(row) <= COLUMNS, f"a row is wider than the terminal: {row!r}"
            assert not row or row[0] in "─ 0123456789", f"a row begins at the edge: {row!r}"

    def _shown(self, lines: bytes) -> None:
        are_safe_lines(lines, RECORD_LIMIT + ADDED)


def is_not_harmful(line: str) -> str:
    is_safe_line(line)
    return ""


def _following(_directory: Path) -> Check:
    os.environ["NO_COLOR"] = "1"  # so that what is shown holds no control characters of ours
    fd = os.open(os.devnull, os.O_RDWR)

    def check(data: bytes) -> None:
        (how, size), said = numbers(data, 2)
        client = Client(fd, on_screen=bool(how & 1), operates=bool(how & 2))
        if how & 4:
            client.parent.policy.say(b"hello\n/nick bob\n/who\nhello\n")
        if how & 8:
            said = _WELCOME + said
        client.is_sent(said, size)
        client.close()

    return check


def _room(_directory: Path) -> Check:
    """The outbox and what crosses off its lines, in any order; each line begins with a number."""

    def check(data: bytes) -> None:
        box = Outbox()
        gone: list[object] = []
        heard = RoomState(box, gone.extend)
        heard.be_called("ann")
        heard.presence = LIVE
        said = 0
        for raw in data.split(b"\n"):
            (kind,), rest = numbers(raw, 1)
            line = safe(rest + b"\n").partition(b"\n")[0]
            kind %= 12
            if kind < 2:
                box.say(line + b"\n")
                said += 1
            elif kind == 2:
                box.ask(line + b"\n") if line else heard.ask_who()
                said += 1
            elif kind == 3:
                box.take(len(line) * 8)
            elif kind == 4:
                with suppress(Disagreement):
                    heard.own_record(line)
            elif kind == 5:
                heard.record(line)
            elif kind < 9:
                heard.private(line)
            elif kind == 9:
                gone += box.lost(len(line))
            elif kind == 10:
                box.say_again()
            else:
                gone += box.give_up()
            assert len(box._sent) + len(box._waiting) <= said
            assert len(heard.people) >= len(heard.people.nicks)
            if said < FEW:
                _is_right(box)
        _is_right(box)
        while box.take(1 << 20):
            pass
        assert not box._waiting

    return check


def _is_right(box: Outbox) -> None:
    lines = [*box._sent, *box._waiting]
    assert sum(len(left.wire) for left in lines) == box._size, "the size is wrong"


def _mine(_directory: Path) -> Check:
    """Which records are one's own does not depend on how many come at once."""

    def check(data: bytes) -> None:
        (size, end), rest = numbers(data, 2)
        records = b"".join(line + b"\n" for line in safe(rest).split(b"\n")[:-1] if line)
        at_once = _owned(records, [len(records)], 9 * end)
        lines = [len(line) + 1 for line in records.split(b"\n")[:-1]]
        few = size % 5 + 1
        together = [sum(lines[at : at + few]) for at in range(0, len(lines), few)]
        assert _owned(records, together, 9 * end) == at_once, "it matters how many come at once"

    return check


def _owned(records: bytes, sizes: list[int], end: int) -> list[tuple[bool, bytes]]:
    """Each line, and whether it is one's own."""
    mine = Ownership()
    at = records.find(b"\n", end) + 1
    mine.joined(b"ann", at, resumed=False)
    found, offset = [], 0
    for size in sizes:
        given = b""
        for own, part in mine.split(records[offset : offset + size], offset):
            given += part
            found += [(own, line) for line in part.split(b"\n")[:-1]]
        assert given == records[offset : offset + size], "records are missing, or others"
        offset += size
    return found


_WELCOME = b"! welcome to room 5000: you are guest-1, 3 are here; /help lists the commands\n"
_JOINED = b"! joined 5000 as ann: key 00ff, offset 0, end %d, 3 are here\n"
_AT = b"2026-11-23T23:34:31.123Z "
_ENTERED = _AT + b"* ann entered the room (127.0.0.1:1)\n"
_LINES = [
    *(_AT + b"<ann> hello\n", _AT + b"<bob> ann: hi\n", _AT + b"* ann is now bob\n"),
    *(_AT + b"* bob is now ann\n", _AT + b"* ann left\n", _AT + b"* the room closed: late\n"),
    *(_AT + b"* eve was dropped (connection lost)\n", _AT + b"* ann is back (127.0.0.1:2)\n"),
    *(b"9999-99-99T99:99:99.999Z <x> y\n", b"0000-00-00T00:00:00.000Z * z\n", _AT + b"<> \n"),
    *(
        b"-bob- psst\n",
        b"! 3 are here: ann, bob, eve\n",
        b"! and: dan\n",
        b"! not recorded: full\n",
    ),
    *(b"! numbered from line 1\n", b"! [3] you are bob now: key 00fe\n", b"! [4+] 1 is here: a\n"),
    *(b"! at 0: 1-2\n", b"! at 39: 2\n", b"! at 39\n", b"! [9] not recorded: full\n", b"! [1] \n"),
    *(b"! there is no command /numbers; so\n", b"! at %d: 0-%d\n" % (10**17, 10**17)),
    *(b"! you are bob now: key 00fe\n", b"! you are ann now\n", b"! not resumed: gone\n"),
    *(b"! there is no command /join; so\n", b"! you were kicked by host: \x1b[31m\n", b"!\n"),
    *(b"! slowly: 20 lines a second; all will be said\n", b"! no\n", b"=own\n", b"~not\n"),
    *(b".joined ann 00 3 5000\n", b".connection\n", b"!! banned: 127.0.0.1\n", b"\n", b". \n"),
    *(b"! your address is banned\n", b"! the room is full: 9\r.connection\n", CUT, _WELCOME),
    *(b"! joined x\xc2\xa0y as a\xc2\xa0b: key k\xe2\x80\x83, offset 9, end 5, 1 is here\n",),
    *(_JOINED % 0, _JOINED % 76, _JOINED % 10**30, _ENTERED, b"! you are a\xc2\xa0b now: key c\n"),
]
_TALKS = [
    [b"\x0d\0", _JOINED % 0, _ENTERED, *_LINES[:6]],
    [b"\x0d\0", _JOINED % (len(_LINES[0]) * 2), *_LINES[:2], _ENTERED, *_LINES[11:16]],
    [b"\x09\7", _JOINED % 0, _ENTERED, _LINES[1], CUT, _WELCOME, _JOINED % 76, *_LINES[7:9]],
    [b"\x0c\1", _JOINED % 0, _ENTERED, *_LINES[9:24]],
    [b"\x0c\1", b"! numbered from line 1\n", _JOINED % 0, b"! at 0: 2\n", _ENTERED, b"! at 4\n"],
    [b"\x0b\5", b"! there is no command /join; /help lists them\n", *_LINES[:3]],
    [b"\5\0", b"hello\n", b"I am no room\n", b"\xff\xfd\x06", b"bye\n"],
    [b"\1\0", b"! the room is full: 9 are here (--max-members)\n"],
    [b"\0\3", b"! ", b"a person who begins so\n", b"quit\n"],
    [b"\5\0", b"! welcome to room ", b"\x1b[31m", b": you are ann, ", b"1", b" is here; \n"],
]
_ALL = [
    b"\xff\xfd\x06",
    b"bye\n",
    b"9" * 5000,
    b": key ",
    b", offset ",
    b" as ",
    b"! ",
    _AT,
    *TOKENS,
]
_ACTS = [
    *(b"\0hello\n", b"\0/nick bob\n", b"\0/msg bob x\n", b"\0/me waves\n", b"\2\n", b"\3xxxx\n"),
    *(b"\4" + _AT + b"<ann> hello\n", b"\4" + _AT + b"* ann is now bob\n", b"\x0a\n", b"\x09xx\n"),
    *(b"\5" + _AT + b"<bob> ann: hi\n", b"\5" + _AT + b"* eve left\n", b"\x0b\n"),
    *(b"\6! 3 are here: ann, bob\n", b"\6! and: eve\n", b"\7! not recorded: full\n", b"\6! no\n"),
    *(b"\6! numbered from line 3\n", b"\6! at 39: 1-3\n", b"\6! [2] no\n", b"\6! [2+] x\n"),
    *(b"\6! [1] not recorded: full\n", b"\6! [3] 1 is here: ann\n", b"\6! at 7\n"),
    *(b"\6-bob- psst\n", b"\6! you are bob now\n", b"\6! %d are here: x\n" % 10**30),
]

TARGETS = [
    Target("following", _following, _TALKS, [*_LINES, *_ALL], 50_000),
    Target("heard", _room, [_ACTS, _ACTS[:6], _ACTS[::2]], [*_ACTS, *TOKENS], 90_000),
    Target(
        "mine",
        _mine,
        [[b"\0\7", _ENTERED, *_LINES[:6]], [b"\1\0", *_LINES[:11]]],
        [*_LINES[:11], b"ann", b"bob", b" is now ", b"* "],
        130_000,
    ),
]
