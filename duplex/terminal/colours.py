"""The colours of nicks in a room: each of the first dozen has another, and keeps it.

Pure computation. None is like that of an error, a red.
"""

from __future__ import annotations

from duplex.transcript.record import NICK_LIMIT

# Of xterm's 256, which every terminal has by now, those that have a contrast of 3 at least with
# black as with white. Each differs much from those next to it here.
_COLOURS = (33, 28, 130, 133, 30, 99, 100, 163, 67, 64, 61, 136)
_KNOWN = 1000  # nicks whose colour is remembered, unless they are longer than a nick can be


class Colours:
    """Gives them out in the order in which nicks appear."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self._next = 0

    def of(self, nick: str) -> str:
        """The escape sequence that paints it."""
        colour = self._of.get(nick.casefold())
        if colour is None:
            colour = _COLOURS[self._next % len(_COLOURS)]
            self._next += self._keep(nick, colour)
        return f"\x1b[38;5;{colour}m"

    def rename(self, former: str, nick: str) -> None:
        """Somebody has another nick, and keeps the colour."""
        if colour := self._of.pop(former.casefold(), None):
            self._keep(nick, colour)

    def _keep(self, nick: str, colour: int) -> bool:
        """Whether it is remembered: no room has longer ones, unless it lies."""
        if len(nick) > NICK_LIMIT:
            return False
        if len(self._of) >= _KNOWN:
            del self._of[next(iter(self._of))]  # the oldest
        self._of[nick.casefold()] = colour
        return True
