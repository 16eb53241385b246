"""Every host's transcript is the same bytes, whoever is killed, late, or behind."""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from store_support import Host, Server, every_server, goes_on, goes_on_until
from support import DEADLINE, DUPLEX

from duplex.store import replicator
from duplex.store.entry import length, said
from duplex.store.errors import Diverged, Gap, OtherRoom
from duplex.store.position import Position
from duplex.store.shared import Room
from duplex.system.errors import TranscriptError


def say_much(host: Host, lines: int, nick: str = "ann") -> int:
    """How long the room is then."""
    member = host.member(nick)
    for number in range(lines):
        member.says(f"{number} größer")
        goes_on()
    member.is_confirmed()
    return member.confirmed[-1][1]


@pytest.mark.parametrize("part", range(2))
def test_replicators_and_hubs_killed_at_random_make_the_same_bytes(
    part: int, server: Server, start_host: Callable[..., Host], rng: random.Random
) -> None:
    _kill_some(15, server, start_host, random.Random(rng.random() + part))


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_replicators_and_hubs_killed_a_thousand_times_make_the_same_bytes(
    server: Server, start_host: Callable[..., Host], rng: random.Random
) -> None:
    _kill_some(1000, server, start_host, rng)


def _kill_some(
    times: int, server: Server, start_host: Callable[..., Host], rng: random.Random
) -> None:
    hosts = [start_host(server, "one"), start_host(server, "two")]
    member = hosts[0].member("one")
    for number in range(times):
        for n in range(200):
            member.says(f"{number}.{n}")
        end = time.monotonic() + rng.random() / 20
        while time.monotonic() < end:
            goes_on()
        victim = rng.choice(hosts)
        if victim is hosts[1] and rng.random() < 0.5:  # nobody is there
            victim.kill_hub()
            victim.start_hub()
        else:
            victim.replicator.kill()
            victim.start_replicator()
    member.is_confirmed()
    for host in hosts:
        host.has(member.confirmed[-1][1])
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
    away.start()
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
    end = member.confirmed[-1][1]
    late = start_host(server, "two")
    first.has(end)
    late.has(end)
    assert late.hub
    assert first.hub
    begin = late.hub.transcript.first
    assert 0 < begin < end
    assert late.hub.transcript.end == first.hub.transcript.end
    assert late.log.read_bytes() == first.log.read_bytes()[begin:]
    assert first.hub.transcript.first == 0

    late.kill()  # and such a copy goes on after a crash, too
    member.says("one more")
    member.is_confirmed()
    late.start()
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
        away.copying().go_on()


@pytest.mark.parametrize("cut", [0, 1, 40, 300])
def test_a_torn_or_short_copy_goes_on(
    cut: int, server: Server, start_host: Callable[..., Host]
) -> None:
    host = start_host(server, "one")
    end = say_much(host, 100)
    host.has(end)
    host.kill()
    whole = host.log.read_bytes()
    if cut:  # a power cut
        os.truncate(host.log, end - cut)
    else:  # a hub that was killed before it moved the position
        host.log.write_bytes(whole + whole[:777])
    host.start()
    say_much(host, 1, "bob")
    goes_on_until(lambda: b"<bob> 0" in host.log.read_bytes())
    assert host.log.read_bytes().startswith(whole)


def test_the_position_is_moved_before_anything_is_told(
    server: Server, start_host: Callable[..., Host]
) -> None:
    """Or who comes back with an offset could find it cut off."""
    host = start_host(server, "one")
    ann, told = host.member("ann"), []

    def said(_start: int, end: int, _why: str) -> None:
        told.append((end, Position(str(host.log)).offset))

    for number in range(50):
        host.ledger.say(ann.seat, b"%d\n" % number, 0, said)
        goes_on_until(lambda number=number: len(told) > number)
    assert all(end <= position for end, position in told)


def test_a_copy_that_somebody_has_changed_is_no_copy(
    server: Server, start_host: Callable[..., Host]
) -> None:
    host = start_host(server, "one")
    host.has(say_much(host, 100))
    host.kill()
    data = host.log.read_bytes()
    host.log.write_bytes(data[:-5] + b"xxxx\n")
    with pytest.raises(Diverged, match="differ at offset"):
        host.copying()


def test_a_transcript_of_something_else_is_not_touched(
    server: Server, start_host: Callable[..., Host]
) -> None:
    host = start_host(server, "one")
    host.kill()
    Path(f"{host.log}.store").unlink()
    host.log.write_bytes(b"2026-11-23T23:34:31.123Z <ann> of another room\n")
    with pytest.raises(OtherRoom, match="is no copy of the room lobby"):
        host.copying()
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
    two.replicator.kill()
    lose_some(server)
    one.replicator.kill()
    one.start_replicator()  # as after its connection is lost
    two.start_replicator()
    goes_on_until(lambda: server.shared("one").find().end == end)
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
    one.replicator.kill()
    two.kill()
    lose_some(server)
    late = two.copying()
    find = late._shared.find

    def found_just_before(make: bool = True) -> Room | None:
        room = find(make)
        one.start_replicator()
        goes_on_until(lambda: server.shared("one").find().end == end)
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
    host.kill()
    copying, told = host.copying(), host.told
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


def test_a_full_disk_is_waited_for_and_told_once(
    server: Server, start_host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room goes on in the store, and here when there is space; a new replicator, too, waits."""
    one, two = start_host(server, "one"), start_host(server, "two")
    ann = one.member("ann")
    assert two.hub
    two.has(one.hub.transcript.end if one.hub else 0)
    tries: list[bytes] = []

    def full(records: bytes, *_: object) -> int:
        tries.append(records)
        raise TranscriptError(str(two.log), "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(two.hub.transcript, "append", full)
        ann.says("hello")
        ann.is_confirmed()
        goes_on_until(lambda: len(tries) > 1)
        two.replicator.kill()
        two.start_replicator()
        ann.says("and more")
        ann.is_confirmed()
        goes_on_until(lambda: len(tries) > 4)
    two.has(ann.confirmed[-1][1])
    assert two.log.read_bytes() == one.log.read_bytes()
    assert len(two.hub.told) == 1, two.hub.told
