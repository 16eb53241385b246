"""What is said is in the stream once, whatever is lost, killed or stopped in between."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from store_support import Host, LossyProxy, Server, add, every_server, goes_on, goes_on_until

from duplex.store.address import Address
from duplex.store.errors import OtherRoom, Unreachable
from duplex.store.shared import Shared


def entries(shared: Shared) -> bytes:
    """All of the stream, with every offset checked."""
    data, at = b"", "0-0"
    while found := shared.read(at, "0-0", 1000, 0)[0]:
        for entry in found:
            assert entry.start == len(data)
            data += entry.data
        at = found[-1].id
    return data


def texts(data: bytes, nick: str = "ann") -> list[str]:
    return re.findall(rf"^\S+ <{nick}> (.*)$", data.decode(), re.MULTILINE)


def here(shared: Shared, connection: str = "c", nick: str = "ann") -> int:
    turn = shared.begin() + 1
    shared.call(turn, 0, ("claim", connection, "s", nick, nick, ""))
    shared.call(turn, 0, ("enter", connection, "s", f"{nick} entered the room"))
    return turn


@every_server
def test_a_lost_answer_does_not_double_a_line(
    server: Server, tmp_path: Path, rng: random.Random
) -> None:
    _lose_answers(server, tmp_path, rng, 1000)


def _lose_answers(server: Server, tmp_path: Path, rng: random.Random, times: int) -> None:
    shared = server.shared("h")
    shared.find()
    turn = here(shared)
    proxy = LossyProxy(server.socket, tmp_path / "proxy", rng, 0.4)
    lossy = Shared(Address(f"unix://{tmp_path}/proxy"), "lobby", "h")
    lossy.room_id = shared.room_id
    offsets = []
    number = 0
    while proxy.lost < times:
        number += 1
        while True:
            try:
                offsets.append(add(lossy, turn + number, "c", number, b"%d\n" % number)[1])
            except Unreachable:
                continue
            break
    data = entries(shared)
    assert texts(data) == [str(n) for n in range(1, number + 1)]
    for n, offset in enumerate(offsets, 1):
        assert data[offset:].split(b"\n")[0].endswith(b"<ann> %d" % n)
    proxy.close()


@every_server
def test_a_call_that_comes_too_late_comes_to_nothing(server: Server) -> None:
    shared = server.shared("h")
    shared.find()
    turn = here(shared)
    assert add(shared, turn + 2, "c", 2, b"two\n")[0] == b"ok"
    assert add(shared, turn + 1, "c", 3, b"late\n") == [b"stale"]
    shared.begin()  # another writer
    assert add(shared, turn + 3, "c", 3, b"of a dead writer\n") == [b"stale"]
    assert texts(entries(shared)) == ["two"]


@every_server
def test_a_store_that_has_lost_its_end_is_given_nothing_new(server: Server) -> None:
    shared = server.shared("h")
    shared.find()
    turn = here(shared)
    end = len(entries(shared))
    call = ("add", "c", "s", 1, 37, b"<ann> hello\n")
    assert shared.call(turn, end + 1, call) == [b"behind", end]
    assert shared.call(turn, end, call) == [b"ok", end]


@every_server
def test_an_emptied_store_is_another_room(server: Server) -> None:
    shared = server.shared("h")
    shared.find()
    turn = here(shared)
    server.address().connect().flushall()
    assert add(shared, turn, "c", 1, b"x\n") == [b"other"]
    assert shared.find(make=False) is None


@every_server
def test_members_lines_come_in_their_order_and_once(
    server: Server, start_host: Callable[..., Host]
) -> None:
    host = start_host(server, "one")
    members = [host.member(f"m{n}") for n in range(10)]
    for number in range(100):
        for member in members:
            member.says(f"{number}", "and")
    for member in members:
        member.is_confirmed()
    data = entries(server.shared("x"))
    assert host.log.read_bytes() == data
    for member in members:
        said = texts(data, member.nick)
        assert said == [text for n in range(100) for text in (str(n), "and")]
        mine = b"".join(data[start:end] for start, end in member.confirmed)
        assert texts(mine, member.nick) == said
        assert mine.count(b"\n") == len(said)


@pytest.mark.parametrize("victim", ["writer", "replicator", "server"])
@every_server
def test_kill_9_loses_and_doubles_nothing(
    victim: str,
    start_server: Callable[..., Server],
    start_host: Callable[..., Host],
    rng: random.Random,
) -> None:
    server = start_server(durable=True)
    host = start_host(server, "one")
    members = [host.member(f"m{n}") for n in range(3)]
    for number in range(600):
        for member in members:
            member.says(str(number))
        goes_on()
        if number % 60 == 30:
            time.sleep(rng.random() / 50)
            if victim in ("writer", "replicator"):
                getattr(host, victim).kill()
                getattr(host, f"start_{victim}")()
            elif number % 180 == 30:
                server.kill()
                server.start()
    for member in members:
        member.is_confirmed()
    data = entries(server.shared("x"))
    for member in members:
        assert texts(data, member.nick) == [str(n) for n in range(600)]
    assert host.log.read_bytes() == data


def test_out_of_reach_is_told_once_and_what_waits_goes_out_in_order(
    server: Server, start_host: Callable[..., Host]
) -> None:
    host = start_host(server, "one")
    ann = host.member("ann")
    server.stop()
    for number in range(100):
        ann.says(str(number))
    assert host.hub
    told = host.hub.told
    goes_on_until(lambda: told)
    assert ann.asked == 1
    host.writer.kill()
    host.start_writer()  # which finds the same
    server.go_on()
    ann.is_confirmed()
    goes_on_until(lambda: len(told) > 1)
    assert [text.partition(":")[0] for text in told] == [
        "the room's store is out of reach",
        "the room's store is back",
    ]
    assert texts(entries(server.shared("x"))) == [str(n) for n in range(100)]


def test_a_host_whose_room_was_replaced_says_so(
    server: Server, start_host: Callable[..., Host]
) -> None:
    host = start_host(server, "one")
    host.kill()
    server.address().connect().flushall()
    server.shared("x").find()
    with pytest.raises(OtherRoom):
        host.copying()
