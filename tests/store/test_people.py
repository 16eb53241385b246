"""Who is here, on all hosts: a nick is one person's, and nobody is announced twice."""

from __future__ import annotations

import json
import os
import random
import socket
import time
from collections.abc import Callable

import pytest
from store_support import Host, Server, add, every_server, goes_on_until

from duplex.store.calls import SEPARATOR
from duplex.store.shared import Shared
from duplex.store.writer import ANSWER_LIMIT, _answers


def host(server: Server, name: str) -> tuple[Shared, int]:
    shared = server.shared(name)
    shared.find()
    return shared, shared.begin() + 1


def come(shared: Shared, turn: int, connection: str, nick: str, session: str = "s") -> int:
    answer = shared.call(turn, 0, ("claim", connection, session, nick, nick, ""))
    assert answer[0] == b"ok"
    return shared.call(turn, 0, ("enter", connection, session, f"{nick} entered the room"))[1]


def who(shared: Shared, turn: int) -> list[str]:
    return [nick.decode() for nick in shared.call(turn, 0, ("who",))[1:]]


def events(shared: Shared) -> list[str]:
    """The texts of the events."""
    data = b"".join(entry.data for entry in shared.read("0-0", "0-0", 10_000, 0)[0])
    return [line[27:] for line in data.decode().splitlines() if line[25] == "*"]


def overdue(server: Server, name: str) -> None:
    """A host has not been heard of for too long."""
    client, key = server.address().connect(), "duplex:{lobby}:hosts"
    turn = client.hget(key, name).split()[1]
    client.hset(key, name, b"%d %s" % (time.time() - 1, turn))


@every_server
def test_of_two_hosts_that_claim_a_nick_one_gets_it_a_thousand_times(server: Server) -> None:
    host(server, "one")
    children = []
    for name in ("one", "two"):
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            ours.close()
            shared, turn = host(server, name)
            for n in range(1000):
                theirs.recv(1)
                answer = shared.call(turn, 0, ("claim", f"{name}{n}", "s", f"n{n}", f"n{n}", ""))
                theirs.send(answer[0])
            os._exit(0)
        theirs.close()
        children.append(ours)
    for _ in range(1000):
        for child in children:
            child.send(b"!")
        assert sorted(child.recv(10) for child in children) == [b"ok", b"taken"]
    for child in children:
        os.wait()
        child.close()


@every_server
def test_nicks_that_count_as_the_same_are_one(server: Server) -> None:
    shared, turn = host(server, "one")
    come(shared, turn, "c1", "ann")
    assert shared.call(turn, 0, ("claim", "c2", "s2", "Ann", "ann", "")) == [b"taken"]
    assert shared.call(turn, 0, ("claim", "c1", "s", "Ann", "ann", "ann is now Ann"))[0] == b"ok"
    assert shared.call(turn, 0, ("claim", "c1", "s", "Ann", "ann", "ann is now Ann"))[0] == b"ok"
    assert events(shared) == ["ann entered the room", "ann is now Ann"]
    assert who(shared, turn) == ["Ann"]


@every_server
def test_guests_have_different_names_on_all_hosts(server: Server) -> None:
    names = set()
    for name in ("one", "two"):
        shared, turn = host(server, name)
        for n in range(10):
            names.add(shared.call(turn, 0, ("claim", f"{name}{n}", "s", "", "", ""))[1])
    assert len(names) == 20


@every_server
def test_who_leaves_is_announced_once_and_the_nick_is_free(server: Server) -> None:
    shared, turn = host(server, "one")
    come(shared, turn, "c1", "ann")
    for _ in range(2):
        shared.call(turn, 0, ("leave", "c1", "s", "left"))
    assert events(shared) == ["ann entered the room", "ann left"]
    come(shared, turn, "c2", "ann")
    assert shared.call(turn, 0, ("beat",))[1] == 1


@every_server
def test_a_dead_hosts_people_are_announced_once_by_whoever_notices(server: Server) -> None:
    dead, turn = host(server, "dead")
    for n in range(1200):
        dead.call(turn, 0, ("claim", f"c{n}", f"s{n}", f"n{n}", f"n{n}", ""))
        dead.call(turn, 0, ("enter", f"c{n}", f"s{n}", f"n{n} entered the room"))
    living = [host(server, name) for name in ("two", "three")]
    for shared, own in living:
        shared.call(own, 0, ("beat",))
    overdue(server, "dead")
    for _ in range(4):
        for shared, own in living:
            shared.call(own, 0, ("beat",))
    gone = [text for text in events(living[0][0]) if "dropped" in text]
    assert len(gone) == 1200
    assert set(gone) == {f"n{n} was dropped (its host is gone)" for n in range(1200)}
    assert living[0][0].call(living[0][1], 0, ("beat",))[1] == 0
    assert add(dead, turn, "c1", 1, b"x\n") == [b"swept"]


