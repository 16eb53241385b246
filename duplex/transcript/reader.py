"""Reading a room's transcript by offset, through all its segments.

In the process that serves the room's clients. Knows records by their newline, and writes nothing.
"""

from __future__ import annotations

import os

from duplex.transcript.closed import Closed, Gone
from duplex.transcript.hole import HOLES

_LOOK_BACK, _LOOK_AHEAD = 64 * 1024, 4096  # bytes read at a time to find a newline


class Reader:
    """What is kept of it stands between `first` and `end`."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd  # of the newest segment
        self.base = self.end = 0  # of the newest segment's first byte, and behind the last record
        self._closed = Closed(path)
        self._first = 0  # the offset before which nothing is kept, whatever else is there

    @property
    def first(self) -> int:
        """The offset of the oldest record that is kept."""
        return max(self._first, self._oldest)

    @property
    def _oldest(self) -> int:
        return self._closed.oldest.first if self._closed else self.base

    def sendfile(self, out: int, offset: int, count: int) -> int:
        """Send up to `count` bytes from `offset` on, of one segment; how many, at least 1.

        Raises OSError as sendfile(2) does, and Gone if they are not kept any more.
        """
        if offset >= self.base:
            fd, place = self.fd, offset - self.base
        else:
            segment = self._closed.at(offset)
            fd, place, count = segment.fd, offset - segment.first, min(count, segment.end - offset)
        sent = os.sendfile(out, fd, place, count)
        if not sent:
            self._became_shorter(offset)
            sent = os.sendfile(out, fd, place, count)
        return sent

    def _became_shorter(self, offset: int) -> None:
        """What is to be read there is not: put that right. Raises OSError, Gone."""
        if offset >= self.end:
            raise Gone(self.path, offset)
        if offset < self.base:
            self._closed.forget(self._closed.at(offset))
            raise Gone(self.path, offset)
        self._put_right()

    def read(self, start: int, end: int) -> bytes:
        """The bytes between the offsets. Raises OSError, and Gone if they are not kept."""
        parts = []
        while start < end:
            if start >= self.base:
                data = os.pread(self.fd, end - start, start - self.base)
            else:
                segment = self._closed.at(start)
                data = os.pread(segment.fd, min(end, segment.end) - start, start - segment.first)
            if not data:
                self._became_shorter(start)
            parts.append(data)
            start += len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def back(self, count: int, end: int) -> int:
        """The offset of the last `count` records before `end`, or of the first there is."""
        start = end
        while count > 0 and start > self.first:
            before = max(self.first, start - _LOOK_BACK)
            try:
                block = self.read(before, start)
            except Gone:
                return self.first
            at = len(block) - (start == end)  # the last newline ends the last record
            while count > 0 and (at := block.rfind(b"\n", 0, at)) >= 0:
                count -= 1
            start = before + at + 1 if count == 0 else before
        return start

    def is_start(self, offset: int) -> bool:
        """Whether a record can start there: at the beginning, or right after a newline."""
        if not self._oldest <= offset <= self.end:
            return False
        if offset == self._oldest:
            return self.read(offset, min(offset + 1, self.end)) not in HOLES
        before = self.read(offset - 1, min(offset + 1, self.end))
        return before.startswith(b"\n") and before[1:] != b"\0"  # not in a hole

    def rest_of_record(self, offset: int) -> int:
        """How many bytes from `offset` to the end of the record there."""
        at = offset
        while at < self.end:
            block = self.read(at, min(at + _LOOK_AHEAD, self.end))
            if (newline := block.find(b"\n")) >= 0:
                return at + newline + 1 - offset
            at += len(block)
        return at - offset

    def _put_right(self) -> None:
        """Make the newest as long as it was, where it can be written. Raises OSError, Gone."""
        raise Gone(self.path, self.base)
