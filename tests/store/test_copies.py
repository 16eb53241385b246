"""Every host's transcript is the same bytes, whoever is killed, late, or behind."""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from store_support import Committed, Host, Server, every_server
from support import DEADLINE, DUPLEX, until

from duplex.store import replicator
from duplex.store.entry import length, said
from duplex.store.errors import Diverged, Gap, OtherRoom
from duplex.store.position import Position
from duplex.store.shared import Room
from duplex.transcript.hole import first_record


def say_much(host: Host, lines: int, nick: str = "ann") -> int:
    """How long the room is then."""
    member = host.member(nick)
    for number in range(lines):
        member.says(f"{number} größer")
        member.hears()
    member.is_confirmed()
    return member.confirmed[-1][1]


@pytest.mark.parametrize("part", range(2))
def test_mirrors_killed_at_random_make_the_same_bytes(
    part: int, server: Server, start_host: Callable[..., Host], rng: random.Random
) -> None:
    _kill_mirrors(15, server, start_host, random.Random(rng.random() + part))


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_mirrors_killed_a_thousand_times_make_the_same_bytes(
    server: Server, start_host: Callable[..., Host], rng: random.Random
) -> None:
    _kill_mirrors(1000, server, start_host, rng)


def _kill_mirrors(
    times: int, server: Server, start_host: Callable[..., Host], rng: random.Random
) -> None:
    hosts = [start_host(server, "one"), start_host(server, "two")]
    members = [host.member(host.name) for host in hosts]
    for number in range(times):
        for member in members:
            for n in range(200):
                member.says(f"{number}.{n}")
        wait = rng.random() / 20
        end = time.monotonic() + wait
        while time.monotonic() < end:
            for member in members:
                member.hears()
        victim = rng.choice(hosts)
        victim.mirror.kill()
        victim.start_mirror()
    for member in members:
        member.is_confirmed()
    end = max(member.confirmed[-1][1] for member in members)
    for host in hosts:
        host.has(end)
    assert hosts[0].log.read_bytes() == hosts[1].log.read_bytes()
    assert hosts[0].log.read_bytes().count(b"<one>") == 200 * times


@every_server
def test_a_host_that_joins_late_gets_the_whole_room(
    server: Server, start_host: Callable[..., Host]
) -> None:
    first = start_host(server, "one")
    end = say_much(first, 500)
    late = start_host(server, "two")
    first.has(end)
    late.has(end)
    assert late.log.read_bytes() == first.log.read_bytes()


def test_a_host_that_was_away_for_50000_lines_catches_up(
    server: Server, start_host: Callable[..., Host]
) -> None:
    first, away = start_host(server, "one"), start_host(server, "two")
    away.has(say_much(first, 10))
    away.kill()
    shared = server.shared("three")
    shared.find()
    turn = shared.begin() + 1
    shared.call(turn, 0, ("claim", "c", "s", "bob", "bob", ""))
    body = said("bob", b"one of many\n")
    for part in range(50):
        numbers = range(part * 1000 + 1, part * 1000 + 1001)
        calls = [("add", "c", "s", number, length(body), body) for number in numbers]
        shared.call(turn, 0, ("beat",))  # or it is taken for dead, on a busy machine
        end = shared.calls(turn, 0, calls)[-1][1] + length(body)
    first.has(end)
    away.start_mirror()
    away.has(end)
    assert away.log.read_bytes() == first.log.read_bytes()
    assert away.log.read_bytes().count(b"one of many") == 50_000


@every_server
def test_a_trimmed_stream_keeps_its_offsets(
    server: Server, start_host: Callable[..., Host]
) -> None:
    first = start_host(server, "one", keep=200)
    member = first.member("ann")
    first.has(1)
    for number in range(600):
        member.says(f"{number} größer")
        member.is_confirmed()
        if number % 50 == 0:  # a host that copies too late would end
            first.has(member.confirmed[-1][1])
    end = member.confirmed[-1][1]
    late = start_host(server, "two")
    first.has(end)
    late.has(end)
    with late.log.open("rb") as file:
        begin = first_record(file.fileno())
    assert 0 < begin < end
    ours, theirs = late.log.read_bytes(), first.log.read_bytes()
    assert ours[begin:] == theirs[begin:]
    assert ours[:begin] == b"\0" * (begin - 1) + b"\n"
    assert first_record(os.open(first.log, os.O_RDONLY)) == 0

    late.mirror.kill()  # and such a copy goes on after a crash, too
    member.says("one more")
    member.is_confirmed()
    late.start_mirror()
    late.has(member.confirmed[-1][1])
    assert late.log.read_bytes().endswith(b"<ann> one more\n")


@every_server
def test_a_copy_that_ends_before_what_is_kept_says_so(
    server: Server, start_host: Callable[..., Host]
) -> None:
    first, away = start_host(server, "one", keep=50), start_host(server, "two")
    away.has(say_much(first, 1))
    away.kill()
    member = first.member("bob")
    for number in range(500):
        member.says(str(number))
        member.is_confirmed()
    with pytest.raises(Gap, match="move it"):
        away.make_mirror().go_on()


