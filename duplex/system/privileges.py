"""The user that a room runs as, which is not root.

Whoever reaches a room's port talks to its members, and each of them can do what the room's user
can. So a room that root starts becomes `--user`, or nobody, once it listens (a port below 1024
takes root) and has its transcript open (ownership.py), before it makes anything else. The rooms of
an ordinary user run as that user: that is what a chat tool is started as, and nothing is asked for.

`listen` and `connect` do not ask, as nc does not: they talk to one peer, whom the user has chosen,
and end with it; a room stands open for anybody, for days. Knows nothing of rooms otherwise.
"""

from __future__ import annotations

import os

from duplex.system.errors import DuplexError, UsageError, reason_of
from duplex.system.reach import Reach

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd

NOBODY = "nobody"
_OR_ROOT = "--allow-root lets the room run as root"


class Unable(DuplexError):
    """Root has not the right to, in a container say."""

    def __init__(self, user: pwd.struct_passwd, error: OSError) -> None:
        super().__init__(f"cannot become {user.pw_name}: {reason_of(error)}; {_OR_ROOT}")


def choose(name: str | None, allow_root: bool) -> pwd.struct_passwd | None:
    """The user to become, None to stay; UsageError if the room may not run as it was started."""
    if os.geteuid() != 0:
        if name is not None:
            raise UsageError("cannot use --user: only root can become another user")
        return None
    if name is None:
        if allow_root:
            return None
        name = NOBODY
    import pwd

    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise UsageError(f"cannot use --user {name}: there is no such user; {_OR_ROOT}") from None
    if user.pw_uid == 0 and not allow_root:
        raise UsageError(f"cannot use --user {name}: it is root; --allow-root insists")
    return user


def become(user: pwd.struct_passwd) -> None:
    """Be that user from now on, for good. Raises DuplexError.

    The saved ids are changed, too, and Linux takes all capabilities of a process that was root
    (capabilities(7)), so there is no way back.
    """
    reach = Reach()
    drop(user)
    os.environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
    reach.keep(user.pw_name)


def drop(user: pwd.struct_passwd) -> None:
    """The same, for a process that reads nothing more. Raises DuplexError."""
    try:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    except OSError as error:
        raise Unable(user, error) from None
