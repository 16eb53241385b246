"""Closed segments: what a room has kept before the file at its transcript's path.

    client_input.log.0            from offset 0 on
    client_input.log.67108901     from there on
    client_input.log              the newest, to which the room appends

Each begins where the one before ends: other numbers are other programs' (logrotate). Where the
newest begins stands in FILE.key, behind the secret (secret.py), and before anything is renamed:

    INODE BASE NEXT FIRST    the newest is that file, and begins at BASE; one that is empty, at
                             NEXT; and before FIRST nothing is kept

Reads names and files, and writes that line; removes what it is told to.
"""

from __future__ import annotations

import os
import re
import stat
import time
from bisect import bisect_right

from duplex.system.errors import TranscriptError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from duplex.transcript.retention import Retention

OPEN_AT_ONCE = 4  # descriptors of segments that can be opened again
MOVED = 8  # segments that somebody has moved, and so are there as long as they are open
_NUMBER = re.compile(r"0|[1-9][0-9]{,17}")
_PLACE_AT, _PLACE_SIZE = 128, 128  # bytes in the key's file


class Gone(TranscriptError):
    """What is to be read is not kept any more."""

    def __init__(self, path: str, offset: int) -> None:
        super().__init__(path, f"what stood at offset {offset} is not kept any more")
        self.args = (f"cannot read the transcript {path}: {self.reason}",)


class Segment:
    """From offset `first` to `end`. Without a path it is only there while it is open."""

    __slots__ = ("end", "fd", "first", "inode", "path", "writable")

    def __init__(self, first: int, end: int, path: str, fd: int = -1, inode: int = 0) -> None:
        self.first = first
        self.inode = inode
        self.end = end
        self.path = path
        self.fd = fd
        self.writable = fd >= 0 and bool(path)  # by that descriptor, and is ours to write to


class Place:
    """Where a room's newest segment begins, as FILE.key says; `known` if that says anything."""

    def __init__(self, text: bytes) -> None:
        words = text.split()
        self.known = len(words) == 4 and all(map(bytes.isdigit, words))
        numbers = map(int, words) if self.known else (0, 0, 0, 0)
        self.inode, self.base, self.next, self.first = numbers

    def begin(self, path: str, found: os.stat_result) -> int:
        """Where the file begins that was found at the transcript's path.

        If it is another than the key knows, the key may be an earlier backup's, and that file one
        that begins where those end that were closed since.
        """
        segments = named(path)
        if not self.known:
            chain = without_place(segments)
            return chain[-1].end if chain else 0
        base = self.base
        if found.st_ino != self.inode:
            for one in segments:
                if one.first == base and one.inode != found.st_ino:
                    base = one.end
        return base if found.st_size else max(base, self.next)


def read_place(key: int) -> Place:
    """Raises OSError."""
    return Place(os.pread(key, _PLACE_SIZE, _PLACE_AT))


def write_place(key: int, fd: int, base: int, following: int = 0, first: int = 0) -> None:
    """The newest segment is that of the descriptor `fd`. Raises OSError."""
    text = f"{os.fstat(fd).st_ino} {base} {following} {first}"
    os.pwrite(key, text.ljust(_PLACE_SIZE - 1).encode() + b"\n", _PLACE_AT)
    os.fdatasync(key)


def named(path: str) -> list[Segment]:
    """What may be segments of the transcript at `path`, by their names, in their order."""
    real = os.path.realpath(path)
    directory, name = os.path.split(real)
    try:
        beside = [one for one in os.listdir(directory) if one.startswith(f"{name}.")]
    except OSError:
        return []  # hidden from us, so none that we could read
    numbers = [number for one in beside if _NUMBER.fullmatch(number := one[len(name) + 1 :])]
    owner = os.stat(real).st_uid if os.path.exists(real) else os.geteuid()
    found = (_segment(f"{real}.{number}", int(number), owner) for number in numbers)
    return sorted(filter(None, found), key=lambda segment: segment.first)


def _segment(path: str, first: int, owner: int) -> Segment | None:
    """If it is a file of the transcript's owner."""
    try:
        status = os.lstat(path)
    except OSError:  # it has just gone
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_uid != owner:
        return None
    return Segment(first, first + status.st_size, path, inode=status.st_ino)


