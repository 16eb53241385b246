"""Who stands still, or holds what others need, holds up nobody for long, and never the host."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from room_support import Client, Room, within
from support import ROOM, Duo, accepts, alive, flusher_of, free_port, records, until

from duplex.transcript.file import Transcript

OpenRoom = Callable[..., Room]
# One that waits less for a lock than others, so that a test need not.
IMPATIENT = """\
from duplex.cli.main import main
from duplex.transcript import file as transcript
transcript.LOCK_WAIT = 0.5
raise SystemExit(main())
"""
IMPATIENTLY = [sys.executable, "-c", IMPATIENT]
HELD = "another program holds its lock"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the transcript's lock."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_member_that_stands_still_holds_up_nobody_and_is_left_alone(room: Room) -> None:
    ann, bob, eve = room.enter("ann", "bob", "eve")
    pid = room.member_of(ann)
    os.kill(pid, signal.SIGSTOP)
    ann.say("when I go on")
    for number in range(100):
        bob.say(f"hello {number}")
        within(2, lambda number=number: eve.sees(f"<bob> hello {number}"))
    ann.sees("<bob> hello 99")  # the hub sends, not its member
    os.kill(pid, signal.SIGCONT)
    eve.sees("<ann> when I go on")


def test_a_member_that_stands_still_is_killed_when_it_has_to_go(open_room: OpenRoom) -> None:
    """Somebody comes back, and has the nick at once, although the earlier one does not move."""
    room = open_room()
    (bob,) = room.enter("bob")
    ann = room.client()
    ann.say("/join ann")
    key, offset = ann.sees("! joined").split("key ")[1].split(", ")[:2]
    pid = room.member_of(ann)
    os.kill(pid, signal.SIGSTOP)
    ann.say("of the earlier one")
    again = room.client()
    again.say(f"/resume ann {key} {offset.split()[1]}", "here again")
    within(2, lambda: bob.sees("* ann is back"))
    within(2, lambda: bob.sees("<ann> here again"))
    ann.reads_to_the_end()
    until(lambda: not alive(pid))
    assert b"of the earlier one" not in room.log.read_bytes()


def test_nothing_stands_behind_the_rooms_end(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    pid = room.member_of(ann)
    os.kill(pid, signal.SIGSTOP)
    ann.say("one more thing", "/nick anna")
    os.kill(room.host.pid, signal.SIGTERM)
    within(8, lambda: bob.reads_to_the_end()[-1].endswith("* the room closed"))
    assert within(8, room.host.status) < 8
    assert ann.reads_to_the_end()[-1].endswith("* the room closed")
    assert room.host.status() == 0
    assert room.events()[-1] == "the room closed"
    assert not any(nick == "ann" for nick, _ in records(room.log))
    assert not alive(pid)


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A cgroup (version 1): who is frozen there and killed ends when it is thawed."""
    group = Path(f"/sys/fs/cgroup/freezer/duplex-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"there is no freezer to be had: {error}")
    yield group
    (group / "freezer.state").write_text("THAWED")
    until(lambda: not (group / "tasks").read_text())
    group.rmdir()


def test_a_frozen_member_holds_up_nobody_nor_the_end(room: Room, freezer: Path) -> None:
    ann, bob, eve = room.enter("ann", "bob", "eve")
    (freezer / "tasks").write_text(str(room.member_of(ann)))
    (freezer / "freezer.state").write_text("FROZEN")
    until(lambda: "FROZEN" in (freezer / "freezer.state").read_text())
    ann.say("hello?")
    bob.say("hello")
    within(2, lambda: eve.sees("<bob> hello"))
    ann.sees("<bob> hello")
    os.kill(room.host.pid, signal.SIGTERM)
    assert bob.reads_to_the_end()[-1].endswith("* the room closed")
    within(10, room.host.status)
    assert room.host.status() == 0


def test_a_hub_that_stands_still_is_followed_by_another(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    hub = room.hub
    os.kill(hub, signal.SIGSTOP)
    bob.say("to nobody")
    within(10, bob.reads_to_the_end)
    until(lambda: not alive(hub))
    room.recorded("everybody was dropped (the room's hub stood still)")
    until(lambda: "the hub stood still; there is another\n" in room.host.err)
    ann.reads_to_the_end()
    room.is_well()


def test_a_room_ends_in_good_order_though_its_hub_stands_still(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    os.kill(room.hub, signal.SIGSTOP)
    os.kill(room.host.pid, signal.SIGTERM)
    for client in (ann, bob):
        within(8, client.reads_to_the_end)
    within(8, room.host.status)
    assert room.host.status() == 0
    assert room.events()[-1] == "the room closed"


def test_a_room_whose_hub_is_killed_while_it_closes_records_its_end(room: Room) -> None:
    (ann,) = room.enter("ann")
    hub = room.hub
    os.kill(hub, signal.SIGSTOP)  # so that it does not close it before
    os.kill(room.host.pid, signal.SIGTERM)
    os.kill(hub, signal.SIGKILL)
    ann.reads_to_the_end()
    within(8, room.host.status)
    assert room.host.status() == 0
    assert room.events()[-1] == "the room closed"


# Locks


def test_a_lock_of_another_program_is_waited_for_by_nobody(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    with locked(room.log):
        ann.say("hello")
        within(2, lambda: bob.sees("<ann> hello"))
        room.is_well()
        os.kill(room.host.pid, signal.SIGTERM)
        assert bob.reads_to_the_end()[-1].endswith("* the room closed")
        within(8, room.host.status)
    assert room.host.status() == 0


def test_a_transcript_that_another_program_holds_is_not_waited_for_for_ever(duo: Duo) -> None:
    log = duo.tmp / "t.log"
    log.touch()
    with locked(log):
        for command in (["room", *ROOM[4:]], ["listen"]):
            program = duo.start([*IMPATIENTLY, *command, "0", "--log", str(log)])
            assert program.status() == 1
            assert HELD in program.err
            assert program.err.count("\n") == 1
    Transcript.open(str(log)).close()


# Whoever does not read what the room tells


def full_pipe() -> tuple[int, int]:
    """One that nobody reads, and that takes nothing more."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    try:
        while True:
            os.write(writes, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writes, True)
    return reads, writes


def full_socket() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    try:
        while True:
            theirs.send(b"x" * 4096)
    except BlockingIOError:
        theirs.setblocking(True)
    return ours.detach(), theirs.detach()


@pytest.mark.parametrize("make", [full_pipe, full_socket])
def test_a_room_does_not_wait_for_who_reads_what_it_tells(
    duo: Duo, make: Callable[[], tuple[int, int]]
) -> None:
    ours, theirs = make()
    port = free_port()  # it cannot tell which
    host = duo.start([*ROOM, str(port), "--plain"], "room", stderr=theirs)
    os.close(theirs)
    try:
        until(lambda: accepts(port))
        ann, bob = (Client(port) for _ in range(2))
        ann.sees("entered the room")
        bob.sees("entered the room")
        bob.reset()
        ann.sees("was dropped (connection lost)")
        ann.close()
        host.process.terminate()
        assert host.status() == 0
    finally:
        os.close(ours)


def test_a_stopped_flusher_is_followed_by_another(open_room: OpenRoom) -> None:
    room = open_room("--fsync", "second")
    flusher = flusher_of(room.host.pid)
    os.kill(flusher, signal.SIGSTOP)
    until(lambda: "the flusher stood still; there is another\n" in room.host.err)
    assert not alive(flusher)
    room.is_well()
