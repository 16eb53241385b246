"""Rows: a line cut at the terminal's right edge by us, so that no row looks like another line.

What the terminal cuts goes on in its first column, and there whoever wrote it can have put a time
and somebody's nick. So rows after the first are indented. Pure computation; knows no colours.

    12:34:56 ann: this is said in more words than fit, and
                  so it goes on under itself
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate

from duplex.transcript.width import AT_MOST, grapheme_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACES = re.compile(" *")


class _Ascii:
    """Where rows can end, in text of which each character is one cell wide."""

    def __init__(self, text: str) -> None:
        self._length = len(text)

    def reach(self, start: int, cells: int) -> int:
        """The end of what fits from `start` on into so many cells: one character at least."""
        return min(start + max(1, cells), self._length)

    def width(self, start: int, end: int) -> int:
        return end - start


class _Measured:
    """The same in any text. Nothing is done per character in Python: a line can have 64 Ki."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._before = [0, *accumulate(map(AT_MOST.__getitem__, text))]  # cells

    def reach(self, start: int, cells: int) -> int:
        end = bisect_right(self._before, self._before[start] + cells) - 1
        if end <= start:
            end = start + 1
        if (whole := grapheme_start(self._text, end)) > start:
            end = whole
        return end

    def width(self, start: int, end: int) -> int:
        return self._before[end] - self._before[start]


def width_of(text: str) -> int:
    """The cells that it takes at most."""
    return len(text) if text.isascii() else sum(map(AT_MOST.__getitem__, text))


def rows(text: str, head: int, indent: int, columns: int) -> Iterator[tuple[int, int]]:
    """Where each row of a line begins and ends.

    Its first `head` characters say whose it is, and are not divided at a space. Rows after the
    first have `indent` cells less. The spaces at which a row ends are in none. Tabs there are none.
    """
    measured = _Ascii(text) if text.isascii() else _Measured(text)
    start, cells = 0, columns
    near = (columns - indent) // 2
    while True:
        end = measured.reach(start, cells)
        if end == len(text):
            yield start, end
            return
        if text[end] != " ":
            end = _word_start(text, max(start, head), end, measured, near) or end
        yield start, start + len(text[start:end].rstrip(" "))
        start = _end_of_spaces(text, end)
        if start == len(text):
            return
        cells = columns - indent


def _word_start(
    text: str, start: int, end: int, measured: _Ascii | _Measured, near: int
) -> int | None:
    """Where the word that a cut at `end` would divide begins; None if that is not near."""
    space = text.rfind(" ", start, end)
    if space < 0 or measured.width(space, end) > near or not text[start:space].strip(" "):
        return None
    return space + 1


def _end_of_spaces(text: str, at: int) -> int:
    match = _SPACES.match(text, at)
    assert match
    return match.end()
