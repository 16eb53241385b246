"""The suite itself: it can be run in the ways in which people run such things."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ENDING = "test_a_signal_ends_a_listener_that_waits"


def ignore_what_nohup_does_and_more() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM})


def test_programs_under_test_hear_signals_though_the_suite_was_started_with_nohup() -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", str(here / "test_talk.py"), "-k", ENDING],
        cwd=here.parent,
        stdout=subprocess.PIPE,
        preexec_fn=ignore_what_nohup_does_and_more,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()
    assert b"3 passed" in done.stdout
