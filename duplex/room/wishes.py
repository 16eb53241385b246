"""Wishes: what the operator wants of the host, in letters to its mailbox.

The operator's member sends them (commands.py), for it alone; the host carries them out here. Owns
the mailbox; forks and reaps nothing.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from duplex.protocol import events, messages
from duplex.protocol.nick import HOST
from duplex.room import roster
from duplex.system.address import banned_as, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from duplex.room.room import Room


class Wishes:
    """`members` are those of the host as they are now: pid: (seat, where its client is)."""

    def __init__(
        self, room: Room, banned: set[str], members: Mapping[int, tuple[int, str]]
    ) -> None:
        self.closing = ""  # the event that closes the room
        self.trouble = room.tell_operator  # what any process has to tell it
        self._room = room
        self._banned = banned
        self._members = members
        self._mailbox = room.roster.open_control()
        self._line = 0  # the number of the operator's that is carried out; 0 if it has none
        self._carried_out_by: dict[str, Callable[[str], None]] = {
            "ban": self._ban,
            "unban": self._unban,
            "bans": self._tell_bans,
            "close": self._close,
            "trouble": lambda text: self.trouble(text),
        }

    def fileno(self) -> int:
        return self._mailbox.fileno()

    def read(self) -> None:
        """One of them."""
        letter = self._mailbox.take().decode(errors="replace")
        word, number, argument = [*letter.split(" ", 2), "", ""][:3]
        if (carry_out := self._carried_out_by.get(word)) and number.isdecimal():
            self._line = int(number)
            carry_out(argument.strip())

    def _answer(self, text: str) -> None:
        """What the wish has come to, as that of the operator's line."""
        (answer,) = messages.answer([text], self._line)
        with suppress(roster.Undeliverable):  # it is going
            self._room.roster.send(HOST, f"!{answer}".encode())

    def _ban(self, typed: str) -> None:
        try:
            ip = banned_as(typed)
        except ValueError:
            self._answer(f"{typed} is not an address")
            return
        self._banned.add(ip)
        self._answer(f"{ip} is banned until the room closes")
        for pid, (index, address) in self._members.items():
            if ip not in names(address):
                continue
            if nick := self._room.page.seat(index).nick:
                self._kick(nick)
            else:
                os.kill(pid, signal.SIGKILL)  # it has only just come: nobody has seen it

    def _kick(self, nick: str) -> None:
        try:
            self._room.roster.send(nick, f"k{HOST}: the address is banned".encode())
        except roster.Undeliverable as error:
            self._room.tell_operator(str(error))

    def _unban(self, typed: str) -> None:
        try:
            ip = banned_as(typed)
        except ValueError:
            ip = typed
        if ip in self._banned:
            self._banned.discard(ip)
            self._answer(f"{ip} may come in again")
        else:
            self._answer(f"{ip} was not banned")

    def _tell_bans(self, _argument: str) -> None:
        self._answer(f"banned: {', '.join(sorted(self._banned)) or 'nobody'}")

    def _close(self, why: str) -> None:
        self.closing = events.closed(why)
