"""The parent's way into a room, and back into it when the connection was lost.

Who one is there, and what is pending, is kept here; the child makes the connection (follower.py).
What is said on it first, and what follows from the room's answers, is in docs/protocol.md.

    JOINING   the connection stands, and the room is asked to let us in
    LIVE      all that was recorded before that has come: what waits is said
    AWAY      the connection is lost: what is typed waits

This file knows no socket option, and nothing of how a connection is made again.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from duplex.channel import plain
from duplex.client.calling import Calling
from duplex.client.incoming import Heard
from duplex.client.outbox import Outbox
from duplex.protocol import commands, events, messages
from duplex.system.errors import EXIT_FAILURE, EXIT_OK
from duplex.system.tcp import Pulse
from duplex.talk.ending import Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from duplex.channel.base import Channel
    from duplex.client.outbox import Line

TOLD = 10  # lines that are told one by one, of those that were not delivered
JOINING, LIVE, AWAY = "joining", "live", "away"


class Resuming(Calling):
    """What Joined is, between its connections."""

    def __init__(
        self,
        sock: socket.socket,
        channel: Channel,
        address: str,
        options: argparse.Namespace,
        *more: Any,
    ) -> None:
        super().__init__(sock, channel, address, options, *more)
        self.room = ""
        self.presence = JOINING
        self.outbox = Outbox()
        self.heard = Heard(self.outbox, self._refused)
        self.heard.be_called(options.nick)
        self._ways = {
            "welcome": self._on_welcome,
            "joined": self._on_joined,
            "current": self._on_current,
            "renamed": self._on_renamed,
            "anew": self._on_anew,
            "late": self._on_late,
            "over": self._on_over,
            "connection": self._on_connection,
        }
        self._taken = (0, 0)  # bytes of lines taken from the outbox last, and of the same as sent
        self._key = ""
        self._guest = ""  # what the room calls us until it has let us in
        self._came_late = False  # it took us for a guest before it heard who we are
        self._asked_for_numbers = False  # in this connection
        self._resumes = False  # what is waited for is the answer to /resume
        self._was_away = False  # and the user has been told
        self._reason = ""  # why the connection was lost, where this side has seen it
        self._told_reason = ""  # why, as the user was told
        self._over = ""  # why the session is over, once the connection ends
        self._failed = False  # a line was not delivered

    def _on_report(self, word: str, reason: str) -> None:
        if not self.in_room:
            super()._on_report(word, reason)
        elif word in ("lost", "left", "tampered"):
            self._on_lost(reason or "the other side has ended it")
        elif word in self._ways:
            self._ways[word](reason)
        else:
            super()._on_report(word, reason)

    # Coming in, and coming back:

    def _on_welcome(self, reason: str) -> None:
        offset, count, self._guest, self.room = reason.split(" ", 3)
        self.heard.company.are(int(count))
        self._resumes = bool(self._key)
        if self._resumes:
            self._introduce(commands.resume(self.heard.nick, self._key, int(offset)))
        else:
            if self._was_away:
                self._give_up()
            self._introduce(commands.join(self.heard.nick))

    def _on_anew(self, reason: str) -> None:
        if not self._resumes or self.presence == LIVE:
            return  # it was not asked
        self.tell(f"not resumed: {reason}")
        self._key = ""
        self._resumes = False
        self._give_up()
        self._introduce(commands.join(self.heard.nick))

    def _introduce(self, line: str) -> None:
        """Ask to be let in, and in each connection once for numbers."""
        lines = [line] if self._asked_for_numbers else [commands.NUMBERS, line]
        self._asked_for_numbers = True
        self.outbox.passes(len(lines))
        self.outgoing += self._sender.send("".join(f"{line}\n" for line in lines).encode())
        self.pump()

    def _on_joined(self, reason: str) -> None:
        nick, self._key, count, self.room = reason.split(" ", 3)
        self._came_late = nick != self.heard.nick and nick == self._guest
        self.heard.be_called(nick)
        self.heard.company.are(int(count))
        if self._was_away:
            self.tell(f"connected again, as {nick}")
        else:
            here = messages.are_here(int(count))
            self.tell(f"this is room {self.room}, and you are {nick}; {here}")
        self._was_away = False
        self._told_reason = ""
        if self._on_screen:
            self.heard.ask_who()

    def _on_current(self, _reason: str) -> None:
        self.presence = LIVE
        if self._resumes:
            self.outbox.say_again()

    def _on_late(self, _reason: str) -> None:
        self._lost("the room's greeting was answered too late")

    def _on_renamed(self, reason: str) -> None:
        nick, self._key = reason.split(" ")
        self.heard.be_called(nick)
        if self._came_late:  # and is told now who it is
            self.tell(f"you are {nick}")
            self._came_late = False

    def _on_over(self, reason: str) -> None:
        self._over = reason

    # Losing the connection:

    def _lost(self, reason: str) -> None:
        if not self.in_room:
            super()._lost(reason)
            return
        self._reason = self._reason or reason
        self._cut()  # the child sees that, and reports it

    def _on_broken(self) -> None:
        if self._out is self.sock:
            super()._on_broken()
        else:
            self._lost("the sending process has ended")

    def _cut(self) -> None:
        """This connection is over, whatever still holds it open."""
        self._broken = True
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def _on_lost(self, reason: str) -> None:
        reason, self._reason = self._reason or reason, ""
        for line in self.outbox.lost(self._untaken()):
            if not line.ours and not self._over:
                self.tell(f"not known to have been carried out: {line}")
        self.outgoing = b""
        self._taken = (0, 0)
        self._cut()
        self.presence = AWAY
        if self._over or self.ending or not self._again:
            self._hearing = False
            event = events.read(self._over.encode())
            status = EXIT_OK if event and event[0] == events.CLOSED else EXIT_FAILURE
            self._end(Ending(status, self._over or f"connection lost: {reason}"))
            return
        if reason != self._told_reason:
            what = "not connected again" if self._was_away else "connection lost"
            self.tell(f"{what}: {reason}; trying again")
        self._told_reason = reason
        self._was_away = True
        with suppress(OSError):  # if the child has ended, the end of its channel will tell
            self._channel.send(b"again\n")

    def _untaken(self) -> int:
        """Bytes of the lines taken last that were surely not sent.

        A byte that was sent carries one of them at most; if it is sealed, often none.
        """
        lines, size = self._taken
        sent = max(0, size - len(self.outgoing))
        return max(0, lines - sent)

    def _on_connection(self, _reason: str) -> None:
        for sock in {self.sock, self._out}:
            sock.close()
        self.sock = self._out = socket.socket(fileno=self._handed.pop(0))
        if self._handed:  # a relay seals what is said and sends it
            self._out = socket.socket(fileno=self._handed.pop(0))
            self._sender = plain.Sender()
        self._out.setblocking(False)
        self.sock.setblocking(False)
        self._said_end = False
        self._asked_for_numbers = False
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
