"""One room on many hosts: the real programs, and a real server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from room_support import Client
from rooms_support import Rooms
from store_support import Server, every_server
from support import (
    DEADLINE,
    DUPLEX,
    ROOM,
    Duo,
    Terminal,
    children,
    follower_log,
    free_port,
    said,
    until,
)

from duplex.store.letters import PATIENCE

SECRET = "correct-horse"


@every_server
def test_what_is_said_on_one_host_is_heard_on_all(rooms: Rooms) -> None:
    one, two = rooms.open(), rooms.open()
    ann, bob = one.client("ann"), two.client("bob")
    ann.sees("* guest-2 is now bob")
    bob.say("hello", "and more")
    ann.sees("<bob> and more")
    ann.say("hi")
    bob.sees("<ann> hi")
    ann.say("that is all")
    bob.sees("that is all")
    rooms.are_same()
    assert said(one.log) == ["hello", "and more", "hi", "that is all"]
    assert ann.said == ["<bob> hello", "<bob> and more"]  # and not its own


@every_server
def test_letters_and_names_reach_every_host(rooms: Rooms) -> None:
    one, two = rooms.open(), rooms.open()
    ann, bob = one.client("ann"), two.client("bob")
    bob.say("/msg ann psst")
    assert ann.sees("psst") == "-bob- psst"
    bob.sees("! you told ann: psst")
    bob.say("/msg eve psst")
    bob.sees("! nobody here is called eve")
    bob.say("/who")
    bob.sees("! 2 are here: ann, bob")
    bob.say("/nick Ann", "still bob")
    bob.sees("! somebody else is Ann now")
    ann.sees("<bob> still bob")
    ann.say("/quit")
    bob.sees("* ann left")
    bob.say("/nick Ann")
    bob.sees("! you are Ann now")
    assert rooms.are_same().count(b"* bob is now Ann\n") == 1


def test_a_letter_reaches_who_has_the_nick_and_not_who_had_it(rooms: Rooms) -> None:
    """Bob's host does not hear of his new nick for a while; another is bob by then."""
    one, two = rooms.open(), rooms.open()
    ann, bob, eve = one.client("ann"), one.client("bob"), two.client("eve")
    replicator = one.replicator
    os.kill(replicator, signal.SIGSTOP)
    bob.say("/nick rob")
    eve.sees("* bob is now rob")
    eve.say("/nick bob")
    eve.sees("! you are bob now")
    ann.say("/msg bob for who is bob")
    assert eve.sees("for who is bob") == "-ann- for who is bob"
    ann.say("/msg rob for who is rob")
    os.kill(replicator, signal.SIGCONT)
    assert bob.sees("for who is") == "-ann- for who is rob"
    bob.say("/msg rob that is all")
    bob.sees("-rob- that is all")
    assert b"for who is bob" not in bob.heard


def test_a_letter_that_finds_its_mailbox_full_comes_back_to_its_sender(rooms: Rooms) -> None:
    one, two = rooms.open(), rooms.open()
    ann, bob = one.client("ann"), two.client("bob", buffer=4096)
    letter, number = "x" * 60_000, 0
    lost = re.compile(
        rb"! what you told bob is lost \(bob has a full mailbox; try again later\): (\d+) x+\n"
    )
    while not lost.search(ann.heard):
        ann.say(f"/msg bob {number} {letter}")
        ann.sees(f"! you told bob: {number} ")
        number += 1
    read_for(ann, PATIENCE + 1)  # what waited is lost, too, by then
    back = sorted(map(int, lost.findall(ann.heard)))
    assert back == list(range(back[0], number))
    for number in range(back[0]):
        assert bob.sees("-ann- ") == f"-ann- {number} {letter}"


def read_for(client: Client, seconds: float) -> None:
    """Take what comes, that long."""
    end = time.monotonic() + seconds
    client.sock.settimeout(0.1)
    while time.monotonic() < end:
        with suppress(TimeoutError):
            client.heard += client.sock.recv(1 << 20)
    client.sock.settimeout(DEADLINE)


