"""Control: how `duplex who PORT` asks a room that runs on this machine.

The server puts up a socket whose abstract name (system/local.py) begins with the port, and ends in
what nobody can know before; each hub answers on it. Who asks looks at all names that begin so, and
talks to those alone behind which there is a process of its own user: an impostor is gone round. The
answer, one JSON object a member and line, is memory that is handed over, so that the hub waits for
no reader. There may be many rooms at a port, on different addresses. What is in another network
namespace is not seen, nor is its port.
"""

from __future__ import annotations

import json
import os
import re
import socket
from contextlib import suppress

from duplex.room.seat import HERE
from duplex.system import local
from duplex.system.errors import DuplexError, reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from duplex.room.client import Client
    from duplex.room.seat import Seat

BACKLOG = 16  # who ask at the same instant
PATIENCE = 2.0  # s for a room to answer: it may be busy, or stopped
ANSWER_LIMIT = 64 << 20  # bytes: a hundred thousand members
_NAMES = "/proc/net/unix"


def sign(port: int) -> socket.socket:
    """Put up by the server, before its first hub."""
    return local.listen(local.name(_called(port)), BACKLOG)


class Control:
    """The hub's. `fileno` is readable when somebody asks; `lag` is told in bytes."""

    def __init__(self, listener: socket.socket, lag: Callable[[Client], int]) -> None:
        self._listener = listener
        self._lag = lag

    def fileno(self) -> int:
        return self._listener.fileno()

    def answer(self, seats: Iterable[Seat]) -> None:
        """One of those who ask."""
        try:
            asker = local.accept(self._listener)
        except OSError:
            return  # nobody any more; or no descriptor: it waits
        if asker is None:
            return
        with asker, suppress(OSError):  # it may be gone
            memory = os.memfd_create("duplex-who")
            try:
                with open(memory, "w", encoding="utf-8", closefd=False) as file:
                    file.writelines(json.dumps(person) + "\n" for person in self._people(seats))
                socket.send_fds(asker, [b"who"], [memory])
            finally:
                os.close(memory)

    def _people(self, seats: Iterable[Seat]) -> list[dict[str, Any]]:
        return [
            {
                "nick": seat.nick,
                "pid": seat.pid,
                "address": seat.where,
                "joined": seat.came,
                "lag": self._lag(seat.client) if seat.client else 0,
                "here": seat.state == HERE,
            }
            for seat in seats
        ]


def ask(port: int) -> tuple[list[list[dict[str, Any]]], int]:
    """Who is in each of this user's rooms at `port`, and how many more rooms have not answered.

    Also who is coming or going, and not `here`. For root, the rooms of all users. Raises
    DuplexError.
    """
    found, silent = [], 0
    for address in _addresses(port):
        try:
            people = _ask(address, port)
        except (TimeoutError, BlockingIOError):
            silent += 1
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            continue  # it has just closed, or is somebody else's
        else:
            found += [people] if people is not None else []
    return found, silent


def _addresses(port: int) -> list[str]:
    """Once each: a connection has its listener's name, too."""
    wanted = re.compile(rf" @(duplex-{_called(port)}-[0-9a-f]{{32}})$", re.MULTILINE)
    try:
        with open(_NAMES, errors="replace") as file:
            return [f"\0{name}" for name in dict.fromkeys(wanted.findall(file.read()))]
    except OSError as error:
        raise DuplexError(f"cannot read {_NAMES}: {reason_of(error)}") from None


def _ask(address: str, port: int) -> list[dict[str, Any]] | None:
    """One room's; None if it is no room."""
    with local.dial(address, PATIENCE, of_anybody=os.geteuid() == 0) as sock:
        pid, uid = local.peer(sock)
        if uid != os.geteuid() and not _listens(pid, port):
            return None
        _, fds, _, _ = socket.recv_fds(sock, 16, 1)
    if not fds:
        return None
    with open(fds[0], "rb") as file:
        data = os.pread(file.fileno(), ANSWER_LIMIT, 0)
    return [_checked(json.loads(line)) for line in data.splitlines()]


def _checked(person: Any) -> dict[str, Any]:
    """Raises ValueError, TypeError or KeyError for what no room tells."""
    return {
        "nick": str(person["nick"]),
        "pid": int(person["pid"]),
        "address": str(person["address"]),
        "joined": min(max(0.0, float(person["joined"])), 1e11),
        "lag": max(0, int(person["lag"])),
        "here": bool(person["here"]),
    }


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
