"""Six real clients in a real room, and whatever can happen to all of it: files alone are judged."""

from __future__ import annotations

import os
import random
import secrets

import pytest
from support import needs

from linearizability import driver
from linearizability.rooms import KINDS

ROUNDS = int(os.environ.get("DUPLEX_TEST_ROUNDS", "3"))  # of the long test


def hold(kind: str, seed: int, **options: float) -> None:
    """Judge one run, or fail with its story."""
    if kind == "tls":
        needs("openssl")
    if kind == "store":
        pytest.importorskip("redis", reason="the client of a store")
    print(f"seed: DUPLEX_TEST_SEED={seed}")
    faults, text = driver.run(driver.Options(kind, seed, **options))
    assert not faults, text


@pytest.mark.timeout(150)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_happens_each_line_is_there_once_and_all_hear_the_same(
    kind: str, rng: random.Random
) -> None:
    hold(kind, rng.randrange(1 << 30), seconds=2.5)


@pytest.mark.long
@pytest.mark.timeout(300 * ROUNDS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_for_a_long_time(kind: str) -> None:
    """With longer stops, and another seed each time."""
    first = int(os.environ.get("DUPLEX_TEST_SEED") or secrets.randbelow(1 << 30))
    for number in range(ROUNDS):
        hold(kind, first + number, seconds=30.0, longest=6.0)
