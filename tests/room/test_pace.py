"""The pace: a number at once, then a rate, for each source by itself."""

from __future__ import annotations

import random

from duplex.room.pace import REMEMBERED, Pace


class Source:
    """Comes whenever it may, at the given times."""

    def __init__(self, burst: float, rate: float) -> None:
        self.now = 1000.0
        self.pace = Pace(burst, rate, lambda: self.now)

    def tries(self, times: int, name: str = "eve") -> int:
        """How often it was let in."""
        came = 0
        for _ in range(times):
            if not self.pace.is_too_fast(name):
                self.pace.gone(name)
                came += 1
        return came


def test_so_many_at_once_and_no_more() -> None:
    source = Source(256, 32)
    assert source.tries(1000) == 256
    assert source.tries(1000, "ann") == 256


def test_then_at_the_rate() -> None:
    source = Source(256, 32)
    source.tries(1000)
    for _ in range(100):
        source.now += 0.5
        assert source.tries(1000) == 16


def test_who_waits_has_all_of_it_again_and_no_more() -> None:
    source = Source(256, 32)
    source.tries(1000)
    source.now += 4
    assert source.tries(1000) == 128
    source.now += 1000
    assert source.tries(1000) == 256


def test_in_the_long_run_nobody_is_faster(rng: random.Random) -> None:
    for _ in range(20):
        source = Source(rng.randrange(1, 100), rng.choice([0.5, 1, 8, 32]))
        begun, came = source.now, 0
        most, each = source.pace._most, source.pace._each
        for _ in range(1000):
            source.now += rng.expovariate(1 / each)
            came += source.tries(rng.randrange(4))
            assert came <= (source.now - begun + most) / each + 1


def test_what_is_remembered_is_bounded() -> None:
    source = Source(1, 0.001)
    for number in range(2 * REMEMBERED):
        assert source.tries(2, str(number)) == 1
    assert source.tries(1, str(REMEMBERED)) == 0
    assert source.tries(1, "0") == 1
