"""The parent of `duplex connect` in a room: who one is, what is to be said, and when to go.

What is typed goes through an outbox, from which a line is gone only when the room has recorded it.
So a connection that is lost, and made again by the child (following.py), loses and doubles nothing.
docs/protocol.md has the words, and following.py what is reported here.

    JOINING   the connection stands, and the room is asked to let us in
    LIVE      all that was recorded before that has come: what waits is said
    AWAY      the connection is lost: what is typed waits

This file knows no socket option, no terminal, and nothing of how a connection is made again.
"""

from __future__ import annotations

import argparse
import re
import socket
import time

from duplex.answers import WHO
from duplex.calling import Calling
from duplex.errors import EXIT_FAILURE, EXIT_OK
from duplex.heard import Heard
from duplex.outbox import Outbox
from duplex.process import Signals, unblock_signals
from duplex.talk import ACK_EVERY, CHUNK, FLUSH, Ending
from duplex.tcp import Pulse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from duplex.outbox import Line
    from duplex.text import Text

TOLD = 10  # lines that are told one by one, of those that were not delivered
JOINING, LIVE, AWAY = "joining", "live", "away"

_QUIT = re.compile(rb"^(?:quit|/(?i:quit)(?: .*)?)\n", re.MULTILINE)
_SLASH = re.compile(rb"^/", re.MULTILINE)


