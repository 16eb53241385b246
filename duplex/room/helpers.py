"""The helpers of a host: its children that serve no client, and what follows one that has ended.

    flusher          --fsync second: puts the transcript on the disk, so that the host need not
    screen           on a terminal: the operator's client; the room closes when it ends
    writer, mirror   of a room in a store (store/host.py)

A helper that is killed is followed by another, also if no process can be made for a while. One that
fails as soon as it has begun, again and again, is not followed for ever. Runs in the host, which
reaps; knows nothing of what helpers do.
"""

from __future__ import annotations

import time

from duplex.system.errors import UnableToFork
from duplex.system.process import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SOON = 10.0  # s: who lives no longer than that has failed at once
FAILURES = 8  # of them in a row, the last of which is not followed: after 25 s, with these pauses
FIRST_PAUSE = 0.2  # s before the next begins, doubled each time
TRY_AGAIN = 1.0  # s until a process is made that could not be


class Helpers:
    """`kinds` has those that there are, by process id. `tell` is for the operator."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.kinds: dict[int, str] = {}
        self._tell = tell
        self._runs: dict[str, Callable[[], int]] = {}
        self._begun: dict[str, float] = {}  # monotonic
        self._failures: dict[str, int] = {}  # in a row
        self._due: dict[str, tuple[float, str]] = {}  # monotonic, and what became of the one before
        self._told: set[str] = set()  # of which it has been told that no process can be made

    def start(self, kind: str, run: Callable[[], int]) -> None:
        """Raises UnableToFork."""
        self._runs[kind] = run
        self._fork(kind)

    def is_there(self, kind: str) -> bool:
        return kind in self.kinds.values()

    def ended(self, kind: str, how: str) -> bool:
        """One was reaped; whether it will be followed by another."""
        now = time.monotonic()
        failures = self._failures.get(kind, 0) + 1 if now - self._begun[kind] < SOON else 0
        self._failures[kind] = failures
        if failures >= FAILURES:
            return False
        pause = FIRST_PAUSE * 2.0 ** (failures - 1) if failures else 0.0
        self._due[kind] = (now + pause, how)
        return True

    def seconds_to_wait(self) -> float | None:
        """Until `go_on` has to be called; None: not at all."""
        if not self._due:
            return None
        return max(0.0, min(at for at, _ in self._due.values()) - time.monotonic())

    def go_on(self) -> None:
        """Start those for which it is time."""
        for kind, (at, how) in list(self._due.items()):
            if time.monotonic() < at:
                continue
            try:
                self._fork(kind)
            except UnableToFork as error:
                self._due[kind] = (time.monotonic() + TRY_AGAIN, how)
                if kind not in self._told:
                    self._tell(f"the {kind} {how}; {error}")
                self._told.add(kind)
            else:
                del self._due[kind]
                self._told.discard(kind)
                self._tell(f"the {kind} {how}; there is another")

    def _fork(self, kind: str) -> None:
        self._begun[kind] = time.monotonic()
        self.kinds[spawn(self._runs[kind])] = kind