@pytest.mark.parametrize("cut", [0, 1, 40, 300])
def test_a_torn_or_short_copy_goes_on(
    cut: int, server: Server, start_host: Callable[..., Host]
) -> None:
    host = start_host(server, "one")
    end = say_much(host, 100)
    host.has(end)
    host.mirror.kill()
    whole = host.log.read_bytes()
    if cut:  # a power cut
        os.truncate(host.log, end - cut)
    else:  # a mirror that was killed before it moved the position
        host.log.write_bytes(whole + whole[:777])
    host.start_mirror()
    say_much(host, 1, "bob")
    until(lambda: b"<bob> 0" in host.log.read_bytes())
    assert host.log.read_bytes().startswith(whole)


def test_the_position_is_never_behind_the_watermark(
    server: Server, start_host: Callable[..., Host]
) -> None:
    host = start_host(server, "one")
    host.mirror.kill()
    end = say_much(host, 100)
    told: list[tuple[int, int]] = []

    class Watched(Committed):
        """Looks at the position each time that the watermark is moved."""

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "watermark":
                told.append((value, Position(str(host.log)).offset))
            super().__setattr__(name, value)

    mirror = host.make_mirror(Watched())
    while not told or told[-1][0] < end:
        mirror.go_on(0)
    assert all(offset == position for offset, position in told)


def test_a_copy_that_somebody_has_changed_is_no_copy(
    server: Server, start_host: Callable[..., Host]
) -> None:
    host = start_host(server, "one")
    host.has(say_much(host, 100))
    host.kill()
    data = host.log.read_bytes()
    host.log.write_bytes(data[:-5] + b"xxxx\n")
    with pytest.raises(Diverged, match="differ at offset"):
        host.make_mirror().go_on()


def test_a_transcript_of_something_else_is_not_touched(
    server: Server, start_host: Callable[..., Host]
) -> None:
    host = start_host(server, "one")
    host.settled()
    host.kill()
    Path(f"{host.log}.store").unlink()
    host.log.write_bytes(b"2026-11-23T23:34:31.123Z <ann> of another room\n")
    with pytest.raises(OtherRoom, match="is no copy of the room lobby"):
        host.make_mirror().go_on()
    assert host.log.read_bytes().endswith(b"of another room\n")


def two_copies(
    start_server: Callable[..., Server], start_host: Callable[..., Host]
) -> tuple[Server, Host, Host, int]:
    """A store, two hosts that have copied all of it, and how long that is."""
    server = start_server(durable=True)
    one, two = start_host(server, "one"), start_host(server, "two")
    end = say_much(one, 20)
    one.has(end)
    two.has(end)
    return server, one, two, end


def lose_some(server: Server) -> None:
    """As a store does that was restarted and had not put everything on the disk."""
    client = server.address().connect()
    lost = client.xrevrange("duplex:{lobby}:log", "+", "-", 5)
    client.xdel("duplex:{lobby}:log", *(entry_id for entry_id, _ in lost))
    client.hset("duplex:{lobby}:room", "end", lost[-1][1][b"o"])


@every_server
def test_what_the_store_has_lost_is_put_back_by_who_has_it(
    start_server: Callable[..., Server], start_host: Callable[..., Host], tmp_path: Path
) -> None:
    server, one, two, end = two_copies(start_server, start_host)
    two.mirror.kill()
    lose_some(server)
    one.mirror.kill()
    one.start_mirror()  # as after its connection is lost
    two.start_mirror()
    until(lambda: server.shared("one").find().end == end)
    end = say_much(two, 5, "bob")
    one.has(end)
    two.has(end)
    assert one.log.read_bytes() == two.log.read_bytes()
    assert one.log.read_bytes().count(b"<ann>") == 20


def test_who_comes_too_late_to_put_something_back_goes_on(
    start_server: Callable[..., Server], start_host: Callable[..., Host]
) -> None:
    """Another host has done it after this one looked, and more was said."""
    server, one, two, end = two_copies(start_server, start_host)
    one.mirror.kill()
    two.mirror.kill()
    lose_some(server)
    late = two.make_mirror()
    find = late._shared.find

    def found_just_before(make: bool = True) -> Room | None:
        room = find(make)
        one.start_mirror()
        until(lambda: server.shared("one").find().end == end)
        one.has(say_much(one, 5, "bob"))
        return room

    late._shared.find = found_just_before  # type: ignore[method-assign]
    late.go_on()
    late.go_on()
    assert one.log.read_bytes() == two.log.read_bytes()


def test_a_log_with_a_hole_is_read_from_its_first_record(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.seek(1 << 20)
        file.write(b"\n2026-11-24T18:21:16.102Z <ann> hello\n")
    done = subprocess.run(
        [*DUPLEX, "log", "--utc", str(log)], capture_output=True, timeout=DEADLINE
    )
    assert done.stdout == b"2026-11-24T18:21:16.102Z <ann> hello\n"


def test_a_store_that_refuses_to_be_read_is_told_once(
    server: Server, start_host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = start_host(server, "one")
    host.settled()
    host.kill()
    told: list[str] = []
    copying = host.make_mirror()
    monkeypatch.setattr(copying, "_tell", told.append)
    monkeypatch.setattr(replicator, "AGAIN", 0)
    client = server.address().connect()
    client.execute_command("ACL", "SETUSER", "default", "-xread")
    for _ in range(3):
        copying.go_on(wait=0)
    assert len(told) == 1
    assert re.fullmatch("the store refuses: .*xread.*; trying again", told[0], re.IGNORECASE)
    client.execute_command("ACL", "SETUSER", "default", "+xread")
    copying.go_on(wait=0)
    assert len(told) == 1
