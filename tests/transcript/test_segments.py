"""A room's transcript in segments: one order and one count, whatever becomes of its files."""

from __future__ import annotations

import os
import random
import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support import RECORD

from duplex.system.errors import TranscriptError, UsageError
from duplex.transcript import closed
from duplex.transcript.closed import Gone
from duplex.transcript.flushing import Flushing
from duplex.transcript.record import event, said
from duplex.transcript.retention import (
    FOR_EVER,
    NEVER,
    Retention,
    Rotation,
    check,
    parse_retain,
    parse_rotate,
)
from duplex.transcript.segments import Segments

AT = b"2026-11-24T13:00:00.123Z"


class Opened:
    """One that is open, with what it tells."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.segments = Segments.open(str(path), **options)
        self.runs = True
        self.told: list[str] = []
        self.handed: list[int] = []
        self.segments.tell = self.told.append
        self.segments.opened = self.handed.append

    def end(self, clean: bool = False) -> None:
        """As a room does that is closed, or else as the kernel does for one that is killed."""
        if self.runs and clean:
            self.segments.close()
        elif self.runs:
            os.close(self.segments.fd)
            os.close(self.segments.key)
            self.segments._closed.close()
        self.runs = False

    def say(self, *lines: str) -> int:
        text = "".join(f"{line}\n" for line in lines).encode()
        return self.segments.append(said("ann", text, self.segments.stamp()))

    @property
    def all(self) -> bytes:
        return self.segments.read(self.segments.first, self.segments.end)

    @property
    def words(self) -> list[str]:
        return [line.split("> ", 1)[1] for line in self.all.decode().splitlines()]

    def sent(self, offset: int) -> bytes:
        """All from there on, as one who reads slowly is sent it."""
        here, there = socket.socketpair()
        data = b""
        with here, there:
            while offset + len(data) < self.segments.end:
                at = offset + len(data)
                count = self.segments.sendfile(here.fileno(), at, self.segments.end - at)
                assert count >= 1
                while count:
                    part = there.recv(count)
                    data, count = data + part, count - len(part)
        return data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "room" / "t.log"


@pytest.fixture
def start(path: Path) -> Iterator[Callable[..., Opened]]:
    made: list[Opened] = []

    def again(**options: Any) -> Opened:
        """Open it, as the next room does after the one before has ended as a killed one does."""
        for one in made:
            one.end()
        made.append(Opened(path, **options))
        return made[-1]

    yield again
    made[-1].end()


def files(path: Path) -> dict[str, int]:
    """Names of segments, and their sizes."""
    return {one.name: one.stat().st_size for one in path.parent.iterdir() if one.name[-3:] != "key"}


SMALL = Rotation(size=1000)


def test_a_segment_that_is_full_is_closed_and_offsets_go_on(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start(rotate=SMALL)
    offsets = [room.say(f"{number} {'x' * 50}") for number in range(100)]
    sizes = files(path)
    assert len(sizes) > 5
    ends = 0
    for name in sorted(
        sizes, key=lambda name: int(name.rpartition(".")[2] or 0) if name != "t.log" else 1 << 60
    ):
        assert name == (f"t.log.{ends}" if name != "t.log" else "t.log")
        ends += sizes[name]
    assert ends == room.segments.end
    assert room.segments.first == 0
    assert [word.split()[0] for word in room.words] == [str(number) for number in range(100)]
    assert all(room.segments.is_start(offset) for offset in offsets)
    assert not any(room.segments.is_start(offset + 1) for offset in offsets)
    assert room.sent(0) == room.all
    assert room.sent(offsets[7]) == room.all[offsets[7] :]
    lengths = [room.segments.rest_of_record(offset) for offset in offsets]
    assert [start + length for start, length in zip(offsets, lengths, strict=True)] == [
        *offsets[1:],
        room.segments.end,
    ]
    for count in (0, 1, 20, 99, 100, 1000):
        assert (
            room.segments.back(count, room.segments.end)
            == ([*offsets, room.segments.end])[-count - 1 if count < 100 else 0]
        )
    assert len(room.handed) == len(sizes) - 1
    assert room.handed[-1] == room.segments.fd
    assert room.told == []
    assert {one.stat().st_mode & 0o777 for one in path.parent.iterdir()} == {0o600}


def test_only_so_many_descriptors_are_open_at_once(start: Callable[..., Opened]) -> None:
    room = start(rotate=SMALL)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(400):
        room.say(f"{number} {'x' * 50}")
        room.segments.sync()
    assert room.sent(0) == room.all
    assert len(os.listdir("/proc/self/fd")) - before <= closed.OPEN_AT_ONCE


@pytest.mark.parametrize("clean", [True, False])
def test_a_room_goes_on_where_the_one_before_has_ended(
    path: Path, start: Callable[..., Opened], clean: bool
) -> None:
    words = []
    for number in range(20):
        room = start(rotate=SMALL)
        assert room.segments.end == sum(files(path).values())
        for _ in range(number):
            words.append(f"{len(words)} {'x' * 100}")
            room.say(words[-1])
        assert room.words == words
        room.end(clean)
    assert start().words == words


def test_a_file_that_was_moved_while_no_room_ran_leaves_its_offsets_to_it(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start()
    room.say("before")
    room.end(clean=True)
    end = path.stat().st_size
    path.rename(path.with_name("moved"))
    room = start()
    assert (room.segments.first, room.segments.end) == (end, end)
    assert room.say("after") == end
    assert not room.segments.is_start(0)
    assert start().words == ["after"]
    with pytest.raises(Gone, match=r"cannot read the transcript .*offset 0 is not kept any more"):
        room.segments.read(0, 10)


def test_numbers_of_other_programs_are_no_segments(
    path: Path, start: Callable[..., Opened]
) -> None:
    path.parent.mkdir()
    for name in ("t.log.1", "t.log.2", "t.log.20261126", "t.log.x", "t.log.07", "t.log.-1"):
        (path.parent / name).write_bytes(said("eve", b"old\n", AT))
    room = start(rotate=SMALL)
    assert room.segments.end == 0
    for number in range(40):
        room.say(f"{number} {'x' * 50}")
    room = start(rotate=SMALL)
    assert len(room.words) == 40
    assert "old" not in room.words


def test_without_its_key_a_room_still_knows_its_segments(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start(rotate=SMALL)
    for number in range(40):
        room.say(f"{number} {'x' * 50}")
    whole = room.all
    path.with_name("t.log.key").unlink()
    assert start(adopt=True).all == whole


def test_a_room_goes_on_from_a_backup_whose_key_was_copied_earlier(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start(rotate=SMALL)
    for number in range(20):
        room.say(f"{number} {'x' * 50}")
    key = path.with_name("t.log.key").read_bytes()
    for number in range(20, 60):
        room.say(f"{number} {'x' * 50}")
    whole = room.all
    room.end()
    for one in list(path.parent.iterdir()):
        data = key if one.suffix == ".key" else one.read_bytes()
        one.rename(one.with_name("old"))  # or the copy would have its inode
        one.write_bytes(data)
    path.with_name("old").unlink()
    room = start(rotate=SMALL)
    assert room.all == whole
    for number in range(60, 80):
        room.say(f"{number} {'x' * 50}")
    assert len(start().words) == 80


def test_stamps_never_go_back_over_a_rotation_however_the_clock_does(
    path: Path, start: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    room = start(rotate=Rotation(size=1))
    room.segments.append(said("ann", b"from the future\n", b"2999-01-01T00:00:00.000Z"))
    room.say("now")
    assert len(files(path)) == 2
    room.segments.begin_another(f"{path}.{room.segments.base}")
    assert start().segments.stamp() == b"2999-01-01T00:00:00.000Z"


def test_who_flushes_finds_what_was_begun_since(
    path: Path, start: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[int] = set()

    def fdatasync(fd: int) -> None:
        flushed.add(os.fstat(fd).st_ino)

    room = start(rotate=SMALL)
    forked = Segments(
        room.segments.path, os.dup(room.segments.fd), room.segments.key, NEVER, FOR_EVER
    )
    flushing = Flushing(forked)
    with monkeypatch.context() as there:
        there.setattr(os, "fdatasync", fdatasync)
        for number in range(60):
            room.say(f"{number} {'x' * 50}")
        assert flushed >= {one.inode for one in closed.named(str(path))}
        flushed.clear()
        flushing.flush()
    assert flushed == {path.stat().st_ino}
    os.close(flushing._fd)


# What is removed


def test_what_lies_before_the_last_bytes_that_are_retained_is_removed(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start(rotate=SMALL, retain=Retention(size=3000))
    for number in range(200):
        room.say(f"{number} {'x' * 50}")
        room.segments.look()
        kept = room.segments.end - room.segments.first
        assert kept == sum(files(path).values())
        assert kept <= 3000 + 1100
        assert kept >= 3000 or room.segments.first == 0
    first = room.segments.first
    assert room.segments.is_start(first)
    assert not room.segments.is_start(first - 1)
    assert room.segments.back(1000, room.segments.end) == first
    assert room.words[-1].startswith("199 ")
    room = start(rotate=SMALL, retain=Retention(size=3000))
    assert room.segments.first == first
    assert room.told == []


def test_what_somebody_is_still_to_be_sent_is_not_removed(start: Callable[..., Opened]) -> None:
    room = start(rotate=SMALL, retain=Retention(size=1000))
    behind = room.say("slow")
    room.segments.lowest = lambda: behind
    for number in range(100):
        room.say(f"{number} {'x' * 50}")
        room.segments.look()
    assert len(room.words) == 101
    behind = room.segments.end
    room.segments.look()
    assert room.segments.end - room.segments.first < 2100


def test_what_is_older_is_removed_and_nothing_else(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start(rotate=SMALL, retain=Retention(age=3600))
    for number in range(60):
        room.say(f"{number} {'x' * 50}")
    names = sorted(closed.named(str(path)), key=lambda one: one.first)
    past = time.time() - 4000
    for one in names[:2]:
        os.utime(one.path, (past, past))
    room.segments.look()
    assert [one.first for one in closed.named(str(path))] == [one.first for one in names[2:]]
    assert room.segments.first == names[2].first
    Path(names[2].path).write_bytes(b"another file by now\n")
    os.utime(names[2].path, (past, past))
    room.segments.look()
    assert Path(names[2].path).read_bytes() == b"another file by now\n"


def test_a_closed_segment_that_somebody_removes_is_not_kept_any_more(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start(rotate=SMALL)
    for number in range(200):
        room.say(f"{number} {'x' * 50}")
    one, two, *_ = closed.named(str(path))
    os.unlink(two.path)
    with pytest.raises(Gone):
        room.sent(two.first)
    assert room.segments.first == two.end
    assert room.segments.back(1000, room.segments.end) == two.end
    assert start().segments.first == two.end
    assert Path(one.path).exists()


# Days and weeks


@pytest.mark.parametrize(
    ("period", "until"), [("day", "2026-11-25T00:00"), ("week", "2026-11-30T00:00")]
)
@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Asia/Kathmandu"])
def test_a_day_ends_at_midnight_and_a_week_with_sunday_here(
    period: str, until: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        end = datetime.fromisoformat(until).timestamp()
        rotation = Rotation(period=period)
        assert rotation.is_over(AT, end)
        assert not rotation.is_over(AT, end - 1)
        assert not rotation.is_over(b"9999-99-99T99:99:99.999Z", end)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_segment_is_closed_when_its_day_is_over_and_not_before(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start(rotate=Rotation(period="day"))
    room.segments.look()
    room.say("today")
    room.segments.look()
    assert list(files(path)) == ["t.log"]
    path.write_bytes(said("ann", b"long ago\n", AT))
    room = start(rotate=Rotation(period="day"))
    room.segments.look()
    room.segments.look()
    assert files(path) == {"t.log": 0, "t.log.0": 40}
    room.say("today")
    room.segments.look()
    assert room.words == ["long ago", "today"]


# What others do


def test_one_that_is_moved_is_a_closed_segment_and_another_begins(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start()
    room.say("before")
    path.rename(path.with_name("moved"))
    room.say("before it is noticed")
    end = room.segments.end
    room.segments.look()
    room.segments.look()
    assert room.told == [f"{path} was moved: it ends at offset {end}, and a new one begins"]
    assert room.say("after") == end
    assert room.words == ["before", "before it is noticed", "after"]
    assert room.sent(0) == room.all
    assert path.with_name("moved").read_bytes() + path.read_bytes() == room.all
    assert room.handed == [room.segments.fd]
    room = start()
    assert room.words == ["after"]
    assert room.segments.first == end


def test_the_empty_file_that_logrotate_creates_is_replaced(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start()
    room.say("before")
    path.rename(path.with_name("t.log.1"))
    path.write_bytes(b"")
    room.segments.look()
    room.say("after")
    assert set(files(path)) == {"t.log", "t.log.1"}
    assert room.words == ["before", "after"]
    assert path.read_bytes().endswith(b"after\n")


def test_one_that_is_moved_often_is_followed_each_time(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(50):
        room.say(str(number))
        path.rename(path.with_name(f"moved-{number}"))
        room.segments.look()
    assert len(room.told) == 50
    assert len(os.listdir("/proc/self/fd")) - before <= closed.MOVED
    assert room.words == [str(number) for number in range(50 - closed.MOVED, 50)]


def test_one_that_is_removed_is_there_again_with_all_that_was_in_it(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start(rotate=SMALL)
    for number in range(30):
        room.say(f"{number} {'x' * 50}")
    whole = room.all
    path.unlink()
    room.say("while it is away")
    room.segments.look()
    assert room.told == [f"{path} was removed: it is there again, with all that was in it"]
    assert room.all[: len(whole)] == whole
    assert room.words[-1] == "while it is away"
    whole = room.all
    assert start().all == whole


def test_what_stands_in_its_place_is_moved_aside(path: Path, start: Callable[..., Opened]) -> None:
    room = start()
    room.say("before")
    precious = path.with_name("precious")
    precious.write_bytes(b"mine\n")
    path.unlink()
    path.symlink_to(precious)
    room.segments.look()
    other = path.with_name("t.log.other")
    assert other.is_symlink()
    assert room.told == [
        f"{path} was removed: it is there again, with all that was in it; "
        f"what stood there instead is {other} now"
    ]
    room.say("after")
    assert precious.read_bytes() == b"mine\n"
    assert not path.is_symlink()
    assert start().words == ["before", "after"]


def test_who_always_takes_it_away_gets_it_in_the_end(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start()
    room.say("before")
    for _ in range(10):
        path.unlink(missing_ok=True)
        room.segments.look()
    assert len(room.told) == 5
    assert room.told[-1].endswith("; that was the last time")
    assert room.words == ["before"]


@pytest.mark.parametrize("left", [0, 1, 100, -1, -30])
@pytest.mark.parametrize("behind", [0, 500, 1 << 30])
def test_one_that_is_cut_keeps_its_offsets_and_who_is_behind_is_sent_as_many_bytes(
    path: Path, start: Callable[..., Opened], left: int, behind: int
) -> None:
    room = start(rotate=Rotation(size=3000))
    offsets = [room.say(f"{number} {'x' * 50}") for number in range(90)]
    lowest = max(offset for offset in offsets if offset <= behind)
    room.segments.lowest = lambda: lowest
    whole, base = room.all, room.segments.base
    size = left if left >= 0 else path.stat().st_size + left
    os.truncate(path, size)
    assert room.say("goes on") == len(whole)
    assert room.told == [
        f"{path} was cut to {size} bytes: what stood there is gone, the room goes on at offset "
        f"{len(whole)}"
    ]
    sent = room.sent(lowest)
    kept = (whole[base : base + size].rfind(b"\n") + 1) if size else 0
    assert sent[: max(0, base + kept - lowest)] == whole[lowest : base + kept]
    assert sent.endswith(b"<ann> goes on\n")
    assert b"\0" not in sent
    assert lowest + sent.index(b"<ann> goes on") - 25 == len(whole)
    assert room.segments.first == len(whole)
    os.truncate(path, 0)
    room.sent(len(whole))
    room = start()
    assert room.segments.first == room.segments.end == len(whole) + 39


def test_what_others_write_is_kept_beside_it_and_sent_to_nobody(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start(rotate=SMALL)
    for number in range(30):
        with path.open("ab") as file:
            file.write(b"boo\n")
        room.say(f"{number} {'x' * 50}")
    with path.open("ab") as file:
        file.write(b"boo")
    room.segments.look()
    assert len(room.words) == 30
    assert b"boo" not in room.all
    assert len(room.told) == 31
    where = f"moved to {path}.foreign, and sent to nobody"
    assert room.told[-1] == f"somebody else has written 3 bytes to {path}: {where}"
    assert Path(f"{path}.foreign").read_bytes() == b"boo\n" * 30 + b"boo"


def test_its_permissions_are_given_back(path: Path, start: Callable[..., Opened]) -> None:
    room = start()
    path.chmod(0)
    room.segments.look()
    assert path.stat().st_mode & 0o777 == 0o600
    assert room.told == [f"{path} could not be opened any more: its permissions are given back"]


def test_what_lies_before_a_symbolic_link_is_where_it_leads(
    path: Path, start: Callable[..., Opened], tmp_path: Path
) -> None:
    path.parent.mkdir()
    (tmp_path / "disk").mkdir()
    path.symlink_to(tmp_path / "disk" / "real.log")
    room = start(rotate=SMALL)
    for number in range(60):
        room.say(f"{number} {'x' * 50}")
        room.segments.look()
    assert path.is_symlink()
    assert list(files(path)) == ["t.log"]
    assert len(list((tmp_path / "disk").glob("real.log.[0-9]*"))) > 3
    assert len(room.words) == 60
    assert len(start().words) == 60


def test_where_it_cannot_be_rotated_it_goes_on_and_that_is_told_once(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start(rotate=SMALL)
    path.with_name("t.log.new").mkdir()
    path.with_name("t.log.new.other").mkdir()
    (path.with_name("t.log.0")).write_bytes(b"in the way\n")
    for number in range(60):
        room.say(f"{number} {'x' * 50}")
        room.segments.look()
    assert room.told == [f"{path} cannot be rotated: File exists"]
    assert len(room.words) == 60
    assert path.with_name("t.log.0").read_bytes() == b"in the way\n"
    os.unlink(path.with_name("t.log.0"))
    room.segments._not_before = 0
    room.say("again")
    assert set(files(path)) == {"t.log", "t.log.0", "t.log.new.other", "t.log.new.other2"}
    assert len(start().words) == 61


def test_whatever_is_done_to_it_who_reads_slowly_is_sent_whole_records_in_one_order(
    path: Path, start: Callable[..., Opened], rng: random.Random
) -> None:
    elsewhere = path.with_name("elsewhere")
    for _ in range(20):
        room = start(rotate=Rotation(size=rng.choice((500, 3000))), retain=Retention(size=5000))
        deeds: list[Callable[[], object]] = [
            lambda: path.rename(path.with_name(f"moved-{rng.random()}")),
            path.unlink,
            lambda: os.truncate(path, rng.randrange(path.stat().st_size + 1)),
            lambda: path.write_bytes(b""),
            lambda: path.open("ab").write(b"boo\n"),
            lambda: path.chmod(0),
            lambda: (path.unlink(), path.symlink_to(elsewhere)),
            lambda: (path.unlink(), path.write_bytes(b"boo\n")),
        ]
        begin = at = room.segments.end
        cuts, said_there, heard = 0, {}, b""
        room.segments.lowest = lambda: at  # noqa: B023
        here, there = socket.socketpair()
        with here, there:
            for number in range(300):
                if rng.random() < 0.05:
                    room.segments.look()
                    if not path.is_file() or path.is_symlink():
                        break  # it is left to who always takes it away
                    deed = rng.randrange(len(deeds))
                    cuts += deed in (2, 3)
                    deeds[deed]()
                if rng.random() < 0.3:
                    room.segments.look()
                offset = room.say(f"{number} {'x' * rng.randrange(200)}")
                said_there[offset] = number
                if at < room.segments.end and rng.random() < 0.5:
                    count = rng.randrange(1, room.segments.end - at + 1)
                    sent = room.segments.sendfile(here.fileno(), at, count)
                    heard += there.recv(sent, socket.MSG_WAITALL)
                    at += sent
        heard += room.sent(at)
        assert begin + len(heard) == room.segments.end
        offset, numbers, filled = begin, [], cuts
        for line in heard.splitlines(keepends=True):
            if words := re.fullmatch(rb"\S+ <ann> (\d+) x*\n", line):
                numbers.append(int(words[1]))
                assert said_there[offset] == numbers[-1]
            elif not RECORD.fullmatch(line[:-1]) or b" * " not in line:
                cuts -= 1  # of this one the beginning had been sent when it was cut
                assert cuts >= 0
            offset += len(line)
        assert filled or numbers == list(said_there.values())
        at = room.segments.end
        for one in path.parent.iterdir():
            if not one.name.startswith("t.log") or one.is_symlink():
                one.unlink()


# A full disk


def test_on_a_full_disk_nothing_of_what_was_to_be_appended_stays(
    path: Path, start: Callable[..., Opened]
) -> None:
    import resource

    room = start()
    room.say("before")
    whole = room.all
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 100, hard))
    import signal

    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(TranscriptError, match="File too large"):
            room.say(*["x" * 90] * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)
    assert path.read_bytes() == whole
    room.say("after")
    assert room.words == ["before", "after"]


# A copy of a room in a store


def test_a_copy_begins_where_it_is_told_to_and_is_cut_where_it_is_told_to(
    path: Path, start: Callable[..., Opened]
) -> None:
    room = start(shared=True)
    room.segments.begin_at(5_000_000)
    assert room.say("one") == 5_000_000
    two = room.say("two")
    room.segments.cut(two)
    assert room.told == []
    room.segments.append(b"no record\n")
    room.segments.cut(two)
    assert "somebody else has written 10 bytes" in room.told[0]
    assert path.stat().st_size == two - 5_000_000
    room = start(shared=True)
    assert (room.segments.first, room.segments.end) == (5_000_000, two)
    assert room.words == ["one"]


def test_a_copy_is_cut_back_over_rotations_and_goes_on(
    path: Path, start: Callable[..., Opened]
) -> None:
    """As after a power cut, which has left an earlier position."""
    room = start(rotate=SMALL, shared=True)
    room.segments.begin_at(5000)
    offsets = [room.say(f"{number} {'x' * 50}") for number in range(100)]
    room = start(rotate=SMALL, shared=True)
    room.segments.cut(offsets[30])
    assert room.segments.end == offsets[30]
    assert sum(files(path).values()) == offsets[30] - 5000
    assert len(room.words) == 30
    for number in range(30, 60):
        assert room.say(f"{number} {'x' * 50}") == offsets[number]
    assert len(start(shared=True).words) == 60
    room = start(shared=True)
    with pytest.raises(Gone):
        room.segments.cut(4000)


def test_what_could_not_be_put_on_the_disk_is_not_there(
    start: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fdatasync(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    room = start()
    room.say("before")
    with monkeypatch.context() as there:
        there.setattr(os, "fdatasync", fdatasync)
        with pytest.raises(TranscriptError, match="Input/output error"):
            room.segments.append(said("ann", b"lost\n"), synced=True)
    room.segments.append(said("ann", b"after\n"), synced=True)
    assert room.words == ["before", "after"]


def test_a_transcript_that_begins_with_a_hole_as_earlier_copies_do_is_read_behind_it(
    path: Path, start: Callable[..., Opened]
) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\0" * 4999 + b"\n" + event("here", AT))
    room = start(rotate=SMALL, adopt=True)
    assert room.segments.first == 5000
    room.say("more")
    assert len(files(path)) == 2
    assert room.segments.back(10, room.segments.end) == 5000
    assert start().segments.first == 5000


# Options


def test_options_are_sizes_ages_days_and_weeks() -> None:
    assert parse_rotate("64M").size == 64 << 20
    assert parse_rotate("1g").size == 1 << 30
    assert parse_rotate("100000").size == 100_000
    assert (parse_rotate("day").period, parse_rotate("week").period) == ("day", "week")
    assert parse_retain("10G").size == 10 << 30
    assert parse_retain("30d").age == 30 * 86_400
    assert parse_retain("12w").age == 84 * 86_400
    for text in ("", "0", "5", "-1", "month", "1.5M", "64MB", "١٠٠٠٠٠"):
        with pytest.raises(UsageError, match="cannot use --rotate"):
            parse_rotate(text)
        with pytest.raises(UsageError, match="cannot use --retain"):
            parse_retain(text)
    check(NEVER, FOR_EVER)
    check(Rotation(size=1), Retention(size=1))
    with pytest.raises(UsageError, match="cannot use --retain without --rotate"):
        check(NEVER, Retention(size=1))
