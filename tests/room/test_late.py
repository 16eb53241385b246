"""Who says `/join` or `/resume` late: a guest by then, it is let in all the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from client_support import heard_by, join, said_by
from room_support import Client, Room
from slow_link import SlowLink
from support import DUPLEX, Duo, Program, until


@pytest.fixture
def slow(room: Room) -> Iterator[SlowLink]:
    link = SlowLink(room.port)
    yield link
    link.close()


def joined(line: str) -> tuple[str, str, int, int]:
    """(nick, key, offset, end) of the room's answer."""
    found = re.search(r" as (\S+): key (\w+), offset (\d+), end (\d+), ", line)
    assert found, line
    return found[1], found[2], int(found[3]), int(found[4])


def follows(client: Client, room: Room, start: int) -> None:
    """What the client was sent since `! joined` are the room's records, from there on."""
    data = client.heard.partition(b"! joined ")[2].partition(b"\n")[2]
    lines = [line for line in data.splitlines(True) if not line.startswith((b"! ", b"-"))]
    assert room.log.read_bytes()[start:].startswith(b"".join(lines))


def test_a_late_join_keeps_the_guests_entry_and_its_lines(room: Room) -> None:
    (bob,) = room.enter("bob")
    late = room.client()
    late.sees("* guest-2 entered")
    late.say("said as a guest", "/join ann", "said as ann")
    nick, _, start, end = joined(late.sees("! joined "))
    assert nick == "guest-2"
    assert room.log.read_bytes()[end:].split(b" ", 1)[1].startswith(b"* guest-2 entered")
    key = late.sees("! you are ann now: key ").split()[-1]
    late.sees("<guest-2> said as a guest")
    late.sees("* guest-2 is now ann")
    late.sees("<ann> said as ann")
    follows(late, room, start)
    assert [bob.sees(text)[25:] for text in ("as a guest", "is now", "as ann")] == [
        "<guest-2> said as a guest",
        "* guest-2 is now ann",
        "<ann> said as ann",
    ]
    late.close()
    room.recorded("ann left")
    again = room.client()
    again.say(f"/resume ann {key} {end}")
    assert joined(again.sees("! joined"))[:3:2] == ("ann", end)


def test_a_late_join_by_a_nick_that_is_taken_gets_a_digit(room: Room) -> None:
    room.enter("ann")
    late = room.client()
    late.sees("* guest-2 entered")
    late.say("/join ann", "me")
    late.sees("! you are ann2 now: key ")
    late.sees("<ann2> me")


def test_who_has_joined_does_so_once(room: Room) -> None:
    client = room.client()
    client.say("/join ann")
    client.sees("* ann entered")
    client.say("/join eve", "/resume ann x 0", "still ann")
    assert client.sees("joined already") == client.sees("joined already")
    client.sees("<ann> still ann")


def test_a_late_way_back_is_one(room: Room) -> None:
    """The guest leaves, and who comes back has all since its offset, its own lines included."""
    (bob,) = room.enter("bob")
    first = room.client()
    first.say("/join ann", "one")
    _, key, _, end = joined(first.sees("! joined"))
    first.sees("<ann> one")
    late = room.client()
    late.sees("* guest-3 entered")
    bob.say("meanwhile")
    late.sees("meanwhile")
    late.say("before", f"/resume ann {key} {end}", "two")
    nick, _, start, back = joined(late.sees("! joined"))
    assert (nick, start) == ("ann", end)
    assert room.log.read_bytes()[back:].split(b" ", 1)[1].startswith(b"* ann is back")
    assert late.sees("<ann> one")
    late.sees("<guest-3> before")
    late.sees("* guest-3 left")
    late.sees("* ann is back")
    late.sees("<ann> two")
    follows(late, room, end)
    bob.sees("<ann> two")
    bob.say("/who")
    bob.sees("! 2 are here: ann, bob")
    first.reads_to_the_end()


def test_a_late_way_back_that_is_none_leaves_a_guest_who_may_join(room: Room) -> None:
    late = room.client()
    late.sees("* guest-1 entered")
    late.say("/resume ann nonsense 0")
    late.sees("! not resumed: the key is not of this room")
    late.say("/join ann")
    late.sees("! you are ann now: key ")


def connect(duo: Duo, slow: SlowLink, nick: str) -> Program:
    return duo.start([*DUPLEX, "connect", "127.0.0.1", str(slow.port), "--nick", nick], nick)


def has_all(client: Program, room: Room) -> None:
    """It has kept records of the room once each, without a hole."""
    assert heard_by(client).read_bytes() in room.log.read_bytes()


def is_content(client: Program) -> None:
    """It ends, and nothing was lost as far as it knows."""
    assert client.status() == 0, client.err
    assert not re.search("not (recorded|resumed|known)", client.err), client.err


def test_a_client_that_is_heard_late_keeps_nothing_twice_and_all_its_lines_are_its_own(
    duo: Duo, room: Room, slow: SlowLink
) -> None:
    (bob,) = room.enter("bob")
    bob.say(*(f"before {number}" for number in range(9)))
    ann = connect(duo, slow, "ann")
    ann.type("one\ntwo\n/who\n")
    bob.sees("* guest-2 entered")
    slow.flows.set()
    bob.sees("* guest-2 is now ann")
    until(lambda: "you are ann" in ann.err)
    ann.type("three\n")
    ann.end_input()
    is_content(ann)
    texts = said_by("guest-2", room.log) + said_by("ann", room.log)
    assert texts == ["one", "two", "three"]
    assert b"guest-2> " not in ann.out
    assert b"before 8" in ann.out
    has_all(ann, room)


def test_a_client_that_comes_back_late_goes_on_from_where_it_was(
    duo: Duo, room: Room, slow: SlowLink
) -> None:
    (bob,) = room.enter("bob")
    slow.flows.set()
    ann = join(duo, slow.port, "ann")
    bob.say(*(f"before {number}" for number in range(40)))
    until(lambda: b"before 39" in ann.out)
    slow.flows.clear()
    slow.cut()
    ann.type("one\n")
    bob.sees("* guest-")
    bob.say("meanwhile")
    slow.flows.set()
    bob.sees("<ann> one")
    until(lambda: b"meanwhile" in ann.out)
    ann.end_input()
    is_content(ann)
    assert ann.out.count(b"meanwhile") == 1
    has_all(ann, room)
