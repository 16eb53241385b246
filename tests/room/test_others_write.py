"""What others do to a transcript: before its room runs, and while it does."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from client_support import heard_by, join
from room_support import Room
from support import RECORD, Duo, until

from duplex.transcript import mending, record
from duplex.transcript.file import Transcript
from duplex.transcript.hole import first_record
from duplex.transcript.record import event, said
from duplex.transcript.sanitize import safe

OpenRoom = Callable[..., Room]
AT = b"2026-11-24T13:00:00.123Z"
GOOD = said("ann", b"hello\n", AT)
MORE = said("bob", "größe\n".encode(), AT)

# Before the room runs

STRANGE = {
    "a line of another program": b"[notice] everything is fine, nobody need look at this line\n",
    "a short one": b"x\n",
    "an empty one": b"\n",
    "NULs": b"\0" * 4096,
    "a few NULs": b"\0\0\0",
    "garbage": b"\xff\xfe\x00\x9b31m\x1b]52;c;cm0gLXJmIH4=\x07" * 9 + b"\n",
    "no time that can be": b"9999-99-99T99:99:99.999Z <ann> hello\n",
    "a nick that is none": AT + b" <a b> hello\n",
    "a line that is too long": b"y" * 300_000 + b"\n",
    "records with CRLF": (GOOD[:-1] + b"\r\n") * 3,
    "records with escapes": said("ann", b"\x1b[31mred \x1b]52;c;eA==\x07\n", AT),
    "a record with bytes that are no text": said("ann", b"\xff\xfe\n", AT),
    "a record that turns letters around": said("ann", "a\u202eb\n".encode(), AT),
    "a record with what is not seen": said("ann", "a\u200bb\u2060c\n".encode(), AT),
    "a record with a pile of marks": said("ann", ("x" + "\u0301" * 20 + "\n").encode(), AT),
}


def mended(path: Path) -> str:
    """What is told when a room begins to keep the file."""
    transcript = Transcript.open(str(path))
    first, size = first_record(transcript.fd), path.stat().st_size
    told = mending.mend(transcript.fd, transcript.path, first, size)
    transcript.close()
    return told


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("place", ["first", "between", "last"])
def test_whatever_is_no_record_becomes_one_and_all_others_stay_where_they_are(
    tmp_path: Path, strange: bytes, place: str
) -> None:
    path = tmp_path / "t.log"
    before = b"" if place == "first" else GOOD * 3
    after = b"" if place == "last" else MORE * 3
    path.write_bytes(before + strange + after)
    told = mended(path)
    data = path.read_bytes()
    if place == "first" and strange == b"\n":  # a hole of one byte
        assert not told
        return
    assert re.search(r"t\.log: (1 line|\d+ lines) from offset \d+ on could not be sent", told)
    assert "moved to" in told
    assert data.endswith(after)
    assert data.startswith(before.rstrip(b"\n"))
    if after:
        assert len(data) == len(before + strange + after)
    lines = data.splitlines(True)
    if place == "first" and lines[0][:1] in b"\0\n":  # a hole
        assert lines.pop(0).strip(b"\0") == b"\n"
    for line in lines:
        assert RECORD.fullmatch(line[:-1])
        assert safe(line) == line
        assert len(line) <= record.RECORD_LIMIT
    foreign = Path(f"{path}.foreign").read_bytes()
    assert foreign.rstrip(b"\n") in strange
    assert foreign
    assert mended(path) == ""


def test_of_a_record_only_what_is_not_safe_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_bytes(said("ann", "a\u200bb\x1bc größe\r\n".encode(), AT))
    mended(path)
    assert path.read_bytes() == said("ann", "a???b?c größe?\n".encode(), AT)


def test_a_transcript_of_nothing_but_records_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    whole = b"".join(said("ann", b"x" * n + b"\n", AT) + MORE for n in range(0, 60_000, 777))
    path.write_bytes(whole)
    assert mended(path) == ""
    assert path.read_bytes() == whole
    assert not Path(f"{path}.foreign").exists()


def test_strange_bytes_anywhere_leave_a_transcript_of_records(
    tmp_path: Path, rng: random.Random
) -> None:
    path = tmp_path / "t.log"
    for _ in range(200):
        parts = [GOOD, MORE, *STRANGE.values()]
        data = b"".join(rng.choice(parts) for _ in range(rng.randrange(1, 12)))
        data = data[rng.randrange(len(data)) :] + GOOD
        path.write_bytes(data)
        mended(path)
        assert path.stat().st_size == len(data)
        for line in path.read_bytes().lstrip(b"\0\n").splitlines(True):
            assert RECORD.fullmatch(line[:-1])
            assert safe(line) == line


def test_fillings_have_any_length() -> None:
    for length in [0, *range(mending.SHORTEST, 3 * mending.SHORTEST), 65_536, 65_540, 200_000]:
        lines = list(mending.events(length, AT))
        assert sum(map(len, lines)) == length
        assert all(mending.is_filling(line) for line in lines)
        assert all(len(line) <= record.LINE_LIMIT for line in lines)
    assert not mending.is_filling(event("ann left", AT))


def test_a_client_counts_what_a_mended_room_sends(duo: Duo, open_room: OpenRoom) -> None:
    """And it comes back from where it was, without hearing anything twice."""
    log = duo.tmp / "room" / "logs" / "room-lobby" / "client_input.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(GOOD + b"x\n" + b"".join(STRANGE.values()) + MORE)
    room = open_room("--name", "lobby", "--adopt")
    assert (
        "could not be sent as records: moved to logs/room-lobby/client_input.log.f" in room.host.err
    )
    ann = join(duo, room.port, "ann")
    ann.type("one\n")
    until(lambda: b"<ann> one" in room.log.read_bytes())
    os.kill(room.seat("ann").pid, 9)
    until(lambda: "connected again" in ann.err)
    ann.type("two\n")
    ann.end_input()
    assert ann.status() == 0
    assert heard_by(ann).read_bytes() in room.log.read_bytes()


# While it runs


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


FOREIGN = [
    b"x\n",
    b"no newline",
    b"\x1b]52;c;eA==\x07\n",
    b"\0" * 100,
    said("eve", b"a record of somebody else's\n", AT),
    event("the room closed", AT),
    AT[:9],
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=range(len(FOREIGN)))
def test_what_somebody_else_appends_is_sent_to_nobody_and_told(room: Room, foreign: bytes) -> None:
    ann, bob = room.enter("ann", "bob")
    before = room.log.read_bytes()
    append(room.log, foreign)
    ann.say("hello")
    bob.sees("<ann> hello")
    bob.say("/history 3")
    bob.sees("! 2")
    ann.say("again")
    bob.sees("<ann> again")
    after = room.log.read_bytes()
    assert after.startswith(before + after[len(before) :][:25] + b"<ann> hello\n")
    assert foreign == AT[:9] or foreign.strip() not in bob.heard
    if foreign != AT[:9]:  # which a writer of the room's that was killed could have left behind
        told = rf"somebody else has written {len(foreign)} bytes to \S+: moved to \S+foreign, and"
        until(lambda: re.search(told, room.host.err))
        assert Path(f"{room.log}.foreign").read_bytes() == foreign
    bob.reads_records(room)


def test_somebody_who_writes_all_the_time_disturbs_nobody(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    for number in range(100):
        append(room.log, b"x\n")
        ann.say(str(number))
        if number % 3:
            append(room.log, said("eve", b"boo\n", AT))
        bob.say(f"b{number}")
        bob.sees(f"<ann> {number}")
    assert b"boo" not in bob.heard
    assert b"boo" not in room.log.read_bytes()
    bob.reads_records(room)
    assert room.host.err.count("somebody else has written") < 30


# What becomes of the file


def test_one_that_is_moved_ends_there_and_another_begins(duo: Duo, room: Room) -> None:
    """As logrotate does it. Clients, and the next hub, go on across both."""
    ann, bob = room.enter("ann", "bob")
    client = join(duo, room.port, "eve")
    moved = room.log.with_name("client_input.log.1")
    room.log.rename(moved)
    ann.say("while it is away")
    bob.sees("while it is away")
    until(lambda: "was moved: it ends at offset" in room.host.err)
    ann.say("later")
    bob.sees("later")
    whole = moved.read_bytes()
    assert f"ends at offset {len(whole)}, and a new one begins" in room.host.err
    assert whole.endswith(b"<ann> while it is away\n")
    assert room.log.read_bytes().endswith(b"<ann> later\n")
    os.kill(room.hub, 9)
    until(lambda: "connected again" in client.err)
    client.type("here again\n")
    client.end_input()
    assert client.status() == 0
    assert heard_by(client).read_bytes() in whole + room.log.read_bytes()
    room.is_well()


def test_one_that_is_removed_is_there_again_and_all_go_on_with_it(duo: Duo, room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    client = join(duo, room.port, "eve")
    ann.say(*(f"line {number}" for number in range(50)))
    bob.sees("line 49")
    before = room.log.read_bytes()
    room.log.unlink()
    ann.say("while it is away")
    bob.sees("while it is away")
    until(lambda: "was removed: it is there again" in room.host.err)
    ann.say("from ann")
    bob.say("from bob")
    bob.sees("from ann")
    ann.sees("from bob")
    assert room.log.read_bytes().startswith(before)
    until(lambda: b"from bob" in heard_by(client).read_bytes())
    client.type("from eve\n")
    ann.sees("from eve")
    os.kill(room.seat("eve").pid, 9)
    until(lambda: "connected again" in client.err)
    client.end_input()
    assert client.status() == 0
    assert heard_by(client).read_bytes() in room.log.read_bytes()
    assert room.log.stat().st_mode & 0o777 == 0o600
    room.is_well()


def test_one_whose_directory_is_removed_is_there_again(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    shutil.rmtree(room.log.parent)
    until(lambda: "was removed: it is there again" in room.host.err)
    ann.say("still here")
    bob.sees("still here")
    assert b"still here" in room.log.read_bytes()


def test_nothing_is_written_to_what_stands_in_its_place(room: Room, tmp_path: Path) -> None:
    ann, bob = room.enter("ann", "bob")
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine\n")
    room.log.rename(room.log.with_name("old.log"))
    room.log.symlink_to(precious)
    until(lambda: "what stood there instead is" in room.host.err)
    ann.say("hello")
    bob.sees("hello")
    assert precious.read_bytes() == b"mine\n"
    other = Path(f"{room.log}.other")
    assert other.is_symlink()
    assert other.readlink() == precious
    assert b"hello" in room.log.read_bytes()
    assert not room.log.is_symlink()


def test_another_file_in_its_place_is_moved_aside(room: Room) -> None:
    """As an editor leaves it that saves, or logrotate with `create`."""
    ann, bob = room.enter("ann", "bob")
    new = room.log.with_name("new")
    new.write_bytes(b"edited\n")
    new.rename(room.log)
    until(lambda: "what stood there instead is" in room.host.err)
    ann.say("hello")
    bob.sees("hello")
    assert Path(f"{room.log}.other").read_bytes() == b"edited\n"
    assert b"bob entered" in room.log.read_bytes() or b"is now bob" in room.log.read_bytes()
    assert b"hello" in room.log.read_bytes()


def test_its_permissions_are_given_back(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    room.log.chmod(0)
    until(lambda: "its permissions are given back" in room.host.err)
    assert room.log.stat().st_mode & 0o600 == 0o600
    ann.say("hello")
    bob.sees("hello")
    room.is_well()


@pytest.mark.parametrize("left", [0, 1, 100, -1, -30])
def test_one_that_is_cut_drops_nobody_and_offsets_stay_what_they_were(
    duo: Duo, room: Room, left: int
) -> None:
    """`truncate`, `> log`, and what logrotate calls copytruncate."""
    ann, bob = room.enter("ann", "bob")
    client = join(duo, room.port, "eve")
    ann.say(*(f"line {number}" for number in range(50)))
    bob.sees("line 49")
    until(lambda: b"line 49" in client.out)
    whole = room.log.read_bytes()
    size = left if left >= 0 else len(whole) + left
    os.truncate(room.log, size)
    ann.say("goes on")
    bob.sees("<ann> goes on")
    until(lambda: f"was cut to {size} bytes" in room.host.err)
    client.type("me, too\n")
    bob.sees("<eve> me, too")
    log = room.log.read_bytes()
    assert log[len(whole) :].splitlines()[0].endswith(b"<ann> goes on")
    kept = whole[:size].rpartition(b"\n")[0]
    assert log.startswith(kept)
    new = room.client()
    new.sees("guest-")
    assert all(RECORD.fullmatch(line) for line in new.heard.splitlines() if line[:1] != b"!")
    os.kill(room.seat("eve").pid, 9)
    until(lambda: "connected again" in client.err)
    client.end_input()
    assert client.status() == 0, client.err
    assert heard_by(client).read_bytes() in whole + room.log.read_bytes()[len(whole) :]
    assert room.log.read_bytes().count(b" was dropped (") == 1  # who was killed just now


def test_who_is_behind_when_it_is_cut_is_sent_as_many_bytes_and_no_others_words(
    room: Room,
) -> None:
    (ann,) = room.enter("ann")
    slow = room.connect(buffer=4096)
    slow.say("/join slow")
    ann.sees("* slow entered")
    ann.say(*(f"{number} {'x' * 1000}" for number in range(3000)))
    until(lambda: room.log.read_bytes().count(b"<ann> ") == 3000)
    whole = room.log.read_bytes()
    os.truncate(room.log, 0)
    ann.say("the end")
    slow.sees("<ann> the end")
    records = slow.heard.partition(b"! joined ")[2].partition(b"\n")[2]
    start = int(re.search(rb"offset (\d+),", slow.heard)[1])  # type: ignore[index]
    end = records.index(b"<ann> the end") - 25
    assert start + end == len(whole)
    assert b"\0" not in records


def test_what_a_closed_room_has_left_is_not_read_through_again(
    duo: Duo, open_room: OpenRoom
) -> None:
    """Unless somebody has changed it; as is seen by what is put there without a trace."""
    room = open_room("--name", "lobby")
    room.enter("ann")
    room.host.process.terminate()
    room.host.status()
    status = room.log.stat()
    whole = room.log.read_bytes()
    with room.log.open("r+b") as file:
        file.write(b"x")
    os.utime(room.log, ns=(status.st_atime_ns, status.st_mtime_ns))
    room = open_room("--name", "lobby")
    assert "could not be sent" not in room.host.err
    room.host.process.terminate()
    room.host.status()
    with room.log.open("r+b") as file:
        file.write(whole[:1] + b"x")
    room = open_room("--name", "lobby")
    assert "1 line from offset 0 on could not be sent" in room.host.err
