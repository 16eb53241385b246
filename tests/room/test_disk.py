"""A room whose disk is full, and one that trusts no cache: nothing torn, nobody in the dark."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from room_support import Client, Room, signs
from support import ROOM, Duo, children, members_of, needs, port_of, records, until

from duplex.room.helpers import FIRST_PAUSE

OpenRoom = Callable[..., Room]
NO_LIMIT = resource.RLIM_INFINITY


def limit(room: Room, size: int) -> None:
    """How large a file may become, for all processes of the room."""
    for pid in [room.host.pid, *children(room.host.pid)]:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, NO_LIMIT))


def fill(speaker: Client, words: str, count: int) -> list[str]:
    """Say `count` lines, one after another; the answers, "" for a line that was recorded."""
    answers = []
    for number in range(count):
        speaker.say(f"{words} {number}", f"/history {1 if number % 2 else 2}")
        shown = speaker.sees("! 2")
        if number % 2 == 0:
            shown = speaker.sees("! 2")
        told = speaker.heard.decode().splitlines()
        recorded = shown.endswith(f"> {words} {number}")
        answers.append("" if recorded else told[-2 - (number % 2 == 0)])
    return answers


def test_a_full_disk_is_told_and_the_room_goes_on_when_there_is_space(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    words = "x" * 100
    size = room.log.stat().st_size + 10 * (len(words) + 36) + 50  # ten lines, and a third of one
    limit(room, size)
    answers = fill(ann, words, 15)
    assert answers[:9] == [""] * 9
    assert answers[12:] == ["! not recorded: File too large"] * 3
    stuck = room.log.read_bytes()
    assert stuck.endswith(b"\n")
    assert len(stuck) <= size

    # Others are told, too, whatever they do; nobody is cut.
    many = "\n".join(f"many {words}" for _ in range(50))
    bob.say(many)
    assert bob.sees("not recorded") == "! 50 lines not recorded: File too large"
    # a short line may still fit
    bob.say(f"/nick {'y' * 32}", f"/nick {'z' * 32}")
    until_full(bob)
    bob.say("/nick bobby")
    assert bob.sees("not recorded") == "! not recorded: File too large"
    bob.say("/who", "/msg ann still here?")
    bob.sees("! 2 are here: ann, ")
    ann.sees("still here?")
    late = room.connect()
    assert "File too large; come back later" in late.sees("cannot write")
    late.reads_to_the_end()

    # Space again.
    limit(room, NO_LIMIT)
    ann.say("after")
    bob.sees("<ann> after")
    assert all(line in room.log.read_bytes() for line in stuck.splitlines(keepends=True))
    records(room.log)
    room.is_well()


def until_full(client: Client) -> None:
    """Say a letter at a time, until not even that fits."""
    while True:
        client.say("x", "/msg nobody x")
        client.sees("nobody here")
        if client.heard.splitlines()[-2].startswith(b"! not recorded"):
            return


def test_who_left_while_the_disk_was_full_is_recorded_later(room: Room) -> None:
    ann, bob, eve = room.enter("ann", "bob", "eve")
    limit(room, room.log.stat().st_size)
    bob.say("/quit")
    bob.reads_to_the_end()
    until(lambda: len(members_of(room.host.pid)) == 2)
    eve.reset()
    until(lambda: len(members_of(room.host.pid)) == 1)
    until(lambda: "File too large" in room.host.err)
    ann.say("/who")
    ann.sees("! 1 is here: ann")
    ann.say("hello")
    ann.sees("! not recorded: File too large")
    assert room.events()[-1].startswith("guest-")
    limit(room, NO_LIMIT)
    ann.sees("* bob left")  # without anybody doing anything
    ann.sees("* eve was dropped (connection lost)")
    room.is_well()
    assert [text for text in room.events() if text.startswith(("bob ", "eve "))] == [
        "bob left",
        "eve was dropped (connection lost)",
    ]
    assert room.host.err.count("cannot write the transcript") == 1


def test_a_room_whose_disk_is_full_can_be_closed(room: Room) -> None:
    (ann,) = room.enter("ann")
    limit(room, room.log.stat().st_size)
    room.host.process.terminate()
    ann.reads_to_the_end()
    assert room.host.status() == 0
    assert signs(room.port) == []
    records(room.log)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB where the transcript goes."""
    logs = tmp_path / "room" / "logs"
    logs.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "duplex-test", str(logs)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"mounting is not possible: {error}")
    if done.returncode:
        pytest.skip(f"mounting is not permitted: {done.stderr.strip()}")
    yield logs
    subprocess.run(["umount", "-l", str(logs)], check=True)


