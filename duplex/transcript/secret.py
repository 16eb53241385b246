"""What signs a room's keys: a file beside the transcript, locked while the room runs.

Beside the file itself, where the transcript's name is a symbolic link: so that whoever opens it by
another name sees that a room keeps it.

The server opens it once, before its first fork. Knows nothing of what is signed with it.
"""

from __future__ import annotations

import fcntl
import os
import stat

from duplex.system.errors import DuplexError, reason_of

_SIZE = 32  # bytes


def has_secret(transcript: str) -> bool:
    """Whether a room has kept the transcript at that path. Raises OSError if that is hidden."""
    return any(map(_is_secret, {_beside(transcript), f"{transcript}.key"}))


def _beside(transcript: str) -> str:
    return f"{os.path.realpath(transcript)}.key"


def _is_secret(path: str) -> bool:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size >= _SIZE


def read_secret(fd: int) -> bytes:
    """What stands there; only in the process that signs. Raises OSError."""
    return os.pread(fd, _SIZE, 0)


def open_secret(transcript: str) -> int:
    """The locked descriptor of the secret of the transcript at that path, made if missing.

    Raises DuplexError if it cannot be used, or another room uses the transcript.
    """
    path = _beside(transcript)
    try:
        earlier, known = f"{transcript}.key", b""  # as 0.1.0 had it: beside the link
        if not _is_secret(path) and _is_secret(earlier):
            with open(earlier, "rb") as file:
                known = file.read(_SIZE)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DuplexError(
                f"cannot keep {transcript}: another room keeps it; --log names another file"
            ) from None
        if os.fstat(fd).st_size < _SIZE:
            os.pwrite(fd, known or os.urandom(_SIZE), 0)
            os.fsync(fd)
    except OSError as error:
        raise DuplexError(f"cannot use {path}: {reason_of(error)}") from None
    return fd
