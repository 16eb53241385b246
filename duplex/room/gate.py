"""The gate of a room: who of those that connect gets a member, and who gets a line and the door.

Owns what the server knows of where its clients are: who is banned, how many are here from an
address, whose handshake is not over, who gave wrong codes. An IPv6 address counts as its /64 for
all of that but bans, which are of what the operator says: an address, or a /64. Addresses are
canonical (system/address.py). Only says what is to be done: knows members by their numbers, and
neither sockets nor processes.
"""

from __future__ import annotations

import math
from collections import Counter

from duplex.protocol import refusals
from duplex.room.guesses import Guesses
from duplex.room.pace import Pace
from duplex.room.startups import Startups
from duplex.system.address import names, source_of

# From one source for each that may be here (--max-per-address): 256 and 32 a second by default. Who
# has joined from 64 terminals can have them all come back at once, a few times.
BURST, RATE = 4, 0.5  # times at once, and times a second


class Gate:
    """Ask `reason_to_refuse` of each newcomer; say who has `come` and `gone`."""

    def __init__(self, max_members: int, max_per_address: int, startups: Startups | None) -> None:
        """Without `startups` there are no handshakes: whoever connects is a guest at once."""
        self.banned: set[str] = set()
        self._max_members = max_members
        self._max_per_address = max_per_address
        self._startups = startups
        self._guesses = Guesses()
        self._pace = Pace(BURST * max_per_address, RATE * max_per_address)
        self._count = 0  # members
        self._here: Counter[str] = Counter()  # members from a source
        self._unfinished: dict[int, str] = {}  # sources, by the number of a member in a handshake

    def reason_to_refuse(self, ip: str) -> str:
        """What a newcomer is told that is not let in; "" for one that is."""
        if ip in self.banned or (":" in ip and not self.banned.isdisjoint(names(ip))):
            return refusals.BANNED
        source = source_of(ip) if ":" in ip else ip
        if source in self._guesses.of and (seconds := self._guesses.seconds_to_wait(source)):
            return refusals.wrong_codes(math.ceil(seconds))
        if self._count >= self._max_members:
            return refusals.full(self._max_members)
        if self._max_per_address:
            if self._here[source] >= self._max_per_address:
                return refusals.crowded(self._max_per_address)
            if source in self._pace.full_at and self._pace.is_too_fast(source):
                return refusals.TOO_OFTEN
        if self._startups:
            return self._too_many_unfinished(source, self._startups)
        return ""

    def _too_many_unfinished(self, source: str, startups: Startups) -> str:
        from_source = list(self._unfinished.values()).count(source)
        if from_source and self._guesses.count(source):
            return refusals.ONE_AT_A_TIME
        if startups.drops(len(self._unfinished), from_source):
            return refusals.TOO_MANY
        return ""

    def come(self, ip: str, number: int) -> None:
        """One has got a member."""
        source = source_of(ip) if ":" in ip else ip
        self._count += 1
        self._here[source] += 1
        if self._startups:
            self._unfinished[number] = source

    def seated(self, number: int) -> None:
        """Its handshake is over."""
        self._unfinished.pop(number, None)

    def gone(self, ip: str, number: int) -> None:
        """Its member has ended."""
        source = source_of(ip)
        self._count -= 1
        self._here[source] -= 1
        if not self._here[source]:
            del self._here[source]
        if self._max_per_address:
            self._pace.gone(source)
        self._unfinished.pop(number, None)

    def wrong_code(self, ip: str) -> str:
        """One has come from there; what the operator is told."""
        source = source_of(ip)
        count, seconds = self._guesses.wrong(source)
        return f"wrong code from {source}, the {_nth(count)} from there: refused for {seconds:g} s"


def _nth(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number // 10 % 10 == 1 else endings.get(number % 10, 'th')}"
