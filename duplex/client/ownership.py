"""Which of a room's records are one's own: those under one's nick, while it was one's nick.

Runs in the child that receives, which does not show own lines as somebody else's, and tells its
parent of each, so that it is not said again. Pure computation on records and their offsets; knows
no socket, no file, and not what was said.

    history, before END of /join     nobody's: an <ann> there is who was ann before
    END of /join                     `* ann entered the room`: own from here on
    `* ann is now bob`, own          own under the new nick
    OFFSET to END of /resume         own, until somebody else takes the nick there: enters, is now
                                     called so, or is back with a key of its own
    END of /resume                   `* ann is back`: own again
"""

from __future__ import annotations

import re
from collections import deque

from duplex.protocol import events
from duplex.transcript.record import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

REMEMBERED = 100  # times that one has come back, in a transcript that is not read up to there yet


class Ownership:
    """Reads the records of one room in their order."""

    def __init__(self) -> None:
        self.closed = ""  # "the room closed…", once that is the last record that was read
        self._nick = b""
        self._since = 0  # the offset from which what _nick says is one's own
        # Where one has come back oneself, as far as that was answered; the last of them are enough.
        self._ends: deque[int] = deque(maxlen=REMEMBERED)
        self._end = 0  # the END of the last answer: before it somebody else may take the nick
        self._turns: list[tuple[int, bytes]] = []  # from which offset on one is called what
        self._search = _search_for(b"")

    def joined(self, nick: bytes, end: int, resumed: bool) -> None:
        """The room's answer to /join, or to /resume, has come."""
        if not resumed:
            self._turns = []
            self._since = end
        # No END lies before one that was given earlier; who says so has them ever further away.
        turns = [turn for turn in self._turns if turn[0] < end] + [(end, nick)]
        self._turns = turns[-REMEMBERED:]
        self._end = end
        self._ends.append(end)
        self.closed = ""

    def split(self, records: bytes, at: int) -> Iterator[tuple[bool, bytes]]:
        """(own or not, records) of whole records, one or many, that stand at the offset `at`.

        One's own change of nick counts as own: it is what becomes of a /nick.
        """
        while records:
            stops = [self._since, *(turn[0] for turn in self._turns)]
            for offset, nick in self._turns:
                if offset <= at:
                    self._call(nick)
            self._turns = [turn for turn in self._turns if turn[0] > at]
            size = min((stop - at for stop in stops if stop > at), default=len(records))
            # No room says that it stops within a record: if one does, that record is not cut.
            size = records.find(b"\n", size - 1) + 1 or len(records)
            part, records = records[:size], records[size:]
            if at < self._since:
                yield False, part
            else:
                yield from self._after_since(part, at)
            at += len(part)
            self.closed = _closes(part) if at > self._end else ""

    def _after_since(self, records: bytes, at: int) -> Iterator[tuple[bool, bytes]]:
        done = 0
        while match := self._search.search(records, done):
            start, end = match.span()
            if start > done:
                yield False, records[done:start]
            done = end
            if match["new"]:
                self._call(match["new"])
                yield True, match[0]
            elif not match["taken"]:
                yield True, match[0]
            # An `is back` of one's own whose answer was lost has nothing of one's own behind it.
            elif self._since < at + start < self._end and at + start not in self._ends:
                self._since = self._end
                yield False, records[start:]
                return
            else:
                yield False, match[0]
        if done < len(records):
            yield False, records[done:]

    def _call(self, nick: bytes) -> None:
        if nick != self._nick:
            self._nick = nick
            self._search = _search_for(nick)


def _closes(records: bytes) -> str:
    """The last of them, if it is that the room closed."""
    last = parse(records[records.rfind(b"\n", 0, -1) + 1 :])
    event = events.read(last.text) if last and last.nick is None else None
    return events.closed(event[2]) if event and event[0] == events.CLOSED else ""


def _search_for(nick: bytes) -> re.Pattern[bytes]:
    """Finds what `nick` said, its change to a new one, and somebody else's taking it."""
    said, changes, taken = re.escape(nick), events.changing(nick), events.taking(nick)
    return re.compile(
        rb"^\S{24} (?:<%b> .*|\* %b|\* (?P<taken>%b))\n" % (said, changes, taken), re.MULTILINE
    )