def test_a_small_disk_fills_up_and_is_tidied(small_disk: Path, open_room: OpenRoom) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(64 * 1024))
    room = open_room()
    ann, bob = room.enter("ann", "bob")
    words = "x" * 1000
    answers = fill(ann, words, 80)
    recorded = answers.index("! not recorded: No space left on device")
    assert 30 < recorded < 70
    assert answers[:recorded] == [""] * recorded
    assert set(answers[recorded:]) == {"! not recorded: No space left on device"}
    records(room.log)
    ballast.unlink()
    ann.say("after")
    bob.sees("<ann> after")
    told = [text for text in ann.said + bob.said if text.startswith("<ann> ")]
    assert told == [f"<ann> {words} {number}" for number in range(recorded)] + ["<ann> after"]
    records(room.log)
    room.is_well()


# On the disk


def test_with_fsync_always_nobody_sees_a_record_before_it_is_on_the_disk(
    open_room: OpenRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUPLEX_DEBUG", "1")  # else only root can trace a hub
    trace = tmp_path / "trace"
    calls = "trace=write,fdatasync,sendfile,sendto"
    strace = [needs("strace"), "-f", "-qq", "-s", "200", "-e", calls, "-o", str(trace)]
    room = open_room("--fsync", "always", wrapper=strace)
    ann, bob = room.enter("ann", "bob")
    for number in range(20):
        ann.say(f"hello {number}")
        bob.sees(f"<ann> hello {number}")
    lines = trace.read_text().splitlines()
    for number in range(20):
        text = f"<ann> hello {number}\\n"
        writes = re.compile(r"(\d+) +write\((\d+), ")
        (said,) = [at for at, line in enumerate(lines) if text in line and writes.match(line)]
        writer, fd = writes.match(lines[said]).groups()
        done = rf"{writer} +(fdatasync\({fd}\) += 0|<\.\.\. fdatasync resumed>.* = 0)"
        rest = list(enumerate(lines[said:], said))
        synced = next(at for at, line in rest if re.match(done, line))
        sent = next(at for at, line in rest if "sendto(" in line and text in line)
        assert synced < sent, "\n".join(lines[said : sent + 1])


def test_with_fsync_second_members_do_not_wait_for_the_disk(
    open_room: OpenRoom, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    strace = [needs("strace"), "-f", "-qq", "-e", "trace=fdatasync,fsync", "-o", str(trace)]
    room = open_room(wrapper=strace)
    ann, bob = room.enter("ann", "bob")
    ann.say("hello")
    bob.sees("hello")
    members = {str(room.member_of(client)) for client in (ann, bob)}
    until(lambda: "fdatasync(" in trace.read_text())  # the flusher's
    assert not members & {line.split()[0] for line in trace.read_text().splitlines()}


@pytest.mark.parametrize("option", ["always", "second", "never"])
def test_a_room_keeps_its_transcript_whatever_fsync_is(open_room: OpenRoom, option: str) -> None:
    room = open_room("--fsync", option)
    ann, bob = room.enter("ann", "bob")
    ann.say(*(f"line {number}" for number in range(100)))
    bob.sees("line 99")
    flushers = len(children(room.host.pid)) - 3  # besides the hub, and two members
    assert flushers == (option == "second")
    assert len([nick for nick, _ in records(room.log) if nick == "ann"]) == 100
    assert os.stat(room.log).st_mode & 0o777 == 0o600


FAILING = """\
from duplex.cli.main import main
from duplex.room import server
server.flush = lambda *_: 1
main()
"""


def test_a_helper_that_fails_at_once_is_followed_no_faster_than_it_makes_sense(duo: Duo) -> None:
    command = [sys.executable, "-c", FAILING, *ROOM[3:], "0", "--plain", "--fsync", "second"]
    begun = time.monotonic()
    host = duo.start(command, "room")
    until(lambda: host.err.count("the flusher ended with status 1; there is another\n") >= 3)
    assert time.monotonic() - begun > (1 + 2) * FIRST_PAUSE  # the first comes at once
    client = Client(port_of(host))
    client.sees("! welcome to room")
    client.close()
