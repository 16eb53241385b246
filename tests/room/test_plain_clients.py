"""A room whose clients know nothing of duplex: ncat, telnet, bare sockets, and worse.

What is typed and what arrives is compared with the transcript: the same bytes, in the same order.
"""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from room_support import Client, Room
from support import DEADLINE, Duo, Program, Terminal, members_of, needs, records, until

OpenRoom = Callable[..., Room]
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def ncat(duo: Duo, room: Room, name: str) -> Program:
    return duo.start([needs("ncat"), "127.0.0.1", str(room.port)], name)


# Joining, talking, leaving


def test_two_at_ncat_join_talk_and_leave(duo: Duo, room: Room) -> None:
    first = ncat(duo, room, "first")
    until(lambda: b"guest-1 entered" in first.out)
    second = ncat(duo, room, "second")
    until(lambda: b"guest-2 entered" in second.out and b"guest-2 entered" in first.out)
    first.type("/nick ann\nhello, größer, 日本語, 😀\n")
    until(lambda: b"<ann> hello" in second.out)
    second.type("and to you\n")
    until(lambda: b"<guest-2> and to you" in first.out)
    second.end_input()
    assert second.status() == 0
    until(lambda: b"guest-2 left" in first.out)
    first.end_input()
    assert first.status() == 0
    room.recorded("ann left")

    recorded = room.log.read_text().splitlines(keepends=True)
    welcome = f"! welcome to room {room.port}: you are %s; /help lists the commands\n"
    told = [line for line in first.out.decode().splitlines(keepends=True) if line[0] == "!"]
    assert told == [welcome % "guest-1, 1 is here", "! you are ann now\n"]
    assert second.out.decode().startswith(welcome % "guest-2, 2 are here")
    shown = [line for line in first.out.decode().splitlines(keepends=True) if line[0] != "!"]
    assert shown == [line for line in recorded[:-1] if "<ann>" not in line]
    shown = [line for line in second.out.decode().splitlines(keepends=True) if line[0] != "!"]
    assert shown == [line for line in recorded[:5] if "<guest-2>" not in line]
    assert room.events() == [
        "guest-1 entered the room",
        "guest-2 entered the room",
        "guest-1 is now ann",
        "guest-2 left",
        "ann left",
    ]


def test_what_is_said_in_one_breath_with_the_connection_is_said(duo: Duo, room: Room) -> None:
    """`echo hello | nc`: the end of the input comes before the moment of arrival is over."""
    (ann,) = room.enter("ann")
    bob = ncat(duo, room, "bob")
    bob.type("hello\nworld")
    bob.end_input()
    assert bob.status() == 0
    ann.sees("* guest-2 left")
    assert ann.said == ["<guest-2> hello", "<guest-2> world"]


