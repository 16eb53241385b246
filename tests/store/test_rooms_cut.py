"""A host that is cut off from the store, by a link that is down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from network import HOST_ADDRESS, Network, cuttable
from rooms_support import Rooms
from store_support import Server
from support import DUPLEX, follower_log, said, until

STORE_PORT = 6390


@pytest.fixture
def network() -> Iterator[Network]:
    with cuttable() as made:
        yield made


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(3, marks=pytest.mark.timeout(120)),
        pytest.param(20, marks=(pytest.mark.long, pytest.mark.timeout(180))),
    ],
)
def test_a_host_that_is_cut_off_loses_nothing(
    start_server: Callable[..., Server],
    start_rooms: Callable[..., Rooms],
    network: Network,
    seconds: float,
) -> None:
    server = start_server(within=network.within(network.room), port=STORE_PORT)
    rooms = start_rooms(server)
    url = f"redis://{HOST_ADDRESS}:{STORE_PORT}/0"
    inside = network.within(network.client)
    one, two = rooms.open(), rooms.open(within=inside, url=url)
    bob = one.client("bob")
    command = [*inside, *DUPLEX, "connect", two.address, str(rooms.port), "--nick", "ann"]
    ann = rooms.duo.start(command, "ann")
    until(lambda: "you are ann" in ann.err)
    ann.type("before\n")
    bob.sees("<ann> before")
    network.cut()
    cut_at = time.monotonic()
    ann.type("meanwhile\n")
    bob.say("bob's")
    if seconds > 15:
        bob.sees("* ann was dropped (its host is gone)")
    until(lambda: time.monotonic() - cut_at > seconds)
    network.mend()
    ann.type("after\n")
    if seconds > 15:
        bob.sees("* ann is back")
    bob.sees("<ann> meanwhile")
    bob.sees("<ann> after")
    ann.end_input()
    assert ann.status() == 0, ann.err
    log = rooms.are_same()
    assert sorted(said(one.log)) == ["after", "before", "bob's", "meanwhile"]
    assert follower_log(ann.cwd).read_bytes() in log
    assert "trying again" not in ann.err  # it was never disconnected
