"""A room's transcript, as its one writer has it: the newest segment, and the closed ones before it.

Offsets count from the room's first record on, through all segments; the newest is the file at the
path, and where it begins stands in FILE.key (closed.py). The server opens it, before its first
fork and perhaps as root; the hub goes on with the descriptors, as the room's user, and so does the
next hub if one was killed (`resume`). Whoever else writes to the file, cuts, moves or removes it is
found out by `look` and `append`, and told of in one line; what clients are sent stays right.

Knows records by their newline and stamp, and of clients only how far they have got.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress

from duplex.system.errors import TranscriptError, reason_of, say_status
from duplex.transcript import closed, custody, keeping, mending, record, tail
from duplex.transcript.closed import Gone, Place, Segment
from duplex.transcript.custody import Custody
from duplex.transcript.hole import first_record
from duplex.transcript.reader import Reader
from duplex.transcript.retention import FOR_EVER, NEVER, Retention, Rotation
from duplex.transcript.secret import open_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TRIES = 100  # to append in a file to which others write, too
_UNSURE = 1 << 20  # bytes at the end, in which others may have written since a hub was killed
_AGAIN = 60.0  # s until a rotation that failed is tried again


class Segments(Reader):
    """`tell` takes a line for the operator, `opened` the descriptor of a segment that was begun,
    and `lowest` tells the offset up to which everybody has been sent all."""

    def __init__(self, path: str, fd: int, key: int, rotate: Rotation, retain: Retention) -> None:
        super().__init__(path, fd)
        self.key = key  # the descriptor of FILE.key (secret.py)
        self.tell: Callable[[str], None] = say_status
        self.opened: Callable[[int], None] = lambda _fd: None
        self.lowest: Callable[[], int] = lambda: self.end
        self._rotate, self._retain = rotate, retain
        self._stamp = tail.NO_STAMP
        self._synced = 0  # an offset
        self._not_before = 0.0  # monotonic, when it may be rotated
        self._custody = Custody(self)

    @classmethod
    def open(
        cls,
        path: str,
        *,
        adopt: bool = False,
        rotate: Rotation = NEVER,
        retain: Retention = FOR_EVER,
        shared: bool = False,
    ) -> Segments:
        """Open or make it, claimed for a room, and leave nothing in it but records.

        Not of a copy that is `shared`: that is compared with what it is a copy of. Raises
        DuplexError: a TranscriptError, NotYours.
        """
        transcript = keeping.for_room(path, adopt)
        key = open_secret(path)
        self = cls(path, transcript.fd, key, rotate, retain)
        found = transcript.found
        if transcript.mended:
            self.tell(f"{path}: {transcript.mended} bytes of a torn record were cut back")
        try:
            place = closed.read_place(key)
            self.base, self._first = place.begin(path, found), place.first
            closed.write_place(key, self.fd, self.base, first=self._first)
            if not shared and not mending.is_known(found, key):
                self._mend(0)
            self._take_stock()
        except OSError as error:
            raise TranscriptError(path, reason_of(error)) from None
        return self

    def take(self, fd: int) -> None:
        """The server: that of the segment which the hub has begun."""
        os.close(self.fd)
        self.fd = fd

    def resume(self) -> None:
        """The hub, at first: go on with what there is, though another one may have been killed.

        Raises TranscriptError.
        """
        try:
            self._custody.give_permission()
            place = closed.read_place(self.key)
            self.base, self._first = place.base, place.first
            if os.fstat(self.fd).st_ino != place.inode:
                self._find_newest(place)
            size = os.fstat(self.fd).st_size
            if (whole := tail.without_torn(self.fd, size)) < size:
                self.tell(f"{self.path}: {size - whole} bytes of a torn record were cut back")
            self._mend(tail.start_of_line(self.fd, max(0, whole - _UNSURE)))
            self._take_stock()
        except OSError as error:
            raise TranscriptError(self.path, reason_of(error)) from None

    def _find_newest(self, place: Place) -> None:
        """The newest, which the hub that began it was killed before it could hand over."""
        if (fd := self._custody.opened(place.inode)) < 0:  # nothing was in it
            with self._custody.new() as fd:
                self._custody.put_in_place()
                closed.write_place(self.key, fd, self.base, first=self._first)
        self._go_on_with(fd)

    def _mend(self, start: int) -> None:
        """From that place in the newest on, or from its first record."""
        start = max(start, first_record(self.fd), self._first - self.base)
        size = os.fstat(self.fd).st_size
        self._say(mending.mend(self.fd, self.path, min(start, size), size, self.base))

    def _say(self, told: str) -> None:
        if told:
            self.tell(told)

    def _take_stock(self) -> None:
        size = os.fstat(self.fd).st_size
        self.end = self.base + size
        self._closed.find(self.base)
        self._first = min(self._first, self.end)
        self._synced = self.base
        self._stamp = max(self._stamp, tail.last_stamp(self.fd, size))
        if hole := first_record(self.fd):
            self._first = max(self._first, self.base + hole)
        with suppress(Gone):
            if self._closed:
                oldest = self._closed.at(self._closed.oldest.first)
                self._first = max(self._first, oldest.first + first_record(oldest.fd))
                latest = self._closed.at(self.base - 1)
                stamp = tail.last_stamp(latest.fd, self.base - latest.first)
                self._stamp = max(self._stamp, stamp)
        self._closed.rest()

    def stamp(self) -> bytes:
        """Of what is appended now: never before the last record's, however the clock is set."""
        return max(record.stamp(), self._stamp)

    def append(self, records: bytes, synced: bool = False) -> int:
        """Append whole records, all or none of them; the offset of the first.

        With `synced` they are on the disk, too. Raises TranscriptError if they are not there.
        """
        if self._rotate.size and self.end - self.base >= self._rotate.size:
            self._close_newest()
        try:
            self._write(records, synced)
        except OSError as error:
            raise TranscriptError(self.path, reason_of(error)) from None
        start = self.end
        self.end += len(records)
        self._stamp = max(self._stamp, tail.stamp_of_last(records))
        return start

    def _write(self, records: bytes, synced: bool) -> None:
        """Others may write, or cut, just before: it has to stand where we say that it does."""
        place, size = self.end - self.base, len(records)
        for _ in range(_TRIES):
            if os.lseek(self.fd, 0, os.SEEK_END) != place:
                self._put_right()
            try:
                written = os.write(self.fd, records)
                while written < size:  # the disk filled up, or a signal came: ask again why
                    written += os.write(self.fd, records[written:])
                if synced:
                    os.fdatasync(self.fd)
            except OSError:
                os.ftruncate(self.fd, place)
                raise
            at = os.lseek(self.fd, 0, os.SEEK_CUR) - size
            if at == place:
                return
            os.ftruncate(self.fd, max(0, at))
        raise OSError(errno.EBUSY, "others write to it all the time")

    def sync(self) -> None:
        """All that was appended is on the disk. Raises TranscriptError."""
        try:
            if self._synced < self.end:
                os.fdatasync(self.fd)
                self._synced = self.end
        except OSError as error:
            raise TranscriptError(self.path, reason_of(error)) from None

    def begin_another(self, name: str) -> str:
        """Close the newest, which is to be called `name` from now on, or which somebody has moved.

        Where to something was moved that stood in the way, or "". Raises OSError. We can be killed
        anywhere: each step leaves what says which file begins where.
        """
        self._put_right()
        os.fdatasync(self.fd)  # or a power cut could leave a gap before the next one
        with self._custody.new() as fd:
            closed.write_place(self.key, self.fd, self.base, self.end, self._first)
            if name:
                custody.name(self._custody.real, name)
            moved = self._custody.put_in_place(named=bool(name))
            closed.write_place(self.key, fd, self.end, first=self._first)
        if self.end > self.base:
            self._closed.add(Segment(self.base, self.end, name, os.dup(self.fd)))
        self.base = self._synced = self.end
        self._go_on_with(fd)
        return moved

    def restore(self) -> str:
        """Put a copy of the newest to its path, and go on with that; as above."""
        with self._custody.new() as fd:
            custody.copy(self.fd, self.end - self.base, fd)
            moved = self._custody.put_in_place()
            closed.write_place(self.key, fd, self.base, first=self._first)
        self._synced = self.base
        self._go_on_with(fd)
        return moved

    def _go_on_with(self, fd: int) -> None:
        self.take(fd)
        self.opened(fd)

    def _close_newest(self) -> None:
        """If it can be; if not, it is tried again later."""
        now = time.monotonic()
        if now < self._not_before or self.end == self.base:
            return
        with self._custody.trying("rotated"):
            self._custody.follow()
            if custody.leads_to(self._custody.real, self.fd):  # `look` finds out why it does not
                self._not_before = now + _AGAIN
                self.begin_another(f"{self._custody.real}.{self.base}")
                self._not_before = 0.0

    def look(self) -> None:
        """Twice a second: put right what others did; rotate, and remove what is kept no longer."""
        with self._custody.trying("put right"):
            self._custody.stay_at_path()
            self._custody.give_permission()
            self._put_right()
            if latest := self._closed.latest:  # who had it open goes on writing to that
                length = latest.end - latest.first
                self._say(mending.cut_foreign(latest.fd, self.path, length))
            stamp = os.pread(self.fd, record.STAMP_LENGTH, max(0, self._first - self.base))
            if self._rotate.is_over(stamp, time.time()):
                self._close_newest()
            self._closed.remove_old(self._retain, self.end, self.lowest())

    def _put_right(self) -> None:
        """Make the newest as long as it was. Raises OSError."""
        size, length = os.fstat(self.fd).st_size, self.end - self.base
        if size < length:
            mending.fill(self.fd, size, length, self.lowest() - self.base, self._stamp)
            self._first = self.end
            closed.write_place(self.key, self.fd, self.base, first=self._first)
            gone = "what stood there is gone, the room goes on"
            self.tell(f"{self.path} was cut to {size} bytes: {gone} at offset {self.end}")
        self._say(mending.cut_foreign(self.fd, self.path, length))

    def begin_at(self, offset: int) -> None:
        """Keep nothing, and have the next record there. Raises OSError."""
        os.ftruncate(self.fd, 0)
        closed.write_place(self.key, self.fd, offset, first=offset)
        self.base = self.end = self._first = self._synced = offset
        self._closed.close()

    def cut(self, offset: int) -> None:
        """Keep nothing from there on; tell of it, unless it is what a hub leaves that was killed.

        Raises OSError, and Gone if it is before what is kept.
        """
        while offset < self.base:  # after a power cut: the latest that was closed is the newest
            latest = self._closed.at(self.base - 1)
            closed.write_place(self.key, latest.fd, latest.first, first=self._first)
            os.rename(latest.path, self._custody.real)
            self.base = latest.first
            self._go_on_with(self._custody.opened(os.fstat(latest.fd).st_ino))
            self._closed.find(self.base)
        beyond = os.pread(self.fd, mending.KEPT, offset - self.base)
        self._say(mending.keep_foreign(self.path, beyond))
        os.ftruncate(self.fd, offset - self.base)
        self._take_stock()

    def close(self) -> None:
        """Whoever has written the last record: the room is closed."""
        with suppress(OSError):  # then it is read through when it is opened again
            closed.write_place(self.key, self.fd, self.base, self.end, self._first)
            mending.make_known(self.fd, self.key)
        self._closed.close()
        os.close(self.fd)
        os.close(self.key)
