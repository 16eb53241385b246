"""Who comes back has one connection: what the earlier ones were to say is not said any more."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from support import DEADLINE, ROOM, Duo, connected, port_of, readable, room_log


@contextmanager
def greeted(port: int, request: bytes) -> Iterator[tuple[socket.socket, Iterator[bytes]]]:
    """A connection on which `request` was said after the welcome, and the lines it then hears."""
    with connected(port) as sock, sock.makefile("rb") as lines:
        sock.settimeout(DEADLINE)
        assert lines.readline().startswith(b"! welcome to room ")
        sock.sendall(request + b"\n")
        yield sock, lines


def until_line(lines: Iterator[bytes], pattern: bytes) -> re.Match[bytes]:
    """The first line with `pattern` in it; fails when the connection ends before."""
    for line in lines:
        if match := re.search(pattern, line):
            return match
    raise AssertionError(f"the end, and no {pattern!r}")


def test_an_earlier_connection_makes_way_whatever_it_is_called_by_now(duo: Duo) -> None:
    """Renamed, and cut off before the new key came: the old key ends it all the same."""
    port = port_of(duo.start([*ROOM, "0", "--rate", "0"], "room"))
    with greeted(port, b"/join ann") as (first, heard):
        key, offset = until_line(heard, rb" as ann: key (\w+), offset (\d+),").groups()
        first.sendall(b"/nick bob\nsaid as bob\n")
        until_line(heard, b"<bob> said as bob")
        with greeted(port, b"/resume ann %b %b" % (key, offset)) as (second, again):
            end = int(until_line(again, rb"joined \d+ as ann: .* end (\d+),")[1])
            list(heard)  # to its end: the earlier connection is closed
            second.sendall(b"said as ann\n")
            until_line(again, b"<ann> said as ann")
    log = room_log(duo.tmp / "room").read_bytes()
    assert b"<bob>" in log[:end]
    assert b"<bob>" not in log[end:]
    assert re.search(rb"\* ann is back \(.*\)\n\S+ <ann> said as ann\n", log[end:])


def test_a_key_does_not_open_somebody_elses_nick(duo: Duo) -> None:
    port = port_of(duo.start([*ROOM, "0"], "room"))
    with greeted(port, b"/join ann") as (_, heard), greeted(port, b"/join bob") as (_, others):
        key = until_line(heard, rb" as ann: key (\w+),")[1]
        until_line(others, rb" as bob: ")
        with greeted(port, b"/resume bob %b 0" % key) as (third, answers):
            until_line(answers, b"! not resumed: the key is not of this room")
            third.sendall(b"/join bob\n")
            until_line(answers, b"joined .* as bob2: ")


def test_who_made_way_for_nobody_is_told_to_be_gone(duo: Duo) -> None:
    """It had renamed itself, and somebody else has its former nick, with which it comes back."""
    port = port_of(duo.start([*ROOM, "0", "--rate", "0"], "room"))
    with greeted(port, b"/join ann") as (first, heard), greeted(port, b"/join eve") as (eve, seen):
        key, offset = until_line(heard, rb" as ann: key (\w+), offset (\d+),").groups()
        first.sendall(b"/nick bob\n")
        until_line(heard, rb"! you are bob now")
        eve.sendall(b"/nick ann\n")
        until_line(seen, rb"! you are ann now")
        with greeted(port, b"/resume ann %b %b" % (key, offset)) as (_, again):
            until_line(again, b"! not resumed: somebody else is ann now")
            until_line(seen, rb"\* bob was dropped \(")
            eve.sendall(b"/nick bob\n")
            until_line(seen, rb"! you are bob now")


def test_nobody_can_take_a_nick_between_two_connections_of_one_client(duo: Duo) -> None:
    """Somebody asks for it all the time, while a client comes back again and again."""
    port = port_of(duo.start([*ROOM, "0", "--rate", "0", "--history", "0"], "room"))
    with greeted(port, b"/join eve") as (eve, seen):
        until_line(seen, rb"joined")
        with ExitStack() as connections:
            request = b"/join ann"
            for _ in range(4):
                sock, heard = connections.enter_context(greeted(port, request))
                while request != b"/join ann" and not readable(sock.fileno()):
                    eve.sendall(b"/nick ann\n" * 20)
                    eve.recv(1 << 16)
                joined = rb"! (?:joined .* as ann: key (\w+), offset (\d+),|not resumed).*"
                key, offset = until_line(heard, joined).groups()
                assert key
                request = b"/resume ann %b %b" % (key, offset)
