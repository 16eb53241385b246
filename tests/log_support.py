"""What the tests of `duplex log` share."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from support import DUPLEX, Program


def run(tmp: Path, *args: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*DUPLEX, "log", *args], cwd=tmp, capture_output=True, timeout=60, check=False,
        env={**os.environ, **env},
    )  # fmt: skip


def out(tmp: Path, *args: str, **env: str) -> list[bytes]:
    """The lines shown, as they stand in the file."""
    done = run(tmp, "--utc", *args, **env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return done.stdout.splitlines(keepends=True)


def texts(lines: list[bytes]) -> list[str]:
    return [line.decode().split("Z ", 1)[-1].rstrip("\n") for line in lines]


def follow(tmp: Path, *args: str) -> Program:
    return Program([*DUPLEX, "log", "--follow", *args], tmp)