def test_more_letters_at_once_than_a_mailbox_holds_arrive_in_order(rooms: Rooms) -> None:
    one, two = rooms.open(), rooms.open()
    ann, eve = one.client("ann"), two.client("eve")
    bob = two.client("bob", buffer=4096)
    letter = "x" * 10_000
    ann.say(*(f"/msg bob {number} {letter}" for number in range(90)), "/msg eve psst")
    eve.sees("-ann- psst")  # which does not wait behind those
    for number in range(90):
        assert bob.sees("-ann- ") == f"-ann- {number} {letter}"


def test_who_keeps_the_room_kicks_somebody_at_another_host(rooms: Rooms) -> None:
    two = rooms.open()
    bob = two.client("bob")
    command = [*ROOM, str(rooms.port), "--host", "127.0.0.9", "--name", "lobby"]
    keeper = Terminal(command, rooms.duo.tmp / "keeper", **rooms.env)
    try:
        keeper.sees("and you are host")
        keeper.line("/kick bob too loud")
        keeper.sees("was kicked by host: too loud")
        assert bob.reads_to_the_end()[-1] == "! you were kicked by host: too loud"
    finally:
        keeper.stop()


def test_who_joins_under_a_nick_of_another_host_gets_one_with_a_number(rooms: Rooms) -> None:
    one, two = rooms.open(), rooms.open()
    ann = one.client("ann")
    also = two.client()
    also.say("/join Ann")
    assert " as Ann2: " in also.sees("! joined lobby")
    ann.sees("* Ann2 entered the room")


def test_a_password_is_never_shown(
    start_server: Callable[..., Server], start_rooms: Callable[..., Rooms]
) -> None:
    server = start_server(password=SECRET)
    rooms = start_rooms(server)
    one = rooms.open()
    ann = one.client("ann")
    server.stop()
    ann.say("hello")
    ann.sees("! the room's store is out of reach; lines wait")
    server.kill()
    until(lambda: "out of reach" in one.host.err)
    with open(f"/proc/{one.host.pid}/cmdline") as file:
        assert SECRET not in file.read()
    assert SECRET not in one.host.err
    assert SECRET not in ann.heard.decode()
    one.kill()
    rooms.sites.clear()
    again = rooms.duo.start(
        [*one.host.process.args],
        "later",
        env=rooms.env,  # the store is gone: it does not start
    )
    assert again.status() == 1
    assert "out of reach" in again.err
    assert SECRET not in again.err


@pytest.mark.timeout(90)
def test_a_killed_hosts_people_are_dropped_once(rooms: Rooms) -> None:
    one, two, three = rooms.open(), rooms.open(), rooms.open()
    one.client("ann")
    one.client("eve")
    bob = two.client("bob")
    begun = time.monotonic()
    one.kill()
    bob.sees("* ann was dropped (its host is gone)")
    assert time.monotonic() - begun < 15
    bob.sees("* eve was dropped (its host is gone)")
    bob.say("/who")
    bob.sees("! 1 is here: bob")
    rooms.sites.remove(one)
    log = rooms.are_same()
    assert log.count(b"was dropped") == 2
    three.client("ann")


def test_a_killed_member_is_dropped_everywhere(rooms: Rooms) -> None:
    one, two = rooms.open(), rooms.open()
    one.client("ann")
    bob = two.client("bob")
    helpers = {one.writer, one.replicator, one.hub}
    member = max(pid for pid in children(one.host.pid) if pid not in helpers)
    os.kill(member, signal.SIGKILL)
    bob.sees("* ann was dropped (its process was killed by SIGKILL)")
    one.client("ann")


@pytest.mark.parametrize("which", ["writer", "replicator"])
def test_a_killed_helper_is_followed_by_another(rooms: Rooms, which: str) -> None:
    one, two = rooms.open(), rooms.open()
    ann, bob = one.client("ann"), two.client("bob")
    for number in range(5):
        os.kill(until(lambda: getattr(one, which)), signal.SIGKILL)
        ann.say(f"line {number}")
        bob.sees(f"<ann> line {number}")
        bob.say(f"answer {number}")
        ann.sees(f"<bob> answer {number}")
    rooms.are_same()
    assert f"the {which} was killed by SIGKILL; there is another" in one.host.err


