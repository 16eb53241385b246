"""A client whose connection is lost goes on where it was: nothing lost, nothing twice."""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from client_support import heard_by, join, log_of, members, said_by, start_room, talk_while_cut
from protected_support import Kind, environment
from proxy import Proxy
from support import Duo, alive, events, until


def test_a_member_that_is_killed_costs_its_client_nothing(duo: Duo) -> None:
    host, port = start_room(duo)
    ann = join(duo, port, "ann")
    until(lambda: "ann entered" in host.err)
    ann.type("one\n")
    until(lambda: said_by("ann", log_of(host)) == ["one"])
    os.kill(members(host)[0], signal.SIGKILL)
    ann.type("two\nthree\n")
    until(lambda: said_by("ann", log_of(host)) == ["one", "two", "three"])
    until(lambda: "connected again, as ann" in ann.err)
    assert ann.err.count("trying again") == 1
    assert ann.err.count("connected again") == 1
    happened = [re.sub(r" \(.*", "", text) for text in events(log_of(host))]
    assert happened[0] == "ann entered the room"
    assert happened[-1] == "ann is back"
    ann.end_input()
    assert ann.status() == 0
    until(lambda: events(log_of(host))[-1] == "ann left")
    assert log_of(host).read_bytes().startswith(heard_by(ann).read_bytes())


def test_a_room_that_is_killed_and_started_again_costs_its_clients_nothing(duo: Duo) -> None:
    host, port = start_room(duo)
    ann, bob = join(duo, port, "ann"), join(duo, port, "bob")
    ann.type("one\n")
    until(lambda: b"<ann> one" in bob.out)
    host.process.kill()
    until(lambda: "trying again" in ann.err and "trying again" in bob.err)
    ann.type("two\n")  # typed while there is no room
    bob.type("zwei\n")
    again, _ = start_room(duo, port=port)
    until(lambda: b"<bob> zwei" in ann.out and b"<ann> two" in bob.out)
    ann.end_input()
    bob.end_input()
    assert (ann.status(), bob.status()) == (0, 0)
    until(lambda: len([text for text in events(log_of(again)) if text.endswith(" left")]) == 2)
    log = log_of(again)
    assert said_by("ann", log) == ["one", "two"]
    assert said_by("bob", log) == ["zwei"]
    assert log.read_bytes().startswith(heard_by(ann).read_bytes())
    assert heard_by(bob).read_bytes() in log.read_bytes()


def test_a_connection_cut_at_any_byte_loses_and_doubles_nothing(
    duo: Duo, proxy: Callable[[int], Proxy]
) -> None:
    """Thousands of numbered lines each way, and a cut every few KiB."""
    host, port = start_room(duo)
    between = proxy(port)
    ann = join(duo, between.port, "ann")
    bob = join(duo, port, "bob")
    until(lambda: b"bob entered" in ann.out)
    talk_while_cut(host, between, ann, bob, 6000)
    assert between.cuts > 5
    heard = heard_by(ann).read_bytes()
    assert ann.out == b"".join(line for line in heard.splitlines(True) if b"<ann>" not in line)


def test_lines_typed_while_the_connection_is_lost_arrive_after_it(
    duo: Duo, proxy: Callable[[int], Proxy]
) -> None:
    host, port = start_room(duo)
    between = proxy(port)
    ann = join(duo, between.port, "ann")
    between.refuses = True
    between.cut()
    until(lambda: "connection lost" in ann.err)
    ann.type("one\n/me waits\ntwo")
    ann.end_input()
    between.refuses = False
    assert ann.status() == 0
    assert said_by("ann", log_of(host)) == ["one", "* waits", "two"]


def test_a_change_of_nick_survives_a_lost_connection(
    duo: Duo, proxy: Callable[[int], Proxy]
) -> None:
    host, port = start_room(duo)
    between = proxy(port)
    ann = join(duo, between.port, "ann")
    ann.type("/nick eve\n")
    until(lambda: b"! you are eve now\n" in ann.out)
    between.cut()
    until(lambda: "connected again, as eve" in ann.err)
    ann.type("me\n")
    ann.end_input()
    assert ann.status() == 0
    assert said_by("eve", log_of(host)) == ["me"]
    assert b"<eve>" not in ann.out


def test_without_retries_a_lost_connection_is_the_end(
    duo: Duo, proxy: Callable[[int], Proxy]
) -> None:
    _, port = start_room(duo)
    between = proxy(port)
    ann = join(duo, between.port, "ann", "--no-retry")
    until(lambda: b"ann entered" in ann.out)
    between.cut()
    assert ann.status() == 1
    assert "connection lost: " in ann.err
    assert "trying again" not in ann.err


