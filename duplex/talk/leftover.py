"""What was typed, or stands in a pipe, when a talk is over: it will not be sent, and is told.

A line that was typed for somebody who has just left must not become a command of the shell. So a
terminal is read empty. Runs in the parent, at its end. Knows nothing of a talk.
"""

from __future__ import annotations

import atexit
import os
import select
import termios
import time

from duplex.system.process import Signals, in_foreground, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

QUIET = 0.05  # s without a key, after which nothing more is on its way: a paste comes in pieces
TYPING = 0.5  # s at most that a terminal is read for
PATIENCE = 0.2  # s that a pipe has for its next bytes
COUNTING = 2.0  # s at most that a pipe is read for
TOLD = 10  # lines that are told one by one
_discarding: list[int] = []  # the terminal, once that is certain
_CHUNK = 64 * 1024
_LFLAG, _CC = 3, 6  # where tcgetattr(3) has them in Python's list


def typed(fd: int) -> bytes:
    """What has been typed on the terminal `fd` and not read, half a line included."""
    discard_at_exit(fd)
    try:
        if not in_foreground(fd):
            return b""  # in the background: it is somebody else's to read
        before = termios.tcgetattr(fd)
        # Half a line can only be read where no line is waited for.
        now = termios.tcgetattr(fd)
        now[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
        now[_CC][termios.VMIN], now[_CC][termios.VTIME] = 0, 0
        termios.tcsetattr(fd, termios.TCSANOW, now)
        try:
            return _until_quiet(fd)
        finally:
            termios.tcsetattr(fd, termios.TCSANOW, before)
    except (OSError, termios.error):
        return b""  # it has hung up


def _until_quiet(fd: int) -> bytes:
    read = b""
    deadline = time.monotonic() + TYPING
    while time.monotonic() < deadline and wait({fd: select.POLLIN}, QUIET):
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            continue
        if not data:
            break
        read += data
    return read


def tell(lines: bytes, say: Callable[[str], None]) -> None:
    """Tell the user which lines these are, half a line included."""
    from duplex.transcript.sanitize import visible

    texts = lines.decode("utf-8", "replace").splitlines()
    for text in texts[:TOLD]:
        say(f"not sent: {visible(text)}")
    if len(texts) > TOLD:
        say(f"not sent: {len(texts) - TOLD} more lines")


def discard_at_exit(fd: int) -> None:
    """Read the terminal empty once more, as the last thing that this program does."""
    if not _discarding:
        _discarding.append(fd)
        atexit.register(_discard, fd)


def _discard(fd: int) -> None:
    try:
        if in_foreground(fd):
            termios.tcflush(fd, termios.TCIFLUSH)
    except (OSError, termios.error):
        return  # it has hung up


def count_lines(read: bytes, fd: int, signals: Signals) -> str:
    """How many lines follow in a pipe or a file, in words; "" if none does.

    `read` has been read already. A pipe that goes on and on is not waited for.
    """
    count, last, least = read.count(b"\n"), read[-1:], "at least "
    deadline = time.monotonic() + COUNTING
    while not signals.received and time.monotonic() < deadline:
        if not wait({fd: select.POLLIN, signals.fd: select.POLLIN}, PATIENCE):
            least = ""
            break
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            continue
        except OSError:
            data = b""
        if not data:
            least = ""
            break
        count, last = count + data.count(b"\n"), data[-1:]
    count += last not in (b"", b"\n")
    if not count:
        return ""
    return f"{least}{count} {'line' if count == 1 else 'lines'}"
