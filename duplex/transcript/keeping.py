"""Whose a transcript is: a room's or a talk's, and of one at a time, whatever names lead to it.

What a room keeps it shows to everybody in it, and to who comes later; so a talk must not write into
a room's transcript, nor a room take a talk's. Two things tell whose a file is:

- **A claim**, while a session runs: locks on two bytes of the file itself, so that symbolic and
  hard links lead to the same ones. They are of the kind that belongs to an open description (OFD,
  fcntl(2)), and are held by that by which the session appends. The flock(2) under which each record
  is appended is another kind, and one does not know of the other.
- **A key** beside it (secret.py), when none runs: a room has kept it, and will again.

      byte 0   a room keeps it
      byte 1   anybody keeps it: a room, or one side of a talk

A description that `reopen` makes has no claim and needs none: its process's relative has it.

Some file systems of a network make of both kinds of lock the same (nfs(5), "local_lock"). There a
claim would keep its own session from appending, so none is made: only a key tells then, and rooms
are held apart by their keys' locks.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import time

from duplex.system.errors import DuplexError, TranscriptError, reason_of
from duplex.transcript import places, record
from duplex.transcript.file import Transcript, make_directory
from duplex.transcript.secret import has_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ROOM, _ANYBODY = 0, 1
_FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, process id
_TRIES, _PAUSE = 10, 0.01  # to append, and s between two
_HEAD_LIMIT = 256  # bytes in which a record's stamp and nick end


class NotYours(DuplexError):
    """The file is another session's; `text` says whose."""

    def __init__(self, text: str, hint: str = "--log names another file") -> None:
        super().__init__(f"{text}; {hint}")
        self.text = text


class _InUse(NotYours):
    """By a talk that runs: the next name will do for another one."""


class _Strange(NotYours):
    """A file of somebody's that only has such a name: it is no transcript."""


def for_room(path: str, adopt: bool) -> Transcript:
    """The transcript of a room, claimed for it. Raises TranscriptError or NotYours.

    One that is there already and holds something has to be a room's, unless `adopt` insists.
    """

    def claim(fd: int) -> None:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return  # refused below, unless it cannot be written at all
        if not _lock(fd, _ROOM, 2):
            raise NotYours(f"{'another room' if _is_room(fd) else 'a talk'} is keeping {path}")
        if os.fstat(fd).st_size and not adopt and not has_secret(path):
            raise NotYours(
                f"no room has kept {path} before: there is no {path}.key",
                "--adopt takes it all the same, and everybody in the room can read it",
            )

    transcript = Transcript.open(path, claim)
    if not stat.S_ISREG(os.fstat(transcript.fd).st_mode):
        transcript.close()
        raise TranscriptError(path, "a room's transcript is read again, so it has to be a file")
    return transcript


def keep_for_room(fd: int) -> None:
    """Claim a file that was made to go on with. Raises OSError."""
    _lock(fd, _ROOM, 2)


def for_talk(path: str, given: bool, other: str = "another talk") -> tuple[Transcript, str]:
    """The transcript of one side of a talk, or of a client, claimed for it, and what to tell.

    If `other` has it just now this one gets the next number, and that is told. What a room keeps is
    refused if the user has `given` its name, and else gone round, too. Raises TranscriptError or
    NotYours.
    """
    told = ""
    for name in places.numbered(path):
        try:
            transcript = Transcript.open(name, _claim_for_talk(name, name != path, other))
        except NotYours as error:
            if given and not isinstance(error, (_InUse, _Strange)):
                raise
            told = told or error.text
        else:
            return transcript, told and f"{told}: this one is kept in {name}"
    raise TranscriptError(path, "there are too many of that name")


def _claim_for_talk(path: str, is_numbered: bool, other: str) -> Callable[[int], None]:
    def claim(fd: int) -> None:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return  # a device, which keeps nothing
        if not _lock(fd, _ANYBODY, 1):
            if _is_room(fd):
                raise NotYours(f"a room is keeping {path}")
            raise _InUse(f"{other} is keeping {path}")
        if has_secret(path):
            raise NotYours(f"a room is keeping {path}, when it runs")
        if status.st_nlink > 1:
            raise NotYours(f"{path} has another name (a hard link), and a room may keep it by that")
        if is_numbered and status.st_size and not record.HEAD.match(os.pread(fd, _HEAD_LIMIT, 0)):
            raise _Strange(f"{path} is no transcript")

    return claim


def _lock(fd: int, start: int, length: int) -> bool:
    """Whether it could be had. Raises OSError."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(start, length))
    except (BlockingIOError, PermissionError):  # fcntl(2) lets a system choose between the two
        return False
    if not _others_may_append(fd):
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(start, length, fcntl.F_UNLCK))
    return True


def _others_may_append(fd: int) -> bool:
    """Whether another description gets the lock for an append, though this one has the claim."""
    other = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE)  # another program is appending just now
            else:
                return True
        return False
    finally:
        os.close(other)


def _is_room(fd: int) -> bool:
    """Whether another description has claimed it for a room."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(_ROOM, 1))
    return int(struct.unpack(_FLOCK, answer)[0]) != fcntl.F_UNLCK


def _flock(start: int, length: int, kind: int = fcntl.F_WRLCK) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, start, length, 0)


class Pending:
    """The transcript of a `connect` without --log: whose it is, the other side's first line tells.

    `prepare` is called before the connection. A room that greets late is taken for a talk at first.
    """

    def __init__(self, hosts: Sequence[str], port: int) -> None:
        self._hosts = hosts
        self._port = port

    def prepare(self) -> None:
        """Find out what can be found out before: a TranscriptError while nothing has been said."""
        try:
            make_directory(places.LOGS)
            if os.path.exists(places.CALLERS):
                os.close(os.open(places.CALLERS, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            elif not os.access(places.LOGS, os.W_OK | os.X_OK):  # then this says why
                os.close(os.open(places.CALLERS, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise TranscriptError(places.CALLERS, reason_of(error)) from None

    def of_talk(self) -> tuple[Transcript, str]:
        return for_talk(places.CALLERS, given=False)

    def of_room(self, name: str) -> tuple[Transcript, str]:
        path = places.of_follower(name, self._hosts, self._port)
        return for_talk(path, given=False, other="another client")