def test_a_killed_hubs_people_come_back_or_are_dropped(rooms: Rooms) -> None:
    one, two = rooms.open(), rooms.open()
    bob, eve = two.client("bob"), one.client("eve")
    ann = rooms.join("ann", one.address)
    for number in range(3):
        ann.type(f"line {number}\n")
        bob.sees(f"<ann> line {number}")
        hub = one.hub
        os.kill(hub, signal.SIGKILL)
        bob.sees("* ann is back")
        until(lambda hub=hub: one.hub not in (0, hub))
    eve.reads_to_the_end()
    one.client("eve")
    ann.end_input()
    assert ann.status() == 0, ann.err
    log = rooms.are_same()
    assert said(one.log) == [f"line {number}" for number in range(3)]
    assert log.count(b"* eve was dropped (the hub of its host has ended)\n") == 1
    assert follower_log(ann.cwd).read_bytes() in log
    bob.say("/who")
    assert bob.sees("are here") == "! 2 are here: bob, eve"


def test_who_says_much_while_the_store_is_away_is_not_read(rooms: Rooms, server: Server) -> None:
    one = rooms.open()
    ann, bob = one.client("ann"), one.client("bob")
    server.stop()
    ann.sock.settimeout(1.0)
    line, sent = f"{'x' * 1000}\n".encode(), 0
    with suppress(TimeoutError):
        while sent < 100_000:
            ann.sock.sendall(line)
            sent += 1
    assert sent < 20_000, "what its kernel and ours keep, and two pieces"
    ann.sock.settimeout(DEADLINE)
    server.go_on()
    bob.say("mine")
    until(lambda: "mine" in said(one.log))
    bob.sees(f"<ann> {'x' * 1000}")


def test_lines_wait_for_a_store_that_is_away(
    start_server: Callable[..., Server], start_rooms: Callable[..., Rooms]
) -> None:
    server = start_server(durable=True)
    rooms = start_rooms(server)
    one, two = rooms.open(), rooms.open()
    ann, bob = one.client("ann"), two.client("bob")
    server.kill()
    ann.say(*(f"line {number}" for number in range(100)))
    assert ann.sees("! ") == "! the room's store is out of reach; lines wait"
    bob.sees("! the room's store is out of reach; lines wait")
    bob.say("and bob's")
    until(lambda: "out of reach" in one.host.err)
    server.start()
    bob.sees("<ann> line 99")
    ann.sees("<bob> and bob's")
    rooms.are_same()
    assert [text for text in said(one.log) if text.startswith("line")] == [
        f"line {number}" for number in range(100)
    ]
    assert ann.heard.count(b"out of reach") == 1
    ann.say("/who")
    ann.sees("! 2 are here: ann, bob")


def test_a_client_goes_on_at_another_host(rooms: Rooms) -> None:
    one, two = rooms.open(), rooms.open()
    bob = two.client("bob")
    ann = rooms.join("ann", f"{one.address},{two.address}")
    ann.type("before\n")
    bob.sees("<ann> before")
    one.kill()
    ann.type("after\n")
    bob.sees("<ann> after")
    bob.say("welcome back")
    ann.end_input()
    assert ann.status() == 0, ann.err
    assert "connected again, as ann" in ann.err
    one.start()
    log = rooms.are_same()
    heard = follower_log(ann.cwd).read_bytes()
    assert heard in log
    assert log.count(b"<ann> ") == 2


def test_a_host_that_closes_ends_the_room_for_nobody(rooms: Rooms) -> None:
    one, two = rooms.open(), rooms.open()
    bob = two.client("bob")
    ann = rooms.join("ann", f"{one.address},{two.address}")
    eve = one.client("eve")
    assert one.end() == 0
    eve.sees("! this host of the room closes")
    bob.sees("* ann is back")
    bob.sees("* eve was dropped (its host has closed)")
    ann.type("here\n")
    bob.sees("<ann> here")
    ann.end_input()
    assert ann.status() == 0