class Joined(Calling):
    """One session of `duplex connect`, however many connections it takes."""

    def __init__(
        self, sock: socket.socket, address: str, options: argparse.Namespace, *more: Any
    ) -> None:
        super().__init__(sock, address, options, *more)
        self.room = ""
        self.presence = JOINING
        self.outbox = Outbox()
        self.heard = Heard(self.outbox, self._refused)
        self.heard.be_called(options.nick)
        self._boundary: Text  # the room's, so that a line here is the text of its record there
        self._key = ""
        self._resumes = False  # what is waited for is the answer to /resume
        self._was_away = False  # and the user has been told
        self._reason = ""  # why the connection was lost, where this side has seen it
        self._over = ""  # why the session is over, once the connection ends
        self._failed = False  # a line was not delivered

    @property
    def operates(self) -> bool:
        """The room is this program's own, and who sits here keeps it."""
        return self.sock.family == socket.AF_UNIX

    # What is typed:

    def say(self, data: bytes) -> None:
        if self.in_room:
            self._say_lines(self._boundary.feed(data))
        else:
            super().say(data)

    def stop_saying(self) -> None:
        if not self.in_room:
            super().stop_saying()
            return
        self._say_lines(self._boundary.end())
        self.sending = False
        self.pump()

    def _say_lines(self, lines: bytes) -> None:
        """Whole lines of safe text."""
        quits = None
        if self._verbatim:
            lines = _SLASH.sub(b"//", lines)  # no line of a file is a command
        elif quits := _QUIT.search(lines):
            lines = lines[: quits.start()]
        self.outbox.say(lines)
        self.pump()
        if quits:
            self._leave(EXIT_OK)

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
            self.outgoing = self._sender.send(self.outbox.take(CHUNK))
        return bool(self.outgoing)

    def _may_shut(self) -> bool:
        return self.ending is not None if self.in_room else super()._may_shut()

    # What the child reports:

    def read_report(self) -> bytes:
        shown = super().read_report()
        if self.in_room:
            self.pump()  # what was recorded makes room for more
        return shown

    def _on_line(self, line: bytes) -> bytes:
        kind, rest = line[:1], line[1:]
        if kind == b"~":
            shown = rest if self.heard.private(rest) else b""
        elif kind == b"=":
            self.heard.own_record(rest)
            shown = rest
        elif self.in_room and kind.isdigit():
            self.heard.record(line, live=self.presence == LIVE)
            shown = line
        else:
            return super()._on_line(line)
        return shown + b"\n" if shown and self._screen else b""

    def _on_report(self, word: str, reason: str) -> None:
        if not self.in_room:
            super()._on_report(word, reason)
        elif word in ("lost", "left"):
            self._on_lost(reason or "the other side has ended it")
        elif act := getattr(self, f"_on_{word}", None):
            act(reason)
        else:
            super()._on_report(word, reason)

    # Coming in, and coming back:

    def _enter(self) -> None:
        from duplex.text import Text

        self._boundary = Text()
        self._mine = None  # the room records what is said: --both is always so
        self.outbox.say(self._boundary.feed(self.opening.said), sent=True)
        if self._screen:
            self._screen.enter_room(self)
        self._say_what_waits(self.opening.release() + self._typed.take_tail())

    def _on_welcome(self, reason: str) -> None:
        offset, count, self.room = reason.split(" ", 2)
        self.heard.company.are(int(count))
        self._resumes = bool(self._key)
        if self._resumes:
            self._introduce(f"/resume {self.heard.nick} {self._key} {offset}")
        else:
            if self._was_away:
                self._give_up()
            self._introduce(f"/join {self.heard.nick}")

    def _on_anew(self, reason: str) -> None:
        self.tell(f"not resumed: {reason}")
        self._key = ""
        self._resumes = False
        self._give_up()
        self._introduce(f"/join {self.heard.nick}")

    def _introduce(self, line: str) -> None:
        self.outgoing += self._sender.send(line.encode() + b"\n")
        self.pump()

    def _on_joined(self, reason: str) -> None:
        nick, self._key, count, self.room = reason.split(" ", 3)
        self.heard.be_called(nick)
        self.heard.company.are(int(count))
        if self._was_away:
            self.tell(f"connected again, as {nick}")
        else:
            are = "is" if count == "1" else "are"
            self.tell(f"this is room {self.room}, and you are {nick}; {count} {are} here")
        self._was_away = False
        if self._screen:
            self.heard.ask_who()

    def _on_current(self, _reason: str) -> None:
        self.presence = LIVE
        if self._resumes:
            self.outbox.say_again()

    def _on_renamed(self, reason: str) -> None:
        nick, self._key = reason.split()
        self.heard.be_called(nick)

    def _on_over(self, reason: str) -> None:
        self._over = reason

    # Losing the connection, and going:

    def _lost(self, reason: str) -> None:
        if not self.in_room:
            super()._lost(reason)
            return
        self._reason = self._reason or reason
        self._broken = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)  # the child sees that, and reports it
        except OSError:
            return

    def _on_lost(self, reason: str) -> None:
        reason, self._reason = self._reason or reason, ""
        for line in self.outbox.lost(len(self.outgoing) if self.presence == LIVE else 0):
            if line.wire != WHO and not self._over:
                self.tell(f"not known to have been carried out: {line}")
        self.outgoing = b""
        self._broken = True
        self.presence = AWAY
        if self._over or self.ending or not self._again:
            self._hearing = False
            status = EXIT_OK if self._over.startswith("the room closed") else EXIT_FAILURE
            self._end(Ending(status, self._over or f"connection lost: {reason}"))
            return
        if not self._was_away:
            self.tell(f"connection lost: {reason}; trying again")
        self._was_away = True
        try:
            self._channel.send(b"again\n")
        except OSError:
            return  # the child has ended: the end of its channel will tell

    def _on_connection(self, _reason: str) -> None:
        self.sock.close()
        self.sock = socket.socket(fileno=self._handed.pop(0))
        self.sock.setblocking(False)
        self._pulse = Pulse(self.sock)
        self._broken = False
        self.presence = JOINING

    def _refused(self, lines: list[Line]) -> None:
        self._tell_lines("not recorded by the room", lines)

    def _give_up(self) -> None:
        self._tell_lines("not known to have arrived", self.outbox.give_up())

    def _tell_lines(self, what: str, lines: list[Line]) -> None:
        for line in lines[:TOLD]:
            self.tell(f"{what}: {line}")
        if len(lines) > TOLD:
            self.tell(f"{what}: {len(lines) - TOLD} more lines")
        self._failed = self._failed or bool(lines)

    def _announce(self, ending: Ending) -> None:
        if not self.in_room:
            super()._announce(ending)
        elif ending.told:
            self.tell(ending.text)

    def _finish(self, ending: Ending) -> None:
        if self.in_room:
            self.sending = False
            deadline = time.monotonic() + FLUSH
            while self._still_delivers() and ending.ours and time.monotonic() < deadline:
                self._turn(ACK_EVERY)
            if undelivered := list(self.outbox):
                self._tell_lines("not known to have arrived", undelivered)
                ending.status = ending.status or EXIT_FAILURE
        super()._finish(ending)

    def _still_delivers(self) -> bool:
        return bool(self.outbox) and self.presence != AWAY and self._reports


def run_screen(sock: socket.socket, room: str) -> int:
    """The operator's client, in a process of its own; `sock` is a Unix socket to its member.

    It keeps no transcript, for the room's is here, and ends when the room does, or who sits here.
    """
    options = argparse.Namespace(
        peer=room, nick="host", explicit=True, verbatim=False, both=False, plain=False
    )
    sock.setblocking(False)
    signals = Signals()
    unblock_signals()
    return Joined(sock, "this terminal", options, signals, None, b"").run().status
