"""Mutation: broken inputs out of good ones, by a seeded random number generator.

An input is a list of units (lines, frames, numbers). First whole units are left out, doubled,
swapped and taken from elsewhere; then bytes are changed, and what means something to the reader is
put anywhere. A few inputs are very long. The same seed makes the same inputs.

Not guided by coverage: that was measured, with atheris on the boundary of transcript/sanitize.py,
to make 7,000 executions a second where this makes 44,000; the seeds and tokens of a target know
what is beyond.
"""

from __future__ import annotations

import random

from .promise import Seed, Target

LONG_EVERY = 1500  # inputs; a long one takes a hundred times as long
_FEW = (0, 0, 1, 1, 2, 4, 8)  # changes of each kind


class Mutation:
    """Makes the inputs of one target."""

    def __init__(self, target: Target, seed: int) -> None:
        self._rng = random.Random(f"{seed} {target.name}")
        self._seeds = target.seeds
        self._units = [unit for seed_ in target.seeds for unit in seed_] + target.tokens
        self._tokens = target.tokens
        self._longest = target.longest

    def make(self) -> bytes:
        """The next input."""
        choice = self._rng.choice
        units: Seed = list(choice(self._seeds))
        few = choice(_FEW)
        for _ in range(few):
            self._change_units(units)
        data = bytearray(b"".join(units))
        for _ in range(choice(_FEW) if few else 1 + choice(_FEW)):
            self._change_bytes(data)
        if self._rng.randrange(LONG_EVERY) == 0:
            self._make_long(data)
        return bytes(data)

    def _change_units(self, units: Seed) -> None:
        rng = self._rng
        at = rng.randrange(len(units) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            del units[at : at + 1]
        elif kind == 1:
            units[at:at] = units[at : at + rng.randrange(1, 4)]
        elif kind == 2 and len(units) > 1:
            other = rng.randrange(len(units))
            at %= len(units)
            units[at], units[other] = units[other], units[at]
        elif kind == 3:
            units[at:] = rng.choice(self._seeds)[at:]
        else:
            units.insert(at, rng.choice(self._units))

    def _change_bytes(self, data: bytearray) -> None:
        rng = self._rng
        at = rng.randrange(len(data) + 1)
        end = at + rng.choice((0, 1, 1, 2, 3, 20))
        kind = rng.randrange(8)
        if kind == 0:
            del data[at:end]
        elif kind == 1:
            data[at:end] = data[at:end] * 2
        elif kind == 2 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 3:
            data[at:end] = rng.randbytes(end - at)
        elif kind == 4:
            data[at:end] = b"%d" % rng.choice((0, 1, -1, 255, 65536, 1 << 63, 10**18, 10**30))
        elif kind == 5:
            del data[at:]
        else:
            data[at:end] = rng.choice(self._tokens)

    def _make_long(self, data: bytearray) -> None:
        rng = self._rng
        at = rng.randrange(len(data) + 1)
        part = (
            rng.choice((bytes(data[at : at + 200]), rng.choice(self._tokens), b"9", b"x")) or b"\n"
        )
        size = rng.choice((300, 5000, self._longest))
        data[at:at] = part * (min(size, self._longest) // len(part))
