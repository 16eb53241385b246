"""The load generator, room_load.c: compiled, started, told what to do, and its answers read.

It owns the generator's standard input and output. No answer in time is NotMeasured; lines that were
lost, torn or repeated are faults, in words. What is compared it does not know.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
from typing import Any, NamedTuple, NoReturn

from programs import Bench, NotMeasured

SOURCE = os.path.join(os.path.dirname(__file__), "room_load.c")
PATIENCE = 300.0  # s for one step; the generator gives up before
COMPILING = 60.0  # s
JOINING = 8  # members at a time; ncat's backlog is 10


class NoCompiler(NotMeasured):
    """There is nothing to build the generator with."""


def build(bench: Bench) -> str:
    """Compile it into the bench's directory; the path of the program."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoCompiler("no C compiler (cc) is installed, so the load generator cannot be built")
    path = bench.path("room_load")
    command = [compiler, "-O2", "-o", path, SOURCE]
    built = subprocess.run(command, capture_output=True, timeout=COMPILING, check=False)
    if built.returncode:
        raise NoCompiler(f"{SOURCE} cannot be built: {built.stderr.decode(errors='replace')}")
    return path


class Talk(NamedTuple):
    """What came of speakers who said as much as the room took."""

    deliveries: int  # lines that somebody got
    bytes: int  # of all of them, with what the room puts around a line
    seconds: float  # from the first line said to the last one delivered
    cpu: float  # the generator's processor time / wall time
    faults: list[str]

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return self.deliveries / self.seconds if self.seconds > 0 else 0.0

    @property
    def byte_rate(self) -> float:
        """Bytes that members got, a second."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0


class Single(NamedTuple):
    """Lines said one by one into a quiet room, or all at once."""

    times: list[float]  # s until the last member had it; of lines at once, all of them
    faults: list[str]


class Load:
    """All members of one room. It ends with its bench."""

    def __init__(self, bench: Bench, program: str, port: int, protocol: str, *others: int) -> None:
        """`others` are the ports of more hosts of the same room."""
        self._bench = bench
        ports = ",".join(map(str, (port, *others)))
        self._program = bench.start(
            program, ports, protocol, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def join(self, members: int, at_once: int = JOINING) -> float:
        """Seconds until all of them were greeted; then it waits until the room is quiet."""
        return float(self._tell(f"join {members} {at_once}")["seconds"])

    def single(self, lines: int, gap: float) -> Single:
        """`gap` is the silence before each line, in seconds."""
        answer = self._tell(f"single {lines} {gap * 1000:g}")
        return Single(answer["times"], _faults(answer))

    def lines(self, count: int) -> Single:
        """So many at once, by one member: how long until all others had all of them."""
        answer = self._tell(f"lines {count}")
        return Single([answer["seconds"]], _faults(answer))

    def talk(self, speakers: int, seconds: float, window: int) -> Talk:
        """`window` lines at most are said and not yet seen by one of the members."""
        answer = self._tell(f"talk {speakers} {seconds:g} {window}")
        fields = ("deliveries", "bytes", "seconds", "cpu")
        deliveries, taken, seconds, cpu = (answer[field] for field in fields)
        return Talk(deliveries, taken, seconds, cpu, _faults(answer))

    def stop_reading(self) -> None:
        """One member more, who reads nothing after the greeting, and is not counted."""
        self._tell("deaf")

    def go_away(self) -> None:
        """That member closes, and the room is quiet again."""
        self._tell("gone")

    def _tell(self, what: str) -> dict[str, Any]:
        assert self._program.stdin
        assert self._program.stdout
        try:
            self._program.stdin.write(what.encode() + b"\n")
        except BrokenPipeError:
            self._ended()
        answer = b""
        while not answer.endswith(b"\n"):
            readable, _, _ = select.select([self._program.stdout], [], [], PATIENCE)
            if not readable:
                raise NotMeasured(f"no answer to {what!r} in {PATIENCE:g} s")
            piece = self._program.stdout.read(65536)
            if not piece:
                self._ended()
            answer += piece
        found: dict[str, Any] = json.loads(answer)
        return found

    def _ended(self) -> NoReturn:
        self._bench.until_ended(self._program)  # it says why, if it failed
        raise NotMeasured("the load generator has ended")


def _faults(answer: dict[str, Any]) -> list[str]:
    """In words, what was not as it should be. A torn line is counted as lost by its number, too."""
    lost = max(0, answer["lost"] - answer["torn"])
    lines = answer.get("lines", 0)
    found = {
        "lines were not delivered": answer["missing"],
        "lines too many": answer["extra"],
        f"of {lines:,} lines came torn apart": answer["torn"],
        "line numbers were left out": lost,
        "lines came again or out of order": answer["again"],
        "members were cut": answer["dropped"],
    }
    return [f"{number:,} {what}" for what, number in found.items() if number]
