"""The tracker: who is in the room, as far as one of its clients knows.

Runs in the parent, for its screen. It is told by `/who` once, and then by the room's events and by
who speaks. Pure computation; knows no socket and no terminal.
"""

from __future__ import annotations

from duplex.protocol import events
from duplex.transcript.record import NICK_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from duplex.transcript.record import Record

# Nicks that are remembered, and none that is longer than a nick can be: so no room can fill the
# memory with them.
KNOWN = 10_000


class Tracker:
    """The nicks, and their number."""

    def __init__(self) -> None:
        self.nicks: set[str] = set()
        self._others = 0  # how many there are whose nicks are not known

    def __len__(self) -> int:
        return len(self.nicks) + self._others

    def are(self, count: int | None, nicks: Iterable[str] = ()) -> None:
        """The room says how many are here, and who the first of them are; or (None) who else."""
        if count is not None:
            self.nicks = set()
            self._others = count
        for nick in nicks:
            self._is_here(nick)

    def note(self, record: Record) -> None:
        """What a record, made now, tells."""
        if record.nick is not None:
            self._is_here(record.nick.decode())
        elif event := events.read(record.text):
            kind, nick, detail = event
            if kind == events.ALL_DROPPED:
                self.are(0)
            elif kind in (events.ENTERED, events.BACK):
                self._comes(nick)
            elif kind != events.CLOSED:
                self._is_gone(nick)
                if kind == events.RENAMED:
                    self._comes(detail)

    def _comes(self, nick: str) -> None:
        self._others += nick not in self.nicks
        self._is_here(nick)

    def _is_gone(self, nick: str) -> None:
        if nick in self.nicks:
            self.nicks.discard(nick)
        else:
            self._others = max(0, self._others - 1)

    def _is_here(self, nick: str) -> None:
        if nick not in self.nicks and len(self.nicks) < KNOWN and len(nick) <= NICK_LIMIT:
            self.nicks.add(nick)
            self._others = max(0, self._others - 1)