def test_a_room_that_knows_nothing_of_us_is_joined_anew_and_what_is_unknown_is_told(
    duo: Duo,
) -> None:
    """The transcript and the key beside it are gone: nobody can tell what had arrived."""
    host, port = start_room(duo)
    ann = join(duo, port, "ann")
    until(lambda: b"ann entered" in ann.out)
    os.kill(members(host)[0], signal.SIGSTOP)
    ann.type("unknown\n/msg ann psst\n")
    until(lambda: unread_by_a_member(port))
    host.process.kill()
    until(lambda: "trying again" in ann.err)
    ann.type("later\n")
    start_room(duo, "--log", "another.log", port=port)
    until(lambda: "connected again" in ann.err)
    ann.end_input()
    assert ann.status() == 1  # a line of its may be lost
    assert "not resumed: the key is not of this room" in ann.err
    assert "not known to have arrived: unknown" in ann.err
    assert "not known to have been carried out: /msg ann psst" in ann.err
    assert said_by("ann", host.cwd / "another.log") == ["later"]


def unread_by_a_member(port: int) -> bool:
    """Whether bytes wait in the receive queue of a connection to this port (proc_net_tcp.txt)."""
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = row.split()
        here = int(fields[1].rpartition(":")[2], 16)
        if here == port and fields[3] == "01" and int(fields[4].rpartition(":")[2], 16):
            return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_waiting_for_a_room(duo: Duo, number: signal.Signals) -> None:
    host, port = start_room(duo)
    ann = join(duo, port, "ann")
    host.process.kill()
    until(lambda: "trying again" in ann.err)
    receiver = ann.child()
    os.kill(ann.pid, number)
    assert ann.status(3) == 128 + number
    assert not alive(receiver)


def test_members_that_are_killed_in_the_middle_cost_nobody_a_line(
    duo: Duo, rng: random.Random
) -> None:
    """With -9, again and again, while they carry thousands of lines."""
    host, port = start_room(duo)
    clients = {nick: join(duo, port, nick) for nick in ("ann", "bob", "eve")}
    count = 3000
    killed = 0
    for number in range(0, count, 50):
        for nick, client in clients.items():
            client.type("".join(f"{nick}{n}\n" for n in range(number, number + 50)))
        if number % 150 == 0 and (serving := members(host)):
            with suppress(ProcessLookupError):
                os.kill(rng.choice(serving), signal.SIGKILL)
                killed += 1
    for client in clients.values():
        client.end_input()
    assert [client.status(60) for client in clients.values()] == [0, 0, 0]
    assert killed >= 4
    log = log_of(host)
    for nick, client in clients.items():
        assert said_by(nick, log) == [f"{nick}{n}" for n in range(count)]
        assert heard_by(client).read_bytes() in log.read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("run", range(20))
@pytest.mark.parametrize("kind", ["plain", "code", "tls"])
@pytest.mark.timeout(300)
def test_a_connection_cut_very_often_loses_and_doubles_nothing(
    duo: Duo, proxy: Callable[[int], Proxy], rng: random.Random, kind: str, run: int
) -> None:
    """Both clients come through a proxy, and their members are killed now and then, too."""
    rng.seed(rng.random() + run)
    protected = Kind(kind)
    env = environment(protected.spoken)
    host, port = start_room(duo, *protected.listening, env=env)
    between = proxy(port)
    clients = {
        nick: join(duo, between.port, nick, *protected.calling, env=env) for nick in ("ann", "bob")
    }
    # A frame of a protected channel arrives whole or not at all.
    budgets = [3_000, 10_000, 50_000] if kind == "plain" else [30_000, 60_000, 100_000]
    between.most = rng.choice(budgets)
    count = 2000
    for number in range(0, count, 100):
        for nick, client in clients.items():
            client.type("".join(f"{nick}{n}\n" for n in range(number, number + 100)))
        if rng.random() < 0.2 and (serving := members(host)):
            with suppress(ProcessLookupError):
                os.kill(rng.choice(serving), signal.SIGKILL)
    for client in clients.values():
        client.end_input()
    for client in clients.values():
        assert client.status(200) == 0, client.err[-2000:]
    log = log_of(host)
    for nick, client in clients.items():
        assert said_by(nick, log) == [f"{nick}{n}" for n in range(count)]
        assert heard_by(client).read_bytes() in log.read_bytes()
