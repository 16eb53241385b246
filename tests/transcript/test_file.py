"""The transcript: whole records or none, whoever writes, is killed, or fills the disk."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
from pathlib import Path

import pytest
from support import until

from duplex.system.errors import TranscriptError
from duplex.transcript.file import Transcript
from duplex.transcript.record import event, said
from duplex.transcript.recording import Recording


def test_a_new_transcript_is_private_and_so_is_its_new_directory(tmp_path: Path) -> None:
    path = tmp_path / "new" / "t.log"
    Transcript.open(str(path)).close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.read_bytes() == b""


def test_records_are_appended_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_bytes(event("before"))
    transcript = Transcript.open(str(path))
    transcript.append(said("ann", b"one\ntwo\n"))
    assert path.read_bytes().count(b"\n") == 3
    assert path.read_bytes().startswith(event("before")[24:], 24)


@pytest.mark.parametrize("length", [1, 5, 24, 25, 30, 40])
def test_a_dead_writers_torn_tail_is_cut_back(tmp_path: Path, length: int) -> None:
    path = tmp_path / "t.log"
    whole = said("ann", b"x" * 70_000 + b"\n")
    path.write_bytes(whole + said("bob", b"never finished\n")[:length])
    Transcript.open(str(path)).append(said("eve", b"hi\n"))
    assert path.read_bytes()[: len(whole)] == whole
    assert path.read_bytes()[len(whole) :].endswith(b"<eve> hi\n")
    assert path.read_bytes().count(b"\n") == 2


def test_a_torn_tail_of_a_very_long_record_is_cut_back(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_bytes(said("ann", b"x" * 300_000 + b"\n")[:-1])
    Transcript.open(str(path)).append(event("new"))
    assert path.read_bytes().endswith(b" * new\n")
    assert len(path.read_bytes()) < 50


def test_somebody_elses_unfinished_line_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_bytes(b"shopping list\nmilk")
    Transcript.open(str(path)).append(event("new"))
    assert path.read_bytes().startswith(b"shopping list\nmilk\n20")


def test_what_cannot_be_a_transcript_is_refused_with_a_reason(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, reason in (
        (tmp_path, "Is a directory"),
        (fifo, ""),
        (Path("/dev/full"), "No space left on device"),
        (tmp_path / "t.log" / "below", "File exists"),
    ):
        (tmp_path / "t.log").write_bytes(b"")
        with pytest.raises(TranscriptError, match=f"cannot write the transcript .*{reason}"):
            Transcript.open(str(path))
    Transcript.open("/dev/null").append(event("anything"))


def test_a_reopened_transcript_is_the_same_file_even_if_renamed(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    transcript = Transcript.open(str(path))
    path.rename(tmp_path / "renamed")
    transcript.reopen().append(event("there"))
    assert (tmp_path / "renamed").read_bytes().endswith(b" * there\n")
    assert not path.exists()


def _say(path: str, name: str, count: int, rng: random.Random) -> None:
    transcript = Transcript.open(path)
    number = 0
    while number < count:
        many = min(rng.choice((1, 1, 1, 5, 200)), count - number)
        lines = b"".join(b"%d %s\n" % (n, b"x" * (n % 90)) for n in range(number, number + many))
        transcript.append(said(name, lines))
        number += many


def test_several_programs_on_one_file_tear_and_lose_nothing(
    tmp_path: Path, rng: random.Random
) -> None:
    path, count = tmp_path / "t.log", 5000
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=_say, args=(str(path), f"w{n}", count, random.Random(rng.random())))
        for n in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert _numbers(path) == {f"w{n}": list(range(count)) for n in range(4)}


def test_writers_killed_at_any_instant_leave_whole_records(
    tmp_path: Path, rng: random.Random
) -> None:
    path = tmp_path / "t.log"
    context = multiprocessing.get_context("fork")
    for round_number in range(25):
        name = f"w{round_number}"
        seeded = random.Random(rng.random())
        writer = context.Process(target=_say, args=(str(path), name, 1 << 30, seeded))
        writer.start()
        size = path.stat().st_size if path.exists() else 0
        more = rng.randrange(1, 200_000)
        until(lambda size=size, more=more: path.exists() and path.stat().st_size > size + more)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join(10)
    Transcript.open(str(path)).append(event("the end"))
    numbers = _numbers(path)
    assert len(numbers) == 25
    assert all(said == list(range(len(said))) for said in numbers.values())


def test_a_full_disk_tears_nothing_and_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    told: list[str] = []
    recording = Recording(Transcript.open(str(path)), told.append)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        for number in range(200):
            recording.record(said("ann", b"%d %s\n" % (number, b"x" * 100)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    before = _numbers(path)["ann"]
    assert before == list(range(len(before)))
    assert len(before) < 100
    assert told == [f"not recorded: File too large ({path})"]
    recording.record(said("ann", b"1000 again\n"))
    missing = 200 - len(before)
    assert told[1:] == [f"recording again; {missing} lines were not recorded: File too large"]
    assert _numbers(path)["ann"] == [*before, 1000]
    assert b" * %d lines were not recorded: File too large\n" % missing in path.read_bytes()


def _numbers(path: Path) -> dict[str, list[int]]:
    """For each nick the numbers of its lines, in the file's order; every line must be a record."""
    found: dict[str, list[int]] = {}
    data = path.read_bytes()
    assert data.endswith(b"\n")
    for line in data.splitlines():
        assert line[:2] == b"20", line
        if b"Z * " not in line[:30]:
            nick, number = line[25:].split(b" ", 2)[:2]
            found.setdefault(nick.strip(b"<>").decode(), []).append(int(number))
    return found
