"""Signals: SIGHUP ends a session, or is only counted where it means something else."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator

import pytest

from duplex.system.process import Signals

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ENDING}
    wakeup = signal.set_wakeup_fd(-1)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.set_wakeup_fd(wakeup)


def wakes(signals: Signals) -> bool:
    return bool(select.select([signals.fd], [], [], 5)[0])


def test_a_hangup_ends_the_session() -> None:
    signals = Signals()
    os.kill(os.getpid(), signal.SIGHUP)
    assert wakes(signals)
    assert (signals.received, signals.hangups) == (signal.SIGHUP, 0)


def test_a_hangup_that_is_counted_wakes_and_ends_nothing() -> None:
    signals = Signals()
    signals.count_hangups()
    for count in (1, 2):
        os.kill(os.getpid(), signal.SIGHUP)
        assert wakes(signals)
        signals.settle()
        assert (signals.received, signals.hangups) == (0, count)
    os.kill(os.getpid(), signal.SIGTERM)
    assert wakes(signals)
    assert (signals.received, signals.hangups) == (signal.SIGTERM, 2)


def test_it_is_counted_under_nohup_too() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals = Signals()
    os.kill(os.getpid(), signal.SIGHUP)
    signals.count_hangups()
    os.kill(os.getpid(), signal.SIGHUP)
    assert wakes(signals)
    assert (signals.received, signals.hangups) == (0, 1)


def test_it_stays_counted_after_the_others_were_let_go_and_caught_again() -> None:
    signals = Signals()
    signals.count_hangups()
    signals.let_go()
    os.kill(os.getpid(), signal.SIGHUP)  # would be the end of this process
    signals.catch()
    os.kill(os.getpid(), signal.SIGHUP)
    assert wakes(signals)
    assert (signals.received, signals.hangups) == (0, 2)
