"""The parent of `duplex connect` in a room: what is said, what is heard, and when to go.

What is typed goes through an outbox, from which a line is gone only when the room has recorded it.
So a connection that is lost, and made again by the child (follower.py), loses and doubles nothing.
resuming.py knows the ways in; what is reported here stands in follower.py.

This file knows no wire format, no terminal, and nothing of connections.
"""

from __future__ import annotations

import re
import socket
import time

from duplex.client.outbox import Disagreement
from duplex.client.resuming import AWAY, LIVE, Resuming
from duplex.protocol import commands
from duplex.protocol.messages import read_answer
from duplex.system.errors import EXIT_FAILURE, EXIT_OK
from duplex.talk import words
from duplex.talk.ending import Ending
from duplex.talk.parting import ACK_EVERY, FLUSH
from duplex.talk.session import CHUNK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.terminal.screen import Screen
    from duplex.transcript.sanitize import Text

_QUIT = re.compile(rb"^(?P<word>quit|" + words.ROOM_QUIT + rb")\n", re.MULTILINE)
_BYE = re.compile(_QUIT.pattern + rb"|^bye\n", re.MULTILINE)  # for who types it


class Joined(Resuming):
    """One session of `duplex connect`, however many connections it takes."""

    _boundary: Text  # the room's, so that a line here is the text of its record there
    _delivering = False  # it ends, and what was said before that is still being said

    @property
    def operates(self) -> bool:
        """The room is this program's own, and who sits here keeps it."""
        return self.sock.family == socket.AF_UNIX

    def _open_screen(self) -> Screen:
        screen = super()._open_screen()
        if self.in_room:
            screen.enter_room(self)
        return screen

    # What is typed:

    def say(self, data: bytes) -> None:
        if self.in_room and self.sending:
            self._say_lines(self._boundary.feed(data))
        else:
            super().say(data)

    def say_text(self, lines: bytes) -> None:
        if self.in_room and self.sending:
            self._say_lines(commands.as_text(self._boundary.feed(lines)), as_text=True)
        else:
            super().say_text(lines)

    def leaves_by(self, line: str) -> bool:
        """Whether that line, typed in a room, is the last one."""
        return bool(_BYE.match(line.encode("utf-8", "replace") + b"\n"))

    def stop_saying(self) -> None:
        if not self.in_room:
            super().stop_saying()
            return
        self._say_lines(self._boundary.end())
        self.sending = False
        self.pump()

    def _say_lines(self, lines: bytes, *, as_text: bool = False) -> None:
        """Whole lines of safe text; `as_text`: in which no line means anything."""
        ends, rest = None, b""
        if self._verbatim and not as_text:
            lines = commands.as_text(lines)  # no line of a file is a command
        elif not as_text and (ends := (_BYE if self.by_hand else _QUIT).search(lines)):
            said = ends.start() if ends["word"] else ends.end()
            lines, rest = lines[:said], lines[ends.end() :] + self._boundary.end()
        self._echo(lines)
        self.outbox.say(lines)
        self.pump()
        if ends:
            self._leave_by(ends["word"] or words.BYE, rest)

    def pump(self) -> None:
        super().pump()
        done = self.in_room and not self.sending and self.presence == LIVE
        if done and not self.outbox.awaits_records:
            self._leave(EXIT_FAILURE if self._failed and not self._on_screen else EXIT_OK)

    def _takes_input(self) -> bool:
        if self.in_room:
            return self.sending and not self.outbox.full
        return super()._takes_input()

    def _take_more(self) -> bool:
        if not self.in_room:
            return super()._take_more()
        if self.presence == LIVE:
            taken = self.outbox.take(CHUNK)
            self.outgoing = self._sender.send(taken)
            self._taken = len(taken), len(self.outgoing)
        return bool(self.outgoing)

    def _may_shut(self) -> bool:
        if self.in_room:  # before we are let in, what waits is not outgoing yet
            return self.ending is not None and not self._delivering
        return super()._may_shut()

    # What the child reports:

    def read_report(self) -> bytes:
        shown = super().read_report()
        if self.in_room:
            self.pump()  # what was recorded makes room for more
        return shown

    def _on_line(self, line: bytes) -> bytes:
        kind, rest = line[:1], line[1:]
        if kind == b"~":
            shown = read_answer(rest)[2] if self.heard.private(rest) else b""
        elif kind == b"=":
            shown = rest
            try:
                self.heard.own_record(rest)
            except Disagreement:
                self._lost("the room takes one line for another")
        elif self.in_room and kind.isdigit():
            self.heard.record(line, live=self.presence == LIVE)
            shown = line
        else:
            return super()._on_line(line)
        return shown + b"\n" if shown and self._on_screen else b""

    # Coming in, and going:

    def _enter(self) -> None:
        from duplex.transcript.sanitize import Text

        self._boundary = Text()
        self._mine = None  # the room records what is said: --both is always so
        self.outbox.say(self._boundary.feed(self.opening.said), sent=True)
        self.unconfirmed = b""
        if self._screen:
            self._screen.enter_room(self)
        self._say_what_waits(self.opening.release() + self._typed.take_tail())

    def _announce(self, ending: Ending) -> None:
        if not self.in_room:
            super()._announce(ending)
        elif ending.told:
            self.tell(ending.text)

    def _finish(self, ending: Ending) -> None:
        if self.in_room:
            self.sending = False
            deadline = time.monotonic() + FLUSH
            self._delivering = True
            while self._still_delivers() and ending.ours and time.monotonic() < deadline:
                self._turn(ACK_EVERY)
            self._delivering = False
            if undelivered := list(self.outbox):
                self._tell_lines("not known to have arrived", undelivered)
                ending.status = ending.status or EXIT_FAILURE
        super()._finish(ending)

    def _still_delivers(self) -> bool:
        return bool(self.outbox) and self.presence != AWAY and self._reports
