"""Startups: how many handshakes may be unfinished at once, and who is dropped for it.

As OpenSSH's MaxStartups does (sshd_config(5)): from a third of the limit on, newcomers are dropped
at random, and the more probably the nearer the limit is. So whoever keeps all the handshakes
unfinished that it can does not keep out everybody else: each try of an honest client has a chance.
And as PerSourceMaxStartups does: one source has a quarter of them at most. Knows numbers only.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import random

START = 3  # dropping begins at this part of the limit
RATE = 0.3  # with this probability, which rises linearly to 1 at the limit
PER_SOURCE = 4  # the part of the limit that one source may have
AT_LEAST = 2  # for one source: somebody who comes back may still have an old one


class Startups:
    """A limit of unfinished handshakes; 0 is none."""

    def __init__(self, limit: int, rng: random.Random | None = None) -> None:
        import random  # not above: what every room imports costs each member some memory

        self.limit = limit
        self._rng = rng or random.Random()
        self._start = -(-limit // START)
        self._per_source = max(AT_LEAST, limit // PER_SOURCE)

    def drops(self, unfinished: int, from_source: int) -> bool:
        """Whether a newcomer is dropped, with so many unfinished, and so many from its source."""
        if not self.limit:
            return False
        return from_source >= self._per_source or self._rng.random() < self.probability(unfinished)

    def probability(self, unfinished: int) -> float:
        """Of being dropped for the number of unfinished ones alone."""
        if unfinished >= self.limit:
            return 1.0
        if unfinished < self._start:
            return 0.0
        return RATE + (1 - RATE) * (unfinished - self._start) / (self.limit - self._start)