@every_server
def test_a_host_that_was_taken_for_dead_comes_back_and_says_what_waited_once(
    server: Server, start_host: Callable[..., Host]
) -> None:
    one = start_host(server, "one")
    ann = one.member("ann")
    ann.says("before")
    ann.is_confirmed()
    one.writer.kill()
    ann.says("meanwhile", "and more")
    other, turn = host(server, "two")
    other.call(turn, 0, ("beat",))
    overdue(server, one.known_as)
    other.call(turn, 0, ("beat",))
    one.start_writer()
    ann.is_confirmed()
    assert [text.partition(" (127")[0] for text in events(other)] == [
        "ann entered the room",
        "ann was dropped (its host is gone)",
        "ann is back",
    ]
    data = b"".join(entry.data for entry in other.read("0-0", "0-0", 10_000, 0)[0])
    assert data.count(b"<ann> before") == data.count(b"<ann> meanwhile") == 1


@every_server
def test_who_is_here_when_a_hub_is_killed_is_dropped_by_the_next(
    server: Server, start_host: Callable[..., Host]
) -> None:
    """And what was asked for the one before comes to nothing, however late it is carried out."""
    one = start_host(server, "one")
    one.member("ann")
    former, turn = server.shared(one.known_as), one.turn()
    former.find()
    one.kill_hub()
    one.start_hub()
    bob = one.member("bob")
    bob.says("here")
    bob.is_confirmed()
    assert former.call(turn, 0, ("claim", "c", "s", "eve", "eve", ""))[0] in (b"swept", b"stale")
    told = [text.partition(" (127")[0] for text in events(server.shared("x"))]
    assert told == [
        "ann entered the room",
        "ann was dropped (the hub of its host has ended)",
        "bob entered the room",
    ]
    bob.does(lambda then: one.ledger.rename(bob.seat, "ann", False, then))
    assert bob.seat.nick == "ann"


def test_more_than_one_call_sweeps_are_dropped_when_a_hub_is_killed(server: Server) -> None:
    former, turn = host(server, "one.1")
    for n in range(1200):
        come(former, turn, f"c{n}", f"n{n}", f"s{n}")
    other, own = host(server, "two")
    next_, _ = host(server, "one.2")
    assert next_.call(next_.begin(), 0, ("who",))[0] == b"ok"
    assert add(former, turn + 1, "c1", 1, b"x\n")[0] in (b"swept", b"stale")
    for _ in range(4):
        other.call(own, 0, ("beat",))
    assert len([text for text in events(other) if "was dropped" in text]) == 1200
    assert who(other, own) == []


@every_server
def test_when_the_store_was_away_nobody_is_taken_for_dead(server: Server) -> None:
    one, turn = host(server, "one")
    come(one, turn, "c1", "ann")
    two, other_turn = host(server, "two")
    for shared, own in ((one, turn), (two, other_turn)):
        shared.call(own, 0, ("beat",))
    overdue(server, "one")
    client = server.address().connect()
    client.hset("duplex:{lobby}:room", "beat", b"%d" % (time.time() - 6))
    two.call(other_turn, 0, ("beat",))
    two.call(other_turn, 0, ("beat",))
    assert events(one) == ["ann entered the room"]


@pytest.mark.long
def test_a_killed_hosts_people_are_announced_within_15_s(
    server: Server, start_host: Callable[..., Host]
) -> None:
    one, two = start_host(server, "one"), start_host(server, "two")
    one.member("ann")
    two.member("bob")
    time.sleep(3)  # let the beats be under way
    one.kill()
    begun = time.monotonic()
    goes_on_until(lambda: "ann was dropped (its host is gone)" in events(server.shared("x")))
    assert time.monotonic() - begun < 15


@pytest.mark.long
def test_ten_seconds_of_a_stopped_store_drop_nobody(
    server: Server, start_host: Callable[..., Host]
) -> None:
    hosts = [start_host(server, name) for name in ("one", "two", "three")]
    members = [one.member(one.name) for one in hosts]
    time.sleep(3)
    server.stop()
    time.sleep(12)
    server.go_on()
    time.sleep(6)
    for member in members:
        member.says("still here")
        member.is_confirmed()
    assert not [text for text in events(server.shared("x")) if "dropped" in text]


