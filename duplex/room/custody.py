"""Custody: the transcript of a running room stays at its path, whatever others do there.

Looked at twice a second by the host. The room goes on with the file that it has, because offsets
are places in that file; so where a reader looks, that file is put back:

    renamed              it gets its name back, and so has two
    unlinked             it is copied, and all processes of the room go on with the copy
    something else there that is moved aside, to FILE.other, and what it leads to if it
                         is a symbolic link is not touched; then as above
    not to be opened     its permissions are given back
    cut                  transcript/mending.py, as when somebody appends

and the operator is told in one line. Where another room has begun to keep the path, nothing is done
but that. Owns nothing; knows no member but by the page.
"""

from __future__ import annotations

import os
import time

from duplex.system.errors import Locked, TranscriptError, reason_of
from duplex.transcript.file import make_directory
from duplex.transcript.keeping import keep_for_room

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.room.room import Room

EVERY = 0.5  # s between two looks
TIMES = 5  # that it is put back, until it is left to whoever always takes it away
CHUNK = 1 << 20  # bytes copied at once


class Custody:
    """`tell` takes one line for the operator."""

    def __init__(self, room: Room, tell: Callable[[str], None]) -> None:
        self._room = room
        self._transcript = room.transcript
        self._path = room.transcript.path
        self._tell = tell
        self._told = ""  # what could not be done, the last time
        self._done = 0  # times that it was put back
        self._next = 0.0  # monotonic

    def look(self) -> None:
        """Put right what is not; called more often than it need be."""
        if (now := time.monotonic()) < self._next:
            return
        self._next = now + EVERY
        try:
            if self._done < TIMES and not self._is_there():
                self._put_back()
            self._transcript.give_permission()
            if os.fstat(self._transcript.fd).st_size < self._room.page.watermark:
                self._transcript.look()
            self._told = ""
        except Locked:
            return  # next time
        except (OSError, TranscriptError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else error.reason
            self._tell_once(f"{self._path} cannot be put right: {reason}")

    def _is_there(self) -> bool:
        """Whether the path leads to our file.

        Where the room's user cannot go, only root can do something to it (system/ownership.py): all
        that is seen there is that it was removed.
        """
        ours = os.fstat(self._transcript.fd)
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        except PermissionError:
            return ours.st_nlink > 0
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _put_back(self) -> None:
        if self._is_anothers():
            self._done = TIMES
            self._tell(f"another room keeps {self._path} by now; this one goes on without a file")
            return
        make_directory(os.path.dirname(self._path))
        moved = self._move_aside() if os.path.lexists(self._path) else ""
        if os.fstat(self._transcript.fd).st_nlink:
            what = "was renamed: it has this name, too, again"
            self._link(self._transcript.fd)
        else:
            what = "was removed: it is there again, with all that was in it"
            self._copy()
        self._done += 1
        also = f"; what stood there instead is {moved} now" if moved else ""
        last = "; that was the last time" if self._done == TIMES else ""
        self._tell(f"{self._path} {what}{also}{last}")

    def _is_anothers(self) -> bool:
        """Whether somebody has begun a room at the path, with a key of its own."""
        try:
            key, ours = os.stat(f"{self._path}.key"), os.fstat(self._room.files.secret_fd)
        except FileNotFoundError:
            return False
        return (key.st_dev, key.st_ino) != (ours.st_dev, ours.st_ino)

    def _move_aside(self) -> str:
        """Where to. The link itself is moved, not what it leads to."""
        number = 1
        while os.path.lexists(to := f"{self._path}.other{number if number > 1 else ''}"):
            number += 1
        os.rename(self._path, to)
        return to

    def _link(self, fd: int) -> None:
        # With a directory's descriptor Python calls linkat(2), which alone follows this link.
        directory = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.link(str(fd), os.path.abspath(self._path), src_dir_fd=directory)
        finally:
            os.close(directory)

    def _copy(self) -> None:
        """Of a file without a name there can be no other link."""
        name = f"{self._path}.new"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with self._transcript:
            size = self._transcript.end()
            fd = os.open(name, flags, 0o600)
            try:
                self._fill(fd, size)
                keep_for_room(fd)
                os.link(name, self._path)
                self._transcript.is_now(fd)
            finally:
                os.close(fd)
                os.unlink(name)

    def _fill(self, fd: int, size: int) -> None:
        at = 0
        while at < size:
            data = os.pread(self._transcript.fd, min(CHUNK, size - at), at)
            at += os.write(fd, data)

    def _tell_once(self, text: str) -> None:
        if text != self._told:
            self._tell(text)
        self._told = text
