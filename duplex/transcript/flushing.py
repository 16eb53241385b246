"""Flushing: putting on the disk what the hub of a room has appended, in whatever segment that is.

In a process of its own, so that a slow disk delays nobody but it. Writes nothing itself.
"""

from __future__ import annotations

import os

from duplex.transcript import closed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.transcript.segments import Segments


class Flushing:
    """Of the transcript that the server has opened."""

    def __init__(self, segments: Segments) -> None:
        self._path, self._key = segments.path, segments.key
        self._fd = segments.fd
        self._base = segments.base

    def flush(self) -> None:
        """All that the hub has appended until now. Raises OSError."""
        place = closed.read_place(self._key)
        os.fdatasync(self._fd)
        if os.fstat(self._fd).st_ino == place.inode:
            return
        for one in closed.unbroken(closed.named(self._path), place.base):
            if one.first > self._base:  # what began and ended since
                _sync(one.path)
        fd = os.open(os.path.realpath(self._path), os.O_RDONLY | os.O_CLOEXEC)
        os.close(self._fd)
        self._fd, self._base = fd, place.base
        os.fdatasync(fd)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
