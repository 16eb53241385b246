"""How wide text is on a terminal, and what in it belongs together.

Pure computation, in the process with the screen. Two tables tell a character's width: the C
library's, which tmux and xterm ask, and wcwidth's, which knows the newest Unicode; they differ.
"""

from __future__ import annotations

import ctypes

from wcwidth import grapheme_boundary_before, wcwidth

_WIDENING = "\ufe0f"  # variation selector 16: some terminals give its character a second cell
_KNOWN = 10_000  # characters whose width is remembered
_LONGEST = (
    32  # characters of one grapheme that are looked at: without an end a search would have none
)

_libc_wcwidth = ctypes.CDLL(None).wcwidth


def on_terminal(character: str) -> int:
    """Cells, as tmux and xterm count them; -1 for a character that the C library does not know."""
    width: int = _libc_wcwidth(ord(character))
    return width


class _AtMost(dict[str, int]):
    """The cells that a character takes on any terminal at most, also as part of a sequence."""

    def __missing__(self, character: str) -> int:
        if len(self) >= _KNOWN:
            self.clear()
        width = max(0, wcwidth(character), on_terminal(character), character == _WIDENING)
        self[character] = width
        return width


AT_MOST = _AtMost()


def grapheme_start(text: str, at: int) -> int:
    """Where the grapheme begins that the character at `at` belongs to: `at`, or before it."""
    if not 0 < at < len(text):
        return at
    start = max(0, at - _LONGEST)
    return start + grapheme_boundary_before(text[start : at + 1], at + 1 - start)


def grapheme_end(text: str, at: int) -> int:
    """Where it ends, for a position within it; `at` if a grapheme begins there."""
    while grapheme_start(text, at) != at:
        at += 1
    return at
