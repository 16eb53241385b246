"""What a room allows: how many may be here, from where, and how fast they may speak."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from room_support import Room, within
from support import ROOM, Program, members_of, records, said, until

from duplex.room.arrival import VAIN_LIMIT

OpenRoom = Callable[..., Room]


# Wrong values, and what they are called


def run(tmp_path: Path, *args: str) -> Program:
    program = Program([*ROOM, *args], tmp_path, stdin=-3)
    program.status()
    return program


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["0", "--history", "-1"], "cannot use --history -1: it needs a number from 0 on"),
        (["0", "--history", "x"], "invalid int value: 'x'"),
        (["0", "--max-members", "0"], "cannot use --max-members 0: it needs a number from 1 on"),
        (
            ["0", "--max-per-address", "-1"],
            "cannot use --max-per-address -1: it needs a number from 0 on",
        ),
        (
            ["0", "--max-handshakes", "-1"],
            "cannot use --max-handshakes -1: it needs a number from 0 on",
        ),
        (["0", "--rate", "-1"], "cannot use --rate -1: it needs a number from 0 on"),
        (["0", "--rate", "inf"], "cannot use --rate inf: it needs a number from 0 on"),
        (["0", "--rate", "nan"], "cannot use --rate nan: it needs a number from 0 on"),
        (["0", "--max-lag", "1000"], "cannot use --max-lag 1000: it needs 1048576 bytes or more"),
        (["0", "--fsync", "sometimes"], "invalid choice: 'sometimes'"),
        (["0", "--name", " "], "cannot use --name ' ': it cannot be shown"),
        (["0", "--name", "a\nb"], r"cannot use --name 'a\nb': it cannot be shown"),
        (["65536"], "a port is a number from 0 to 65535"),
        (["x"], "invalid int value: 'x'"),
        ([], "PORT"),
    ],
)
def test_a_wrong_value_is_one_line_and_exit_2(tmp_path: Path, args: list[str], line: str) -> None:
    program = run(tmp_path, *args)
    assert program.status() == 2
    assert program.err.count("\n") == 1
    assert line in program.err


def test_help_has_an_example(tmp_path: Path) -> None:
    program = run(tmp_path, "--help")
    assert program.status() == 0
    help_text = program.out.decode()
    assert "example:\n  duplex room 5000 " in help_text
    for option in ("--host", "--log", "--name", "--history", "--max-members", "--max-per-address"):
        assert option in help_text
    for option in ("--rate", "--max-lag", "--fsync"):
        assert option in help_text


# How many


def test_a_full_room_says_so_in_one_line_and_has_room_again(open_room: OpenRoom) -> None:
    room = open_room("--max-members", "2")
    ann, bob = room.enter("ann", "bob")
    for _ in range(3):
        refused = room.connect()
        assert refused.reads_to_the_end() == ["! the room is full: 2 are here (--max-members)"]
        until(lambda c=refused: f"refused {c.place}: the room is full" in room.host.err)
    bob.say("/quit")
    bob.reads_to_the_end()
    room.recorded("bob left")
    until(lambda: len(members_of(room.host.pid)) == 1)
    room.client().sees("* guest-3 entered the room")
    assert room.events()[-2:] == ["bob left", "guest-3 entered the room"]
    ann.sees("guest-3")


def test_an_address_may_not_fill_the_room(open_room: OpenRoom) -> None:
    room = open_room("--max-per-address", "2")
    ann, bob = room.enter("ann", "bob")
    refused = room.connect()
    why = "! 2 are here from your address (--max-per-address)"
    assert refused.reads_to_the_end() == [why]
    room.enter("eve", "joe", address="127.0.0.2")
    assert room.connect(address="127.0.0.2").reads_to_the_end() == [why]
    ann.say("/quit")
    bob.sees("* ann left")
    until(lambda: room.connect().sees("!").startswith("! welcome"))


def test_without_a_limit_an_address_may_have_many(open_room: OpenRoom) -> None:
    room = open_room("--max-per-address", "0")
    room.enter(*(f"n{number}" for number in range(70)))


def test_a_refused_flood_harms_nobody(open_room: OpenRoom) -> None:
    room = open_room("--max-per-address", "1")
    (ann,) = room.enter("ann")
    for _ in range(200):
        room.connect().say("let me in")
    (bob,) = room.enter("bob", address="127.0.0.2")
    bob.say("hello")
    ann.sees("<bob> hello")
    assert [nick for nick, _ in records(room.log) if nick] == ["bob"]
    # It does not flood the operator either: a line a second, which together count them all.
    counted = r"refused 127\S+: 1 are here from your address .*?(?: \(and (\d+) more\))?\n"
    until(lambda: sum(int(more or 0) + 1 for more in re.findall(counted, room.host.err)) == 200)
    assert room.host.err.count("refused") < 20


# How fast


def test_a_paste_is_slowed_told_once_and_loses_nothing(open_room: OpenRoom) -> None:
    room = open_room("--rate", "200")  # a second, after 100 at once
    ann, bob = room.enter("ann", "bob")
    lines = [f"line {number}" for number in range(300)]
    begun = time.monotonic()
    bob.say(*lines)
    ann.sees("<bob> line 49")
    ann.say("others are not slowed")
    bob.sees("<ann> others are not slowed")
    assert "<bob> line 299" not in (room.log.read_text())
    ann.sees("<bob> line 299")
    assert time.monotonic() - begun > 0.8  # 200 lines, and what the tokens so far had left
    assert ann.said == [f"<bob> {line}" for line in lines]
    bob.say("/msg bob that was it")
    bob.sees("-bob- that was it")
    assert bob.heard.count(b"! slowly: 200 lines a second; all will be said\n") == 1
    assert bob.heard.count(b"slowly") == 1


def test_a_burst_goes_through_at_once(open_room: OpenRoom) -> None:
    room = open_room("--rate", "0.01")
    ann, bob = room.enter("ann", "bob")
    bob.say(*(f"line {number}" for number in range(88)))  # and what `enter` said costs 11
    ann.sees("<bob> line 87")
    bob.say("/quit")
    assert not any("slowly" in line for line in bob.reads_to_the_end())


def test_who_is_slowed_is_read_no_more(open_room: OpenRoom) -> None:
    """TCP pushes back: a flood costs the room neither memory nor lines."""
    room = open_room("--rate", "1")
    ann, bob = room.enter("ann", "bob")
    pid = room.member_of(bob)
    bob.sock.settimeout(0.5)
    flood = b"".join(b"%099d\n" % number for number in range(300_000))
    with pytest.raises(TimeoutError):
        bob.sock.sendall(flood)
    status = Path(f"/proc/{pid}/status").read_text()
    assert int(status.partition("RssAnon:")[2].split()[0]) < 16 * 1024
    ann.say("others are not")
    bob.sock.settimeout(30)
    bob.sees("<ann> others are not")


def test_what_was_said_slowly_is_said_before_leaving(open_room: OpenRoom) -> None:
    room = open_room("--rate", "300")
    ann, bob = room.enter("ann", "bob")
    bob.say(*(f"line {number}" for number in range(200)))
    bob.shut()
    ann.sees("* bob left")
    assert ann.said == [f"<bob> line {number}" for number in range(200)]


def test_rate_0_is_no_limit(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    bob.say(*(f"line {number}" for number in range(20_000)))
    ann.sees("<bob> line 19999")
    assert ann.said == [f"<bob> line {number}" for number in range(20_000)]
    bob.say("/quit")
    assert not any("slowly" in line for line in bob.reads_to_the_end())


ANYWHERE = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7"]


@pytest.mark.parametrize(
    ("nicks", "addresses"),
    [
        ([f"eve-{number}" for number in range(6)], ANYWHERE[:1] * 6),
        (["eve"] * 6, ANYWHERE),
    ],
    ids=["of one address", "of one nick"],
)
def test_who_comes_again_and_again_says_no_more_than_who_stays(
    open_room: OpenRoom, nicks: list[str], addresses: list[str]
) -> None:
    room = open_room("--rate", "20")  # a second, after 100 at once
    begun = time.monotonic()
    for nick, address in zip(nicks, addresses, strict=True):
        eve = room.client(address=address)
        eve.say(f"/join {nick}", *(f"line {number}" for number in range(120)))
        eve.sees("! slowly: 20 lines a second")
        eve.reset()
        room.recorded(f"{nick} was dropped (connection lost)")
        until(lambda: not [seat for seat in room.seats() if seat.nick == nick])  # noqa: B023
    took = time.monotonic() - begun
    count = sum(nick is not None for nick, _ in records(room.log))
    assert 100 <= count <= 100 + 20 * took + 2
    (ann,) = room.enter("ann")
    ann.say("others are not slowed", "/quit")
    assert not any("slowly" in line for line in ann.reads_to_the_end())


def test_many_at_one_address_are_slowed_together_and_lose_nothing(open_room: OpenRoom) -> None:
    room = open_room("--rate", "20")
    ann, bob = room.enter("ann", "bob")
    crowd = [room.client(address="127.0.0.2") for _ in range(12)]
    begun = time.monotonic()
    for number, client in enumerate(crowd):
        client.say(f"/join n{number}", *(f"line {line}" for line in range(60)))
    ann.say("others are not slowed")
    within(2, lambda: bob.sees("<ann> others are not slowed"))
    count = len(crowd) * 60
    until(lambda: sum("line" in text for text in said(room.log)) == count)
    assert time.monotonic() - begun > (count - 400) / 80 * 0.8  # 4 members' worth, at most


def test_who_asks_in_vain_to_resume_is_not_answered_for_ever(room: Room) -> None:
    eve = room.client()
    for _ in range(VAIN_LIMIT):
        eve.say("/resume ann 00ff 0")
        eve.sees("! not resumed: the key is not of this room")
    assert eve.reads_to_the_end()[-1] == "! you have asked too often; come back later"
    room.is_well()


# What a command costs


def test_answers_count_as_what_they_make_the_room_do(open_room: OpenRoom) -> None:
    room = open_room("--rate", "0.1")
    ann, bob = room.enter("ann", "bob")
    ann.say(*(f"{number:060}" for number in range(80)))
    bob.sees(f"{79:060}")
    bob.say(*["/history 500"] * 40)
    bob.sees("! slowly: 0.1 lines a second; all will be said")
    answers = bob.heard.count(b"! ") // 80
    assert 3 <= answers <= 12, "80 records of 100 bytes count as 8 lines"
    ann.say("and nobody else is slowed")
    bob.sees("<ann> and nobody else is slowed")


@pytest.mark.parametrize("nick", ["ⓐⓝⓝﬃ{}", "ann-{}"])
def test_changes_of_nick_count_as_what_they_make_the_room_do(
    open_room: OpenRoom, nick: str
) -> None:
    room = open_room("--rate", "0.1")
    ann, bob = room.enter("ann", "bob")
    bob.say(*(f"/nick {nick.format(number)}" for number in range(40)))
    bob.sees("! slowly: 0.1 lines a second; all will be said")
    assert sum(" is now " in event for event in room.events()) <= 2 + 10
    ann.say("and nobody else is slowed")
    bob.sees("<ann> and nobody else is slowed")
