"""The rooms that are compared: how each is started without limits on rate or number, and ended.

Each runs by itself at a free port of 127.0.0.1, and its members are plain TCP clients, except that
ngircd's speak IRC. What is measured it does not know.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from programs import HOST, Bench, NotMeasured, Program, children, duplex, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

ENDING = 15.0  # s for a room that was asked to end
LOG = "room.log"
SELECT_ROOM = os.path.join(os.path.dirname(__file__), "select_room.py")

# Nothing that delays a client is left on, and nobody is asked whether he is still there while this
# runs (the members would not answer).
NGIRCD = """\
[Global]
Name = room.test
Info = a room
Listen = {host}
Ports = {port}
MotdPhrase = welcome
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxPenaltyTime = 0
PingTimeout = 86400
[Options]
DNS = no
Ident = no
PAM = no
"""


class Contender(NamedTuple):
    """A room, and how its members talk to it."""

    start: Callable[[Bench, str, int], Program]  # the bench, the load generator's path, the port
    needs: tuple[str, ...] = ()  # programs
    protocol: str = "plain"
    # Lines on their way at once, of all speakers: large enough that more does not make it faster.
    window: int = 20_000
    most: int = 20_000  # members
    note: str = ""


def start_duplex(
    bench: Bench, port: int, protection: tuple[str, ...] = (), command: tuple[str, ...] = ()
) -> Program:
    # Nobody may be dropped for lagging: there is one member who never reads.
    limits = ("--rate", "0", "--max-per-address", "0", "--max-members", "20000")
    rest = ("--history", "0", "--max-lag", str(1 << 40), "--log", bench.path(LOG))
    where = ("--host", HOST, str(port), "--allow-root")
    program = command or (duplex(),)
    return bench.start_listener(port, *program, "room", *where, *protection, *limits, *rest)


def _duplex(bench: Bench, _load: str, port: int) -> Program:
    return start_duplex(bench, port)


def _ncat(bench: Bench, _load: str, port: int) -> Program:
    return bench.start_listener(port, "ncat", "-l", "--chat", "-m", "1000", HOST, str(port))


def _ngircd(bench: Bench, _load: str, port: int) -> Program:
    path = bench.path("ngircd.conf")
    with open(path, "w") as file:
        file.write(NGIRCD.format(host=HOST, port=port))
    return bench.start_listener(port, "ngircd", "-n", "-f", path)


def _select(bench: Bench, _load: str, port: int) -> Program:
    return bench.start_listener(port, sys.executable, SELECT_ROOM, str(port))


def _loop(bench: Bench, load: str, port: int) -> Program:
    return bench.start_listener(port, load, "serve", str(port))


def earlier(command: str) -> Contender:
    """An earlier duplex, by the command that runs it."""
    words = tuple(command.split())
    return Contender(
        lambda bench, _load, port: start_duplex(bench, port, command=words),
        note="the same, earlier",
    )


CONTENDERS = {
    "duplex": Contender(_duplex, note="one process a member; lines stamped, attributed and kept"),
    "ncat --chat": Contender(
        _ncat, ("ncat",), most=900, note="attributes what it reads, not lines; ends at about 1,020"
    ),
    "ngircd": Contender(
        _ngircd, ("ngircd",), "irc", window=2_000, note="an IRC server; lines attributed"
    ),
    "select room": Contender(_select, note="one Python process; lines attributed"),
    "C loop": Contender(_loop, note="the ceiling: lines passed on as they are"),
}


class Memory(NamedTuple):
    """Bytes of processes. What the kernel holds for their sockets is not among it."""

    processes: int
    private: int
    pss: int  # a page that n processes share counts 1/n for each
    median: int  # private, of a process: of many members it is a member's


class Room:
    """A contender that runs. Use it with `with`."""

    def __init__(self, bench: Bench, start: Callable[[int], Program]) -> None:
        """`start` takes the port."""
        self._bench = bench
        self.port = free_port()
        self._program = start(self.port)

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        """End the room, then everything; the transcript goes too, for it may be large."""
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            self._program.send_signal(signal.SIGTERM)
            self._program.wait(ENDING)
        self._bench.end_all()
        with suppress(FileNotFoundError):
            os.unlink(self._bench.path(LOG))

    def memory(self) -> Memory:
        """Of all of its processes."""
        pids = [self._program.pid, *_descendants(self._program.pid)]
        found = [_memory(pid) for pid in pids]
        private = [one for one, _ in found]
        shared = sum(pss for _, pss in found)
        return Memory(len(pids), sum(private), shared, int(median(private)))

    def kept(self) -> int:
        """Bytes of the transcript."""
        try:
            return os.stat(self._bench.path(LOG)).st_size
        except FileNotFoundError:
            raise NotMeasured("the room keeps no transcript") from None


def room(bench: Bench, load: str, name: str) -> Room:
    return Room(bench, partial(CONTENDERS[name].start, bench, load))


def _descendants(pid: int) -> list[int]:
    found = children(pid)
    return found + [below for child in found for below in _descendants(child)]


def _memory(pid: int) -> tuple[int, int]:
    """Bytes that it has alone; PSS."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", file.read(), re.MULTILINE))
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0, 0
    private = int(fields["Private_Clean"]) + int(fields["Private_Dirty"])
    return private * 1024, int(fields["Pss"]) * 1024
