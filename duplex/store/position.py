"""How far a transcript is a copy of the stream: a small file beside it, FILE.store.

Its first half says which room the transcript is a copy of, and is written once. Its second half is
the position: the id of the last entry that was copied, and the offset of its end. Each half is
written by one pwrite(2) within a page and has a checksum, so that kill -9 leaves the one before or
the one after, and a power cut is noticed.

The order of a copying is: append, position, watermark. So whoever is killed in between leaves
  a transcript longer than the position says: what is beyond was seen by nobody, and is cut back;
  a position beyond the watermark: the watermark is moved on.
A position beyond the transcript's end can only be left by a power cut. Then the end counts, and the
stream is searched for it. The position is never more than a hint of where to read on: what is
copied is compared with what is there (mirror.py).
"""

from __future__ import annotations

import os
import zlib

from duplex.errors import DuplexError, reason_of
from duplex.store.entry import FIRST

_HALF = 128  # bytes


class Position:
    """`room` is "" while the transcript is a copy of nothing."""

    def __init__(self, transcript: str) -> None:
        self.path = f"{transcript}.store"
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self.room = " ".join(self._words(0))
            words = self._words(_HALF)
        except OSError as error:
            raise DuplexError(f"Unable to use {self.path}: {reason_of(error)}") from None
        self.entry, self.offset = (words[0], int(words[1])) if len(words) == 2 else (FIRST, 0)
        self.known = len(words) == 2

    def belong(self, room: str) -> None:
        """The transcript is a copy of the room with this id, from now on."""
        self._write(0, room)
        os.fsync(self._fd)
        self.room = room

    def move(self, entry: str, offset: int) -> None:
        """Everything up to `offset`, the end of `entry`, is copied."""
        self._write(_HALF, f"{entry} {offset}")
        self.entry, self.offset, self.known = entry, offset, True

    def close(self) -> None:
        os.close(self._fd)

    def _write(self, at: int, text: str) -> None:
        line = f"{text} {zlib.crc32(text.encode()):08x}"
        os.pwrite(self._fd, line.ljust(_HALF - 1).encode() + b"\n", at)

    def _words(self, at: int) -> list[str]:
        """What was written there, if it is whole."""
        text, _, check = (
            os.pread(self._fd, _HALF, at).decode("ascii", "replace").strip().rpartition(" ")
        )
        return text.split(" ") if text and check == f"{zlib.crc32(text.encode()):08x}" else []