def test_a_host_that_comes_late_has_the_whole_room(rooms: Rooms) -> None:
    one = rooms.open()
    ann = one.client("ann")
    ann.say(*(f"line {number}" for number in range(2000)), "/msg ann done")
    ann.sees("-ann- done")
    two = rooms.open()
    rooms.are_same()
    bob = two.client("bob")
    bob.say("/history 3")
    bob.sees("<ann> line 1999")


def test_a_trimmed_room_has_the_same_offsets(rooms: Rooms) -> None:
    one = rooms.open("--keep", "1000")
    ann = one.client()
    ann.say("/join ann")
    ann.sees("! joined")
    for number in range(1500):  # each an entry of its own
        ann.say(f"line {number} {'x' * 400}")
        ann.sees(f"<ann> line {number} ")
    two = rooms.open("--keep", "1000")
    bob = two.client()
    bob.say("/join bob")
    joined = re.search(r"offset (\d+), end (\d+)", bob.sees("! joined"))
    assert joined
    until(lambda: b"bob entered" in one.log.read_bytes() and b"bob entered" in two.log.read_bytes())
    whole, trimmed = one.log.read_bytes(), two.log.read_bytes()
    first = len(whole) - len(trimmed)
    assert first > 1
    assert trimmed == whole[first:]
    assert b"bob entered" in whole[int(joined[2]) :]
    key = bob.heard.split(b"key ")[1].split(b",")[0].decode()
    bob.reset()
    again = two.client()
    again.say(f"/resume bob {key} {first - 5}")
    again.sees("! not resumed: what stood at offset")
    again.say(f"/resume bob {key} {first}")
    again.sees(f"offset {first}, ")
    again.sees("bob is back")


def race(rooms: Rooms, times: int) -> None:
    """Two who want the same nick at the same instant, on two hosts."""
    one, two = rooms.open(), rooms.open()
    ann, bob = one.client("ann0"), two.client("bob0")
    for number in range(times):
        ann.say(f"/nick x{number}")
        bob.say(f"/nick x{number}")
        answers = [client.sees("! ") for client in (ann, bob)]
        won = [answer for answer in answers if answer == f"! you are x{number} now"]
        lost = [answer for answer in answers if answer == f"! somebody else is x{number} now"]
        assert (len(won), len(lost)) == (1, 1), answers
    log = rooms.are_same()
    assert len(re.findall(rb" is now x\d+\n", log)) == times


def test_one_of_two_gets_a_nick(rooms: Rooms) -> None:
    race(rooms, 50)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_one_of_two_gets_a_nick_a_thousand_times(rooms: Rooms) -> None:
    race(rooms, 1000)


def be_away(rooms: Rooms, lines: int) -> None:
    """A host is gone while so much is said, and comes back."""
    one, two = rooms.open(), rooms.open()
    ann = one.client("ann")
    two.client("bob")
    rooms.are_same()
    two.kill()
    for at in range(0, lines, 1000):
        ann.say(*(f"line {number}" for number in range(at, min(lines, at + 1000))))
    ann.say("/msg ann done")
    ann.sees("-ann- done")
    until(lambda: one.log.read_bytes().count(b"> line ") == lines)
    two.start()
    rooms.are_same()
    two.client("eve").say("/history 1")


def test_a_host_that_was_away_catches_up(rooms: Rooms) -> None:
    be_away(rooms, 3000)


@pytest.mark.long
@pytest.mark.timeout(200)
def test_a_host_that_was_away_for_50000_lines_catches_up(rooms: Rooms) -> None:
    be_away(rooms, 50_000)


