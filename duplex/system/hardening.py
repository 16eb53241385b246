"""Hardening: what a member can no longer do, so that a bug in it is worth little to its client.

`prepare` runs in the server before it forks members, and loads, measures and decides everything;
what it returns is called once in each member, and cannot be undone there. A member afterwards

    gains no privileges            a setuid program that it might run has none (PR_SET_NO_NEW_PRIVS)
    leaves no core dump            its memory holds what others said to it alone
    is not traced by its like      members run as one user, and may not read each other's memory
    does not fork                  except root's, for whom the kernel does not hold RLIMIT_NPROC
    has few descriptors
    has little memory              so that it dies alone, before the machine looks for a victim

RLIMIT_FSIZE stays what it was: the user may have limited the transcript with it. Knows nothing of
what a member does.
"""

from __future__ import annotations

import os
import resource

from duplex.system.process import load_prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38  # linux/prctl.h
# A limit on the numbers that descriptors have. A member has 11 and, for a moment, 3 more; they are
# numbered below 20, because it has the socket by the number it had in the server.
DESCRIPTORS = 32
# Beyond the server's address space when the members' fork begins. One that is sent and says as much
# as it may, and has a nick that takes the Unicode tables, was measured to need half a MiB.
MEMORY = 64 << 20  # bytes


def prepare() -> Callable[[], None]:
    """What a member calls to be hardened; this process is only looked at.

    With DUPLEX_DEBUG set members stay traceable, so that a debugger can be attached to one.
    """
    prctl, set_limit = load_prctl(), resource.setrlimit
    traceable = bool(os.environ.get("DUPLEX_DEBUG"))
    limits = [
        (resource.RLIMIT_CORE, _at_most(resource.RLIMIT_CORE, 0)),
        (resource.RLIMIT_NPROC, _at_most(resource.RLIMIT_NPROC, 0)),
        (resource.RLIMIT_NOFILE, _at_most(resource.RLIMIT_NOFILE, DESCRIPTORS)),
        (resource.RLIMIT_AS, _at_most(resource.RLIMIT_AS, _address_space() + MEMORY)),
    ]

    def harden() -> None:
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if not traceable:
            # RLIMIT_CORE does not hold where core_pattern is a pipe (core(5)); this does.
            prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        for which, limit in limits:
            set_limit(which, limit)

    return harden


def _at_most(which: int, count: int) -> tuple[int, int]:
    """The limit to set, soft and hard alike: never more than this process has."""
    hard = resource.getrlimit(which)[1]
    least = count if hard == resource.RLIM_INFINITY else min(count, hard)
    return least, least


def _address_space() -> int:
    """Bytes of this process's (proc_pid_statm(5))."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
