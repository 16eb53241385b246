"""How a room ends, and what is left of it: nothing but the transcript, from which it goes on."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from room_support import Client, Room, signs, within
from support import (
    ROOM,
    Duo,
    alive,
    children,
    events,
    flusher_of,
    members_of,
    needs,
    records,
    until,
)

OpenRoom = Callable[..., Room]
TORN = b"2026-11-24T13:00:00.123Z <ann> half a"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_closes_the_room_in_good_order(
    room: Room, open_room: OpenRoom, number: signal.Signals
) -> None:
    ann, bob = room.enter("ann", "bob")
    coming = room.client()  # not announced yet
    ann.say("last words")
    bob.sees("<ann> last words")
    family = [room.host.pid, *children(room.host.pid)]
    assert len(family) == 6  # the host, the hub, the flusher, three members
    assert len(signs(room.port)) == 1
    os.kill(room.host.pid, number)
    for client in (ann, bob):
        assert client.reads_to_the_end()[-1].endswith("Z * the room closed")
    coming.reads_to_the_end()
    assert room.host.status() == 0
    assert not any(map(alive, family))
    assert signs(room.port) == []
    assert room.events()[-1] == "the room closed"
    assert [text for text in room.events() if "left" in text or "dropped" in text] == []
    again = open_room(port=room.port)  # at once, with the connections of just now in TIME_WAIT
    assert again.client().sees("the room closed")


def test_the_end_is_told_at_once(open_room: OpenRoom) -> None:
    took = []
    while not took or (min(took) > 0.5 and len(took) < 5):  # a busy machine may need another try
        room = open_room("--log", f"{len(took)}.log")
        (ann,) = room.enter("ann")
        begun = time.monotonic()
        os.kill(room.host.pid, signal.SIGTERM)
        ann.reads_to_the_end()
        assert room.host.status() == 0
        took.append(time.monotonic() - begun)
    assert min(took) < 0.5, took


def test_ncat_ends_with_the_room(duo: Duo, room: Room) -> None:
    client = duo.start([needs("ncat"), "127.0.0.1", str(room.port)], "ncat")
    until(lambda: b"entered the room" in client.out)
    os.kill(room.host.pid, signal.SIGTERM)
    until(lambda: client.out.endswith(b"Z * the room closed\n"))
    client.end_input()  # it goes on with that, whatever the other side does
    assert client.status() == 0
    assert room.host.status() == 0


def test_who_reads_slowly_gets_all_before_the_end(room: Room) -> None:
    (ann,) = room.enter("ann")
    (slow,) = room.enter("slow", buffer=4096)
    ann.say(*["x" * 1000] * 10_000, "last words")
    until(lambda: b"last words" in room.log.read_bytes()[-100:])
    assert room.seat("slow").lag > 1_000_000
    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # from now on it is quick
    os.kill(room.host.pid, signal.SIGTERM)
    assert ann.reads_to_the_end()[-1].endswith("* the room closed")
    lines = slow.reads_to_the_end()
    assert lines[-2].endswith("<ann> last words")
    assert lines[-1].endswith("* the room closed")
    assert sum(line.endswith("x" * 1000) for line in lines) == 10_000
    assert room.host.status() == 0


def test_who_never_reads_holds_up_the_end_for_five_seconds_at_most(room: Room) -> None:
    (ann,) = room.enter("ann")
    room.enter("deaf", buffer=4096)
    ann.say(*["x" * 1000] * 10_000, "last words")
    until(lambda: b"last words" in room.log.read_bytes()[-100:])
    family = [room.host.pid, *children(room.host.pid)]
    os.kill(room.host.pid, signal.SIGTERM)
    within(3, ann.reads_to_the_end)
    within(8, room.host.status)
    assert room.host.status() == 0
    assert not any(map(alive, family))
    assert signs(room.port) == []


def test_what_waits_for_its_turn_when_the_room_closes_is_told(open_room: OpenRoom) -> None:
    room = open_room("--rate", "1")
    ann, bob = room.enter("ann", "bob")
    bob.say(*(f"line {number}" for number in range(300)))
    bob.sees("! slowly")
    os.kill(room.host.pid, signal.SIGTERM)
    lines = bob.reads_to_the_end()
    assert ann.reads_to_the_end()[-1].endswith("* the room closed")
    said = sum(nick == "bob" for nick, _ in records(room.log))
    assert 80 < said < 110  # of a burst of 100 the changes of nick have cost 10 each
    assert f"! {300 - said} lines were not said: the room closed" in lines
    assert room.host.status() == 0


def test_a_flood_does_not_hold_up_the_end(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    flood = Thread(target=say_until_cut, args=(bob.sock,), daemon=True)
    flood.start()
    ann.sees("<bob> flood")
    reader = Thread(target=read_until_cut, args=(ann,), daemon=True)
    reader.start()
    os.kill(room.host.pid, signal.SIGTERM)
    within(10, room.host.status)
    assert room.host.status() == 0
    flood.join(10)
    reader.join(10)
    assert room.events()[-1] == "the room closed"
    after = room.log.read_bytes().partition(b" * the room closed\n")[2]
    assert after.count(b"\n") * len(b"2026-11-24T13:00:00.123Z <bob> flood\n") == len(after)


def say_until_cut(sock: socket.socket) -> None:
    try:
        while True:
            sock.sendall(b"flood\n" * 1000)
    except OSError:
        return


def read_until_cut(client: Client) -> None:
    try:
        client.reads_to_the_end()
    except OSError:
        return


# Killed


def test_all_end_at_once_with_a_host_that_is_killed(room: Room, open_room: OpenRoom) -> None:
    clients = room.enter("ann", "bob", "eve")
    room.enter("deaf", buffer=4096)
    clients[0].say(*["x" * 1000] * 8000, "last words")
    clients[1].sees("<ann> last words")
    family = children(room.host.pid)
    assert len(family) == 6
    os.kill(room.host.pid, signal.SIGKILL)
    within(1, lambda: until(lambda: not any(map(alive, family))))
    for client in clients[1:]:
        read_until_cut(client)  # their connections are cut, too
    assert room.host.status() == -signal.SIGKILL
    before = room.log.read_bytes()
    again = open_room(port=room.port)
    assert len(signs(room.port)) == 1  # that of the dead room is gone
    (ann,) = again.enter("ann")
    assert any(line.endswith(b"<ann> last words") for line in ann.records)
    ann.say("here again")
    until(lambda: b"here again" in room.log.read_bytes())
    assert room.log.read_bytes().startswith(before)
    records(room.log)


def test_a_killed_member_takes_only_its_client_along(room: Room) -> None:
    ann, bob, eve = room.enter("ann", "bob", "eve")
    os.kill(room.member_of(bob), signal.SIGKILL)
    for client in (ann, eve):
        client.sees("* bob was dropped (its process was killed by SIGKILL)")
    bob.reads_to_the_end()
    ann.say("/who", "and on")
    ann.sees("! 2 are here: ann, eve")
    eve.sees("<ann> and on")
    (again,) = room.enter("bob")
    again.say("here again")
    ann.sees("<bob> here again")
    assert room.host.process.poll() is None
    assert len(members_of(room.host.pid)) == 3
    assert "was dropped" in room.host.err


def test_a_killed_flusher_is_told_and_the_room_goes_on(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    os.kill(flusher_of(room.host.pid), signal.SIGKILL)
    until(lambda: "the flusher was killed by SIGKILL" in room.host.err)
    ann.say("hello")
    bob.sees("<ann> hello")
    room.is_well()


# Begun again


def test_a_room_goes_on_where_it_ended(open_room: OpenRoom) -> None:
    room = open_room()
    ann = room.client()
    ann.say("/join ann", "one", "two")
    key, offset = ann.sees("! joined").split("key ")[1].split(", ")[:2]
    ann.sees("<ann> two")
    os.kill(room.host.pid, signal.SIGTERM)
    ann.reads_to_the_end()
    assert room.host.status() == 0
    reached = sum(len(line) + 1 for line in ann.records)
    assert reached == room.log.stat().st_size
    again = open_room(port=room.port)
    bob = again.client()
    bob.sees("entered the room")
    assert bob.records[:-1] == room.log.read_bytes().splitlines()[: len(bob.records) - 1]
    back = again.client()
    back.say(f"/resume ann {key} {reached}")
    back.sees("* ann is back")
    missed = room.log.read_bytes()[reached:].splitlines()
    assert back.records == missed
    assert offset == "offset 0"


def test_a_torn_tail_is_repaired_and_said(open_room: OpenRoom, duo: Duo) -> None:
    name = "logs/room-lobby/client_input.log"
    log = duo.tmp / "room" / name
    log.parent.mkdir(parents=True)
    whole = b"2026-11-24T13:00:00.123Z <ann> whole\n"
    log.write_bytes(whole + TORN)
    room = open_room("--name", "lobby", "--adopt")
    until(lambda: f"{name}: {len(TORN)} bytes of a torn record were cut back" in room.host.err)
    assert log.read_bytes() == whole
    room.client().sees("<ann> whole")


def test_a_tail_that_is_torn_while_the_room_runs_is_cut_back(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    with room.log.open("ab") as other:
        other.write(TORN)
    ann.say("hello")
    bob.sees("<ann> hello")
    assert b"half a" not in bob.heard
    assert ("ann", "hello") in records(room.log)
    assert TORN not in room.log.read_bytes()


# What cannot be


def refused(duo: Duo, *args: str, name: str = "refused", **options: object) -> str:
    program = duo.start([*ROOM, *args, "--plain"], name, stdin=-3, **options)
    assert program.status() == 1
    (line,) = [line for line in program.err.splitlines() if "listening" not in line]
    return line


def test_a_second_room_on_the_same_transcript_is_refused(room: Room, duo: Duo) -> None:
    line = refused(duo, "0", "--log", str(room.log))
    assert (
        line == f"duplex room: cannot keep the room: another room is keeping {room.log}; "
        "--log names another file"
    )
    room.is_well()


def test_a_second_room_at_the_same_port_is_refused(room: Room, duo: Duo) -> None:
    line = refused(duo, str(room.port), "--log", "other.log")
    assert line == f"duplex room: cannot listen on 127.0.0.1:{room.port}: Address already in use"
    room.is_well()


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("/dev/null", "a room's transcript is read again, so it has to be a file"),
        ("/dev/full", "No space left on device"),
        (".", "Is a directory"),
        ("fifo", "No such device or address|not a file"),
        ("file/below", "Not a directory|File exists"),
        ("/proc/version", "Permission denied|Input/output error|Invalid argument"),
    ],
)
def test_a_transcript_that_cannot_be_is_one_line(duo: Duo, log: str, line: str) -> None:
    (duo.tmp / "refused").mkdir()
    os.mkfifo(duo.tmp / "refused" / "fifo")
    (duo.tmp / "refused" / "file").write_text("")
    told = refused(duo, "0", "--log", log)
    assert told.startswith(f"duplex room: cannot write the transcript {log}: ")
    assert any(reason in told for reason in line.split("|")), told


def test_no_member_is_left_behind_by_five_hundred_clients(room: Room) -> None:
    """Whatever they do: no process, no descriptor, no nick."""
    (ann,) = room.enter("ann")
    fds = len(list(Path(f"/proc/{room.host.pid}/fd").iterdir()))
    assert room.held() == 1
    for _ in range(10):
        crowd = [Client(room.port) for _ in range(50)]
        for number, client in enumerate(crowd):
            if number % 5 == 0:
                client.say(f"/join n{number}")
            (client.reset if number % 2 else client.close)()
        until(lambda: len(children(room.host.pid)) == 3)  # the hub, the flusher, ann's member
    until(lambda: len(list(Path(f"/proc/{room.host.pid}/fd").iterdir())) <= fds)
    until(lambda: room.held() == 1)
    until(lambda: only_ann_is_here(ann))
    until(lambda: len(left(room)) == len(entered(room)) - 1)  # all but ann


def only_ann_is_here(ann: Client) -> bool:
    """The last ones may still be on their way in, and out."""
    ann.say("/who")
    return ann.sees(" here: ") == "! 1 is here: ann"


def entered(room: Room) -> list[str]:
    return [text for text in events(room.log) if "entered" in text]


def left(room: Room) -> list[str]:
    return [text for text in room.events() if text.endswith((" left", "lost)"))]
