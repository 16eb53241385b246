"""What is held back of what is typed, until it is known whether a room or a person answers.

What is typed goes out at once, as to a person; but a room has to be told the nick among the first
things it hears, and in a room nothing is lost: so it is kept what went out, it is not too much,
only whole lines go, and none that means one thing to a person and another to a room. Pure
computation; knows no socket, no clock and no room.
"""

from __future__ import annotations

import re

EARLY = 32 * 1024  # bytes: a room keeps twice as much of what is said before it knows the nick

# The words that end a talk, or one's part in a room, the question what there is to say, and telnet
# commands, which could swallow what is said after them.
_WAITS = re.compile(rb"^(?:quit|bye)\r?\n|^/(?i:/?quit|/?help)|\xff", re.MULTILINE)
_WAITS_VERBATIM = re.compile(rb"^/|\xff", re.MULTILINE)


class Holdback:
    """What has been said so far, and what waits."""

    def __init__(self, verbatim: bool) -> None:
        self.said = b""  # as it went out
        self.is_whole = True  # `said` is all that went out, and ends a line
        self._held = b""
        self._waits = _WAITS_VERBATIM if verbatim else _WAITS

    @property
    def holds(self) -> bool:
        """Nothing more is to be read from the user for now."""
        return b"\n" in self._held or len(self._held) > EARLY

    def feed(self, data: bytes) -> bytes:
        """What may go out of what was typed; the rest waits."""
        self._held += data
        end = self._held.rfind(b"\n", 0, max(0, EARLY - len(self.said))) + 1
        if match := self._waits.search(self._held, 0, end):
            end = self._held.rfind(b"\n", 0, match.start()) + 1
        lines, self._held = self._held[:end], self._held[end:]
        return lines

    def release(self) -> bytes:
        """All that waits."""
        held, self._held = self._held, b""
        return held

    def went_out(self, data: bytes) -> None:
        """`data` was sent, whatever it is."""
        if len(self.said) + len(data) > EARLY:
            self.is_whole = False
        elif data:
            self.said += data
            self.is_whole = self.is_whole and data.endswith(b"\n")
