"""A transcript that cannot be written: before a talk one line and the end, in a talk a warning."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from support import DUPLEX, Duo, Program, connected, records, said, until


@pytest.mark.parametrize("command", [["listen", "0"], ["connect", "127.0.0.1", "1"]])
@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("/dev/full", "No space left on device"),
        (".", "Is a directory"),
        ("fifo", "No such device or address|not a file"),
        ("file/below", "Not a directory|File exists"),
        ("/proc/version", "Permission denied|Input/output error|Invalid argument"),
    ],
)
def test_before_a_talk_it_is_one_clear_line(
    command: list[str], log: str, reason: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("")
    program = Program([*DUPLEX, *command, "--log", log], tmp_path / "run" / "..", stdin=-3)
    assert program.status() == 1
    (line,) = program.err.splitlines()
    assert line.startswith(f"duplex {command[0]}: cannot write the transcript {log}: ")
    assert any(word in line for word in reason.split("|")), line


def test_a_disk_that_fills_up_during_a_talk_is_told_and_tears_nothing(duo: Duo) -> None:
    limit = 15_000  # bytes: what is shown fits, what is recorded does not
    listener, port = duo.listen(
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)
        ),
    )
    with connected(port) as sock:
        for number in range(150):
            sock.sendall(b"%d %s\n" % (number, b"x" * 80))
            until(lambda n=number: listener.out.count(b"\n") == n + 1)
        recorded = said(duo.heard_by_listener)
        assert 50 < len(recorded) < 150
        assert recorded == [f"{n} {'x' * 80}" for n in range(len(recorded))]
        until(lambda: "not recorded" in listener.err)
        assert listener.err.count("not recorded: File too large") == 1

        # Space again: prlimit from outside, as if somebody had tidied up.
        for pid in (listener.pid, listener.child()):
            resource.prlimit(
                pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )
        sock.sendall(b"after\n")
        until(lambda: said(duo.heard_by_listener)[-1] == "after")
        until(lambda: "recording again" in listener.err)
    missing = 150 - len(recorded)
    gap = f"{missing} lines were not recorded: File too large"
    assert f"recording again; {gap}" in listener.err
    assert (None, gap) in records(duo.heard_by_listener)


def test_a_standard_output_that_is_full_ends_with_a_line(duo: Duo) -> None:
    listener, port = duo.listen(stdout=open("/dev/full", "wb"))  # noqa: SIM115
    with connected(port) as sock:
        sock.sendall(b"one\n")
        assert listener.status() == 1
    assert "cannot write to standard output: No space left on device" in listener.err
    assert said(duo.heard_by_listener) == ["one"]
