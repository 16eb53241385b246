"""Fuzzing, for a moment: every target a few hundred times, and that a broken promise is noticed."""

from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz import engine
from fuzz.mutation import Mutation
from fuzz.promise import Target
from support import needs

PROJECT = Path(__file__).parent.parent


def fuzz(*args: str) -> subprocess.CompletedProcess[str]:
    """The command as CONTRIBUTING.md has it."""
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *args],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_no_promise_is_broken_by_thousands_of_inputs(tmp_path: Path, rng: random.Random) -> None:
    needs("openssl")  # it makes the certificates
    seed = str(rng.randrange(1 << 31))
    done = fuzz("--runs", "8000", "--seed", seed, "--keep", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["seed:", f"DUPLEX_TEST_SEED={seed}"]
    assert len(rows) == 2 + 16 + 1
    assert int(rows[-1][1]) > 7_900
    assert not list(tmp_path.iterdir())


def target(check: Callable[[bytes], None]) -> Target:
    """One that is made of nothing else."""
    return Target(
        "any", lambda _directory: check, [[b"one", b"two", b"three"], [b"two"]], [b"\0"], 1
    )


def run(check: Callable[[bytes], None], keep_in: Path, runs: int = 3000) -> engine.Result:
    return engine.run(target(check), runs, 1, 60, keep_in)


def test_the_same_seed_makes_the_same_inputs() -> None:
    def inputs(seed: int) -> list[bytes]:
        mutation = Mutation(target(bytes), seed)
        return [mutation.make() for _ in range(2000)]

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)
    assert len(set(inputs(1))) > 1000


def test_an_input_that_breaks_a_promise_is_kept_and_breaks_it_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def check(data: bytes) -> None:
        assert not data.startswith(b"two"), "it begins with two"

    result = run(check, tmp_path)
    assert result.failure == "a promise was broken, as told above"
    assert "it begins with two" in capfd.readouterr().err
    kept = Path(result.kept).read_bytes()
    assert kept.startswith(b"two")
    with pytest.raises(AssertionError, match="begins with two"):
        engine.repeat(target(check), kept)


def test_a_crash_in_a_library_is_noticed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def check(data: bytes) -> None:
        if data.startswith(b"two"):
            os.kill(os.getpid(), signal.SIGSEGV)

    result = run(check, tmp_path)
    assert result.failure == "killed by SIGSEGV"
    assert Path(result.kept).read_bytes().startswith(b"two")
    assert "Segmentation fault" in capfd.readouterr().err


def test_an_execution_that_does_not_end_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "HANGS", 0.3)

    def check(data: bytes) -> None:
        while data.startswith(b"two"):
            time.sleep(0.01)

    result = run(check, tmp_path)
    assert result.failure == "an execution took more than 0.3 s"
    assert Path(result.kept).read_bytes().startswith(b"two")
    assert "in check" in capfd.readouterr().err, "where it was"


def test_memory_that_grows_from_one_execution_to_the_next_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "GROWTH", 8 << 20)
    kept = []

    def check(_data: bytes) -> None:  # pages of their own: a heap may have had room for it
        kept.append(mmap.mmap(-1, mmap.PAGESIZE))
        kept[-1][0] = 1

    result = run(check, tmp_path, 10_000)
    assert result.failure
    assert "KiB more than after" in capfd.readouterr().err
    assert result.executions < 10_000


def test_memory_that_one_execution_takes_without_end_is_noticed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = run(lambda data: data.startswith(b"two") and bytes(2 << 30), tmp_path)
    assert result.failure
    assert "MemoryError" in capfd.readouterr().err
