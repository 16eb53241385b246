"""Unfinished handshakes: a few are let in, more dropped at random, and all beyond the limit."""

from __future__ import annotations

import random

import pytest

from duplex.room.startups import Startups


def test_below_a_third_of_the_limit_nobody_is_dropped(rng: random.Random) -> None:
    startups = Startups(30, rng)
    assert not any(startups.drops(unfinished, 0) for unfinished in range(10) for _ in range(1000))


def test_at_the_limit_everybody_is_dropped(rng: random.Random) -> None:
    startups = Startups(30, rng)
    assert all(startups.drops(unfinished, 0) for unfinished in (30, 31, 100) for _ in range(1000))


def test_between_them_the_probability_rises_linearly_from_30_percent() -> None:
    startups = Startups(30)
    assert startups.probability(9) == 0
    assert startups.probability(10) == pytest.approx(0.3)
    assert startups.probability(20) == pytest.approx(0.65)
    assert startups.probability(29) == pytest.approx(0.965)
    assert startups.probability(30) == 1


def test_so_many_are_dropped_as_the_probability_says(rng: random.Random) -> None:
    startups = Startups(32, rng)
    for unfinished in range(11, 32):
        dropped = sum(startups.drops(unfinished, 0) for _ in range(4000)) / 4000
        assert abs(dropped - startups.probability(unfinished)) < 0.05, unfinished


def test_an_honest_client_has_its_share_while_the_gate_is_beset(rng: random.Random) -> None:
    """50 silent connections a second from everywhere, each held for 10 s; one honest a second."""
    startups = Startups(32, rng)
    held: list[float] = []
    let_in = 0
    for turn in range(50 * 600):
        now = turn / 50
        held = [since for since in held if since > now - 10]
        if turn % 50 == 25:
            let_in += not startups.drops(len(held), 0)
        if not startups.drops(len(held), 0):
            held.append(now)
        assert len(held) <= 32
    assert let_in > 15  # as many of its 600 tries as of the others': 32 places in 10 s for 510


@pytest.mark.parametrize(
    ("limit", "most"), [(1, 1), (2, 2), (4, 2), (8, 2), (12, 3), (32, 8), (100, 25)]
)
def test_one_source_has_a_quarter_of_them_at_most_and_two_at_least(limit: int, most: int) -> None:
    startups = Startups(limit, random.Random(1))
    mine = 0
    for _ in range(1000):
        mine += not startups.drops(0 if mine < limit else mine, mine)
    assert mine == most


@pytest.mark.parametrize("limit", range(1, 40))
def test_the_first_is_never_dropped_and_never_more_than_the_limit_come(
    limit: int, rng: random.Random
) -> None:
    startups = Startups(limit, rng)
    assert not startups.drops(0, 0)
    inside = 0
    for _ in range(2000):
        inside += not startups.drops(inside, 0)
    assert inside == limit


def test_0_is_no_limit() -> None:
    startups = Startups(0)
    assert not any(startups.drops(1000, 1000) for _ in range(1000))
