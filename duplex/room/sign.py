"""The sign: how `duplex who PORT` finds this user's rooms on this machine, and gets their pages.

A room's host puts up a socket whose abstract name (system/local.py) begins with the port, and ends
in what nobody can know before. Who asks looks at all names that begin so, and talks to those alone
behind which there is a process of its own user: an impostor is gone round. The host answers its own
user, and root, with a descriptor of the page that can only be read. There may be many rooms at a
port, on different addresses. What is in another network namespace is not seen, nor is its port.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
from contextlib import suppress

from duplex.room.page import Page
from duplex.system import local
from duplex.system.errors import DuplexError, reason_of

BACKLOG = 16  # who ask at the same instant
PATIENCE = 2.0  # s for a host to answer: it may be busy, or stopped
_NAMES = "/proc/net/unix"
_MEMFD_LIMIT = 1 << 30  # bytes of a page: a million members' would be less


class Sign:
    """The host's. `fileno` is readable when somebody asks."""

    def __init__(self, port: int, page: Page) -> None:
        self._page = page
        self._listener = local.listen(local.name(_called(port)), BACKLOG)

    def fileno(self) -> int:
        return self._listener.fileno()

    def answer(self) -> None:
        """One of those who ask."""
        try:
            asker = local.accept(self._listener)
        except OSError:
            return  # nobody any more; or no descriptor: it waits
        if asker is None:
            return
        with asker, suppress(OSError):  # it may be gone
            page = os.open(f"/proc/self/fd/{self._page.fd}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                socket.send_fds(asker, [b"page"], [page])
            finally:
                os.close(page)

    def close(self) -> None:
        self._listener.close()


def rooms(port: int) -> tuple[list[Page], int]:
    """The pages of this user's rooms at `port`, and how many more have not answered.

    For root, those of all users.
    """
    pages, silent = [], 0
    for address in _addresses(port):
        try:
            page = _ask(address, port)
        except (TimeoutError, BlockingIOError):
            silent += 1
        except OSError:
            continue  # it has just closed, or is somebody else's
        else:
            pages += [page] if page else []
    return pages, silent


def _addresses(port: int) -> list[str]:
    """Once each: a connection has its listener's name, too."""
    wanted = re.compile(rf" @(duplex-{_called(port)}-[0-9a-f]{{32}})$", re.MULTILINE)
    try:
        with open(_NAMES, errors="replace") as file:
            return [f"\0{name}" for name in dict.fromkeys(wanted.findall(file.read()))]
    except OSError as error:
        raise DuplexError(f"cannot read {_NAMES}: {reason_of(error)}") from None


def _ask(address: str, port: int) -> Page | None:
    """The page of one room; None if it is no page."""
    with local.dial(address, PATIENCE, of_anybody=os.geteuid() == 0) as sock:
        pid, uid = local.peer(sock)
        if uid != os.geteuid() and not _listens(pid, port):
            return None
        _, fds, _, _ = socket.recv_fds(sock, 16, 1)
    if not fds:
        return None
    try:
        return Page(fds[0]) if _is_page(fds[0]) else None
    finally:
        os.close(fds[0])


def _is_page(fd: int) -> bool:
    """Whether it is memory that cannot become smaller under who reads it."""
    try:
        sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
    except OSError:
        return False
    return bool(sealed) and Page.least() <= os.fstat(fd).st_size <= _MEMFD_LIMIT


def _listens(pid: int, port: int) -> bool:
    """Whether that process has a socket that listens at the port: for root, who asks strangers."""
    inodes = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(FileNotFoundError), open(path) as file:
            for words in map(str.split, file):
                if words[3] == "0A" and words[1].endswith(f":{port:04X}"):  # proc_net_tcp(5)
                    inodes.add(f"socket:[{words[9]}]")
    fds = f"/proc/{pid}/fd"
    with suppress(OSError):
        return any(os.readlink(os.path.join(fds, fd)) in inodes for fd in os.listdir(fds))
    return False


def _called(port: int) -> str:
    return f"room-{port}"
