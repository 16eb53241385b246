"""What others have done to the place of a room's transcript, and how its file gets there again.

The path leads to the room's newest segment. Where somebody has moved that, it is a closed segment,
and another one begins; where it was removed, a copy of it takes its place. Something else that
stands there is moved aside, to FILE.other, and what it leads to if it is a symbolic link is not
touched. In the process that writes the transcript.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager, suppress

from duplex.system.errors import DuplexError, TranscriptError, reason_of
from duplex.transcript import keeping
from duplex.transcript.file import make_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    class Newest(Protocol):
        """What segments.py has, and can do."""

        path: str
        fd: int
        key: int
        base: int
        tell: Callable[[str], None]

        def begin_another(self, name: str) -> str: ...

        def restore(self) -> str: ...


TIMES, A_WHILE = 5, 3600.0  # that it is put back within these seconds, until it is left alone
CHUNK = 1 << 20  # bytes copied at once
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Custody:
    """Of one transcript."""

    def __init__(self, segments: Newest) -> None:
        self._segments = segments
        self._told: dict[str, str] = {}
        self._done: list[float] = []  # monotonic, when it was put back
        self.follow()

    def follow(self) -> None:
        """Where the path leads, if it is a symbolic link: there is the file, and all beside it."""
        self.real = os.path.realpath(self._segments.path)

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """What cannot be done in this is told once, until it can be."""
        try:
            yield
            self._told.pop(what, "")
        except (OSError, TranscriptError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else error.reason
            if self._told.get(what) != reason:
                self._segments.tell(f"{self._segments.path} cannot be {what}: {reason}")
            self._told[what] = reason

    def stay_at_path(self) -> None:
        """Have the newest segment at the path. Raises OSError, TranscriptError."""
        segments, path, now = self._segments, self._segments.path, time.monotonic()
        self._done = [at for at in self._done if now - at < A_WHILE]
        if leads_to(self.real, segments.fd) or len(self._done) >= TIMES:
            return
        if is_anothers(self.real, segments.key):
            self._done = [now] * TIMES
            segments.tell(f"another room keeps {path} by now; this one goes on without a file")
            return
        if os.fstat(segments.fd).st_nlink:
            closed = f"{self.real}.{segments.base}"
            if leads_to(closed, segments.fd):  # a hub was killed that was about to rotate it
                segments.begin_another(closed)
                return
            moved = segments.begin_another("")
            what = f"was moved: it ends at offset {segments.base}, and a new one begins"
        else:
            moved = segments.restore()
            what = "was removed: it is there again, with all that was in it"
            self._done.append(now)
        also = f"; what stood there instead is {moved} now" if moved else ""
        last = "; that was the last time" if len(self._done) == TIMES else ""
        segments.tell(f"{path} {what}{also}{last}")

    def give_permission(self) -> None:
        """Let us open it again, should somebody have taken that away. Raises OSError."""
        mode = os.fstat(self._segments.fd).st_mode
        if mode & 0o600 != 0o600:
            os.fchmod(self._segments.fd, stat.S_IMODE(mode) | 0o600)
            path, given = self._segments.path, "its permissions are given back"
            self._segments.tell(f"{path} could not be opened any more: {given}")

    def opened(self, inode: int) -> int:
        """The file at the path, claimed, if it is that one, or else -1. Raises OSError."""
        try:
            fd = os.open(self.real, _FLAGS)
        except OSError:
            return -1
        if os.fstat(fd).st_ino != inode:
            os.close(fd)
            return -1
        keeping.keep_for_room(fd)
        return fd

    @contextmanager
    def new(self) -> Iterator[int]:
        """An empty file, claimed, that is to take the place in this. Raises OSError."""
        make_directory(os.path.dirname(self.real))
        clear(f"{self.real}.new")
        fd = os.open(f"{self.real}.new", _FLAGS | os.O_CREAT, 0o600)
        try:
            keeping.keep_for_room(fd)
            yield fd
        except OSError:
            os.close(fd)
            raise

    def put_in_place(self, named: bool = False) -> str:
        """What `new` has made; where to what stood there was moved, or "". Raises OSError.

        The newest segment itself is replaced if it is `named` otherwise, too.
        """
        moved = "" if named and leads_to(self.real, self._segments.fd) else clear(self.real)
        os.rename(f"{self.real}.new", self.real)
        with suppress(PermissionError):  # it may be one that can be written, and not read
            directory = os.open(os.path.dirname(self.real), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory)  # before the key says so
            finally:
                os.close(directory)
        return moved


def check(path: str, user: str) -> None:
    """That this process, which is `user`, can rotate the transcript there. Raises DuplexError."""
    directory = os.path.dirname(os.path.realpath(path))
    if not os.access(directory, os.W_OK | os.X_OK):
        raise DuplexError(
            f"cannot rotate {path} as {user}: {directory} cannot be written; "
            "--user names somebody who can, or leave out --rotate"
        )


def leads_to(path: str, fd: int) -> bool:
    """Whether the path leads to that file.

    Where the room's user cannot go, only root can do something to it (ownership.py): all that is
    seen there is that it was removed.
    """
    ours = os.fstat(fd)
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    except PermissionError:
        return ours.st_nlink > 0
    return os.path.samestat(there, ours)


def is_anothers(path: str, key: int) -> bool:
    """Whether somebody has begun a room at the path, with a key of its own."""
    try:
        there = os.stat(f"{path}.key")
    except FileNotFoundError:
        return False
    return not os.path.samestat(there, os.fstat(key))


def clear(path: str) -> str:
    """Make way for what is to be there; where to that was moved which stood there, or "".

    An empty file of ours is let stand, to be replaced: logrotate's `create` leaves one.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return ""
    if stat.S_ISREG(status.st_mode) and (status.st_size, status.st_uid) == (0, os.geteuid()):
        return ""
    number = 1
    while os.path.lexists(to := f"{path}.other{number if number > 1 else ''}"):
        number += 1
    os.rename(path, to)
    return to


def name(path: str, also: str) -> None:
    """Call the file at `path` `also`, too; or, where files have one name alone, instead."""
    try:
        os.link(path, also, follow_symlinks=False)
    except FileExistsError:
        if not os.path.samestat(os.lstat(path), os.lstat(also)):  # or we were killed before
            raise
    except OSError:
        if os.path.lexists(also):
            raise
        os.rename(path, also)


def copy(fd: int, size: int, to: int) -> None:
    """That much of a file to the end of another."""
    at = 0
    while at < size and (data := os.pread(fd, min(CHUNK, size - at), at)):
        at += os.write(to, data)