def test_without_a_store_nothing_of_it_is_imported() -> None:
    program = (
        "import sys, duplex.cli.room, duplex.room.server, duplex.cli.connect\n"
        "of_it = 'redis', 'duplex.store'\n"
        "print([name for name in sys.modules if name.startswith(of_it)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_what_redis_needs_is_told_in_one_line(duo: Duo) -> None:
    for args, told in (
        (
            ("--redis", "redis://x/0"),
            "cannot use --redis without --name: ",
        ),
        (("--keep", "5000"), "cannot use --keep without --redis: it is for a room in a store"),
        (("--redis", "http://secret@x", "--name", "a"), "cannot use --redis: it needs a URL like "),
        (
            ("--redis", "redis://x", "--name", "a", "--keep", "9"),
            "cannot use --keep 9: it needs 0 (all), or ",
        ),
    ):
        program = duo.start([*ROOM, "0", "--plain", *args])
        assert program.status() == 2
        assert program.err.startswith(f"duplex room: {told}")
        assert program.err.count("\n") == 1
        assert "secret" not in program.err


def test_nobody_new_comes_in_while_the_store_is_away(
    start_server: Callable[..., Server], start_rooms: Callable[..., Rooms]
) -> None:
    server = start_server(durable=True)
    rooms = start_rooms(server)
    one = rooms.open()
    ann = rooms.join("ann", one.address)
    ann.type("hello\n")
    until(lambda: said(one.log) == ["hello"])
    server.kill()
    until(lambda: "out of reach" in one.host.err)
    eve = rooms.join("eve", one.address)
    assert eve.status() == 1
    assert "refused: the room's store is out of reach; come back later" in eve.err
    ann.type("/who\nmeanwhile\n")
    server.start()
    until(lambda: said(one.log) == ["hello", "meanwhile"])
    ann.end_input()
    assert ann.status() == 0, ann.err
    assert ann.out.count(b"out of reach; lines wait") == 1
    assert b"! 1 is here: ann" in ann.out


@pytest.mark.parametrize("kind", ["writer", "replicator"])
def test_a_helper_that_stands_still_is_followed_by_another(rooms: Rooms, kind: str) -> None:
    site = rooms.open()
    ann, bob = site.client("ann"), site.client("bob")
    os.kill(getattr(site, kind), signal.SIGSTOP)
    ann.say("hello")
    bob.sees("<ann> hello")
    until(lambda: f"the {kind} stood still; there is another\n" in site.host.err)
    assert site.end() == 0


def test_numbers_are_told_in_every_room(rooms: Rooms) -> None:
    one, two = rooms.open(), rooms.open()
    eve, ann = two.client("eve"), one.client()
    ann.say("/numbers", "/join ann", "one", "/msg eve psst", "two", "/who", "/nick bob", "three")
    ann.sees("! joined lobby as ann")
    assert ann.sees("! [4]") == "! [4] you told eve: psst"
    assert ann.sees("! [6]") == "! [6] 2 are here: ann, eve"
    ann.sees("! [7] you are bob now: key ")
    ann.sees("<bob> three")
    eve.sees("<bob> three")
    heard = re.sub(rb"^! \[.*\n", b"", ann.heard, flags=re.MULTILINE)  # answers come anywhere
    at = dict(re.findall(rb"^! at \d+: ([\d-]+)\n\S+ ([<*].*)$", heard, re.MULTILINE))
    assert at == {
        b"3": b"<ann> one",
        b"5": b"<ann> two",
        b"8": b"<bob> three",
    }
    for found in re.finditer(rb"^! at (\d+).*\n(.*\n)", heard, re.MULTILINE):
        assert one.log.read_bytes()[int(found[1]) :].startswith(found[2])


def test_who_says_late_what_it_is_is_let_in_on_any_host(rooms: Rooms) -> None:
    one, two = rooms.open(), rooms.open()
    eve = two.client("eve")
    ann = one.client()
    ann.sees("* guest-2 entered")
    ann.say("as a guest", "/join ann", "as ann")
    end = int(re.search(r"as guest-2: .* end (\d+)", ann.sees("! joined"))[1])
    ann.sees("<guest-2> as a guest")
    ann.sees("* guest-2 is now ann")
    key = ann.sees("! you are ann now: key ").split()[-1]
    ann.sees("<ann> as ann")
    eve.sees("<ann> as ann")
    again = two.client()
    again.sees("* guest-3 entered")
    again.say(f"/resume ann {key} {end}", "back")
    assert f"offset {end}, " in again.sees("! joined lobby as ann: ")
    for text in ("<guest-2> as a guest", "<ann> as ann", "* guest-3 left", "* ann is back"):
        again.sees(text)
    again.sees("<ann> back")
    eve.sees("<ann> back")
    ann.reads_to_the_end()
    eve.say("/who")
    assert eve.sees("are here") == "! 2 are here: ann, eve"
    again.close()
    eve.sees("* ann left")
    eve.say("/who")
    assert eve.sees("is here") == "! 1 is here: eve"
    rooms.are_same()


@pytest.mark.skipif(os.geteuid() != 0, reason="this is about what root does")
def test_root_keeps_a_host_as_nobody(
    start_server: Callable[..., Server],
    start_rooms: Callable[..., Rooms],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rooms_support.ROOM", [*DUPLEX, "room"])
    port = free_port()
    rooms = start_rooms(start_server(port=port))
    rooms.env["DUPLEX_REDIS"] = f"redis://127.0.0.1:{port}/0"
    site = rooms.open()
    ann, bob = site.client("ann"), site.client("bob")
    for kind in ("writer", "replicator"):
        os.kill(getattr(site, kind), signal.SIGKILL)
        ann.say(f"without its {kind}")
        bob.sees(f"<ann> without its {kind}")
        until(lambda kind=kind: getattr(site, kind))
    for pid in [site.host.pid, *children(site.host.pid)]:
        assert "Uid:\t65534\t65534\t65534\t65534\n" in Path(f"/proc/{pid}/status").read_text()
    assert Path(f"{site.log}.store").stat().st_uid == 65534
    assert site.end() == 0
    site.start()
    site.client().sees("<ann> without its replicator")
    assert site.end() == 0


def test_changes_of_nick_count_as_what_they_make_the_room_do(rooms: Rooms) -> None:
    site = rooms.open("--rate", "0.1")
    ann = site.client("ann")
    ann.say(*(f"/nick ⓐⓝⓝ{number}" for number in range(40)))
    ann.sees("! slowly: 0.1 lines a second; all will be said")
    assert sum(" is now " in event for event in site.events()) <= 1 + 10


def test_what_somebody_else_writes_to_a_copy_is_no_part_of_it(rooms: Rooms) -> None:
    """While its host runs, and while it does not."""
    one, two = rooms.open(), rooms.open()
    ann, bob = one.client("ann"), two.client("bob")
    ann.sees("* guest-2 is now bob")
    with two.log.open("ab") as file:
        file.write(b"\x1b]52;c;eA==\x07\n")
    ann.say("hello")
    bob.sees("<ann> hello")
    assert b"52;" not in bob.heard
    until(lambda: "somebody else has written 13 bytes" in two.host.err)
    rooms.are_same()
    bob.say("/quit")
    ann.sees("* bob left")
    two.end()
    with two.log.open("ab") as file:
        file.write(b"x\n")
    two.start()
    assert "somebody else has written 2 bytes" in two.host.err
    ann.say("again")
    until(lambda: b"<ann> again" in two.log.read_bytes())
    rooms.are_same()


def test_what_looks_like_somebody_on_another_host_is_refused(rooms: Rooms) -> None:
    one, two = rooms.open(), rooms.open()
    bill, ann = one.client("bill"), two.client("ann")
    ann.say("/nick bi11")
    assert ann.sees("looks like") == "! bi11 looks like bill, who is here"
    other = two.client()
    other.say("/join bi11")
    other.sees("! bi11 looks like bill, who is here, so you are bi112")
    bill.say("/quit")
    ann.sees("* bill left")
    ann.say("/nick bi11")
    ann.sees("! you are bi11 now")
