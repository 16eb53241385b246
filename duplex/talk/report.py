"""What the child of a session tells its parent, and what else it writes for who sits there.

A line each, through a pair of sockets (child.py has the parent's end):

    2026-… <client> hello      a record, to be shown on the screen (only with one)
    !not recorded: …           a warning for the user
    .stranger HEX WHY          it speaks something else; HEX is what it is to be told, in the clear
    .left  .bye                the peer shut its half in good order; said bye
    .asked                     it asks whether somebody is still here (system/halfclose.py)
    .answer HEX                bytes that the peer's program waits for: Receiver.take_answer
    .lost REASON               the connection broke, or was cut off without a proper end
    .tampered REASON           what came cannot be what the peer has sent
    .unshown REASON            standard output takes no more
    .stopped                   it was told to end (SIGTERM, or its parent is gone), and has

A record begins with a digit, so nothing a peer says can look like a report. Runs in the child.
Knows no peer's socket, and no transcript.
"""

from __future__ import annotations

import os
import select
import stat

from duplex.system.process import PIPE_BUF, Signals, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TRY_EVERY = 0.01  # s between two tries of what polls writable and has no room for all of it


class Stopped(Exception):
    """This process was told to end while it waited for somebody to take its output."""


class Report:
    """The child's end, and the two ways in which it can be told to end."""

    def __init__(self, fd: int, signals: Signals) -> None:
        self.fd = fd
        self.signals = signals
        self.stops = {signals.fd: select.POLLIN, fd: 0}  # a signal; POLLERR: nobody reads this

    def tell(self, line: str) -> None:
        try:
            os.write(self.fd, line.encode() + b"\n")
        except BrokenPipeError:
            return  # the parent is gone, and `stops` says so

    def warn(self, text: str) -> None:
        self.tell(f"!{text}")


class Output:
    """Writes all it is given to a descriptor that may be slow, unless told to end meanwhile.

    Others have the descriptor too (a shell its terminal), so it is left blocking: it is polled, and
    then given no more than a pipe that polls writable takes at once.
    """

    def __init__(self, fd: int, report: Report) -> None:
        self._fd = fd
        self._report = report
        mode = os.fstat(fd).st_mode
        never_waits = stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(fd))
        self._at_once = None if never_waits else PIPE_BUF

    def write(self, data: bytes) -> None:
        """Raises Stopped, or an OSError."""
        view = memoryview(data)
        while view:
            if self._at_once:
                happened = wait({**self._report.stops, self._fd: select.POLLOUT})
                if not happened.get(self._fd, 0) & select.POLLOUT and happened.keys() - {self._fd}:
                    raise Stopped
            try:
                view = view[os.write(self._fd, view[: self._at_once]) :]
            except BlockingIOError:  # others write there, too, and have made it non-blocking
                if wait(self._report.stops, _TRY_EVERY):
                    raise Stopped from None


def shown_on_screen(report: Report) -> Callable[[bytes, bytes], None]:
    """How to show (lines, their records) where the parent has a screen: hand the records on."""
    output = Output(report.fd, report)

    def show(_lines: bytes, records: bytes) -> None:
        try:
            output.write(records)
        except BrokenPipeError:
            raise Stopped from None

    return show


def shown_on_stdout(report: Report, nick: str) -> Callable[[bytes, bytes], None]:
    """How to show them without: the text alone, so that pipes work; a terminal says who spoke."""
    output = Output(1, report)
    label = f"{nick}: ".encode() if os.isatty(1) else b""

    def show(lines: bytes, _records: bytes) -> None:
        if label:
            lines = label + lines[:-1].replace(b"\n", b"\n" + label) + b"\n"
        output.write(lines)

    return show
