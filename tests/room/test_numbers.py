"""Numbers: a client that asks is told which of its lines each answer answers, and where it is."""

from __future__ import annotations

import random
import re
import resource
import socket
from collections.abc import Callable

from client_support import heard_by, join, said_by
from proxy import Proxy
from room_support import Client, Room
from support import DUPLEX, Duo, until

from duplex.room.client import SAID_EVERY

OpenRoom = Callable[..., Room]


def joins(room: Room, *lines: str, nick: str = "ann") -> Client:
    """A client that numbers; `/numbers` and `/join` are its lines 1 and 2."""
    client = room.client()
    client.say("/numbers", f"/join {nick}", *lines)
    assert client.sees("numbered") == "! numbered from line 1"
    client.sees("! joined ")
    return client


def answers(client: Client) -> list[str]:
    lines = client.heard.decode().splitlines()
    return [line for line in lines if line.startswith("! [")]


def test_every_answer_says_which_line_it_answers(room: Room) -> None:
    ann = joins(room, "/who", "said", "/msg ann psst", "/nick bob", "/dance", "/nick <>", "/who")
    ann.sees("! [9] ")
    assert [re.sub(r"key \w+", "key …", line) for line in answers(ann)] == [
        "! [3] 1 is here: ann",
        "! [5] you told ann: psst",
        "! [6] you are bob now: key …",
        "! [7] there is no command /dance; /help lists them, //… says /…",
        "! [8] '<>' cannot be a nick: it can hold no <, > or space",
        "! [9] 1 is here: bob",
    ]


def test_an_answer_of_many_lines_says_when_more_come(room: Room) -> None:
    ann = joins(room, *map(str, range(5)), "/history 3", "/help", "/who")
    ann.sees("! [10] ")
    of_8 = [line for line in answers(ann) if line.startswith("! [8")]
    recorded = room.log.read_text().splitlines()[-3:]
    assert of_8 == [f"! [8+] {recorded[0]}", f"! [8+] {recorded[1]}", f"! [8] {recorded[2]}"]
    of_9 = [line.split()[1] for line in answers(ann) if line.startswith("! [9")]
    assert of_9 == [*["[9+]"] * (len(of_9) - 1), "[9]"]


def test_ones_own_records_are_announced_where_they_stand(room: Room) -> None:
    (eve,) = room.enter("eve")
    ann = joins(room, "one", "two", "/who", "/me nods", "/nick bob", "three")
    ann.sees("<bob> three")
    eve.say("hello")
    ann.sees("hello")
    data, offset = ann.heard.partition(b"! joined ")[2], 0
    log = room.log.read_bytes()
    offset = int(re.search(rb"offset (\d+)", data)[1])  # type: ignore[index]
    announced: dict[int, bytes] = {}
    expected: list[int] = []
    for line in data.splitlines(True)[1:]:
        if at := re.fullmatch(rb"! at (\d+)(?:: (\d+)(?:-(\d+))?)?\n", line):
            assert int(at[1]) == offset
            expected = list(range(int(at[2]), int(at[3] or at[2]) + 1)) if at[2] else []
        elif not line.startswith(b"! "):
            assert log[offset : offset + len(line)] == line
            offset += len(line)
            if expected:
                announced[expected.pop(0)] = line[25:-1]
    assert announced == {
        3: b"<ann> one",
        4: b"<ann> two",
        6: b"<ann> * nods",
        8: b"<bob> three",
    }


def test_lines_that_are_not_recorded_are_told_one_by_one(room: Room) -> None:
    ann = joins(room, "one")
    ann.sees("<ann> one")
    size = room.log.stat().st_size
    resource.prlimit(room.hub, resource.RLIMIT_FSIZE, (size, size))
    ann.say("two", "three", "/nick bob", "/who")
    ann.sees("! [7]")
    why = "not recorded: File too large"
    assert answers(ann) == [*(f"! [{n}] {why}" for n in (4, 5, 6)), "! [7] 1 is here: ann"]


