"""Flushing: putting on the disk what the hub of a room has appended, in whatever segment that is.

In a process of its own, so that a slow disk delays nobody but it. Writes nothing itself; what the
hub closes is on the disk already.
"""

from __future__ import annotations

import os

from duplex.transcript.closed import read_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.transcript.segments import Segments


class Flushing:
    """Of the transcript that the server has opened."""

    def __init__(self, segments: Segments) -> None:
        self._path, self._fd, self._key = segments.path, segments.fd, segments.key

    def flush(self) -> None:
        """All that the hub has appended until now. Raises OSError."""
        if os.fstat(self._fd).st_ino != read_place(self._key).inode:
            fd = os.open(os.path.realpath(self._path), os.O_RDONLY | os.O_CLOEXEC)
            os.close(self._fd)
            self._fd = fd
        os.fdatasync(self._fd)