@every_server
def test_who_comes_back_on_another_host_ends_the_earlier_connection(server: Server) -> None:
    one, turn = host(server, "one")
    come(one, turn, "c1", "ann", "ann's")
    two, own = host(server, "two")
    two.call(own, 0, ("claim", "c2", "x", "", "", ""))
    resume = ("resume", "c2", "ann's", "ann", "ann", "ann is back")
    end = two.call(own, 0, resume)[1]
    assert two.call(own, 0, resume)[1] == end
    assert add(one, turn, "c1", 1, b"x\n") == [b"ok", -1]  # another session's, in this test's add
    body = ("add", "c1", "ann's", 1, 33, b"<ann> x\n")
    assert one.call(turn, 0, body) == [b"ok", -2]
    one.call(turn, 0, ("leave", "c1", "ann's", "was dropped"))
    assert events(one) == ["ann entered the room", "ann is back"]
    _, letters = one.read("$", "0-0", 10, 0)
    assert [(letter.nick, letter.text) for letter in letters] == [("ann", b"tc1")]
    assert who(two, own) == ["ann"]


@every_server
def test_an_earlier_connection_stays_ended_when_the_later_one_has_left(server: Server) -> None:
    """A host that stood still goes on: what its member still has was said in the later one."""
    one, turn = host(server, "one")
    come(one, turn, "c1", "ann", "ann's")
    two, own = host(server, "two")
    two.call(own, 0, ("claim", "c2", "x", "", "", ""))
    two.call(own, 0, ("resume", "c2", "ann's", "ann", "ann", "ann is back"))
    two.call(own, 0, ("leave", "c2", "ann's", "left"))
    assert one.call(turn, 0, ("add", "c1", "ann's", 1, 33, b"<ann> x\n")) == [b"ok", -2]
    assert one.call(turn, 0, ("claim", "c1", "ann's", "ann", "ann", "")) == [b"moved"]
    assert events(one) == ["ann entered the room", "ann is back", "ann left"]


def test_an_earlier_connection_does_not_take_over_a_later_one(server: Server) -> None:
    one, turn = host(server, "one")
    two, own = host(server, "two")
    one.call(turn, 0, ("claim", "c1", "s1", "", "", ""))
    two.call(own, 0, ("claim", "c2", "s2", "", "", ""))
    assert two.call(own, 0, ("resume", "c2", "s", "ann", "ann", "ann is back"))[0] == b"ok"
    late = ("resume", "c1", "s", "ann", "ann", "ann is back")
    assert one.call(turn, 0, late) == [b"later"]


@every_server
def test_a_letter_reaches_its_reader_on_another_host(
    server: Server, start_host: Callable[..., Host]
) -> None:
    one, two = start_host(server, "one"), start_host(server, "two")
    ann, bob = one.member("ann"), two.member("bob")
    post = one.ledger.post
    assert ann.does(lambda then: post(ann.seat, "bob", "psst", then)) == ("",)
    nobody = ("nobody here is called eve",)
    assert ann.does(lambda then: post(ann.seat, "eve", "psst", then)) == nobody
    goes_on_until(lambda: bob.told == ["-ann- psst"])
    mail = server.address().connect()
    goes_on_until(lambda: not mail.xlen(f"duplex:{{lobby}}:mail:{two.known_as}"))


@every_server
def test_a_letter_that_is_brought_again_is_opened_once(
    server: Server, start_host: Callable[..., Host]
) -> None:
    one, two = start_host(server, "one"), start_host(server, "two")
    ann, bob = one.member("ann"), two.member("bob")
    two.writer.kill()  # so that it stays in the store
    ann.does(lambda then: one.ledger.post(ann.seat, "bob", "psst", then))
    goes_on_until(lambda: bob.told)
    two.replicator.kill()
    two.start_replicator()
    ann.says("that is all")
    ann.is_confirmed()
    two.has(ann.confirmed[-1][1])
    assert bob.told == ["-ann- psst"]


@every_server
def test_a_host_that_closes_takes_its_people_along(server: Server) -> None:
    shared, turn = host(server, "one")
    come(shared, turn, "c1", "ann")
    assert shared.call(turn, 0, ("retire", "", "", "its host has closed")) == [b"ok", 1]
    assert events(shared)[-1] == "ann was dropped (its host has closed)"
    assert shared.call(turn, 0, ("beat",)) == [b"swept"]


def test_a_nick_has_one_holder_at_every_time(server: Server, rng: random.Random) -> None:
    """Random claims, entries, resumptions and leavings on two hosts, against what must hold."""
    hosts = [host(server, name) for name in ("one", "two")]
    client = server.address().connect()
    for _ in range(1500):
        shared, turn = rng.choice(hosts)
        connection, session = f"c{rng.randrange(8)}", f"s{rng.randrange(4)}"
        nick = f"n{rng.randrange(4)}"
        operation = rng.choice(["claim", "enter", "resume", "leave"])
        more = {"claim": (nick, nick, "x"), "resume": (nick, nick, "x")}.get(operation, ("x",))
        shared.call(turn, 0, (operation, connection, session, *more))
        people = client.hgetall("duplex:{lobby}:people")
        nicks = client.hgetall("duplex:{lobby}:nicks")
        assert sorted(nicks.values()) == sorted(people)
        inside = sum(b'"e"' in packed for packed in people.values())
        assert int(client.hget("duplex:{lobby}:room", "here")) == inside


