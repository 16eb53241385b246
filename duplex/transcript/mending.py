"""Mending: what is in a room's transcript, or beyond its end, that the room has not written.

A transcript is sent as it stands, and counted by its bytes on both sides; so there is nothing in it
but records of safe text, and what was somewhere stays there, for clients come back with offsets.

- Before a room runs: lines that are no records (somebody else's, NULs after a power cut, garbage)
  are overwritten by events of the same length; of a record, what is not safe (a CR, escapes) is
  overwritten by `?`.
- While it runs: what stands beyond its end is somebody else's, and is cut off.
- A file that has become shorter is filled up again, by events and a hole (hole.py).

Somebody else's bytes are kept beside the transcript, in FILE.foreign. Functions on a descriptor,
for who writes the transcript; they know no process and no client.
"""

from __future__ import annotations

import os
import re

from duplex.system.errors import reason_of
from duplex.transcript import record, tail
from duplex.transcript.sanitize import is_safe, masked, too_long

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import RawIOBase

KEPT = 1 << 20  # bytes of somebody else's that are kept at a time
SPARSE = 1 << 20  # bytes of a gap that are rather a hole
CHUNK = 1 << 20  # bytes looked at at once
_KNOWN_AT, _KNOWN_SIZE = 64, 64  # bytes in the key's file (secret.py)
_EVENT = b" * "
STAMP = record.STAMP_LENGTH
SHORTEST = STAMP + len(_EVENT) + 1  # bytes of an event without a text
_TEXT = b"(what stood here is no record)"
_NO_RECORD = re.compile(
    rb"^(?!\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d\.\d{3}Z (?:<[^<> \n]+> |\* )).*\n",
    re.MULTILINE,
)
_EARLIEST = b"1970-01-01T00:00:00.000Z"


def events(length: int, at: bytes) -> Iterator[bytes]:
    """Events that say nothing, together of that length, which is 0 or SHORTEST at least."""
    while length:
        size = min(length, record.LINE_LIMIT)
        if 0 < length - size < SHORTEST:
            size -= SHORTEST
        text = _TEXT.ljust(size, b".")[: size - SHORTEST]
        yield at + _EVENT + text + b"\n"
        length -= size


def is_filling(line: bytes) -> bool:
    """Whether the line may be one of these."""
    text = line[record.STAMP_LENGTH + len(_EVENT) : -1]
    is_event = line[record.STAMP_LENGTH :].startswith(_EVENT)
    return is_event and len(line) >= SHORTEST and _TEXT.startswith(text.rstrip(b"."))


# Before a room runs:


def mend(fd: int, path: str, start: int, end: int, base: int = 0) -> str:
    """Leave nothing but records between these places of a file that begins at the offset `base`;
    what to tell, if anything was to be done."""
    with open(os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC), "r+b", 0) as file:
        mending = _Mending(file, start, end)
        at, in_line = start, False
        while at < end:
            chunk = os.pread(fd, min(CHUNK, end - at), at)
            chunk = chunk[: chunk.rfind(b"\n") + 1] or chunk  # or a part of a very long line
            if in_line or not _all_sound(chunk):
                mending.look_at(chunk, at, in_line)
            else:
                mending.passes(chunk)
            at, in_line = at + len(chunk), not chunk.endswith(b"\n")
        mending.close()
    if not mending.lines:
        return ""
    where = keep(path, mending.foreign)
    lines = f"{mending.lines} lines" if mending.lines > 1 else "1 line"
    return (
        f"{path}: {lines} from offset {base + mending.first} on could not be sent as records{where}"
    )


def is_known(found: os.stat_result, key: int) -> bool:
    """Whether the file is as a room has left it that was closed: it need not be read through.

    `found` is what it was before anything was written to it.
    """
    return os.pread(key, _KNOWN_SIZE, _KNOWN_AT) == _known(found)


def make_known(fd: int, key: int) -> None:
    """Remember, beside the room's key, that there are nothing but records in it. Raises OSError."""
    os.fdatasync(fd)
    os.pwrite(key, _known(os.fstat(fd)), _KNOWN_AT)


def _known(status: os.stat_result) -> bytes:
    text = f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
    return text.ljust(_KNOWN_SIZE - 1).encode() + b"\n"


