"""Standard output and standard error, which others share and may have made non-blocking, or closed.

For whatever is printed outside of a talk: all of it comes out, or it is told that it did not, as
other programs tell it. Knows nothing of what is printed.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from duplex.system.errors import EXIT_SIGNAL, DuplexError, reason_of

EXIT_PIPE = EXIT_SIGNAL + signal.SIGPIPE  # whoever read our output has closed it
_STDOUT = 1
_TRY_EVERY = 0.01  # s between two tries of what polls writable and has no room for all of it


class UnableToPrint(DuplexError):
    """Standard output takes no more. Whoever has closed it is told nothing."""

    def __init__(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            super().__init__("")
            self.exit_status = EXIT_PIPE
        else:
            super().__init__(f"cannot write to standard output: {reason_of(error)}")


def print_all(text: str) -> None:
    """Write all of `text` to standard output, however long that takes. Raises UnableToPrint."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        write_all(_STDOUT, text.encode(encoding, "backslashreplace"))
    except OSError as error:
        raise UnableToPrint(error) from None


def write_all(fd: int, data: bytes, seconds: float | None = None) -> None:
    """Write it all, waiting `seconds` at most for each part. Raises an OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            if not poll.poll(None if seconds is None else seconds * 1000):
                raise
            time.sleep(_TRY_EVERY)
