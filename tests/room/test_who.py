"""`duplex who`: who is in a room that runs on this machine, as its page has it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta

from room_support import Room
from support import DUPLEX, until


def who(room: Room, *options: str, port: int | None = None) -> subprocess.CompletedProcess[str]:
    command = [*DUPLEX, "who", str(room.port if port is None else port), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_who_lists_everybody_with_process_address_time_and_lag(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    done = who(room)
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["NICK", "PID", "ADDRESS", "SINCE", "LAG"]
    assert [row.split()[0] for row in rows] == ["ann", "bob"]
    for row, client in zip(rows, (ann, bob), strict=True):
        _, pid, address, since, lag = row.split(maxsplit=4)
        assert int(pid) == room.member_of(client)
        assert address == "{}:{}".format(*client.sock.getsockname())
        assert re.fullmatch(r"\d\d:\d\d:\d\d", since)
        assert lag == "0 B"


def test_as_json_it_is_an_object_a_line(room: Room) -> None:
    room.enter("日本")
    (person,) = map(json.loads, who(room, "--json").stdout.splitlines())
    assert person["nick"] == "日本"
    joined = datetime.fromisoformat(person["joined"])
    assert timedelta(0) <= datetime.now(UTC) - joined < timedelta(minutes=2)
    assert person.keys() == {"nick", "pid", "address", "joined", "lag"}


def test_who_does_not_read_lags_by_what_it_was_not_sent(room: Room) -> None:
    (ann,) = room.enter("ann")
    room.enter("slow", buffer=4096)
    ann.say(*["x" * 1000] * 12_000)
    until(lambda: room.log.stat().st_size > 12_000_000)

    def lag() -> int:
        people = map(json.loads, who(room, "--json").stdout.splitlines())
        return next(int(person["lag"]) for person in people if person["nick"] == "slow")

    assert 0 < until(lag) < room.log.stat().st_size


def test_where_no_room_is_one_line_says_so(room: Room) -> None:
    done = who(room, port=1)
    assert done.returncode == 1
    assert (
        done.stderr == "duplex who: cannot find the room 1: none of yours runs at that port here\n"
    )


def test_a_room_whose_host_was_killed_is_none(room: Room) -> None:
    room.enter("ann")
    os.kill(room.host.pid, 9)
    room.host.process.wait()
    assert who(room).returncode == 1