def unbroken(segments: Iterable[Segment], end: int) -> list[Segment]:
    """Those of them of which each ends where the next begins, and the last one at `end`."""
    chain: list[Segment] = []
    for segment in sorted(segments, key=lambda one: one.first, reverse=True):
        if segment.first < end == segment.end:
            chain.insert(0, segment)
            end = segment.first
    return chain


def without_place(segments: list[Segment]) -> list[Segment]:
    """The same where no key says where they end: one alone may be anything, unless it is at 0."""
    chain = unbroken(segments, segments[-1].end) if segments else []
    return chain if len(chain) > 1 or (chain and chain[0].first == 0) else []


def before(path: str, fd: int) -> list[Segment]:
    """For who only reads: the closed ones before the transcript at `path`, which is open at `fd`,
    and that itself. The room may rotate it meanwhile. Raises OSError."""
    found = os.fstat(fd)  # at first: where one begins that is not empty, is in the key already
    try:
        with open(f"{os.path.realpath(path)}.key", "rb", 0) as key:
            place = read_place(key.fileno())
    except OSError:  # a talk's, or put here without its key
        place = Place(b"")
    segments, base = named(path), place.begin(path, found)
    if closed := [one for one in segments if one.inode == found.st_ino]:  # just now
        base = closed[0].first
    return [*unbroken(segments, base), Segment(base, base, "", fd)]


class Closed:
    """Those of one room, for the process that serves them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._all: list[Segment] = []
        self._open: list[Segment] = []  # that can be opened again; the last used is the last

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def oldest(self) -> Segment:
        return self._all[0]

    @property
    def latest(self) -> Segment | None:
        """If this process has closed it, and so can write to it."""
        latest = self._all[-1] if self._all else None
        return latest if latest and latest.writable else None

    def find(self, base: int) -> None:
        """Those that are there by their names, and end where the newest begins."""
        self.close()
        self._all = unbroken(named(self._path), base)

    def add(self, segment: Segment) -> None:
        """The one that was the newest, and is open."""
        self._all.append(segment)
        if segment.path:
            self._used(segment)
        elif len(moved := [one for one in self._all if not one.path]) > MOVED:
            self.forget(moved[0])

    def at(self, offset: int) -> Segment:
        """The one with that offset, open. Raises Gone."""
        index = bisect_right(self._all, offset, key=lambda one: one.first) - 1
        segment = self._all[index] if index >= 0 else None
        if segment is None or offset >= segment.end:
            raise Gone(self._path, offset)
        if segment.path:
            if segment.fd < 0:
                try:
                    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                    segment.fd = os.open(segment.path, flags)
                except OSError:
                    self.forget(segment)
                    raise Gone(self._path, offset) from None
            self._used(segment)
        return segment

    def _used(self, segment: Segment) -> None:
        if segment in self._open:
            self._open.remove(segment)
        self._open.append(segment)
        if len(self._open) > OPEN_AT_ONCE:
            self._close(self._open[0])

    def _close(self, segment: Segment) -> None:
        if segment.fd >= 0:
            os.close(segment.fd)
            segment.fd, segment.writable = -1, False
        if segment in self._open:
            self._open.remove(segment)

    def forget(self, segment: Segment) -> None:
        """It is not there any more, and so those before it are none of this transcript's either."""
        index = self._all.index(segment) + 1
        for one in self._all[:index]:
            self._close(one)
        del self._all[:index]

    def remove_old(self, retention: Retention, end: int, lowest: int) -> None:
        """What is not to be kept any more of a transcript that ends there, and nobody is still to
        be sent. Raises OSError."""
        while self._all and self.oldest.end <= lowest:
            try:
                written = os.stat(self.oldest.path or self.oldest.fd).st_mtime
            except FileNotFoundError:
                written = 0.0
            if not retention.is_over(end - self.oldest.end, time.time() - written):
                return
            self._remove(self.oldest)

    def _remove(self, segment: Segment) -> None:
        """From the disk, if it is ours, a file, and what it was. Raises OSError."""
        if segment.path and os.path.lexists(segment.path):
            status = os.lstat(segment.path)
            what = status.st_uid, status.st_size
            if stat.S_ISREG(status.st_mode) and what == (os.geteuid(), segment.end - segment.first):
                os.unlink(segment.path)
        self.forget(segment)

    def rest(self) -> None:
        """Have none open that can be opened again: what is removed is given back to the disk then,
        also while this process only waits."""
        for segment in list(self._open):
            self._close(segment)

    def close(self) -> None:
        for segment in self._all:
            self._close(segment)
        self._all.clear()
