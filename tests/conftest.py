"""Fixtures: programs that are ended whatever happens, and the seed of the random tests.

Also what each process of the tests does first: nohup, and a shell's `&`, leave signals ignored or
blocked, and that is inherited by whatever is started. Who catches a signal leaves it as it is by
default to what it executes, and pytest itself is still not ended by it.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support import Duo, Terminal

# A machine may be busy with something else for longer than any example takes.
settings.register_profile("duplex", deadline=None)
settings.load_profile("duplex")

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda _number, _frame: None)
signal.pthread_sigmask(signal.SIG_SETMASK, ())


@pytest.fixture
def duo(tmp_path: Path) -> Iterator[Duo]:
    made = Duo(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def start(*args: str, cwd: Path, **env: str) -> Terminal:
        made.append(Terminal(args, cwd, **env))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def rng(capsys: pytest.CaptureFixture[str]) -> random.Random:
    """Random, but told how to run the same again: DUPLEX_TEST_SEED=… repeats a run."""
    seed = int(os.environ.get("DUPLEX_TEST_SEED", "20261124"))
    print(f"seed: DUPLEX_TEST_SEED={seed}")
    return random.Random(seed)
