"""What a room says, line by line, as far as it concerns who sits here.

Runs in the parent. Crosses off the outbox what has been recorded or answered, keeps the company,
and notices when one is spoken to. Pure computation; knows no socket and no terminal.
"""

from __future__ import annotations

import re

from duplex.client.tracker import Company
from duplex.protocol.commands import WHO
from duplex.protocol.messages import (
    AT,
    HERE,
    HERE_TOO,
    IS_RENAMED,
    NO_ANSWER,
    NOT_RECORDED,
    NUMBERED_FROM,
    taken_apart,
)
from duplex.transcript.record import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.client.outbox import Line, Outbox


class Heard:
    """`refused` is told of lines said here that will not be recorded."""

    def __init__(self, outbox: Outbox, refused: Callable[[list[Line]], None]) -> None:
        self.company = Company()
        self.nick = ""
        self.calls = False  # one is spoken to: whoever rings for it resets this
        self._outbox = outbox
        self._refused = refused
        self._asked = 0  # our own questions who is here, whose answers are not to be shown
        self._unnamed = 0  # nicks that the rest of such an answer has still to name
        self.mention = re.compile("(?!)")  # finds one's own nick in what others say

    def be_called(self, nick: str) -> None:
        self.nick = nick
        self.mention = re.compile(rf"(?<!\w){re.escape(nick)}(?!\w)", re.IGNORECASE)

    def ask_who(self) -> None:
        """Ask who is here, for ourselves."""
        self._outbox.ask(f"{WHO}\n".encode())
        self._asked = 1
        self._unnamed = 0

    def record(self, line: bytes, *, live: bool) -> None:
        """Somebody else's record, or an event; `live` unless it was made before we came."""
        if live and (parts := parse(line)):
            self.company.note(parts)
            if parts.nick is not None and self.mention.search(parts.text.decode()):
                self.calls = True

    def own_record(self, line: bytes) -> None:
        """One's own, or one's own change of nick."""
        parts = parse(line)
        if parts is None:
            return
        if parts.nick is not None:
            self._refused(self._outbox.recorded(parts.text))
        else:
            self.company.note(parts)
            self._refused(self._outbox.renamed(parts.text.rpartition(b" is now ")[2].decode()))

    def private(self, line: bytes) -> bool:
        """A line for us alone. Whether it is to be shown."""
        if line.startswith(b"-"):
            self.calls = True
            return True
        if at := AT.fullmatch(line):
            if at["first"]:
                first, last = int(at["first"]), int(at["last"] or at["first"])
                self._refused(self._outbox.expect(first, last))
            return False
        if start := NUMBERED_FROM.fullmatch(line):
            self._outbox.numbered_from(int(start["line"]))
            return False
        number, more, answer = taken_apart(line)
        here, too = HERE.match(answer), HERE_TOO.match(answer)
        if here:
            self.company.are(int(here["count"]), here["nicks"].decode())
        elif too:
            self.company.are_too(too["nicks"].decode())
        if number:
            return self._answered(number, more, answer)
        if self._outbox.is_numbered:
            return True  # it answers none of our lines
        return self._answered_without_number(answer, here, too)

    def _answered(self, number: int, more: bool, answer: bytes) -> bool:
        """The line of that number is, once there is no `more`. Whether that is to be shown."""
        line = self._outbox.find(number)
        # A change of nick is waited for: its record is on its way, or has come.
        if line and not more and not (line.renames and IS_RENAMED.fullmatch(answer)):
            self._outbox.done(number)
        if line and not line.private and NOT_RECORDED.match(answer):
            self._refused([line])
        return not (line and line.ours)

    def _answered_without_number(
        self, answer: bytes, here: re.Match[bytes] | None, too: re.Match[bytes] | None
    ) -> bool:
        """By a room of before 0.2: which line it answers is guessed. Whether it is to be shown."""
        if NOT_RECORDED.match(answer):
            self._refused(self._outbox.refused())
        elif here:
            self._unnamed, self._asked = int(here["count"]) * self._asked, 0
            self._outbox.answered()
        elif not too and not NO_ANSWER.match(answer):
            self._outbox.answered()
        if found := here or too:
            hidden = self._unnamed > 0
            self._unnamed -= found["nicks"].count(b", ") + 1
            return not hidden
        return True
