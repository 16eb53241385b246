"""The terminal as something to write to, which cannot hold up a program that was told to end.

Runs in the parent, with the screen. Owns a description of the terminal that does not block: the
one it inherited is the shell's, too. A terminal that is not read makes the writer wait, as ever;
but once a signal has come it is waited for a moment more, and what it then does not take is lost.
Knows nothing of what is written. prompt_toolkit takes it for its standard output.
"""

from __future__ import annotations

import errno
import os
import select
import time

from duplex.system import process
from duplex.system.process import PIPE_BUF, Signals, seconds_left, wait

CTRL_C, CTRL_D = b"\3", b"\4"  # what these keys send
GRACE = 0.5  # s for all that is still to be written once a signal has come
_STDIN = 0
_TRY_EVERY = 0.01  # s between two tries of what the terminal has half the room for


class Terminal:
    """Write to the terminal open as `fd`. Call `close` when done."""

    def __init__(self, fd: int, encoding: str, signals: Signals) -> None:
        self.encoding = encoding
        self._signals = signals
        self._deadline = 0.0
        try:
            self._fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:  # another user's terminal, after su: write little, after polling
            self._fd = os.dup(fd)

    def close(self) -> None:
        os.close(self._fd)

    @property
    def given_up(self) -> bool:
        """Told to end in the background: the terminal is the shell's, and is not touched any more.

        To set it then would stop this process's whole job (SIGTTOU).
        """
        return bool(self._signals.received) and process.is_in_background(_STDIN)

    # What prompt_toolkit wants of a file; it must not have a `buffer`, or that is written to.

    def write(self, text: str) -> None:
        self.write_bytes(text.encode(self.encoding, "replace"))

    def flush(self) -> None:
        """Nothing is held back."""

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def write_bytes(self, data: bytes) -> None:
        if self.given_up:
            return
        view = memoryview(data)
        while view and self._takes_more():
            try:
                view = view[os.write(self._fd, view[:PIPE_BUF]) :]
            except BlockingIOError:  # it polls writable, but a newline takes two bytes of room
                if self._is_over():
                    return
                time.sleep(_TRY_EVERY)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return  # it has hung up: SIGHUP, or the end of its input, ends the talk

    def _takes_more(self) -> bool:
        """Wait until it does; False if it does not and a signal has come."""
        while not self._signals.received:
            if self._fd in wait({self._fd: select.POLLOUT, self._signals.fd: select.POLLIN}):
                return True
        self._deadline = self._deadline or time.monotonic() + GRACE
        return bool(wait({self._fd: select.POLLOUT}, seconds_left(self._deadline)))

    def _is_over(self) -> bool:
        return bool(self._deadline) and not seconds_left(self._deadline)
