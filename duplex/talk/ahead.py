"""What is typed on a terminal while nobody is there yet: `quit` ends the waiting, the rest is kept.

Runs in the process that waits, before its fork, while the terminal still gives whole lines. From a
pipe nothing is read: it is for the other side. Knows nothing of what is waited for.
"""

from __future__ import annotations

import os
import re
import select

from duplex.system.errors import EXIT_OK, DuplexError, say_status
from duplex.system.process import Signals, in_foreground, wait
from duplex.talk import leftover, words

_STDIN = 0
_LIMIT = 64 * 1024  # bytes kept; what is typed beyond that stays in the terminal
_LOOK_EVERY = 1.0  # s between two looks whether the terminal is ours again
_ENDS = re.compile(rb"(?:quit|bye|" + words.ROOM_QUIT + rb")\r?\n")


class Left(DuplexError):
    """Who waits here has enough of it. Nothing is printed."""

    exit_status = EXIT_OK

    def __init__(self) -> None:
        super().__init__("")


class Ahead:
    """`wait` as process.wait, and heed the keyboard meanwhile; `take` what was typed."""

    def __init__(self, *, verbatim: bool = False) -> None:
        self._reads = not verbatim and os.isatty(_STDIN)
        self._lines = b""

    def wait(self, events: dict[int, int], seconds: float | None = None) -> dict[int, int]:
        """What happened of these events. Raises Left."""
        if not self._reads or len(self._lines) > _LIMIT:
            return wait(events, seconds)
        if not in_foreground(_STDIN):
            return wait(events, _LOOK_EVERY if seconds is None else min(seconds, _LOOK_EVERY))
        happened = wait({**events, _STDIN: select.POLLIN}, seconds)
        if happened.pop(_STDIN, 0):
            self._read()
        return happened

    def pause(self, seconds: float, signals: Signals) -> None:
        """Wait that long, or until a line is typed. Raises Left, and Interrupted."""
        self.wait({signals.fd: select.POLLIN}, seconds)
        signals.check()

    def take(self) -> bytes:
        """The lines typed so far; half a line is still the terminal's."""
        lines, self._lines = self._lines, b""
        return lines

    def _read(self) -> None:
        try:
            line = os.read(_STDIN, _LIMIT)
        except BlockingIOError:
            return
        except OSError:  # it has hung up, which a signal tells
            self._reads = False
            return
        if not line or _ENDS.fullmatch(line):
            leftover.tell(self._lines + leftover.typed(_STDIN), say_status)
            raise Left
        self._lines += line