def test_it_is_told_where_it_is_from_time_to_time(room: Room) -> None:
    ann = joins(room)
    (eve,) = room.enter("eve")
    for number in range(60):
        eve.say(f"{number} {'x' * 1000}")
        ann.sees(f"<eve> {number} ")
    told = [int(n) for n in re.findall(rb"^! at (\d+)$", ann.heard, re.MULTILINE)]
    assert len(told) >= 60_000 // (SAID_EVERY + 2000)
    log = room.log.read_bytes()
    for at in told:
        after = ann.heard.partition(b"! at %d\n" % at)[2].partition(b"\n")[0]
        assert log[at:].startswith(after)


def test_who_does_not_ask_is_told_no_numbers(room: Room) -> None:
    client = room.client()
    client.say("/join ann", "x" * 20_000, "y" * 20_000, "/who", "/help")
    client.sees("/quit: leave")
    assert not re.search(rb"^! (\[|at |numbered)", client.heard, re.MULTILINE)


def test_a_plain_client_may_ask_too(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    ann.say("/numbers")  # after /nick and /msg
    assert ann.sees("numbered") == "! numbered from line 4"
    ann.say("hello", "/who")
    ann.sees("! [5] 2 are here")
    bob.say("hi")
    ann.sees("hi")
    at = re.search(rb"^! at (\d+): 4$", ann.heard, re.MULTILINE)
    assert at
    assert room.log.read_bytes()[int(at[1]) + 24 :].startswith(b" <ann> hello\n")
    assert b"hello" not in ann.heard


# duplex connect


def test_answers_that_overtake_records_confuse_nobody(
    duo: Duo, room: Room, proxy: Callable[[int], Proxy], rng: random.Random
) -> None:
    """Commands, changes of nick and lines in one write, and a cut, again and again."""
    between = proxy(room.port)
    room.enter("eve")
    ann = join(duo, between.port, "ann")
    lines = [f"line {number}" for number in range(200)]
    for start in range(0, 200, 20):
        some = "".join(f"{line}\n" for line in lines[start : start + 20])
        ann.type(f"/who\n/history 20\n/nick anna\n/who\n/help\n{some}/nick eve\n/nick ann\n")
        if start % 60 == 40:
            until(lambda start=start: f"line {start}\n" in room.log.read_text())
            between.cut()
            until(lambda: "connection lost" in ann.err)
    ann.end_input()
    assert ann.status() == 0, ann.err
    assert "not recorded" not in ann.err
    assert "not known to have arrived" not in ann.err
    said = [text for nick in ("ann", "anna") for text in said_by(nick, room.log)]
    assert sorted(said) == sorted(lines)
    assert heard_by(ann).read_bytes() in room.log.read_bytes()


def test_what_was_refused_is_told_though_its_like_was_recorded(duo: Duo, room: Room) -> None:
    """Two lines with the same text: the first finds no place on the disk, the second does."""
    ann = join(duo, room.port, "ann")
    until(lambda: b"ann entered" in ann.out)
    pid = room.hub
    size = room.log.stat().st_size
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    ann.type("same\n/who\n")
    until(lambda: b"1 is here" in ann.out)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    ann.type("same\n")
    until(lambda: said_by("ann", room.log) == ["same"])
    ann.end_input()
    assert ann.status() == 1
    assert ann.err.count("not recorded by the room: same") == 1


ENTRY = b"2026-11-24T00:00:00.000Z * ann entered the room (127.0.0.1:1)\n"
LINES = [b"2026-11-24T00:00:0%d.000Z <bob> %d\n" % (n, n) for n in range(4)]


def in_fake_room(server: socket.socket, request: str, offset: int, end: int) -> socket.socket:
    """The server's side of a connection, once the client has been let in."""
    sock, _ = server.accept()
    sock.settimeout(30)
    with sock.makefile("rb") as heard:
        sock.sendall(b"! welcome to room 9: you are guest-1, 1 is here; so\n")
        assert heard.readline() == b"/numbers\n"
        assert heard.readline().decode() == request
    sock.sendall(b"! numbered from line 1\n")
    sock.sendall(b"! joined 9 as ann: key k, offset %d, end %d, 1 is here\n" % (offset, end))
    return sock


def test_a_client_that_counts_differently_says_so_and_asks_again(duo: Duo) -> None:
    """From where it was sure; and what it has already it neither keeps nor shows twice."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        port = str(server.getsockname()[1])
        ann = duo.start([*DUPLEX, "connect", "127.0.0.1", port, "--nick", "ann"], "ann")
        sock = in_fake_room(server, "/join ann\n", 0, 0)
        sure = len(ENTRY + LINES[0])
        sock.sendall(ENTRY + LINES[0] + b"! at %d\n" % sure)
        sock.sendall(LINES[1] + b"! at %d\n" % (sure + 1000))
        until(lambda: "connection lost" in ann.err)
        ours = sure + len(LINES[1])
        assert f"the room is at offset {sure + 1000}, and this side at {ours}" in ann.err
        assert f"asking again from {sure}" in ann.err
        end = sure + 2 * len(LINES[0])
        again = in_fake_room(server, f"/resume ann k {sure}\n", sure, end)
        again.sendall(LINES[1] + LINES[2] + LINES[3] + b"! at %d\n" % (end + len(LINES[0])))
        until(lambda: LINES[3] in ann.out)
        ann.type("quit\n")
        assert again.recv(99) == b""
        again.close()
        sock.close()
        assert ann.status() == 0
    assert ann.out == ENTRY + b"".join(LINES)
    assert heard_by(ann).read_bytes() == ENTRY + b"".join(LINES)


def test_a_room_that_insists_is_right(duo: Duo) -> None:
    """It is asked again once, and not for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        port = str(server.getsockname()[1])
        ann = duo.start([*DUPLEX, "connect", "127.0.0.1", port, "--nick", "ann"], "ann")
        sure = len(ENTRY)
        for request in ("/join ann\n", f"/resume ann k {sure}\n"):
            start = 0 if "join" in request else sure
            sock = in_fake_room(server, request, start, sure)
            sock.sendall((ENTRY if not start else b"") + b"! at %d\n" % sure)
            sock.sendall(LINES[0] + b"! at 5000\n" + LINES[1])
            if start:
                until(lambda: LINES[1] in ann.out)
            else:
                until(lambda: "asking again" in ann.err)
            sock.close()
        again = in_fake_room(server, f"/resume ann k {5000 + len(LINES[1])}\n", 6000, 6000)
        again.close()
        ann.type("quit\n")
        ann.status()


def test_a_line_that_the_room_takes_for_another_is_said_again(duo: Duo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        port = str(server.getsockname()[1])
        ann = duo.start([*DUPLEX, "connect", "127.0.0.1", port, "--nick", "ann"], "ann")
        sock = in_fake_room(server, "/join ann\n", 0, 0)
        sock.sendall(ENTRY)
        ann.type("one\ntwo\n")
        until(lambda: sock.recv(99).endswith(b"two\n"))
        mine = LINES[0].replace(b"<bob> 0", b"<ann> x")
        sock.sendall(b"! at %d: 3\n" % len(ENTRY) + mine)
        until(lambda: "the room takes one line for another" in ann.err)
        sock.close()
        end = len(ENTRY + mine)
        again = in_fake_room(server, f"/resume ann k {end}\n", end, end)
        with again.makefile("rb") as heard:
            assert [heard.readline() for _ in range(2)] == [b"one\n", b"two\n"]
        again.close()
        ann.stop()


def test_the_offset_counts_what_is_on_the_wire(duo: Duo) -> None:
    """Though a room of another version says what this side makes visible, and longer by it."""
    strange = "2026-11-24T00:00:00.000Z <bob> a\u202eb\x1b\u200bc\n".encode()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        port = str(server.getsockname()[1])
        ann = duo.start([*DUPLEX, "connect", "127.0.0.1", port, "--nick", "ann"], "ann")
        sock = in_fake_room(server, "/join ann\n", 0, 0)
        at = len(ENTRY + LINES[0] + strange)
        sock.sendall(ENTRY + LINES[0] + strange[:40])
        sock.sendall(strange[40:] + b"! at %d\n-bob- \x1b\n" % at + strange + LINES[1])
        at += len(strange + LINES[1])
        sock.sendall(b"! at %d\n" % at)
        until(lambda: LINES[1] in ann.out)
        sock.close()
        in_fake_room(server, f"/resume ann k {at}\n", at, at).close()
        ann.type("quit\n")
        ann.status()
    assert "asking again" not in ann.err
    assert b"a\\u202eb\\x1b" in heard_by(ann).read_bytes()