def test_an_answer_that_is_longer_than_a_datagram_is_refused() -> None:
    """Or the hub would ask the next writer the same again, for ever."""
    names = [b"n" * 32] * (ANSWER_LIMIT // 32)
    (message,) = _answers(False, [b"7"], [b"ok", *names])
    assert message == SEPARATOR.join([b"7", b"refused", b"the answer is too long"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    (message,) = _answers(False, [b"7"], [b"ok", *names[:-200]])
    assert ours.send(message) == len(message)
    for sock in (ours, theirs):
        sock.close()


def test_the_stores_clock_decides_nothing_when_somebody_comes_back(server: Server) -> None:
    """It was set back since the earlier connection came, which hangs half open."""
    shared, turn = host(server, "one")
    client = server.address().connect()
    later = int(time.time()) + 3600
    shared.call(turn, 0, ("claim", "c1", "s", "guest-1", "guest-1", ""))
    shared.call(turn, 0, ("enter", "c1", "s", "guest-1 entered the room"))
    person = json.loads(client.hget("duplex:{lobby}:people", "c1"))
    client.hset("duplex:{lobby}:people", "c1", json.dumps({**person, "t": str(later)}))
    client.hset("duplex:{lobby}:room", "came", later)
    shared.call(turn, 0, ("claim", "c2", "s2", "guest-2", "guest-2", ""))
    assert shared.call(turn, 0, ("resume", "c2", "s", "ann", "ann", "ann is back"))[0] == b"ok"


@every_server
def test_what_looks_like_anothers_nick_is_nobody_elses_on_any_host(server: Server) -> None:
    (one, turn), (two, own) = host(server, "one"), host(server, "two")
    claim = ("claim", "c1", "s1", "bill", "bill", "", "bill")
    assert one.call(turn, 0, claim)[0] == b"ok"
    assert one.call(turn, 0, claim)[0] == b"ok", "asked twice"
    alike = ("claim", "c2", "s2", "bi11", "bi11", "", "bill")
    assert two.call(own, 0, alike) == [b"alike", b"bill"]
    assert two.call(own, 0, ("claim", "c2", "s2", "Bill", "bill", "", "bill")) == [b"taken"]
    assert one.call(turn, 0, ("claim", "c1", "s1", "bob", "bob", "", "bob"))[0] == b"ok"
    assert two.call(own, 0, alike)[0] == b"ok", "it was let go with the nick"
    two.call(own, 0, ("leave", "c2", "s2", ""))
    assert one.call(turn, 0, ("claim", "c1", "s1", "bill", "bill", "", "bill"))[0] == b"ok"


@every_server
def test_a_guest_does_not_look_like_somebody(server: Server) -> None:
    shared, turn = host(server, "one")
    shared.call(turn, 0, ("claim", "c1", "s1", "guest-l", "guest-l", "", "guest-l"))
    assert shared.call(turn, 0, ("claim", "c2", "s2", "", "", ""))[1] == b"guest-2"
    assert shared.call(turn, 0, ("claim", "c3", "s3", "guest-Z", "guest-z", "", "guest-z"))
    got = [shared.call(turn, 0, ("claim", f"d{n}", "s4", "", "", ""))[1] for n in range(9)]
    assert got[-1] == b"guest-11"
    answer = shared.call(turn, 0, ("claim", "c4", "s5", "guest-1O", "guest-1o", "", "guest-lo"))
    assert answer == [b"alike", b"guest-10"]


@every_server
def test_who_comes_back_takes_what_its_nick_looks_like_along(server: Server) -> None:
    (one, turn), (two, own) = host(server, "one"), host(server, "two")
    one.call(turn, 0, ("claim", "c1", "s1", "bill", "bill", "", "bill"))
    one.call(turn, 0, ("enter", "c1", "s1", "bill entered the room"))
    two.call(own, 0, ("claim", "c2", "s1x", "", "", ""))
    back = ("resume", "c2", "s1", "bill", "bill", "bill is back", "bill")
    assert two.call(own, 0, back)[0] == b"ok"
    two.call(own, 0, ("claim", "c3", "s3", "", "", ""))
    alike = ("claim", "c3", "s3", "bi11", "bi11", "", "bill")
    assert two.call(own, 0, alike) == [b"alike", b"bill"]
    two.call(own, 0, ("leave", "c2", "s1", ""))
    assert two.call(own, 0, alike)[0] == b"ok"
