"""Stamps never go back within a transcript, whatever the clock does, and decide nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from room_support import Client, Room
from support import RECORD, Duo, until

from duplex.transcript import record
from duplex.transcript.file import Transcript

OpenRoom = Callable[..., Room]
LATER = b"2099-01-01T00:00:00.000Z"  # what a clock that was set back since then has left behind


def stamps(path: Path) -> list[bytes]:
    lines = path.read_bytes().splitlines()
    assert all(RECORD.fullmatch(line) for line in lines)
    return [line[: record.STAMP_LENGTH] for line in lines]


def test_of_many_who_speak_at_once_no_record_is_older_than_the_one_before(room: Room) -> None:
    clients = room.enter("ann", "bob", "eve", "joe")
    for _ in range(400):
        for client in clients:
            client.say("x")
    until(lambda: len(stamps(room.log)) == 8 + 4 * 400)
    assert stamps(room.log) == sorted(stamps(room.log))


def test_a_clock_that_was_set_back_while_the_room_was_closed_takes_no_stamp_back(
    duo: Duo, open_room: OpenRoom
) -> None:
    log = duo.tmp / "room" / "logs" / "room-lobby" / "client_input.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(record.said("ann", b"from the future\n", LATER))
    room = open_room("--name", "lobby", "--adopt")
    ann, bob = room.enter("ann", "bob")
    ann.say("now")
    bob.sees("<ann> now")
    bob.say("/quit")
    room.recorded("bob left")
    assert set(stamps(room.log)) == {LATER}


def test_nor_does_it_in_a_talk(duo: Duo, tmp_path: Path) -> None:
    log = tmp_path / "listener" / "logs" / "client_input.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(record.event("client left", LATER))
    listener, port = duo.listen()
    connector = duo.connect(port)
    connector.type("hello\nbye\n")
    assert (connector.status(), listener.status()) == (0, 0)
    assert len(stamps(log)) >= 4
    assert set(stamps(log)) == {LATER}


def test_two_programs_that_write_one_transcript_keep_its_stamps_in_order(tmp_path: Path) -> None:
    path = str(tmp_path / "t.log")
    one, two = Transcript.open(path), Transcript.open(path)
    one.append(record.said("ann", b"hi\n", LATER))
    for transcript in (two, one, two):
        transcript.append_now(lambda at: record.event("x", at))
    assert set(stamps(tmp_path / "t.log")) == {LATER}


def test_a_stamp_of_no_time_that_can_be_is_nothing_to_go_by(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_bytes(b"9999-99-99T99:99:99.999Z * so late\n")
    Transcript.open(str(path)).append_now(lambda at: record.event("x", at))
    assert path.read_bytes().splitlines()[1].startswith(time.strftime("%Y-").encode())


def test_who_comes_back_after_the_clock_was_set_back_comes_back(room: Room) -> None:
    """Its old connection hangs half open, and its member believes that it began tomorrow."""
    (eve,) = room.enter("eve")
    old = room.client()
    old.say("/join ann")
    key = old.sees("! joined").split("key ")[1].partition(",")[0]
    old.sees("* ann entered")
    room.seat("ann").joined += 24 * 3600
    new = Client(room.port)
    new.sees("welcome")
    new.say(f"/resume ann {key} {os.path.getsize(room.log)}")
    assert " as ann: " in new.sees("! joined")
    eve.sees("* ann is back")
    new.close()
