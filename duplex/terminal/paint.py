"""Lines as a terminal shows them: their time, dim; then who, and what, in rows of our own.

Runs with the screen. It keeps the day of what was shown last, and says it where it changes. Knows
nothing of prompt_toolkit or of where the text goes.

    ── Thursday, 26 November 2026 ──
    12:34:56 ann: hello
"""

from __future__ import annotations

import os
from bisect import bisect_right
from datetime import date, datetime
from itertools import accumulate

from duplex.transcript.wrap import rows, width_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import tzinfo

BOLD, DIM, PEER = "\x1b[1m", "\x1b[2m", "\x1b[36m"
_RESET = "\x1b[0m"
INDENT = 2  # cells before rows that go on with what the program itself tells
_TAB = 8  # cells

# A piece of a line: the escape sequence that paints it, or "", and its text.
Span = tuple[str, str]


class Painter:
    """Makes rows of lines, newline-ended. `columns` tells the terminal's width just now."""

    gap = DIM  # what paints the space after the time

    def __init__(self, columns: Callable[[], int], zone: tzinfo | None = None) -> None:
        self._columns = columns
        self._zone = zone  # the machine's own, unless a test has another
        self._plain = bool(os.environ.get("NO_COLOR"))
        self._day = self.now().date()  # of what was shown last; before that, today

    def now(self) -> datetime:
        return datetime.now(self._zone)

    def said_at(self, stamp: bytes) -> datetime | None:
        """The local time that a record's stamp means; None for digits that are no date."""
        try:
            return datetime.fromisoformat(stamp.decode()).astimezone(self._zone)
        except (ValueError, OverflowError):
            return None

    def record(self, stamp: bytes, head: Sequence[Span], text: Sequence[Span]) -> str:
        """A line that was recorded then."""
        at = self.said_at(stamp)
        if at is None:  # a room may send any digits
            return self._line(stamp[11:19].decode(), head, text)
        return self.line(at, head, text)

    def line(self, at: datetime, head: Sequence[Span], text: Sequence[Span]) -> str:
        """The day, if it is another, and the line: `text` goes on under itself."""
        return self._day_of(at.date()) + self._line(f"{at:%H:%M:%S}", head, text)

    def told(self, text: str) -> str:
        """What the program itself tells, which has no time."""
        return self._rows(_without_tabs([("", text)]), "", INDENT)

    def _day_of(self, day: date) -> str:
        if day == self._day:
            return ""
        self._day = day
        return self._rows([(DIM, f"── {day:%A}, {day.day} {day:%B %Y} ──")], "", INDENT)

    def _line(self, clock: str, head: Sequence[Span], text: Sequence[Span]) -> str:
        begins = [(DIM, clock), (self.gap, " "), *head]
        before = "".join(piece for _, piece in begins)
        return self._rows([*begins, *_without_tabs(text)], before, width_of(before))

    def _rows(self, spans: list[Span], head: str, indent: int) -> str:
        """`head` is the text of the first spans, which are not divided at a space."""
        spans = _joined(spans)
        columns = self._columns()
        indent = min(indent, columns // 2)  # half of a row is for the text
        text = "".join(piece for _, piece in spans)
        ends = list(accumulate(len(piece) for _, piece in spans))
        shown = []
        for start, end in rows(text, len(head), indent, columns):
            shown.append(" " * indent if start else "")
            at = bisect_right(ends, start)
            while start < end:
                until = min(end, ends[at])
                shown.append(self._in(spans[at][0], text[start:until]))
                start, at = until, at + 1
            shown.append("\n")
        return "".join(shown)

    def _in(self, style: str, text: str) -> str:
        return text if self._plain or not style else f"{style}{text}{_RESET}"


def _joined(spans: list[Span]) -> list[Span]:
    """With one for neighbours in the same style."""
    found: list[Span] = []
    for style, piece in spans:
        if found and found[-1][0] == style:
            found[-1] = (style, found[-1][1] + piece)
        else:
            found.append((style, piece))
    return found


def _without_tabs(spans: Sequence[Span]) -> list[Span]:
    """With spaces in their place, as many as there were for who typed them."""
    found, column = [], 0
    for style, piece in spans:
        expanded = (" " * column + piece).expandtabs(_TAB)[column:] if "\t" in piece else piece
        column = (column + len(expanded)) % _TAB
        found.append((style, expanded))
    return found
