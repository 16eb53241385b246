"""Transcripts as sources of blocks: whole lines, many at a time, with their offset in it.

Reads files and follows them as they grow, are replaced or are made; of a room's, which may stand in
several, the closed ones first (closed.py). Knows lines by their newline only, neither records nor
what is looked for. Memory is constant: a block is about BLOCK bytes, whatever is in the file.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from contextlib import suppress

from duplex.system.errors import DuplexError, reason_of
from duplex.transcript import closed
from duplex.transcript.closed import Segment
from duplex.transcript.hole import first_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Ranges = Sequence[tuple[int, int | None]]  # offsets in the file; None is its end

_REMEMBERED = 128  # bytes: a stamp, a nick, and some of what was said
BLOCK = 1 << 20  # bytes a read; also the longest line: a longer one (no transcript has) is cut


class Unreadable(DuplexError):
    """A file cannot be read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot read {path}: {reason}")


class Source:
    """One transcript, read from its beginning, and then again whenever it has grown.

    With `follow` it may be missing, and may be replaced: the old file is read to its end, then the
    new one from its start. inotify would need another dependency, and could not tell of a file
    that is not there yet without watching its directories: so whoever follows asks again.
    """

    def __init__(self, path: str, follow: bool = False, ranges: Ranges = ()) -> None:
        """With `ranges` only these are read: each from and to the start of a line."""
        self.path = path
        self._ranges = list(ranges)
        self._end: int | None = None  # of the range in hand
        self._follow = follow
        self._fd = -1
        self._later: list[Segment] = []  # to be read after that
        self._begin = 0  # the offset of its first byte
        self._offset = 0  # in it, of what is in _rest
        self._rest = b""  # the beginning of a line that is not whole yet
        self._before = b""  # the end of the whole lines that were read: what stands before _rest
        self._open()

    def close(self) -> None:
        for fd in {self._fd, *(one.fd for one in self._later)} - {-1}:
            os.close(fd)
        self._fd, self._later = -1, []

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """(offset, whole lines) to the present end of the file.

        A last line without a newline is given if the file is not followed, else when it is whole.
        """
        for start, end in self._ranges:
            self._end = end
            if start:
                self._offset = os.lseek(self._fd, start, os.SEEK_SET)
            yield from self._to_end()
        while not self._ranges:
            yield from self._to_end()
            if self._later:
                self._go_on()
            elif not (self._follow and self._was_replaced()):
                return
            else:
                yield from self._to_end()  # what came since, and before it was replaced
                self._open()
                if self._fd < 0:
                    return

    def _open(self) -> None:
        """What is at the path now, and before it the closed segments that are not read yet."""
        end = self._begin + self._offset
        self.close()
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            self._later = [Segment(0, 0, "", fd)]
            os.read(fd, 0)  # a directory can be opened, but not read
            if not self._ranges:
                *before, newest = closed.before(self.path, fd)
                self._later = [*(one for one in before if one.first >= end), newest]
            self._go_on()
        except FileNotFoundError as error:
            if not self._follow:
                raise Unreadable(self.path, reason_of(error)) from None
        except OSError as error:
            raise Unreadable(self.path, reason_of(error)) from None

    def _go_on(self) -> None:
        """With the next one that is there. Raises OSError."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._offset, self._rest, self._before = -1, 0, b"", b""
        while self._fd < 0 and self._later:
            one = self._later.pop(0)
            with suppress(FileNotFoundError):  # it is not kept any more, since just now
                self._fd = one.fd if one.fd >= 0 else os.open(one.path, os.O_RDONLY | os.O_CLOEXEC)
                self._begin = one.first
                self._skip_head()

    def _skip_head(self) -> None:
        """What stands before the first line: an editor's byte order mark, or a hole.

        A copy of a room whose beginning is not kept begins with one (store/replicator.py).
        """
        with suppress(OSError):  # a pipe, which has neither
            start = first_record(self._fd)
            if os.pread(self._fd, len(BOM_UTF8), 0) == BOM_UTF8:
                start = len(BOM_UTF8)
            self._offset = os.lseek(self._fd, start, os.SEEK_SET)

    def _to_end(self) -> Iterator[tuple[int, bytes]]:
        while self._fd >= 0:
            try:
                data = os.read(self._fd, self._most())
            except OSError as error:
                raise Unreadable(self.path, reason_of(error)) from None
            if not data:
                break
            if self._follow and self._was_rewritten():
                os.lseek(self._fd, self._offset, os.SEEK_SET)
                continue
            data = self._rest + data
            end = data.rfind(b"\n") + 1 or (len(data) if len(data) >= BLOCK else 0)
            offset = self._offset
            self._offset, self._rest = offset + end, data[end:]
            self._before = (self._before + data[max(0, end - _REMEMBERED) : end])[-_REMEMBERED:]
            if end:
                yield self._begin + offset, data[:end]
        if self._rest and not self._follow:
            rest, self._rest = self._rest, b""
            yield self._begin + self._offset, rest

    def _most(self) -> int:
        """How many bytes to read."""
        if self._end is None:
            return BLOCK
        return max(0, min(BLOCK, self._end - self._offset - len(self._rest)))

    def _was_rewritten(self) -> bool:
        """Whether what was just read does not go on from what had been read; then go back.

        Copied, cut to nothing and grown beyond its former length between two looks, a file has the
        same name, the same inode and a plausible size; but other bytes, for records have stamps.
        Or only a torn tail was cut back, and the next record stands in its place.
        """
        before, rest = self._before, self._rest
        try:
            there = os.pread(self._fd, len(before) + len(rest), self._offset - len(before))
        except OSError:
            return False  # a pipe, which only grows
        if there == before + rest:
            return False
        self._rest = b""
        if there[: len(before)] != before:
            self._offset, self._before = 0, b""
        return True

    def _was_replaced(self) -> bool:
        """Whether the name now means another file, or a shorter one, or one that is there at last.

        A torn tail that its next writer cuts back is no replacement: whole lines are never cut, so
        the file does not become shorter than the lines that were read.
        """
        try:
            now = os.stat(self.path)
        except OSError:
            return False  # gone: perhaps there will be another
        if self._fd < 0:
            return True
        mine = os.fstat(self._fd)
        if mine.st_size < self._offset + len(self._rest) and mine.st_size >= self._offset:
            os.lseek(self._fd, self._offset, os.SEEK_SET)
            self._rest = b""
            return False
        return (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino) or now.st_size < self._offset
