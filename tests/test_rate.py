"""How many lines a member may say just now."""

from __future__ import annotations

import pytest

from duplex import rate
from duplex.rate import Rate


class Clock:
    """The time, as it is set here."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(rate, "time", made)
    return made


def test_a_paste_within_the_burst_goes_through_at_once(clock: Clock) -> None:
    assert Rate(20, 100).allowed(100) == 100


def test_more_than_the_burst_goes_at_the_rate(clock: Clock) -> None:
    limit, said = Rate(20, 100), 0
    begun = clock.now
    while said < 300:
        count = limit.allowed(300 - said)
        limit.spend(count)
        said += count
        clock.now += limit.seconds_to_wait() + 1e-9
    assert clock.now - begun == pytest.approx(200 / 20, rel=0.01)


def test_no_more_than_the_burst_is_saved_up(clock: Clock) -> None:
    limit = Rate(20, 100)
    limit.spend(100)
    clock.now += 3600
    assert limit.allowed(1000) == 100


def test_zero_is_no_limit(clock: Clock) -> None:
    limit = Rate(0, 100)
    for _ in range(3):
        assert limit.allowed(10_000) == 10_000
        limit.spend(10_000)
    assert limit.seconds_to_wait() == 0