def test_telnet_joins_talks_is_interrupted_and_leaves(
    room: Room, terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    (ann,) = room.enter("ann")
    at = terminal(needs("telnet"), "127.0.0.1", str(room.port), cwd=tmp_path)
    at.sees(f"! welcome to room {room.port}: you are guest-2, 2 are here")
    at.sees("* guest-2 entered the room (127.0.0.1:")
    at.line("hello 日語")
    assert ann.sees("hello").endswith("<guest-2> hello 日語")
    at.key("c")  # it shows nothing until its timing mark is answered
    at.line("after the interrupt")
    assert ann.sees("after the").endswith("<guest-2> after the interrupt")
    ann.say("do you see this?")
    at.sees("<ann> do you see this?")
    at.line("/nick bob")
    at.sees("! you are bob now")
    at.line("/quit")
    at.sees("Connection closed by foreign host.")
    ann.sees("* bob left")


def test_the_timing_mark_is_answered_between_two_lines(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    bob.sock.sendall(b"\xff\xf4\xff\xfd\x06/who\n")  # telnet's Ctrl-C, and a line
    bob.sees("! 2 are here")
    assert bob.heard.count(b"\xff\xfc\x06") == 1
    assert re.search(rb"\n\xff\xfc\x06! 2 are here: ann, bob\n", bob.heard)
    ann.say("hello")
    bob.sees("<ann> hello")
    assert b"\\xff" not in room.log.read_bytes()


@pytest.mark.parametrize(("option", "shown"), [((), 20), (("--history", "3"), 3)])
def test_a_newcomer_is_shown_the_last_records(
    open_room: OpenRoom, option: tuple[str, ...], shown: int
) -> None:
    room = open_room(*option)
    (ann,) = room.enter("ann")
    ann.say(*(f"line {number}" for number in range(30)))
    until(lambda: len(records(room.log)) == 32)
    bob = room.client()
    bob.sees("guest-2 entered")
    assert bob.records == room.log.read_bytes().splitlines()[32 - shown :]


def test_without_history_a_newcomer_sees_its_own_entry_first(open_room: OpenRoom) -> None:
    room = open_room("--history", "0")
    (ann,) = room.enter("ann")
    ann.say("before")
    until(lambda: len(records(room.log)) == 3)
    bob = room.client()
    bob.sees("guest-2 entered")
    assert bob.records == room.log.read_bytes().splitlines()[3:]


def test_a_room_has_a_name(open_room: OpenRoom) -> None:
    room = open_room("--name", "the lobby")
    client = room.connect()
    assert client.sees("welcome") == (
        "! welcome to room the lobby: you are guest-1, 1 is here; /help lists the commands"
    )


def test_all_see_one_order_and_nobody_their_own_lines(room: Room) -> None:
    nicks = ["ann", "bob", "eve", "joe"]
    clients = room.enter(*nicks)
    for number in range(200):
        for client in clients:
            client.say(f"line {number}")
    for client in clients:
        for _ in range(3):
            client.sees("> line 199")
    recorded = room.log.read_bytes().splitlines()
    assert len(recorded) == 8 + 4 * 200
    for client, nick in zip(clients, nicks, strict=True):
        others = [line for line in recorded if f" <{nick}> ".encode() not in line]
        missing = set(others) - set(client.records)
        assert all(b"* guest-" in line for line in missing)  # before it came: no history of those
        assert client.records == [line for line in others if line not in missing]


# What lies or harms


LIES = [
    (b"one\n<ann> I resign\n", ["one", "<ann> I resign"]),
    (b"one\r<ann> I resign\r", ["one", "<ann> I resign"]),
    (b"one\r\0<ann> I resign\r\n", ["one", "<ann> I resign"]),
    (b"2026-11-24T13:00:00.123Z <ann> I resign\n", ["2026-11-24T13:00:00.123Z <ann> I resign"]),
    (b"\x1b[2J\x1b[1A<ann> I resign\n", ["\\x1b[2J\\x1b[1A<ann> I resign"]),
    (b"* ann left\n", ["* ann left"]),
    (b"/me left\n", ["* left"]),
    (b"-ann- psst\n! you are banned\n", ["-ann- psst", "! you are banned"]),
    ("a\u2028<ann> b\u202ec\n".encode(), ["a\\u2028<ann> b\\u202ec"]),
    (b"\xc3( \x80 \x07\x08\x00\n", ["\\xc3( \\x80 \\x07\\x08\\x00"]),
    (b"\xff\xfb\x01hel\xff\xf1lo\n", ["hello"]),
    (b"\n\n", ["", ""]),
]


def test_what_is_said_is_the_speakers_own_whatever_it_says(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    expected = []
    for sent, texts in LIES:
        bob.sock.sendall(sent + b"the end\n")
        ann.sees("<bob> the end")
        expected += [f"<bob> {text}" for text in [*texts, "the end"]]
        assert ann.said == expected, sent
    assert [f"<bob> {text}" for nick, text in records(room.log) if nick == "bob"] == expected
    assert "ann" not in [nick for nick, _ in records(room.log)]
    assert "ann left" not in room.events()


def test_a_line_longer_than_64_kib_is_cut_and_nothing_of_it_is_lost(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    whole = "".join(f"{number}," for number in range(40_000))
    bob.say(whole, "the end")
    ann.sees("<bob> the end")
    pieces = [line.removeprefix("<bob> ") for line in ann.said[:-1]]
    assert len(pieces) > 3
    assert all(len(piece.encode()) <= 64 * 1024 for piece in pieces)
    assert all(piece.endswith("…") for piece in pieces[:-1])
    assert all(piece.startswith("…") for piece in pieces[1:])
    assert "".join(piece.strip("…") for piece in pieces) == whole


def test_binary_noise_becomes_lines_and_harms_nobody(room: Room, rng: random.Random) -> None:
    ann, bob = room.enter("ann", "bob")
    for _ in range(8):
        bob.sock.sendall(rng.randbytes(20_000).replace(b"/", b"-"))
    bob.sock.sendall(b"\xff\xf0\xff\xf0\nthe end\n")
    ann.sees("<bob> the end")
    assert len(records(room.log)) > 500  # each line of the file is a record
    lines = room.log.read_bytes().splitlines()
    assert all(not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", line) for line in lines)
    ann.say("still here")
    bob.sees("<ann> still here")
    room.is_well()


# Half a line, no line, no reading


def test_half_a_line_and_silence_holds_up_nobody(room: Room) -> None:
    ann, bob, eve = room.enter("ann", "bob", "eve")
    bob.sock.sendall(b"half a ")
    for number in range(50):
        ann.say(f"line {number}")
        eve.sees(f"<ann> line {number}")
    assert b"half" not in room.log.read_bytes()
    bob.sock.sendall(b"line\n")
    assert ann.sees("half").endswith("<bob> half a line")


def test_half_a_line_and_the_end_is_said(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    bob.sock.sendall(b"half a line")
    bob.shut()
    ann.sees("<bob> half a line")
    ann.sees("* bob left")
    bob.reads_to_the_end()


def test_half_a_line_of_a_connection_that_was_reset_is_marked(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    bob.say("whole")
    ann.sees("<bob> whole")
    bob.sock.sendall(b"half a")
    until(lambda: member_has_read(bob))
    bob.reset()
    ann.sees("<bob> half a…")
    ann.sees("* bob was dropped (connection lost)")


def member_has_read(client: Client) -> bool:
    """Whether nothing of what it sent waits in the kernel, at either side."""
    remote, local = client.sock.getsockname()[1], client.sock.getpeername()[1]
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = row.split()
        ports = [int(fields[n].rpartition(":")[2], 16) for n in (1, 2)]
        if ports in ([local, remote], [remote, local]):
            queued = [int(part, 16) for part in fields[4].split(":")]
            if queued[0] or (ports == [local, remote] and queued[1]):
                return False
    return True


def test_who_says_nothing_enters_as_a_guest_and_hears_all(room: Room) -> None:
    silent = room.connect()
    silent.sees("* guest-1 entered the room")
    (ann,) = room.enter("ann")
    ann.say("hello")
    silent.sees("<ann> hello")
    silent.shut()
    ann.sees("* guest-1 left")


def test_who_only_looks_in_is_never_announced(room: Room, rng: random.Random) -> None:
    (ann,) = room.enter("ann")
    for _ in range(100):
        client = Client(room.port)
        rng.choice([client.close, client.reset, client.shut])()
    until(lambda: len(members_of(room.host.pid)) == 1)  # ann's
    ann.say("/who")
    ann.sees("! 1 is here: ann")
    assert room.events() == ["guest-1 entered the room", "guest-1 is now ann"]
    # Those who were reset before they were accepted are not even counted.
    welcome = room.client().heard.decode()
    number = re.match(rf"! welcome to room {room.port}: you are guest-(\d+), 2 are here", welcome)
    assert number
    assert 2 < int(number[1]) <= 102


def test_who_does_not_read_delays_nobody_and_costs_no_memory(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    (deaf,) = room.enter("deaf", buffer=4096)
    pids = [room.hub, room.member_of(deaf)]
    before = list(map(anonymous, pids))
    line = "x" * 1000
    for number in range(10):
        ann.say(*[line] * 1000, f"part {number}")
        bob.sees(f"<ann> part {number}")
    assert room.log.stat().st_size > 10_000_000
    grown = [anonymous(pid) - was for pid, was in zip(pids, before, strict=True)]
    assert max(grown) < 1 << 20, grown
    ann.say("/who")
    ann.sees("! 3 are here: ann, bob, deaf")
    deaf.sees("<ann> part 9")  # all of it is there, once it reads
    assert len(deaf.said) == 10 * 1001


def anonymous(pid: int) -> int:
    """Bytes of memory that are the process's own."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


def test_who_falls_too_far_behind_is_told_and_dropped(open_room: OpenRoom) -> None:
    room = open_room("--max-lag", str(1 << 20))
    ann, bob = room.enter("ann", "bob")
    (slow,) = room.enter("slow", buffer=4096)
    room.enter("deaf", buffer=4096)
    lines: list[str] = []
    reader = Thread(target=lambda: lines.extend(reads_once_dropped(room, slow)))
    reader.start()
    # More than all buffers on the way hold: the kernel gives a sender's side several MB.
    for number in range(12):
        ann.say(*["x" * 1000] * 1000, f"part {number}")
        bob.sees(f"<ann> part {number}")
    reader.join(DEADLINE)
    assert "! you have fallen more than 1 MiB behind, and are dropped" in lines
    whole = [line[25:] for line in lines if " <ann> x" in line]
    assert set(whole[:-1]) == {f"<ann> {'x' * 1000}"}
    assert f"<ann> {'x' * 1000}".startswith(whole[-1])  # at the end of its time it may be cut
    for nick in ("slow", "deaf"):
        room.recorded(f"{nick} was dropped (fell too far behind)")
    ann.say("and on")
    bob.sees("<ann> and on")
    assert bob.heard.count(b" was dropped (fell too far behind)\n") == 2
    room.is_well()


def reads_once_dropped(room: Room, slow: Client) -> list[str]:
    room.recorded("slow was dropped (fell too far behind)")
    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # from now on it is quick
    return slow.reads_to_the_end()
