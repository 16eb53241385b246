"""What a room says, line by line, as far as it concerns who sits here.

Runs in the parent. Crosses off the outbox what has been recorded or answered, keeps the company,
and notices when one is spoken to. Pure computation; knows no socket and no terminal.
"""

from __future__ import annotations

import re

from duplex.client.tracker import Company
from duplex.protocol import events, messages
from duplex.protocol.commands import WHO
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
            event = events.read(parts.text)
            self._refused(self._outbox.renamed(event[2] if event else ""))

    def private(self, line: bytes) -> bool:
        """A line for us alone. Whether it is to be shown."""
        if messages.read_private(line):
            self.calls = True
            return True
        if at := messages.read_at(line):
            _, first, count = at
            if first:
                self._refused(self._outbox.expect(first, first + count - 1))
            return False
        start = messages.read_numbered_from(line)
        if start is not None:
            self._outbox.numbered_from(start)
            return False
        number, more, answer = messages.read_answer(line)
        here = messages.read_here(answer)
        if here:
            self.company.are(*here)
        if number:
            return self._answered(number, more, answer)
        if self._outbox.is_numbered:
            return True  # it answers none of our lines
        return self._answered_without_number(answer, here)

    def _answered(self, number: int, more: bool, answer: bytes) -> bool:
        """The line of that number is, once there is no `more`. Whether that is to be shown."""
        line = self._outbox.find(number)
        # A change of nick is waited for: its record is on its way, or has come.
        if line and not more and not (line.renames and messages.read_renamed(answer)):
            self._outbox.done(number)
        if line and not line.private and messages.read_not_recorded(answer):
            self._refused([line])
        return not (line and line.ours)

    def _answered_without_number(
        self, answer: bytes, here: tuple[int | None, list[str]] | None
    ) -> bool:
        """By a room of before 0.2: which line it answers is guessed. Whether it is to be shown."""
        if messages.read_not_recorded(answer):
            self._refused(self._outbox.refused())
        elif here:
            count, nicks = here
            if count is not None:
                self._unnamed, self._asked = count * self._asked, 0
                self._outbox.answered()
            hidden = self._unnamed > 0
            self._unnamed -= max(1, len(nicks))
            return not hidden
        elif not messages.answers_nothing(answer):
            self._outbox.answered()
        return True
