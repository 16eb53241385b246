"""The transcript of a talk: an append-only file of records, and the only code that writes one.

Any process may append, also one of another program: each append is made under `flock`, by an open
file description of its process's own (a lock belongs to the description: parent and child must not
share one), and is whole or absent. A writer killed in the middle leaves the beginning of a record
without a newline behind; the next appender cuts that back.

A room's has one writer, and is segments.py's. This file knows records only by their newline and the
beginning of their stamp, and nothing of sockets or screens.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import contextmanager

from duplex.system.errors import Locked, TranscriptError, reason_of
from duplex.transcript import record, tail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
LOCK_WAIT = 5.0  # s that the lock is waited for: an append takes microseconds
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
        self._regular = regular  # a file, and no device
        self._left = (-1, b"")  # where our last append ended, and its stamp

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
        there = f"/proc/self/fd/{self.fd}"
        try:
            if self._regular and not os.access(there, os.R_OK | os.W_OK):  # somebody took that away
                os.fchmod(self.fd, stat.S_IMODE(os.fstat(self.fd).st_mode) | 0o600)
            fd = os.open(there, _FLAGS)
        except OSError as error:
            raise TranscriptError(self.path, reason_of(error)) from None
        return Transcript(self.path, fd, self._regular)

    def append(self, records: bytes) -> None:
        """Append whole records, all or none of them; a TranscriptError if they are not there."""
        self.append_now(lambda _at: records)

    def append_now(self, make: Callable[[bytes], bytes]) -> None:
        """The same with the records that `make` makes of their stamp, taken under the lock.

        The stamp is never before the last record's: so the clock can be set back, and writers can
        overtake each other, as they like.
        """
        with self._locked():
            end = self._end()
            where, last = self._left
            if where != end:
                last = tail.last_stamp(self.fd, end) if self._regular else tail.NO_STAMP
            records = make(max(record.stamp(), last))
            self._write(records, end)
            self._left = end + len(records), tail.stamp_of_last(records)

    def close(self) -> None:
        os.close(self.fd)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Raises Locked if somebody else holds the lock for too long; an OSError inside becomes a
        TranscriptError. It is tried again and again, because a wait of the kernel's has no limit.
        """
        deadline, pause = 0.0, _TRY_FIRST
        try:
            while not self._lock():
                now = time.monotonic()
                deadline = deadline or now + LOCK_WAIT
                if now >= deadline:
                    raise Locked(self.path)
                time.sleep(pause)
                pause = min(2 * pause, _TRY_AT_LEAST_EVERY)
            try:
                yield
            finally:
                fcntl.flock(self.fd, fcntl.LOCK_UN)
        except OSError as error:
            raise TranscriptError(self.path, reason_of(error)) from None

    def _lock(self) -> bool:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _prove(self) -> None:
        """Write a byte and take it back, under the lock: is there space, is it allowed?

        The byte is the first of every record, so that it is cut back by the next appender if this
        process is killed just now; nobody reads it, because readers take whole lines only.
        """
        with self._locked():
            end = self._end()
            os.write(self.fd, b"2")
            if self._regular:
                os.ftruncate(self.fd, end)

    def _end(self) -> int:
        """Where to append, once a dead writer's torn tail is gone."""
        if not self._regular:
            return 0
        end = os.lseek(self.fd, 0, os.SEEK_END)
        whole = tail.without_torn(self.fd, end)
        self.mended += max(0, end - whole)
        return whole

    def _write(self, records: bytes, end: int) -> None:
        try:
            written = os.write(self.fd, records)
            while written < len(records):  # the disk filled up, or a signal came: ask again why
                written += os.write(self.fd, records[written:])
        except OSError:
            if self._regular:
                os.ftruncate(self.fd, end)
            raise
