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
from support import ROOM, Duo, accepts, alive, children, free_port, records, until

from duplex.transcript.file import LOCK_WAIT, Transcript

OpenRoom = Callable[..., Room]
# A room whose members stand still when they have just appended a line that says so, with the
# transcript's lock in their hands.
STANDS_STILL = """\
import os, signal
from duplex.cli.main import main
from duplex.transcript import file as transcript
write = transcript.Transcript.write
def write_and_stop(self, records):
    end = write(self, records)
    if b"> stop here" in records:
        os.kill(os.getpid(), signal.SIGSTOP)
    return end
transcript.Transcript.write = write_and_stop
raise SystemExit(main())
"""


# One that waits less for a lock than others, so that a test need not.
IMPATIENT = """\
from duplex.cli.main import main
from duplex.transcript import file as transcript
transcript.LOCK_WAIT = 0.5
raise SystemExit(main())
"""
IMPATIENTLY = [sys.executable, "-c", IMPATIENT]
HELD = "another program holds its lock"


@pytest.fixture
def patched(open_room: OpenRoom, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Room]:
    """A room with something else about it."""

    def start(program: str) -> Room:
        monkeypatch.setattr("room_support.ROOM", ROOM[4:])
        return open_room(wrapper=[sys.executable, "-c", program, "room"])

    return start


@pytest.fixture
def stopping(patched: Callable[[str], Room]) -> Room:
    return patched(STANDS_STILL)


@pytest.fixture
def impatient(patched: Callable[[str], Room]) -> Room:
    return patched(IMPATIENT)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the transcript's lock."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_member_that_stands_still_with_the_transcript_in_its_hands_stops_nobody(
    stopping: Room,
) -> None:
    ann, bob, eve = stopping.enter("ann", "bob", "eve")
    pid = stopping.member_of(ann)
    ann.say("stop here")
    until(lambda: is_stopped(pid))
    bob.say("hello")
    within(LOCK_WAIT, lambda: eve.sees("<bob> hello"))
    assert not alive(pid)
    eve.say("/quit")  # and the host can record that
    stopping.recorded("ann was dropped (its process stood still)")
    stopping.recorded("eve left")
    assert [text for nick, text in records(stopping.log) if nick] == ["stop here", "hello"]
    stopping.is_well()


def test_a_room_ends_though_a_member_stands_still_with_the_transcript(stopping: Room) -> None:
    ann, bob = stopping.enter("ann", "bob")
    pid = stopping.member_of(ann)
    ann.say("stop here")
    until(lambda: is_stopped(pid))
    os.kill(stopping.host.pid, signal.SIGTERM)
    within(5, stopping.host.status)
    assert stopping.host.status() == 0
    assert bob.reads_to_the_end()[-1].endswith("* the room closed")
    assert stopping.events()[-1] == "the room closed"


# The same in a frozen cgroup (version 1), where a killed process ends when it is thawed.
FROZEN = """\
import os
from duplex.cli.main import main
from duplex.room import server
from duplex.transcript import file as transcript
server.CLOSING = server.CLOSING_LOCKED = server.KILLING = 0.5
write = transcript.Transcript.write
def write_and_freeze(self, records):
    end = write(self, records)
    if b"> stop here" in records:
        for name, text in (("tasks", str(os.getpid())), ("freezer.state", "FROZEN")):
            with open(f"{group}/{{name}}", "w") as file:
                file.write(text)
    return end
transcript.Transcript.write = write_and_freeze
transcript.LOCK_WAIT = 0.5
raise SystemExit(main())
"""


@pytest.fixture
def freezer() -> Iterator[Path]:
    group = Path(f"/sys/fs/cgroup/freezer/duplex-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"there is no freezer to be had: {error}")
    yield group
    (group / "freezer.state").write_text("THAWED")
    until(lambda: not (group / "tasks").read_text())
    group.rmdir()


def test_a_room_ends_though_a_frozen_member_has_its_transcript(
    freezer: Path, patched: Callable[[str], Room]
) -> None:
    room = patched(FROZEN.format(group=freezer))
    ann, bob = room.enter("ann", "bob")
    ann.say("stop here")
    until(lambda: "FROZEN" in (freezer / "freezer.state").read_text())
    bob.say("hello")
    bob.sees(f"! not recorded: {HELD}")
    os.kill(room.host.pid, signal.SIGTERM)
    within(5, bob.reads_to_the_end)
    within(5, room.host.status)
    assert room.host.status() == 0


def test_a_member_that_stands_still_with_nothing_in_its_hands_is_left_alone(
    impatient: Room,
) -> None:
    ann, bob, eve = impatient.enter("ann", "bob", "eve")
    pid = impatient.member_of(ann)
    os.kill(pid, signal.SIGSTOP)
    bob.say("hello")
    eve.sees("<bob> hello")
    with locked(impatient.log):  # not by it
        bob.say("who holds that?")
        bob.sees(f"! not recorded: {HELD}")
    os.kill(pid, signal.SIGCONT)
    ann.sees("<bob> hello")


def test_a_lock_of_another_program_is_told_and_the_host_never_waits_for_it(impatient: Room) -> None:
    ann, bob = impatient.enter("ann", "bob")
    late = impatient.client()
    with locked(impatient.log):
        ann.say("hello")
        bob.reset()
        until(lambda: len(children(impatient.host.pid)) == 3)  # his is reaped
        impatient.client()  # newcomers are welcomed meanwhile
        assert ann.sees("not recorded") == f"! not recorded: {HELD}"
        assert f"{HELD}; come back later" in late.sees("cannot write")
        until(lambda: HELD in impatient.host.err)
    ann.sees("* bob was dropped (connection lost)")
    ann.say("/nick anna")
    ann.sees("! you are anna now")
    impatient.is_well()


def test_a_room_ends_though_another_program_holds_its_transcript(impatient: Room) -> None:
    ann, bob = impatient.enter("ann", "bob")
    with locked(impatient.log):
        ann.say("hello")
        os.kill(impatient.host.pid, signal.SIGTERM)
        for client in (ann, bob):
            within(8, client.reads_to_the_end)
        assert impatient.host.status() == 0
    assert HELD in impatient.host.err


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


def test_nothing_stands_behind_the_rooms_end(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    pid = room.member_of(ann)
    os.kill(pid, signal.SIGSTOP)
    ann.say("one more thing", "/nick anna")
    os.kill(room.host.pid, signal.SIGTERM)
    assert bob.reads_to_the_end()[-1].endswith("* the room closed")
    os.kill(pid, signal.SIGCONT)
    assert "! not recorded: the room closed" in ann.reads_to_the_end()
    assert room.host.status() == 0
    assert room.events()[-1] == "the room closed"
    assert not any(nick == "ann" for nick, _ in records(room.log))


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
    (flusher,) = until(lambda: children(room.host.pid))
    os.kill(flusher, signal.SIGSTOP)
    until(lambda: children(room.host.pid) not in ([], [flusher]))
    until(lambda: "the flusher stood still; there is another\n" in room.host.err)
    assert not alive(flusher)
    room.is_well()
