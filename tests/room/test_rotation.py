"""A room that rotates its transcript: for its clients nothing changes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from client_support import heard_by, join
from log_support import out
from room_support import Room
from support import ROOM, Duo, until

OpenRoom = Callable[..., Room]
ROTATED = ("--name", "lobby", "--rotate", "64K")


def segments(room: Room) -> list[Path]:
    """In their order, the newest last."""
    closed = room.log.parent.glob("client_input.log.[0-9]*")
    return [*sorted(closed, key=lambda one: int(one.name.rpartition(".")[2])), room.log]


def whole(room: Room) -> bytes:
    return b"".join(one.read_bytes() for one in segments(room))


def fill(room: Room, count: int, first: int = 0) -> None:
    """Have ann say so many lines of 1,000 bytes, which are a segment for each 62 of them."""
    (ann,) = room.enter("ann")
    for number in range(first, first + count):
        ann.say(f"{number} {'x' * 1000}")
    until(lambda: f"<ann> {first + count - 1} x".encode() in whole(room))
    ann.say("/quit")
    ann.reads_to_the_end()


def test_who_is_behind_is_sent_all_segments_in_their_order(open_room: OpenRoom) -> None:
    room = open_room(*ROTATED)
    slow = room.connect(buffer=4096)
    slow.say("/join slow")
    slow.sees("! joined")
    fill(room, 1000)
    assert len(segments(room)) >= 10
    slow.sees("<ann> 999 ")
    numbers = [int(number) for number in re.findall(rb"<ann> (\d+) x", slow.heard)]
    assert numbers == list(range(1000))
    assert slow.heard[slow.heard.index(b"<ann> 0 ") :] in whole(room)


def test_a_client_comes_back_over_segments_and_history_reads_them(
    duo: Duo, open_room: OpenRoom
) -> None:
    room = open_room(*ROTATED)
    eve = join(duo, room.port, "eve")
    os.kill(eve.pid, 19)
    fill(room, 300)
    os.kill(eve.pid, 18)
    eve.type("still here\n")
    until(lambda: b"<eve> still here" in whole(room))
    eve.end_input()
    assert eve.status() == 0, eve.err
    assert heard_by(eve).read_bytes() in whole(room)
    bob = room.client()
    bob.sees("* guest")
    bob.say("/history 200", "/msg nobody that is all")
    bob.sees("nobody here is called nobody")
    assert bob.heard.count(b"<ann> ") >= 199


def test_it_goes_on_where_it_was_when_it_is_started_again(open_room: OpenRoom) -> None:
    room = open_room(*ROTATED)
    fill(room, 200)
    room.host.process.terminate()
    room.host.status()
    before = whole(room)
    room = open_room(*ROTATED)
    fill(room, 200, first=200)
    assert whole(room).startswith(before)
    shown = b"".join(out(room.host.cwd, str(room.log)))
    assert shown == whole(room)


def test_what_is_not_retained_is_answered_as_such(open_room: OpenRoom) -> None:
    room = open_room(*ROTATED, "--retain", "128K")
    bob = room.connect()
    bob.say("/join bob")
    key, start = re.search(r"key (\S+), offset (\d+)", bob.sees("! joined")).groups()  # type: ignore[union-attr]
    bob.close()
    fill(room, 600)
    until(lambda: len(segments(room)) <= 4)
    bob = room.connect()
    bob.say(f"/resume bob {key} {start}")
    bob.sees(f"! not resumed: what stood at offset {start} is not kept any more")
    bob.say("/join bob")
    bob.sees("! joined")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--rotate", "5"), "cannot use --rotate '5': it needs day, week, or 64K or more"),
        (("--retain", "x"), "cannot use --retain 'x': it needs 64K or more, or an age as 30d, 12w"),
        (("--retain", "30d"), "cannot use --retain without --rotate: nothing is closed without it"),
    ],
)
def test_what_cannot_be_rotated_is_refused(duo: Duo, options: tuple[str, ...], line: str) -> None:
    program = duo.start([*ROOM, "0", *options], "room")
    assert program.status() == 2
    assert program.err == f"duplex room: {line}\n"
