"""The transcript: an append-only file of records, and the only code that writes one.

Any process may append, also one of another program: each append is made under `flock`, by an open
file description of its process's own (a lock belongs to the description: parent and child must not
share one), and is whole or absent. A writer killed in the middle leaves the beginning of a record
without a newline behind; the next appender cuts that back.

In a room a shared watermark says how far the file is committed: it is moved on under the lock, and
readers never read past it. Whole records that somebody else appended to the same file (or that a
writer left behind who was killed before it moved the watermark) are committed by the next append.

This file knows records only by their newline and the beginning of their stamp, and nothing of
sockets or screens.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time

from duplex.system.errors import Locked, TranscriptError, reason_of
from duplex.transcript import mending, record, tail
from duplex.transcript.hole import HOLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.transcript.committed import Committed


_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
_TRIES = 100  # to append in a file to which others write, too
_LOOK_BACK = 64 * 1024  # bytes read at a time to find the last newline
# s: an append takes microseconds, or with `--fsync always` what a disk takes, for each who waits
LOCK_WAIT = 5.0
_TRY_FIRST, _TRY_AT_LEAST_EVERY = 0.0001, 0.005  # s between two tries, doubled each time


def make_directory(path: str) -> None:
    """Make it and what is missing above it, each for this user alone. Raises OSError.

    `os.makedirs` gives its mode to the last one only; those above get what the umask leaves.
    """
    if path and not os.path.isdir(path):
        make_directory(os.path.dirname(path.rstrip("/")))
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):  # another process may have made it just now
                raise


class Transcript:
    """One open file description of a transcript, for one process."""

    def __init__(self, path: str, fd: int, regular: bool) -> None:
        self.path = path
        self.fd = fd
        self.found = os.fstat(fd)  # before anything was written to it
        self.mended = 0  # bytes of a torn tail that were cut back when it was opened
        self.tell: Callable[[str], None] = _nobody  # what others do to it, while a room has it
        self.patience = LOCK_WAIT  # s that the lock is waited for; 0: it is only tried
        self._regular = regular  # a file, and no device
        self._committed: Committed | None = None
        self._synced = False
        self._left = (-1, b"")  # where our last append ended, and its stamp
        self._inode = 0  # of the file that `fd` is of, while a room has it
        self._first = 0
        self._told: list[str] = []  # what is to be told once the lock is free

    @classmethod
    def open(cls, path: str, claim: Callable[[int], None] | None = None) -> Transcript:
        """Open or make `path`, and prove that it can be written; else a TranscriptError.

        A new file gets the mode 0600, new directories for it 0700. Devices (/dev/null) will do.
        `claim` is called with the descriptor before anything is written, and may refuse
        (keeping.py).
        """
        try:
            make_directory(os.path.dirname(path))
            # O_NONBLOCK, so that a fifo without a reader is refused below instead of waited for
            fd = os.open(path, _FLAGS | os.O_CREAT | os.O_NONBLOCK, 0o600)
            try:
                return cls._open(path, fd, claim)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise TranscriptError(path, reason_of(error)) from None

    @classmethod
    def _open(cls, path: str, fd: int, claim: Callable[[int], None] | None) -> Transcript:
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
            raise TranscriptError(path, "not a file")
        if claim:
            claim(fd)
        os.set_blocking(fd, True)
        transcript = cls(path, fd, stat.S_ISREG(mode))
        transcript._prove()
        return transcript

    def reopen(self) -> Transcript:
        """Another description of the same file, for the other process of a fork.

        By the descriptor, not by the name: the file may have been renamed meanwhile.
        """
        try:
            try:
                fd = os.open(f"/proc/self/fd/{self.fd}", _FLAGS)
            except PermissionError:
                self.give_permission()
                fd = os.open(f"/proc/self/fd/{self.fd}", _FLAGS)
        except OSError as error:
            raise TranscriptError(self.path, reason_of(error)) from None
        again = Transcript(self.path, fd, self._regular)
        again._committed, again._synced = self._committed, self._synced
        again._first, again._inode, again.tell = self._first, self._inode, self.tell
        return again

    def give_permission(self) -> bool:
        """Let ourselves open it, should somebody have taken that away; whether so. OSError."""
        mode = os.fstat(self.fd).st_mode
        if not self._regular or mode & 0o600 == 0o600:
            return False
        os.fchmod(self.fd, stat.S_IMODE(mode) | 0o600)
        self.tell(f"{self.path} could not be opened any more: its permissions are given back")
        return True

    @property
    def first(self) -> int:
        """The offset of its first record: it may begin with a hole (store/replicator.py)."""
        return self._committed.first if self._committed else self._first

    @first.setter
    def first(self, offset: int) -> None:
        self._first = offset
        if self._committed:
            self._committed.first = offset

    def share(self, committed: Committed, synced: bool) -> None:
        """From now on it is a room's: the watermark, at first the file's end, is moved with it.

        With `synced` an append is on the disk before the watermark is moved.
        """
        if not self._regular:
            raise TranscriptError(
                self.path, "a room's transcript is read again, so it has to be a file"
            )
        with self:
            committed.watermark = committed.announced = end = self._mended_end()
            committed.stamped = self._last_stamp(end)
            committed.first = max(committed.first, self._first)
            committed.inode = self._inode = os.fstat(self.fd).st_ino
        self._committed, self._synced = committed, synced

    def __enter__(self) -> Transcript:
        """Hold the lock, for `write` and for what has to happen together with it.

        Raises Locked if somebody else holds it for too long; an OSError inside becomes a
        TranscriptError. It is tried again and again, because a wait of the kernel's has no limit.
        """
        deadline, pause = 0.0, _TRY_FIRST
        while not self._lock() or self._was_made_anew():
            now = time.monotonic()
            deadline = deadline or now + self.patience
            if now >= deadline:
                raise Locked(self.path)
            time.sleep(pause)
            pause = min(2 * pause, _TRY_AT_LEAST_EVERY)
        if self._committed is not None:
            self._committed.holder = os.getpid()
        return self

    def _was_made_anew(self) -> bool:
        """Whether the file is another by now (room/custody.py): then that is what we have from now
        on, at the same descriptor, and not locked yet."""
        if self._committed is None or self._committed.inode == self._inode:
            return False
        try:
            fd = os.open(self.path, _FLAGS)
            if os.fstat(fd).st_ino == self._committed.inode:
                os.dup2(fd, self.fd, inheritable=False)
                self._inode = self._committed.inode
            os.close(fd)
        except OSError as error:
            fcntl.flock(self.fd, fcntl.LOCK_UN)  # of the file that it was
            raise TranscriptError(self.path, reason_of(error)) from None
        return True

    def follow(self) -> None:
        """Have the file that it is now, for who takes no lock. Raises TranscriptError."""
        self._was_made_anew()

    def is_now(self, fd: int) -> None:
        """`fd` is of a copy of it, which takes its place. Under the lock, which is free then."""
        assert self._committed is not None
        self._committed.inode = self._inode = os.fstat(fd).st_ino
        os.dup2(fd, self.fd, inheritable=False)

    def look(self) -> None:
        """Put right what others have done to it. Raises TranscriptError."""
        with self:
            self.end()

    def end(self) -> int:
        """Where to append, under the lock, once what others have done is put right. OSError."""
        return self._mended_end()

    def _lock(self) -> bool:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise TranscriptError(self.path, reason_of(error)) from None
        return True

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._committed is not None:
            self._committed.holder = 0
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        told, self._told = self._told, []
        for text in told:
            self.tell(text)
        if isinstance(error, OSError):
            raise TranscriptError(self.path, reason_of(error)) from None

    def append(self, records: bytes) -> int:
        """Append whole records, all or none of them; the offset at which the first one is.

        Raises TranscriptError if they are not there.
        """
        with self:
            return self.write(records)

    def append_now(self, make: Callable[[bytes], bytes]) -> int:
        """The same with the records that `make` makes of their stamp, taken under the lock."""
        with self:
            return self.write(make(self.stamp()))

    def stamp(self) -> bytes:
        """The stamp of what is written now, under the lock: never before the last record's.

        So the clock can be set back, and writers can overtake each other, as they like.
        """
        last = self._committed.stamped if self._committed else self._last_stamp_of_file()
        return max(record.stamp(), last)

    def write(self, records: bytes) -> int:
        """The same under the lock, which the caller holds. Raises OSError."""
        end = self._mended_end()
        if self._committed is None:
            self._write(records, end)
            self._left = end + len(records), tail.stamp_of_last(records)
            return end
        # Others may write, or cut, just before we do: it has to stand where we say that it does.
        for _ in range(_TRIES):
            self._committed.announced = end + len(records)
            self._write(records, end)
            at = os.lseek(self.fd, 0, os.SEEK_CUR) - len(records)
            if at == end:
                break
            os.ftruncate(self.fd, at)
            end = self._mended_end()
        else:
            raise OSError(errno.EBUSY, "others write to it all the time")
        self._committed.stamped = max(self._committed.stamped, tail.stamp_of_last(records))
        self._committed.watermark = end + len(records)
        return end

    def _write(self, records: bytes, end: int) -> None:
        try:
            written = os.write(self.fd, records)
            while written < len(records):  # the disk filled up, or a signal came: ask again why
                written += os.write(self.fd, records[written:])
            if self._synced:
                os.fdatasync(self.fd)
        except OSError:
            if self._regular:
                os.ftruncate(self.fd, end)
            raise

    def back(self, count: int, end: int) -> int:
        """The offset of the last `count` records before `end`, or of the first there is."""
        start = end
        while count > 0 and start > self.first:
            before = max(self.first, start - _LOOK_BACK)
            block = os.pread(self.fd, start - before, before)
            at = len(block) - (start == end)  # the last newline ends the last record
            while count > 0 and (at := block.rfind(b"\n", 0, at)) >= 0:
                count -= 1
            start = before + at + 1 if count == 0 else before
        return start

    def read(self, start: int, end: int, limit: int) -> bytes:
        """Whole records from `start` to `end`, of which the last ones within `limit` bytes."""
        if end - start > limit:
            data = os.pread(self.fd, limit, end - limit)
            return data[data.find(b"\n") + 1 :]
        return os.pread(self.fd, end - start, start)

    def is_start(self, offset: int) -> bool:
        """Whether a record can start there: at the beginning, or right after a newline."""
        if offset == 0:
            return os.pread(self.fd, 1, 0) not in HOLES
        before = os.pread(self.fd, 2, offset - 1)
        return before.startswith(b"\n") and before[1:] != b"\0"  # not in a hole

    def close(self) -> None:
        os.close(self.fd)

    def _prove(self) -> None:
        """Write a byte and take it back, under the lock: is there space, is it allowed?

        The byte is the first of every record, so that it is cut back by the next appender if this
        process is killed just now; nobody reads it, because readers take whole lines only.
        """
        with self:
            end = self._mended_end()
            os.write(self.fd, b"2")
            if self._regular:
                os.ftruncate(self.fd, end)

    def _last_stamp_of_file(self) -> bytes:
        end = self._mended_end()
        where, stamp = self._left
        return stamp if where == end else self._last_stamp(end)

    def _last_stamp(self, end: int) -> bytes:
        return tail.last_stamp(self.fd, end) if self._regular else tail.NO_STAMP

    def _mended_end(self) -> int:
        """Where to append, once a dead writer's torn tail is gone. Call it under the lock."""
        if not self._regular:
            return 0
        end = os.lseek(self.fd, 0, os.SEEK_END)
        if self._committed is not None:
            if end != self._committed.watermark:
                size = end
                end, told = mending.restore(self.fd, self.path, size, self._committed)
                self.mended += max(0, size - end)
                self._told += [told] if told else []
            return end
        whole = tail.without_torn(self.fd, end)
        self.mended += max(0, end - whole)
        return whole


def _nobody(_text: str) -> None:
    """Nobody is told."""