class _Mending:
    """What is done line by line, where it has to be."""

    def __init__(self, file: RawIOBase, start: int, end: int) -> None:
        self.lines = 0  # that were no records
        self.first = -1  # where the first of them stood
        self.foreign = b""  # what they were
        self._file = file
        self._start, self._end = start, end
        self._stamp = _EARLIEST
        self._strange = (start, start)  # the stretch that is to be overwritten next

    def passes(self, chunk: bytes) -> None:
        """All of it are records."""
        self.close()
        last = chunk.rfind(b"\n", 0, -1) + 1
        self._stamp = chunk[last : last + record.STAMP_LENGTH]

    def look_at(self, chunk: bytes, at: int, in_line: bool) -> None:
        """Lines at that offset, of which the first is the rest of one if we are `in_line`."""
        for line in chunk.splitlines(keepends=True) if b"\r" not in chunk else _lines(chunk):
            if in_line or not _is_sound(line):
                self._mend(line, at, whole=not in_line)
            else:
                self.passes(line)
            at, in_line = at + len(line), False

    def close(self) -> None:
        """The stretch that was found is over."""
        start, end = self._strange
        self._strange = (end, end)
        size = end - start
        if size >= SHORTEST:
            for filling in events(size, self._stamp):
                self._put(filling, start)
                start += len(filling)
        elif size and end == self._end:
            self._file.truncate(start)
        elif size and start == self._start:
            self._put(b"\0" * (size - 1) + b"\n", start)  # a hole
        elif size:  # the record before becomes as much longer
            self._put(b" " * size + b"\n", start - 1)

    def _mend(self, line: bytes, at: int, whole: bool) -> None:
        """A line that is no record, or a part of one that is none."""
        if self.first < 0:
            self.first = at
        if whole:
            self.lines += 1
        safe = masked(line[:-1]) + b"\n" if whole and line.endswith(b"\n") else b""
        record_at = len(line) - len(line.lstrip(b"\0"))
        if _is_sound(safe):
            self._keep(line)
            self._put(safe, at)
            self.passes(safe)
        elif whole and record_at and _is_sound(line[record_at:]):  # after a power cut
            self._extend(line[:record_at], at)
            self.passes(line[record_at:])
        else:
            self._extend(line, at)

    def _extend(self, part: bytes, at: int) -> None:
        self._keep(part)
        start = self._strange[0] if self._strange[1] == at else at
        self._strange = (start, at + len(part))

    def _keep(self, part: bytes) -> None:
        self.foreign += part[: max(0, KEPT - len(self.foreign))]

    def _put(self, data: bytes, at: int) -> None:
        self._file.seek(at)
        while data:
            data = data[self._file.write(data) or 0 :]


def _all_sound(lines: bytes) -> bool:
    sound = is_safe(lines) and not _NO_RECORD.search(lines)
    return sound and lines.endswith(b"\n") and not too_long(lines, record.RECORD_LIMIT)


def _is_sound(line: bytes) -> bool:
    return _all_sound(line) and line.count(b"\n") == 1


def _lines(chunk: bytes) -> list[bytes]:
    """Parted at newlines alone."""
    parts = chunk.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


# While a room runs:


def cut_foreign(fd: int, path: str, length: int) -> str:
    """Cut off what somebody else has written behind that many bytes; what to tell, if anything."""
    size = os.fstat(fd).st_size
    if size <= length:
        return ""
    where = keep(path, os.pread(fd, min(KEPT, size - length), length))
    os.ftruncate(fd, length)
    return f"somebody else has written {size - length} bytes to {path}{where}"


def fill(fd: int, size: int, length: int, lowest: int, at: bytes) -> None:
    """Make the file as long as it was, so that offsets mean what they did. Raises OSError.

    Events, of the time `at`, go where somebody may still read, from the `lowest` place on, and
    where the gap is small; the rest is a hole.
    """
    start = tail.start_of_line(fd, size)
    begin = max(start, min(lowest, length - SHORTEST))
    if begin - start <= SPARSE:
        begin = start
    os.ftruncate(fd, start)
    if begin > start:
        os.ftruncate(fd, begin - 1)
        os.write(fd, b"\n")
    for filling in events(length - begin, at):
        os.write(fd, filling)


def keep_foreign(path: str, beyond: bytes) -> str:
    """Keep what is cut off, unless it is whole records or the beginning of one, which the room's
    own may be; what to tell."""
    whole, newline, begun = beyond.rpartition(b"\n")
    records = whole + newline
    if (not records or _all_sound(records)) and record.could_be_torn(begun[:STAMP]):
        return ""
    return f"somebody else has written {len(beyond)} bytes to {path}{keep(path, beyond)}"


def keep(path: str, foreign: bytes) -> str:
    """Keep what was not the room's beside its transcript; the end of the line that tells of it."""
    name = f"{path}.foreign"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with open(os.open(name, flags, 0o600), "ab", 0) as file:
            file.write(foreign)
    except OSError as error:
        return f": they are lost, for {name} cannot be written ({reason_of(error)})"
    return f": moved to {name}, and sent to nobody"
