"""What root opens for a room that will run as somebody else, and what it gives away of that.

In a directory where only root can put anything, root opens, and what it finds there of its own, or
has made just now, it gives to the room's user: the transcript and its companions. Anywhere else
somebody may have put a link there, or a file of root's; so there it opens with that user's rights
alone, and gives nothing away. Directories that root makes stay root's. Before any fork.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager

from duplex.system.errors import DuplexError, reason_of
from duplex.system.privileges import Unable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd
    from collections.abc import Iterator

_ROOT = 0


def is_roots_alone(path: str) -> bool:
    """Whether nobody but root can have put there what lies at `path`, or on the way to it."""
    directory = os.path.dirname(os.path.abspath(path))
    itself = os.path.dirname(os.path.realpath(path))  # where its companions are, too
    return all(_is_safe(one) for one in {directory, os.path.realpath(directory), itself})


def _is_safe(directory: str) -> bool:
    """Every part of the way is root's, and in no part can anybody else put anything.

    In a directory like /tmp others can, but cannot take away what root has put there (the sticky
    bit); so it will do on the way, and not as the last one.
    """
    at, last = os.sep, None
    for part in ["", *directory.split(os.sep)]:
        at = os.path.join(at, part)
        try:
            status = os.lstat(at)
        except FileNotFoundError:
            break  # root will make it, below what is safe
        except OSError:
            return False
        if status.st_uid != _ROOT or (_others_write(status) and not status.st_mode & stat.S_ISVTX):
            return False
        last = status
    return last is not None and not _others_write(last)


def _others_write(status: os.stat_result) -> bool:
    if stat.S_ISLNK(status.st_mode):
        return False
    by_group = status.st_mode & stat.S_IWGRP and status.st_gid != _ROOT
    return bool(by_group or status.st_mode & stat.S_IWOTH)


@contextmanager
def rights_for(user: pwd.struct_passwd, path: str) -> Iterator[bool]:
    """Open `path` in this; whether it is with root's rights, not the user's. Raises Unable."""
    if is_roots_alone(path):
        yield True
        return
    groups, group = os.getgroups(), os.getegid()
    try:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setegid(user.pw_gid)
        os.seteuid(user.pw_uid)
    except OSError as error:
        raise Unable(user, error) from None
    try:
        yield False
    finally:
        os.seteuid(_ROOT)
        os.setegid(group)
        os.setgroups(groups)


def give(user: pwd.struct_passwd, fd: int) -> None:
    """A file that root has opened where only root can put anything, if it is root's.

    Raises Unable where there is no such user: a container may have root alone.
    """
    status = os.fstat(fd)
    if status.st_uid == _ROOT and stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        try:
            os.fchown(fd, user.pw_uid, user.pw_gid)
        except OSError as error:
            raise Unable(user, error) from None


def check(user: pwd.struct_passwd, files: dict[str, int]) -> None:
    """By that user, once this process is it: that it can go on with them. Raises DuplexError."""
    for path, fd in files.items():
        try:
            os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            raise DuplexError(
                f"cannot use {path} as {user.pw_name}: {reason_of(error)}; "
                "--user names somebody who can, --allow-root lets the room run as root"
            ) from None
