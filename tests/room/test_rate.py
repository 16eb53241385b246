"""How many lines a member may say just now, and what is left of it for who comes again."""

from __future__ import annotations

import pytest

from duplex.room import rate
from duplex.room.rate import CROWD, Rate, Rates


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


# What belongs to a nick and to an address


def fill(limit: Rate, clock: Clock, seconds: float) -> int:
    """All that it may say from now on for so long."""
    said, end = 0, clock.now + seconds
    while True:
        count = limit.allowed(1000)
        limit.spend(count)
        said += count
        if clock.now + limit.seconds_to_wait() > end:
            clock.now = end
            return said
        clock.now += limit.seconds_to_wait() + 1e-9


@pytest.fixture
def rates(clock: Clock) -> Rates:
    return Rates(10)


def come(rates: Rates, nick: str, source: str) -> Rate:
    limit = Rate(20, 100, rates, source)
    limit.be_called(nick)
    return limit


def test_who_comes_again_and_again_says_no_more_than_who_stays(rates: Rates, clock: Clock) -> None:
    said = sum(fill(come(rates, f"guest-{n}", "192.0.2.1"), clock, 0.5) for n in range(20))
    assert said == pytest.approx(100 + 20 * 10, abs=2)


def test_who_comes_from_elsewhere_under_the_same_nick_goes_on_where_it_was(
    rates: Rates, clock: Clock
) -> None:
    said = sum(fill(come(rates, "ann", f"192.0.2.{n}"), clock, 0.5) for n in range(20))
    assert said == pytest.approx(100 + 20 * 10, abs=2)


def test_a_new_nick_is_no_new_beginning_and_one_that_is_worn_out_is_taken_as_it_is(
    rates: Rates, clock: Clock
) -> None:
    limit, said = come(rates, "ann", "192.0.2.1"), 0
    for number in range(20):
        said += fill(limit, clock, 0.5)
        limit.be_called(f"ann{number}")
    assert said == pytest.approx(100 + 20 * 10, abs=2)
    other = come(rates, "bob", "192.0.2.2")
    other.be_called("ann19")
    assert other.allowed(1000) == 0


def test_many_at_one_address_say_no_more_than_a_few_and_others_are_not_slowed(
    rates: Rates, clock: Clock
) -> None:
    crowd = [come(rates, f"n{number}", "192.0.2.1") for number in range(60)]
    other = come(rates, "other", "192.0.2.2")
    said = 0
    for _ in range(1000):
        for limit in crowd:
            count = limit.allowed(1000)
            limit.spend(count)
            said += count
        clock.now += 0.01
    assert said == pytest.approx(CROWD * (100 + 20 * 10), rel=0.01)
    assert other.allowed(1000) == 100
    assert "from your address" in crowd[-1].why_slowly(1000)


def test_one_who_floods_slows_nobody_else_at_its_address(rates: Rates, clock: Clock) -> None:
    flood, ann = come(rates, "flood", "192.0.2.1"), come(rates, "ann", "192.0.2.1")
    for _ in range(1000):
        flood.spend(flood.allowed(1000))
        assert ann.allowed(1) == 1
        ann.spend(0.2)  # 20 a second
        clock.now += 0.01


def test_a_debt_is_waited_for(rates: Rates, clock: Clock) -> None:
    limit = come(rates, "ann", "192.0.2.1")
    limit.spend(300)
    assert limit.allowed(1) == 0
    assert limit.seconds_to_wait() == pytest.approx(201 / 20)
    assert fill(limit, clock, 20) == pytest.approx(200, abs=2)


# The table


def test_it_does_not_grow_and_forgets_who_was_charged_longest_ago() -> None:
    rates = Rates(10)
    for number in range(20_000):
        rates.note(("nick", f"n{number}"), 1e12)
        rates.note(("nick", "ann"), 1e12 + number)  # again and again
    assert rates.full_at(("nick", "ann")) == 1e12 + 19_999
    assert rates.full_at(("address", "ann")) == 0
    known = [n for n in range(20_000) if rates.full_at(("nick", f"n{n}"))]
    assert known == list(range(20_000 - len(known), 20_000))
    assert 1000 < len(known) <= 4096


def test_a_full_house_is_remembered_as_a_whole() -> None:
    """Each by its nick and by its address, and those who have just left."""
    rates = Rates(5_000)
    names = [(kind, str(n)) for n in range(10_000) for kind in ("nick", "address", "crowd")]
    for name in names:
        rates.note(name, 1e12)
    assert all(rates.full_at(name) == 1e12 for name in names)
