"""The rates of a room: who has said how much lately, in one table that all its processes share.

What is known of somebody is one number, the monotonic moment at which what it may say at once is
all there again; so who is not in the table has said nothing lately. The host makes the table before
its first fork, and members read and write it. It outlives them: who comes again finds what it has
left. Its size is fixed: of those that fall on the same few places, who is nearest to being
forgotten anyway makes way.

There is no lock, for nobody waits for anybody: of two who are charged in the same microsecond at
one address, one may be charged for both. Knows nothing of what is said, nor how fast it may be.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import time

_WAYS = 8  # places that a name can have
_EACH = 8  # names for each member: its nick, its address twice, and those that have just left
_LEAST = 512 * _WAYS  # places of a small room
_UNUSED = 0


class Rates:
    """A table for a room of `members`."""

    def __init__(self, members: int) -> None:
        sets = 1 << (max(_LEAST, _EACH * members) // _WAYS - 1).bit_length()
        self._mask = sets - 1
        size = sets * _WAYS
        self._map = memoryview(mmap.mmap(-1, 2 * 8 * size))
        self._names = self._map[: 8 * size].cast("Q")
        self._full_at = self._map[8 * size :].cast("d")
        self._secret = os.urandom(16)  # so that nobody can choose whose place to fall on

    def name(self, kind: str, text: str) -> int:
        """What `full_at` and `charge` take for, say, the nick ann."""
        of = f"{kind} {text}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(of, digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "big") | 1  # so never _UNUSED

    def full_at(self, name: int) -> float:
        """When all is there again that it may say at once; 0.0 for who has said nothing lately."""
        first = self._first(name)
        for place in range(first, first + _WAYS):
            if self._names[place] == name:
                return self._full_at[place]
        return 0.0

    def note(self, name: int, full_at: float) -> None:
        """It is so from now on."""
        first, now = self._first(name), time.monotonic()
        found, earliest = first, float("inf")
        for place in range(first, first + _WAYS):
            if self._names[place] == name:
                found = place
                break
            moment = self._full_at[place] if self._names[place] else 0.0
            if moment < earliest:
                found, earliest = place, moment
        if full_at > now or self._names[found] == name:
            self._full_at[found] = full_at
            self._names[found] = name

    def _first(self, name: int) -> int:
        return (name >> 1 & self._mask) * _WAYS
