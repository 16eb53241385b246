"""How many lines a member may say just now: a token bucket, so that a paste goes through at once.

A line costs one token, and a command what it makes the room do (service.py), so that there may be a
debt. Who says more is slowed by not being read, never cut: TCP pushes back.

What was said belongs to who said it and to where it came from, and not to a connection: who comes
again, or takes another nick, begins with what is left of either. Many can sit behind one address,
so each goes on at its own rate; but what newcomers from there may say at once is what one member
may, and all together may say what CROWD members may. A bucket is kept as the moment at which it is
full again. Part of the hub: computation, a clock, and a table of bounded size; knows no socket.
"""

from __future__ import annotations

import time
from collections import OrderedDict

CROWD = 4  # members at their full rate
PATIENCE = 1.0  # s that those at one address wait for each other before they are told
_NEARLY = 1e-6  # of a token: it is there, but for rounding
_EACH = 8  # names for each member: its nick, its address twice, and those that have just left
_LEAST = 4096  # names of a small room

Name = tuple[str, str]


class Rates:
    """When all is there again that somebody may say at once, for a room of `members`.

    Who is not in it has said nothing lately. It outlives members: who comes again finds what it has
    left. Of too many, who was charged longest ago makes way.
    """

    def __init__(self, members: int) -> None:
        self._most = max(_LEAST, _EACH * members)
        self._full_at: OrderedDict[Name, float] = OrderedDict()  # monotonic

    def full_at(self, name: Name) -> float:
        return self._full_at.get(name, 0.0)

    def note(self, name: Name, full_at: float) -> None:
        """It is so from now on."""
        self._full_at[name] = full_at
        self._full_at.move_to_end(name)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)


class Rate:
    """`lines` a second in the long run, `burst` at once; 0 lines: no limit."""

    def __init__(
        self, lines: float, burst: int, rates: Rates | None = None, source: str = ""
    ) -> None:
        """`source` is where it comes from (address.source_of)."""
        self.lines = lines
        self._each = 1 / lines if lines else 0.0  # s
        self._most = burst * self._each  # s until an empty bucket is full
        self._rates = rates if lines else None
        self._nick: Name = ("nick", "")
        self._address: Name = ("address", source)
        self._crowd: Name = ("crowd", source)
        self._full_at = 0.0
        if self._rates:
            self._full_at = self._rates.full_at(self._address)

    def be_called(self, nick: str) -> None:
        """It has the nick, given as what two nicks have in common (protocol/nick.py)."""
        if self._rates:
            self._nick = ("nick", nick)
            self._full_at = max(self._full_at, self._rates.full_at(self._nick))
            self._rates.note(self._nick, self._full_at)

    def allowed(self, wanted: int) -> int:
        """How many of the `wanted` lines may be said now."""
        if not self.lines:
            return wanted
        now, share = time.monotonic(), self._each / CROWD
        own = (self._most - self._debt(now)) / self._each
        crowd = (self._most - self._crowd_debt(now)) / share
        return max(0, min(wanted, int(own + _NEARLY), int(crowd + _NEARLY)))

    def spend(self, count: float) -> None:
        """So many lines were said, or what costs as much was done."""
        if not self.lines:
            return
        now, seconds = time.monotonic(), count * self._each
        self._full_at = now + self._debt(now) + seconds
        if not self._rates:
            return
        self._rates.note(self._crowd, now + self._crowd_debt(now) + seconds / CROWD)
        self._rates.note(self._nick, self._full_at)
        # Whoever else is here from there goes on at its own rate: this says how much newcomers get.
        of_address = max(now, self._rates.full_at(self._address)) + seconds
        self._rates.note(self._address, min(of_address, now + self._most))

    def seconds_to_wait(self) -> float:
        """Until one more may be said; 0 with no limit."""
        now, share = time.monotonic(), self._each / CROWD
        own = self._debt(now) + self._each - self._most
        crowd = self._crowd_debt(now) + share - self._most
        return max(0.0, own, crowd)

    def why_slowly(self, wanted: int) -> str:
        """The rate that holds these lines back, for who says them; "" if not for long."""
        now, share = time.monotonic(), self._each / CROWD
        if self._debt(now) + self._each - self._most > _NEARLY * self._each:
            return f"{self.lines:g} lines a second"
        if self._crowd_debt(now) + wanted * share > PATIENCE:
            return f"{CROWD * self.lines:g} lines a second from your address"
        return ""

    def _debt(self, now: float) -> float:
        """Seconds until its own is full."""
        return max(0.0, self._full_at - now)

    def _crowd_debt(self, now: float) -> float:
        return max(0.0, self._rates.full_at(self._crowd) - now) if self._rates else 0.0
