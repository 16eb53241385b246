"""Notices: the first is told at once, and a flood is one line a second."""

from __future__ import annotations

from duplex.room.notices import EVERY, Notices


class Teller:
    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[str] = []
        self.notices = Notices(self.told.append, lambda: self.now)

    def later(self, seconds: float) -> list[str]:
        """What has been told until then."""
        self.now += seconds
        self.notices.go_on()
        return self.told


def test_the_first_is_told_at_once() -> None:
    teller = Teller()
    assert not teller.notices.held
    teller.notices.add("refused", "refused ann")
    assert teller.told == ["refused ann"]
    assert not teller.notices.held


def test_a_second_one_waits_and_is_told_as_it_is() -> None:
    teller = Teller()
    teller.notices.add("refused", "refused ann")
    teller.now += EVERY / 4
    teller.notices.add("refused", "refused bob")
    assert teller.notices.seconds_to_wait() == EVERY * 3 / 4
    assert teller.later(EVERY / 2) == ["refused ann"]
    assert teller.later(EVERY / 4) == ["refused ann", "refused bob"]
    assert not teller.notices.held
    teller.notices.add("refused", "refused joe")
    assert teller.later(0) == ["refused ann", "refused bob"]  # the second has its second, too


def test_a_flood_is_one_line_a_second_and_none_is_not_counted() -> None:
    teller = Teller()
    for _ in range(10_000):
        teller.notices.add("refused", "refused eve")
        teller.later(EVERY / 1024)  # a power of 2: no rounding
    assert len(teller.told) == 1 + 9
    assert teller.later(EVERY)[0] == "refused eve"
    counts = [int(line.partition("(and ")[2].split()[0]) for line in teller.told[1:]]
    assert 1 + sum(count + 1 for count in counts) == 10_000


def test_one_kind_does_not_hide_another() -> None:
    teller = Teller()
    for _ in range(5):
        teller.notices.add("refused", "refused eve")
        teller.notices.add("wrong code", "wrong code from joe")
    assert teller.told == ["refused eve", "wrong code from joe"]
    assert teller.later(EVERY)[2:] == [
        "refused eve (and 3 more)",
        "wrong code from joe (and 3 more)",
    ]


def test_what_comes_when_it_is_due_again_is_not_told_before_what_was_held() -> None:
    teller = Teller()
    for name in ("ann", "bob"):
        teller.notices.add("refused", name)
    teller.now += 2 * EVERY
    teller.notices.add("refused", "joe")
    assert teller.told == ["ann"]
    assert teller.later(0) == ["ann", "joe (and 1 more)"]
