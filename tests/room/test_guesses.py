"""Wrong codes: each makes the next wait longer, whatever is done in between."""

from __future__ import annotations

import random

import pytest

from duplex.room.guesses import FORGOTTEN, LONGEST, REMEMBERED, Guesses


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_wait_doubles_up_to_an_hour(clock: Clock) -> None:
    guesses = Guesses(clock)
    waits = []
    for number in range(1, 16):
        count, seconds = guesses.wrong("eve")
        assert count == number
        waits.append(seconds)
        clock.now += seconds
        assert guesses.seconds_to_wait("eve") == 0
    assert waits == [*(2.0**n for n in range(12)), LONGEST, LONGEST, LONGEST]


def test_it_is_over_exactly_then_and_nobody_else_waits(clock: Clock) -> None:
    guesses = Guesses(clock)
    guesses.wrong("eve")
    guesses.wrong("eve")
    assert guesses.seconds_to_wait("ann") == 0
    wait = guesses.seconds_to_wait("eve")
    clock.now += wait - 0.25
    assert guesses.seconds_to_wait("eve") == pytest.approx(0.25)
    clock.now += 0.25
    assert guesses.seconds_to_wait("eve") == 0


def test_guesses_at_once_wait_for_each(clock: Clock) -> None:
    guesses = Guesses(clock)
    assert [guesses.wrong("eve")[1] for _ in range(5)] == [1, 3, 7, 15, 31]
    assert guesses.seconds_to_wait("eve") == 31
    for _ in range(5000):
        count, seconds = guesses.wrong("eve")
    assert (count, seconds) == (5005, LONGEST)


def test_it_is_forgotten_an_hour_after_the_wait(clock: Clock) -> None:
    guesses = Guesses(clock)
    for _ in range(3):
        _, seconds = guesses.wrong("eve")
        clock.now += seconds
    clock.now += FORGOTTEN - 1
    assert guesses.count("eve") == 3
    clock.now += 1
    assert guesses.count("eve") == 0
    assert guesses.wrong("eve") == (1, 1.0)


def test_the_oldest_source_gives_way(clock: Clock) -> None:
    guesses = Guesses(clock)
    for number in range(REMEMBERED):
        guesses.wrong(f"source {number}")
    guesses.wrong("source 0")
    guesses.wrong("one more")
    assert guesses.count("source 0") == 2
    assert guesses.count("source 1") == 0
    assert guesses.count("source 2") == 1
    assert guesses.count("one more") == 1


def test_nobody_has_more_than_8_guesses_an_hour_in_the_long_run(
    clock: Clock, rng: random.Random
) -> None:
    """Whatever is waited for between two guesses beyond what has to be."""
    for _ in range(30):
        guesses, begun, made = Guesses(clock), clock.now, 0
        patience = rng.randrange(1, 20)  # guesses until it waits to be forgotten
        while clock.now < begun + 500 * 3600:
            clock.now += guesses.seconds_to_wait("eve")
            if made and made % patience == 0:
                clock.now += FORGOTTEN
            guesses.wrong("eve")
            made += 1
        assert made / 500 < 8, patience
