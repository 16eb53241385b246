"""Who keeps a room, at its host, as far as the standard streams tell.

    SCREEN   a person at a terminal
    LINES    one whose terminal has no screen (--plain, TERM=dumb), or whose output goes elsewhere
    PIPE     whatever writes lines into the pipe, or has written the file, that standard input is:
             perhaps nothing ever does, so there is an operator only when something comes
    NOBODY   in the background, or with a standard input that brings nothing: a service

Asked before the server's first fork. Reads nothing; knows nothing of rooms (cli/operating.py).
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SCREEN, LINES, PIPE, NOBODY = "screen", "lines", "pipe", "nobody"
STDIN, _STDOUT = 0, 1


def how(options: argparse.Namespace, *, in_background: bool) -> str:
    """Who keeps the room, as far as its standard streams tell."""
    if sys.stdin is None:  # it was closed: its number is some other file's by now
        return NOBODY
    if not os.isatty(STDIN):
        mode = os.fstat(STDIN).st_mode
        return PIPE if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) else NOBODY
    if in_background:
        return NOBODY
    has_screen = os.isatty(_STDOUT) and os.environ.get("TERM", "dumb") != "dumb"
    return SCREEN if has_screen and not options.plain else LINES


def may_bring_lines(keeper: str) -> bool:
    """Whether STDIN is to be polled: a file cannot be, and is there."""
    return keeper == PIPE and stat.S_ISFIFO(os.fstat(STDIN).st_mode)


def has_lines(keeper: str) -> bool:
    """Whether there is a file, and something in it."""
    return keeper == PIPE and not may_bring_lines(keeper) and brings_lines()


def brings_lines() -> bool:
    """Whether there is something to be read: at its end there is nothing."""
    return int.from_bytes(fcntl.ioctl(STDIN, termios.FIONREAD, bytes(4)), sys.byteorder) > 0
