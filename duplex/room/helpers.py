"""The helpers of a server: its children that serve no client, and what follows one that has ended.

    hub                   owns the room (hub.py)
    flusher               --fsync second: puts the transcript on the disk, so that the hub need not
    screen                on a terminal: the operator's client; the room closes when it ends
    writer, replicator    of a room in a store (store/)

A helper that is killed is followed by another at once, also if no process can be made for a while.
One that fails as soon as it has begun, again and again, is followed ever later, and not for ever.
One that is stopped stops what it helps with, and is killed. Runs in the server, which reaps; knows
nothing of what helpers do.
"""

from __future__ import annotations

import os
import signal
import time

from duplex.system.errors import UnableToFork
from duplex.system.process import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_GIVEN_UP = 72  # of one that has told why it cannot go on
SOON = 10.0  # s: who lives no longer than that has failed at once
FAILURES = 9  # of them in a row, the last of which is not followed: after 25 s, with these pauses
FIRST_PAUSE = 0.2  # s before the next but one begins, doubled each time
TRY_AGAIN = 1.0  # s until a process is made that could not be
STOPPED_TOO_LONG = 2.0  # s
SILENT_TOO_LONG = 5.0  # s; a hub beats twice a second, if nobody keeps it from it


class Kind:
    """What helpers of one kind are: `before` and `after` the fork are called in the server."""

    def __init__(
        self, run: Callable[[], int], before: Callable[[], None], after: Callable[[], None]
    ) -> None:
        self.run = run
        self.before = before
        self.after = after
        self.begun = 0.0  # monotonic
        self.failures = 0  # in a row
        self.due: tuple[float, str] | None = None  # monotonic; what became of the one before
        self.told = False  # that no process can be made
        self.beat = float("inf")  # monotonic, when it was heard of last, if it beats


def _nothing() -> None:
    """Before and after the fork of most."""


class Helpers:
    """`kinds` has those that there are, by process id. `tell` is for the operator."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.kinds: dict[int, str] = {}
        self._tell = tell
        self._all: dict[str, Kind] = {}
        self._stopped: dict[int, float] = {}  # since when, monotonic
        self._killed: set[int] = set()

    def start(
        self,
        kind: str,
        run: Callable[[], int],
        before: Callable[[], None] = _nothing,
        after: Callable[[], None] = _nothing,
    ) -> None:
        """Raises UnableToFork."""
        self._all[kind] = Kind(run, before, after)
        self._fork(kind)

    def beat(self, kind: str) -> None:
        """One that beats has been heard of: whose beat stays away stands still."""
        self._all[kind].beat = time.monotonic()

    def pid_of(self, kind: str) -> int:
        """0 if there is none."""
        return next((pid for pid, of in self.kinds.items() if of == kind), 0)

    def ended(self, pid: int, how: str) -> tuple[str, str]:
        """One was reaped: its kind ("" if it was none), and in words what became of it."""
        self._stopped.pop(pid, None)
        if pid in self._killed:
            self._killed.discard(pid)
            how = "stood still"
        return self.kinds.pop(pid, ""), how

    def follow(self, kind: str, how: str) -> bool:
        """Whether it will be followed by another."""
        one, now = self._all[kind], time.monotonic()
        one.failures = one.failures + 1 if now - one.begun < SOON else 0
        if one.failures >= FAILURES:
            return False
        pause = FIRST_PAUSE * 2.0 ** (one.failures - 2) if one.failures > 1 else 0.0
        one.due = (now + pause, how)
        return True

    def follows(self, kind: str) -> bool:
        """Whether there is one, or will be."""
        return self.pid_of(kind) > 0 or self._all[kind].due is not None

    def end_if_stopped(self, kind: str) -> None:
        """It would not hear that it has to."""
        if (pid := self.pid_of(kind)) and state_of(pid) in "Tt":
            os.kill(pid, signal.SIGKILL)

    def stopped(self, pid: int) -> None:
        """A child was: the server has been told so. The screen may be, by whoever sits there."""
        if self.kinds.get(pid, "screen") != "screen":
            self._stopped[pid] = time.monotonic()

    def seconds_to_wait(self) -> float | None:
        """Until `go_on` has to be called; None: not at all."""
        moments = [one.due[0] for one in self._all.values() if one.due]
        moments += [since + STOPPED_TOO_LONG for since in self._stopped.values()]
        moments += [one.beat + SILENT_TOO_LONG for one in self._all.values()]
        moments = [moment for moment in moments if moment != float("inf")]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def go_on(self) -> None:
        """Start those for which it is time, and kill those that stand still."""
        now = time.monotonic()
        for kind, one in self._all.items():
            if one.due and now >= one.due[0]:
                self._start_again(kind, one, one.due[1])
        for pid, since in list(self._stopped.items()):
            if now - since < STOPPED_TOO_LONG:
                continue
            del self._stopped[pid]
            if state_of(pid) in "Tt":
                self._kill(pid)
        for pid, kind in self.kinds.items():
            if now - self._all[kind].beat > SILENT_TOO_LONG:
                self.beat(kind)
                if state_of(pid) != "D":  # a disk is not waited for any less without it
                    self._kill(pid)

    def _kill(self, pid: int) -> None:
        self._killed.add(pid)
        os.kill(pid, signal.SIGKILL)  # ours and not reaped: the number is still its own

    def _start_again(self, kind: str, one: Kind, how: str) -> None:
        try:
            self._fork(kind)
        except UnableToFork as error:
            one.due = (time.monotonic() + TRY_AGAIN, how)
            if not one.told:
                self._tell(f"the {kind} {how}; {error}")
            one.told = True
        else:
            one.due, one.told = None, False
            self._tell(f"the {kind} {how}; there is another")

    def _fork(self, kind: str) -> None:
        one = self._all[kind]
        one.begun = time.monotonic()
        one.beat = float("inf")  # until it has been heard of
        one.before()
        self.kinds[spawn(one.run)] = kind
        one.after()


def state_of(pid: int) -> str:
    """T or t: stopped; S: sleeps, or is frozen; D: waits for a disk; R: will go on (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1].decode()
    except OSError:
        return "X"
