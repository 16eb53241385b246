"""What the tests of a room's clients share: a room, and who joins it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from proxy import Proxy
from support import (
    DUPLEX,
    ROOM,
    Duo,
    Program,
    follower_log,
    members_of,
    port_of,
    records,
    room_log,
    until,
)


def start_room(duo: Duo, *args: str, port: int = 0, **options: Any) -> tuple[Program, int]:
    """A room without a limit of lines a second; the program and its port."""
    program = duo.start([*ROOM, str(port), "--plain", "--rate", "0", *args], "room", **options)
    return program, port_of(program)


def join(duo: Duo, port: int, nick: str, *args: str, **options: Any) -> Program:
    """A client, once it is in the room.

    On a very busy machine it may answer the welcome too late, and then has come in again.
    """
    command = [*DUPLEX, "connect", "127.0.0.1", str(port), "--nick", nick, *args]
    program = duo.start(command, nick, **options)
    until(lambda: re.search(f"you are {nick}|connected again, as {nick}", program.err))
    return program


def log_of(program: Program) -> Path:
    return room_log(program.cwd)


def heard_by(program: Program) -> Path:
    return follower_log(program.cwd)


def said_by(nick: str, log: Path) -> list[str]:
    return [text for who, text in records(log) if who == nick]


def members(host: Program) -> list[int]:
    """The processes that serve the clients, the oldest first."""
    return members_of(host.pid)


def talk_while_cut(host: Program, between: Proxy, ann: Program, bob: Program, count: int) -> None:
    """Numbered lines each way, and a cut of ann's connection every few KiB: all arrive, once."""
    between.most = 60_000
    between.cut()
    for number in range(0, count, 100):
        lines = range(number, number + 100)
        ann.type("".join(f"a{n}\n" for n in lines))
        bob.type("".join(f"b{n}\n" for n in lines))
    ann.end_input()
    bob.end_input()
    assert bob.status() == 0
    assert ann.status(60) == 0, ann.err
    log = log_of(host)
    assert said_by("ann", log) == [f"a{n}" for n in range(count)]
    assert said_by("bob", log) == [f"b{n}" for n in range(count)]
    assert log.read_bytes().startswith(heard_by(ann).read_bytes())
