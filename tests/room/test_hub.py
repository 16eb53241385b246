"""A room's hub: it may be killed at any instant, and whoever floods the room neither fills it nor
keeps it from anybody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from client_support import heard_by, join, said_by
from room_support import Client, Room, within
from support import DEADLINE, Duo, alive, hub_of, members_of, until

OpenRoom = Callable[..., Room]
DROPPED = "everybody was dropped (the room's hub was killed by SIGKILL)"
SOON = 2.0  # s: ten times what it may take, for a busy machine


# Killed


def test_a_killed_hub_is_followed_by_another_at_once(room: Room) -> None:
    clients = room.enter("ann", "bob", "eve")
    coming = room.client()
    before = room.log.read_bytes()
    took = []
    for number in range(1, 4):
        begun = time.monotonic()
        os.kill(room.hub, signal.SIGKILL)
        for client in (*clients, coming):
            client.reads_to_the_end()  # every connection ends
        newcomer = welcomed(room)
        took.append(time.monotonic() - begun)
        newcomer.sees(f"* {DROPPED}")
        assert room.events().count(DROPPED) == number
        clients, coming = room.enter("ann", "bob", "eve"), room.client()
        newcomer.say("/quit")
        newcomer.reads_to_the_end()
    assert min(took) < SOON, took
    until(lambda: room.host.err.count("the hub was killed by SIGKILL; there is another\n") == 3)
    assert room.log.read_bytes().startswith(before)
    until(lambda: len(members_of(room.host.pid)) == 4)  # none of the former ones is left
    room.is_well()


def welcomed(room: Room) -> Client:
    """Somebody who comes until it is welcomed: who came just before is cut with the others."""
    while True:
        client = room.connect()
        if b"! welcome to room " in client.sock.recv(1 << 16):
            client.sees("entered the room")
            return client


def test_who_can_resume_loses_and_doubles_nothing_whenever_hubs_are_killed(
    duo: Duo, room: Room
) -> None:
    ann, bob = join(duo, room.port, "ann"), join(duo, room.port, "bob")
    for number in range(4):
        lines = [f"{number} {n} {'x' * 200}" for n in range(2_000)]
        for client in (ann, bob):
            client.type("".join(f"{line}\n" for line in lines))
        until(lambda number=number: f"> {number} 1000 " in room.log.read_text())
        if number < 3:
            os.kill(room.hub, signal.SIGKILL)
    for client in (ann, bob):
        client.end_input()
        assert client.status(60) == 0, client.err
        assert "not known" not in client.err
    for nick in ("ann", "bob"):
        expected = [f"{number} {n} {'x' * 200}" for number in range(4) for n in range(2_000)]
        assert said_by(nick, room.log) == expected
    log = room.log.read_bytes()
    assert log.count(b"* everybody was dropped (the room's hub was killed by SIGKILL)\n") == 3
    for client in (ann, bob):
        assert heard_by(client).read_bytes() in log


def test_bans_outlive_a_hub(duo: Duo) -> None:
    room = Room(duo, stdin=subprocess.PIPE)
    room.host.type("/ban 127.0.0.9\n")
    until(lambda: b"127.0.0.9 is banned" in room.host.out + room.host.err.encode())
    hub = room.hub
    os.kill(hub, signal.SIGKILL)
    until(lambda: hub_of(room.host.pid) != hub)
    until(lambda: not alive(hub))
    refused = room.connect("127.0.0.9")
    assert refused.reads_to_the_end() == ["! your address is banned"]


def test_nothing_of_a_room_outlives_a_host_that_is_killed_with_its_hub_at_work(room: Room) -> None:
    ann, _ = room.enter("ann", "deaf")
    family = [room.hub, *members_of(room.host.pid)]
    ann.say(*["x" * 1000] * 1000)
    os.kill(room.host.pid, signal.SIGKILL)
    within(SOON, lambda: until(lambda: not any(map(alive, family))))


# Flooded

FLOOD = """\
import select, socket, sys
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sock.setblocking(False)
lines = (b"x" * 60 + b"\\n") * 1000
rest = b""
while True:
    reads, writes, _ = select.select([sock], [sock], [])
    try:
        if reads and not sock.recv(1 << 20):
            break
        if writes:
            rest = (rest or lines)[sock.send(rest or lines):]
    except BlockingIOError:
        pass
"""


@contextmanager
def flooded(room: Room, count: int) -> Iterator[None]:
    """So many members say all they can, and read all they are sent."""
    command = [sys.executable, "-c", FLOOD, str(room.port)]
    floods = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for flood in floods:
            flood.kill()
            flood.wait()


def latency(speaker: Client, room: Room, lines: int) -> list[float]:
    """How long lines take until the hub has recorded them, in s, the shortest first.

    No client could tell: under a flood it has to read all that the others have said before.
    """
    found = []
    with room.log.open("rb") as log:
        for number in range(lines):
            log.seek(0, os.SEEK_END)
            begun, tail, line = time.monotonic(), b"", b"<ann> line %d\n" % number
            speaker.say(f"line {number}")
            while line not in tail:
                tail = tail[-len(line) :] + log.read(1 << 20)
                assert time.monotonic() < begun + DEADLINE
            found.append(time.monotonic() - begun)
    return sorted(found)


def anonymous(pid: int) -> int:
    """Bytes of memory that are the process's own."""
    with open(f"/proc/{pid}/status") as file:
        return int(file.read().partition("RssAnon:")[2].split()[0]) * 1024


@pytest.mark.parametrize("count", [1, 6])
def test_a_flood_neither_fills_the_hub_nor_keeps_it_from_others(
    open_room: OpenRoom, count: int
) -> None:
    room = open_room("--max-lag", str(1 << 40))  # the test's own client does not read
    (ann,) = room.enter("ann")
    idle = latency(ann, room, 20)
    hub = room.hub
    with flooded(room, count):
        until(lambda: room.log.stat().st_size > 5_000_000)
        before, size = anonymous(hub), room.log.stat().st_size
        busy = latency(ann, room, 20)
        until(lambda: room.log.stat().st_size > size + 30_000_000)
        grown = anonymous(hub) - before
    assert grown < 4 << 20, grown
    assert busy[10] < idle[10] + 1.0, (idle, busy)  # the median: others have the processor, too
    assert busy[-1] < 5.0, busy
    until(lambda: len(members_of(room.host.pid)) == 1)
    room.is_well()


def test_who_takes_nothing_while_others_flood_costs_the_hub_nothing(open_room: OpenRoom) -> None:
    room = open_room("--max-lag", str(1 << 30))
    deaf = [room.enter(f"deaf{number}", buffer=4096)[0] for number in range(8)]
    for one in deaf:
        one.say(*["/help"] * 200)  # whose answers nobody takes
    hub = room.hub
    with flooded(room, 2):
        until(lambda: room.log.stat().st_size > 10_000_000)
        before, size = anonymous(hub), room.log.stat().st_size
        until(lambda: room.log.stat().st_size > size + 30_000_000)
        assert anonymous(hub) - before < 4 << 20
    assert sum(seat.lag > 20_000_000 for seat in room.seats()) == 8
