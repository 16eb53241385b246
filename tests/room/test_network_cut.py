"""A real network that is cut: two namespaces, a pair of veths between them, and the link down."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_support import heard_by, log_of, members, said_by
from network import HOST_ADDRESS, Network, cuttable
from support import DUPLEX, ROOM, Duo, Program, events, needs, port_of, until

PACE = 0.02  # s between two lines


@pytest.fixture
def network() -> Iterator[Network]:
    with cuttable() as made:
        yield made


class Talk:
    """A room, ann across the link and bob beside the room, who both say numbered lines."""

    def __init__(self, duo: Duo, network: Network) -> None:
        self._network = network
        within = network.within
        room = [*ROOM, "0", "--host", HOST_ADDRESS, "--plain", "--rate", "0"]
        self.host = duo.start(within(network.room, *room), "room")
        self.port = port_of(self.host)
        self.ann = self._join(duo, network.client, "ann")
        self.bob = self._join(duo, network.room, "bob")
        self.counts = {"ann": 0, "bob": 0}

    def _join(self, duo: Duo, where: str, nick: str) -> Program:
        command = [*DUPLEX, "connect", HOST_ADDRESS, str(self.port), "--nick", nick]
        client = duo.start(self._network.within(where, *command), nick)
        until(lambda: "this is room" in client.err)
        return client

    @property
    def log(self) -> Path:
        return log_of(self.host)

    def flows(self, seconds: float, *nicks: str) -> None:
        """Both, or who is named, say a line every now and then, for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for nick in nicks or self.counts:
                client = self.ann if nick == "ann" else self.bob
                client.type(f"{nick} {self.counts[nick]} {'.' * 40}\n")
                self.counts[nick] += 1
            time.sleep(PACE)  # the pace of a stream, no waiting for an event

    def arrives(self, seconds: float) -> None:
        """All that was said is everywhere, once, and in order."""
        said = {
            nick: [f"{nick} {n} {'.' * 40}" for n in range(count)]
            for nick, count in self.counts.items()
        }
        until(
            lambda: all(len(said_by(nick, self.log)) >= len(said[nick]) for nick in said), seconds
        )
        until(lambda: len(heard_by(self.ann).read_bytes()) >= self._size_for_ann(), seconds)
        for nick in said:
            assert said_by(nick, self.log) == said[nick]
            assert said_by(nick, heard_by(self.ann)) == said[nick]
        # What ann has is the room's transcript, byte for byte (she was its first client).
        assert self.log.read_bytes() == heard_by(self.ann).read_bytes()

    def _size_for_ann(self) -> int:
        return len(self.log.read_bytes())

    def happened_to_ann(self) -> list[str]:
        """The events about ann, without addresses and reasons."""
        return [re.sub(r" \(.*", "", text) for text in events(self.log) if text.startswith("ann ")]

    def ends(self) -> None:
        for client in (self.ann, self.bob):
            client.end_input()
            assert client.status() == 0, client.err
        until(lambda: events(self.log)[-2:] in (["ann left", "bob left"], ["bob left", "ann left"]))
        assert members(self.host) == []
        self.host.process.send_signal(signal.SIGTERM)
        assert self.host.status() == 0


@pytest.fixture
def talk(duo: Duo, network: Network) -> Talk:
    return Talk(duo, network)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(3),
        pytest.param(20, marks=(pytest.mark.long, pytest.mark.timeout(180))),
    ],
)
def test_a_link_that_is_down_for_a_while_costs_a_client_nothing(
    talk: Talk, network: Network, seconds: float
) -> None:
    """TCP may bring the connection over that; if not, the client comes back."""
    talk.flows(1)
    network.cut()
    talk.flows(seconds)
    network.mend()
    talk.flows(1)
    talk.arrives(60)
    happened = talk.happened_to_ann()
    assert happened[0] == "ann entered the room"
    assert not happened[1:] or happened[-1] == "ann is back", happened
    assert len(members(talk.host)) == 2  # no stale one
    talk.ends()


def test_a_member_that_ends_during_a_cut_is_come_back_from(talk: Talk, network: Network) -> None:
    """The room has given the connection up, and the client learns it only from the reset."""
    talk.flows(0.5)
    stale = members(talk.host)[0]
    network.cut()
    talk.flows(0.5)
    os.kill(stale, signal.SIGKILL)
    until(lambda: talk.happened_to_ann()[-1] == "ann was dropped")
    assert len(members(talk.host)) == 1
    talk.flows(0.5)
    network.mend()
    talk.flows(0.5)
    talk.arrives(30)
    assert talk.happened_to_ann() == ["ann entered the room", "ann was dropped", "ann is back"]
    assert "connected again, as ann" in talk.ann.err
    assert len(members(talk.host)) == 2
    talk.ends()


def test_a_client_that_gives_a_connection_up_takes_its_nick_over_from_the_stale_member(
    talk: Talk, network: Network
) -> None:
    """Nothing is under way to the client during the cut, so that the member cannot know."""
    needs("ss")
    talk.flows(0.5)
    talk.arrives(30)
    stale = members(talk.host)[0]
    network.cut()
    killed = network.within(network.client, "ss", "--kill", "dport", "=", f":{talk.port}")
    done = subprocess.run(killed, capture_output=True, text=True, check=False)
    if "not supported" in done.stderr:
        pytest.skip(f"this kernel kills no sockets: {done.stderr.strip()}")
    until(lambda: "trying again" in talk.ann.err)
    talk.flows(0.5, "ann")
    assert stale in members(talk.host)
    network.mend()
    talk.flows(0.5, "ann")
    until(lambda: "connected again, as ann" in talk.ann.err)
    talk.flows(0.5)
    talk.arrives(30)
    happened = talk.happened_to_ann()
    # The member makes way when it is asked to, unless it hears before that its client is gone.
    assert happened in (
        ["ann entered the room", "ann is back"],
        ["ann entered the room", "ann was dropped", "ann is back"],
    )
    assert stale not in members(talk.host)
    assert len(members(talk.host)) == 2
    talk.ends()


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_cut_longer_than_a_dead_peer_is_waited_for_costs_a_client_nothing(
    talk: Talk, network: Network
) -> None:
    """Both sides notice by themselves, within 30 s, and the client comes back."""
    talk.flows(1)
    network.cut()
    talk.flows(40)
    assert talk.happened_to_ann() == ["ann entered the room", "ann was dropped"]
    assert "trying again" in talk.ann.err
    assert len(members(talk.host)) == 1
    network.mend()
    talk.flows(1)
    talk.arrives(60)
    assert talk.happened_to_ann() == ["ann entered the room", "ann was dropped", "ann is back"]
    assert len(members(talk.host)) == 2
    talk.ends()
