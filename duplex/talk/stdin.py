"""Standard input before a talk and after it: what is typed ahead is said later, what is left is
told as not sent.

`Ahead` runs in the process that waits for somebody, before its fork, while the terminal still gives
whole lines; from a pipe nothing is read then: it is for the other side. The rest runs in the parent
at its end: a line that was typed for somebody who has just left must not become a command of the
shell, so a terminal is read empty. Knows nothing of what is waited for, and nothing of a talk.
"""

from __future__ import annotations

import atexit
import os
import re
import select
import termios
import time

from duplex.system.errors import EXIT_OK, DuplexError, reason_of, say_status
from duplex.system.process import Signals, in_foreground, wait
from duplex.talk import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

STDIN = 0
QUIET = 0.05  # s without a key, after which nothing more is on its way: a paste comes in pieces
TYPING = 0.5  # s at most that a terminal is read for
PATIENCE = 0.2  # s that a pipe has for its next bytes
COUNTING = 2.0  # s at most that a pipe is read for
TOLD = 10  # lines that are told one by one
LOOK_EVERY = 1.0  # s between two looks whether the terminal is ours again
_AHEAD = 64 * 1024  # bytes kept; what is typed beyond that stays in the terminal
_CHUNK = 64 * 1024
_ENDS = re.compile(rb"(?:quit|bye|" + words.ROOM_QUIT + rb")\r?\n")
_LFLAG, _CC = 3, 6  # where tcgetattr(3) has them in Python's list
_discarding: list[bool] = []  # at exit, once that is certain


class Left(DuplexError):
    """Who waits here has enough of it. Nothing is printed."""

    exit_status = EXIT_OK

    def __init__(self) -> None:
        super().__init__("")


class Ahead:
    """`wait` as process.wait, and heed the keyboard meanwhile; `take` what was typed."""

    def __init__(self, *, verbatim: bool = False) -> None:
        self._reads = not verbatim and os.isatty(STDIN)
        self._lines = b""

    def wait(self, events: dict[int, int], seconds: float | None = None) -> dict[int, int]:
        """What happened of these events. Raises Left."""
        if not self._reads or len(self._lines) > _AHEAD:
            return wait(events, seconds)
        if not in_foreground(STDIN):
            return wait(events, LOOK_EVERY if seconds is None else min(seconds, LOOK_EVERY))
        happened = wait({**events, STDIN: select.POLLIN}, seconds)
        if happened.pop(STDIN, 0):
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
            line = os.read(STDIN, _CHUNK)
        except BlockingIOError:
            return
        except OSError:  # it has hung up, which a signal tells
            self._reads = False
            return
        if not line or _ENDS.fullmatch(line):
            tell_not_sent(self._lines + typed(), say_status)
            raise Left
        self._lines += line


def read(say: Callable[[str], None]) -> bytes | None:
    """What has come; b"" at its end, None if that was nothing. `say` is told of errors."""
    try:
        return os.read(STDIN, _CHUNK)
    except BlockingIOError:
        return None  # others read it, too, and one of them was faster
    except OSError as error:  # a terminal that hung up, a directory
        say(f"cannot read standard input: {reason_of(error)}")
        return b""


def typed() -> bytes:
    """What has been typed on the terminal and not read, half a line included."""
    if not _discarding:
        _discarding.append(True)
        atexit.register(_discard)
    try:
        if not in_foreground(STDIN):
            return b""  # in the background: it is somebody else's to read
        before = termios.tcgetattr(STDIN)
        # Half a line can only be read where no line is waited for.
        now = termios.tcgetattr(STDIN)
        now[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
        now[_CC][termios.VMIN], now[_CC][termios.VTIME] = 0, 0
        termios.tcsetattr(STDIN, termios.TCSANOW, now)
        try:
            return _until_quiet()
        finally:
            termios.tcsetattr(STDIN, termios.TCSANOW, before)
    except (OSError, termios.error):
        return b""  # it has hung up


def _until_quiet() -> bytes:
    read = b""
    deadline = time.monotonic() + TYPING
    while time.monotonic() < deadline and wait({STDIN: select.POLLIN}, QUIET):
        try:
            data = os.read(STDIN, _CHUNK)
        except BlockingIOError:
            continue
        if not data:
            break
        read += data
    return read


def _discard() -> None:
    """Read the terminal empty once more, as the last thing that this program does."""
    try:
        if in_foreground(STDIN):
            termios.tcflush(STDIN, termios.TCIFLUSH)
    except (OSError, termios.error):
        return  # it has hung up


def tell_not_sent(lines: bytes, say: Callable[[str], None]) -> None:
    """Tell the user which lines these are, half a line included."""
    from duplex.transcript.sanitize import visible

    tell_lines("not sent", [visible(t) for t in lines.decode("utf-8", "replace").splitlines()], say)


def tell_lines(what: str, lines: list[str], say: Callable[[str], None]) -> None:
    """The first of them one by one, and how many more there are."""
    for line in lines[:TOLD]:
        say(f"{what}: {line}")
    if len(lines) > TOLD:
        say(f"{what}: {len(lines) - TOLD} more lines")


def count_lines(read: bytes, signals: Signals) -> str:
    """How many lines follow in a pipe or a file, in words; "" if none does.

    `read` has been read already. A pipe that goes on and on is not waited for.
    """
    count, last, least = read.count(b"\n"), read[-1:], "at least "
    deadline = time.monotonic() + COUNTING
    while not signals.received and time.monotonic() < deadline:
        data = b""
        if happened := wait({STDIN: select.POLLIN, signals.fd: select.POLLIN}, PATIENCE):
            if STDIN not in happened:
                break
            try:
                data = os.read(STDIN, _CHUNK)
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
