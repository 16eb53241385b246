"""How far a transcript is a copy of the stream: a small file beside it, FILE.store.

Its first part says which room the transcript is a copy of, and is written once. Its second part is
the position: the id of the last entry that was copied, and the offset of its end. The third is what
tells whether the copy is still what was copied: the CRC-32 of all from its first record up to that
offset. The last two are written by one pwrite(2) within a page, and each part has a checksum, so
that kill -9 leaves the one before or the one after, and a power cut is noticed.

The order of a copying is: append, position, send. So a hub that is killed in between leaves a
transcript longer than the position says: what is beyond was seen by nobody, and is cut back. A
position beyond the transcript's end can only be left by a power cut. Then the end counts, and the
stream is searched for it. The position is never more than a hint of where to read on: what is
copied is compared with what is there (copy.py). Version 0.1.0 has no third part, and leaves a stale
one: then the copy counts as it is.
"""

from __future__ import annotations

import os
import zlib

from duplex.store.entry import FIRST
from duplex.system.errors import DuplexError, reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.transcript.reader import Reader

_PART = 128  # bytes
_READ = 1 << 20  # bytes of a transcript at a time


class Position:
    """`room` is "" while the transcript is a copy of nothing."""

    def __init__(self, transcript: str) -> None:
        self.path = f"{transcript}.store"
        try:
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DuplexError(f"cannot use {self.path}: {reason_of(error)}") from None
        self.read()

    def read(self) -> None:
        """As it stands there; another process may have moved it. Raises DuplexError."""
        try:
            self.room = " ".join(self._words(0))
            words, sums = self._words(_PART), self._words(2 * _PART)
        except OSError as error:
            raise DuplexError(f"cannot use {self.path}: {reason_of(error)}") from None
        self.entry, self.offset = (words[0], int(words[1])) if len(words) == 2 else (FIRST, 0)
        self.known = len(words) == 2
        self._first, self._sum = 0, -1  # from which offset on, and the CRC-32, or -1: not known
        if len(sums) == 3 and sums[1] == str(self.offset) and self.known:
            self._first, self._sum = int(sums[2]), int(sums[0], 16)

    def belong(self, room: str) -> None:
        """The transcript is a copy of the room with this id, from now on."""
        os.pwrite(self.fd, _part(room), 0)
        os.fsync(self.fd)
        self.room = room

    def begin(self, offset: int) -> None:
        """Nothing is copied yet of a room whose first record is there."""
        self._first, self._sum = offset, 0
        self.move(FIRST, offset, b"")

    def move(self, entry: str, offset: int, data: bytes) -> None:
        """Everything up to `offset`, the end of `entry`, is copied; `data` is what was added."""
        self._sum = zlib.crc32(data, self._sum)
        where = _part(f"{entry} {offset}") + _part(f"{self._sum:08x} {offset} {self._first}")
        os.pwrite(self.fd, where, _PART)
        self.entry, self.offset, self.known = entry, offset, True

    def is_unchanged(self, transcript: Reader) -> bool:
        """Whether what was copied still stands there.

        Reads all of it. Where a later record is the first by now, the others are not kept any more,
        and where nothing is known it begins to be: then it is unchanged.
        """
        first = transcript.first
        found = _sum(transcript, self.offset)
        if self._sum >= 0 and self._first == first:
            return found == self._sum
        self._first, self._sum = first, found
        self.move(self.entry, self.offset, b"")
        return True

    def shorten(self, transcript: Reader) -> None:
        """It has lost its end, in a power cut: the entry has to be searched for."""
        self._first, self._sum = transcript.first, _sum(transcript, transcript.end)
        self.move(FIRST, transcript.end, b"")

    def _words(self, at: int) -> list[str]:
        """What was written there, if it is whole."""
        text, _, check = (
            os.pread(self.fd, _PART, at).decode("ascii", "replace").strip().rpartition(" ")
        )
        return text.split(" ") if text and check == f"{zlib.crc32(text.encode()):08x}" else []


def _part(text: str) -> bytes:
    line = f"{text} {zlib.crc32(text.encode()):08x}"
    return line.ljust(_PART - 1).encode() + b"\n"


def _sum(transcript: Reader, end: int) -> int:
    """The CRC-32 of all that is kept before that offset."""
    found, start = 0, transcript.first
    while start < end:
        block = transcript.read(start, min(end, start + _READ))
        found = zlib.crc32(block, found)
        start += len(block)
    return found
