"""What a room says, line by line, as far as it concerns who sits here.

Runs in the parent. Crosses off the outbox what has been recorded or answered, keeps the company,
and notices when one is spoken to. Pure computation; knows no socket and no terminal.
"""

from __future__ import annotations

import re

from duplex.answers import HERE, HERE_TOO, NO_ANSWER, NOT_RECORDED, WHO
from duplex.company import Company
from duplex.record import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.outbox import Line, Outbox


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
        self._mention = re.compile("(?!)")

    def be_called(self, nick: str) -> None:
        self.nick = nick
        self._mention = re.compile(rf"(?<!\w){re.escape(nick)}(?!\w)", re.IGNORECASE)

    def ask_who(self) -> None:
        """Ask who is here, for ourselves."""
        self._outbox.ask(WHO)
        self._asked = 1
        self._unnamed = 0

    def record(self, line: bytes, *, live: bool) -> None:
        """Somebody else's record, or an event; `live` unless it was made before we came."""
        if live and (parts := parse(line)):
            self.company.note(parts)
            if parts.nick is not None and self._mention.search(parts.text.decode()):
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
            self._refused(self._outbox.renamed())

    def private(self, line: bytes) -> bool:
        """A line for us alone. Whether it is to be shown."""
        if line.startswith(b"-"):
            self.calls = True
            return True
        if NOT_RECORDED.match(line):
            self._refused(self._outbox.refused())
            return True
        if here := HERE.match(line):
            self._unnamed, self._asked = int(here["count"]) * self._asked, 0
            self.company.are(int(here["count"]), here["nicks"].decode())
            self._outbox.answered()
        elif too := HERE_TOO.match(line):
            self.company.are_too(too["nicks"].decode())
        elif not NO_ANSWER.match(line):
            self._outbox.answered()
        if found := here or HERE_TOO.match(line):
            hidden = self._unnamed > 0
            self._unnamed -= found["nicks"].count(b", ") + 1
            return not hidden
        return True
