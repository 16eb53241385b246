"""What protection a room has stands in the store: what is said behind a code is read nowhere else.

The order is none, TLS, a code. All hosts of a room have the same, and it never gets less.
"""

from __future__ import annotations

import itertools

import pytest
from protected_support import Kind, environment
from rooms_support import Rooms, Site
from store_support import Server, every_server
from support import ROOM, Program, port_of

from duplex.store.errors import OtherProtection
from duplex.store.shared import Shared

WORDS = {"none": "without protection", "tls": "with TLS", "code": "with a code"}
ORDER = list(WORDS)


def start(rooms: Rooms, kind: str, name: str = "refused") -> Program:
    """A host of the room, which may be refused."""
    of = Kind(kind)
    env = {**environment(of.spoken), **rooms.env}
    env |= {"DUPLEX_CODE": of.spoken} if of.spoken else {}
    args = [*ROOM, "0", "--plain", "--name", "lobby", *of.listening]
    return rooms.duo.start(args, name, env=env, stdin=-3)


def is_told(program: Program, told: str) -> None:
    """It ends with that one line, and has never served."""
    assert program.status() == 1
    assert program.err == f"duplex room: cannot keep the room: {told}\n"


@pytest.fixture
def kept(rooms: Rooms, request: pytest.FixtureRequest) -> Site:
    of = Kind(request.param)
    if of.spoken:
        rooms.env["DUPLEX_CODE"] = of.spoken
    site = rooms.open(*of.listening)
    rooms.env.pop("DUPLEX_CODE", None)
    return site


PAIRS = [(first, other) for first, other in itertools.permutations(ORDER, 2)]


@pytest.mark.parametrize(("kept", "other"), PAIRS, indirect=["kept"])
def test_a_host_with_another_protection_is_refused_in_one_line(
    rooms: Rooms, kept: Site, other: str, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["kept"]
    told = f"the room lobby in the store is kept {WORDS[kind]}"
    if ORDER.index(other) < ORDER.index(kind):
        told += f": this host would keep it {WORDS[other]}, which is less"
    else:
        told += f" by another host: close that one first to keep it {WORDS[other]}"
    is_told(start(rooms, other), told)
    assert kept.end() == 0


@pytest.mark.parametrize("kept", ["none"], indirect=True)
def test_a_room_that_nobody_keeps_is_raised_and_never_lowered(rooms: Rooms, kept: Site) -> None:
    assert kept.end() == 0
    for kind in ("tls", "code"):
        host = start(rooms, kind, kind)
        port_of(host)
        host.process.terminate()
        assert host.status() == 0
    for kind in ("none", "tls"):
        told = "the room lobby in the store is kept with a code: this host would keep it "
        is_told(start(rooms, kind, f"{kind}-again"), f"{told}{WORDS[kind]}, which is less")


def host(server: Server, name: str, protection: str) -> Shared:
    shared = server.shared(name)
    shared.protection = protection
    return shared


@every_server
def test_a_room_of_an_older_version_is_what_the_next_host_says(server: Server) -> None:
    old = server.shared("old")
    old.find()
    old.begin()
    one = host(server, "one", "code")
    one.find()
    one.begin()
    with pytest.raises(OtherProtection):
        host(server, "two", "none").find()
    host(server, "three", "code").find()


@every_server
def test_who_has_been_let_in_counts_before_it_begins(server: Server) -> None:
    """Or two who come at the same time could each believe that it is alone."""
    one = host(server, "one", "none")
    one.find()
    with pytest.raises(OtherProtection):
        host(server, "two", "code").find()
    one.begin()


def test_a_host_that_was_taken_for_dead_is_not_let_in_again_with_less(server: Server) -> None:
    one = host(server, "one", "none")
    one.find()
    one.begin()
    client, key = server.address().connect(), "duplex:{lobby}:hosts"
    client.hset(key, "one", "1.000 0")  # not heard of for long
    two = host(server, "two", "code")
    two.find()
    two.begin()
    with pytest.raises(OtherProtection):
        one.begin()
