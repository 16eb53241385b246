"""`duplex log` of a room whose transcript stands in segments: each record once, in one order."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_support import follow, out, texts
from support import until

from duplex.transcript.record import event, said
from duplex.transcript.retention import FOR_EVER, Retention, Rotation
from duplex.transcript.segments import Segments

SMALL = Rotation(size=1000)
LOG = "logs/room-lobby/client_input.log"


class Writer:
    """A room's transcript, and who writes it."""

    def __init__(self, path: Path, retain: Retention = FOR_EVER) -> None:
        self.path = path
        self.segments = Segments.open(str(path), rotate=SMALL, retain=retain)
        self.segments.tell = lambda _text: None
        self.number = 0

    def say(self, count: int = 1) -> None:
        for number in range(self.number, self.number + count):
            line = f"{number} {'x' * 60}\n".encode()
            self.segments.append(said("ann", line, self.segments.stamp()))
        self.number += count


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path / LOG)
    yield writer
    writer.segments.close()


def numbers(lines: list[bytes]) -> list[int]:
    return [int(re.search(rb"> (\d+) ", line)[1]) for line in lines]  # type: ignore[index]


def test_closed_segments_come_first_in_their_order(room: Writer, tmp_path: Path) -> None:
    room.say(100)
    assert len(list(room.path.parent.glob("*.log.[0-9]*"))) > 5
    for args in ([LOG], [], [str(room.path)], ["--utc"], ["--from", "ann"], ["--grep", "x"]):
        assert numbers(out(tmp_path, *args)) == list(range(100)), args
    assert b"".join(out(tmp_path, "--utc", LOG)) == room.segments.read(0, room.segments.end)


def test_offsets_are_the_rooms(room: Writer, tmp_path: Path) -> None:
    room.say(50)
    shown = [json.loads(line) for line in out(tmp_path, "--json", LOG)]
    assert {one["file"] for one in shown} == {LOG}
    whole = room.segments.read(0, room.segments.end)
    for one in shown:
        assert room.segments.is_start(one["offset"])
        assert one["text"].encode() in whole[one["offset"] :].split(b"\n", 1)[0]


def test_who_names_segments_too_sees_each_record_once(room: Writer, tmp_path: Path) -> None:
    room.say(50)
    names = sorted(str(path) for path in room.path.parent.glob("*.log*") if path.suffix != ".key")
    assert numbers(out(tmp_path, *names)) == list(range(50))
    one = next(name for name in names if name.endswith(".log.0"))
    assert numbers(out(tmp_path, one)) == list(range(11))


def test_what_was_moved_away_or_is_another_programs_is_not_shown(
    room: Writer, tmp_path: Path
) -> None:
    room.say(30)
    room.path.rename(room.path.with_name("client_input.log.1"))
    room.segments.look()
    room.say(30)
    shown = numbers(out(tmp_path, LOG))
    assert shown == list(range(shown[0], 60))
    assert 24 <= shown[0] <= 30


def test_a_room_that_was_just_rotated_is_dated_by_what_it_said_last(
    room: Writer, tmp_path: Path
) -> None:
    """So that it is the last that is shown, though there is nothing in its newest segment."""
    room.say(5)
    room.segments.begin_another(f"{room.path}.0")
    assert room.path.read_bytes() == b""
    old = tmp_path / "logs" / "server_input.log"
    old.write_bytes(
        event("connected to 127.0.0.1:1", b"2020-01-01T00:00:00.000Z")
        + said("bob", b"long ago\n", b"2020-01-01T00:00:01.000Z")
    )
    lines = out(tmp_path)
    assert b"server_input.log" in lines[0]
    assert numbers(lines[-5:]) == list(range(5))


@pytest.mark.parametrize("key", [True, False], ids=["with", "without"])
def test_a_copy_of_a_rooms_files_is_read_as_well(room: Writer, tmp_path: Path, key: bool) -> None:
    room.say(50)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in room.path.parent.iterdir():
        if key or path.suffix != ".key":
            (copy / path.name).write_bytes(path.read_bytes())
    assert numbers(out(tmp_path, "copy/client_input.log")) == list(range(50))


def test_whoever_follows_goes_on_over_rotations(room: Writer, tmp_path: Path) -> None:
    room.say(30)
    program = follow(tmp_path, LOG)
    until(lambda: numbers(program.out.splitlines()) == list(range(30)))
    for many in (1, 10, 20, 50, 1, 200):  # of which 11 are a segment
        room.say(many)
        until(lambda: len(program.out.splitlines()) >= room.number)
        assert numbers(program.out.splitlines()) == list(range(room.number))
    room.path.rename(tmp_path / "moved")
    room.say(3)
    room.segments.look()
    room.say(3)
    until(lambda: len(program.out.splitlines()) >= room.number)
    assert numbers(program.out.splitlines()) == list(range(room.number))
    program.stop()


def test_what_is_rotated_while_it_is_read_is_shown_once(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        writer = Writer(tmp_path / LOG)
        while True:
            writer.say()
    try:
        until((tmp_path / LOG).exists)
        before = 0
        for _ in range(5):
            shown = numbers(out(tmp_path, LOG))
            assert shown == list(range(len(shown)))
            assert len(shown) >= before
            before = len(shown)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_what_is_removed_while_it_is_read_is_no_error(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        writer = Writer(tmp_path / LOG, Retention(size=100_000))
        while True:
            writer.say(10)
            writer.segments.look()
    try:
        until((tmp_path / LOG).exists)
        for _ in range(5):
            shown = numbers(out(tmp_path, LOG))
            assert shown == sorted(set(shown))
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert texts(out(tmp_path, LOG))
