"""Who keeps a room without a screen sees and says what others do, by lines."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from room_support import Client
from support import ROOM, Duo, Program, Terminal, children, port_of, records, until

PLAIN = [[*ROOM, "0", "--plain", "--log", "log"], [*ROOM, "0", "--log", "log"]]


def host_of(terminal: Callable[..., Terminal], at: Path, *args: str, **env: str) -> tuple:
    host = terminal(*ROOM, "0", "--log", "log", *args, cwd=at, **env)
    host.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    port = int(host.spawned.match[1])
    host.sees("you are host")
    return host, port


def enter(port: int, nick: str) -> Client:
    client = Client(port)
    client.say(f"/nick {nick}")
    client.sees(f"! you are {nick} now")
    return client


@pytest.mark.parametrize(("args", "env"), [(["--plain"], {}), ([], {"TERM": "dumb"})])
def test_a_host_on_a_plain_terminal_sees_and_says_what_others_do(
    terminal: Callable[..., Terminal], tmp_path: Path, args: list[str], env: dict[str, str]
) -> None:
    host, port = host_of(terminal, tmp_path, *args, **env)
    ann = enter(port, "ann")
    host.spawned.expect(r"\d{4}-\d\d-\d\dT\S+Z \* guest-1 is now ann\r\n")
    ann.say("hello", "/msg host psst")
    host.spawned.expect(r"\d{4}-\d\d-\d\dT\S+Z <ann> hello\r\n")
    host.sees("-ann- psst")
    host.line("hello yourself")
    ann.sees("<host> hello yourself")
    host.line("/who")
    host.sees("! 2 are here: ann, host")
    host.line("/kick ann enough")
    assert ann.reads_to_the_end()[-1] == "! you were kicked by host: enough"
    host.sees("* ann was kicked by host: enough")
    host.line("/ban everybody")
    host.sees("everybody is not an address")
    assert "\x1b" not in str(host.spawned.before)
    host.line("/close good night")
    host.sees("* the room closed: good night")
    assert host.status() == 0
    assert (None, "the room closed: good night") in records(tmp_path / "log")


def test_ctrl_c_at_a_plain_host_closes_the_room(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    host, port = host_of(terminal, tmp_path, "--plain")
    ann = enter(port, "ann")
    host.key("c")
    assert ann.reads_to_the_end()[-1].endswith("* the room closed")
    assert host.status() == 0


def test_quit_at_a_plain_host_is_asked_for_once_more(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    host, port = host_of(terminal, tmp_path, "--plain")
    ann = enter(port, "ann")
    host.line("quit")
    host.sees("quit once more closes the room for all")
    host.line("no, I stay")
    ann.sees("<host> no, I stay")
    for _ in range(2):
        host.line("quit")
        host.sees("closes the room") if not _ else None
    assert ann.reads_to_the_end()[-1].endswith("* the room closed")
    assert host.status() == 0


def test_the_end_of_what_a_plain_host_types_is_not_the_end_of_the_room(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    host, port = host_of(terminal, tmp_path, "--plain")
    ann = enter(port, "ann")
    host.line("good night")
    host.key("d")
    host.sees("you say no more; the room goes on")
    ann.sees("<host> good night")
    ann.say("and to you")
    host.sees("<ann> and to you")
    ann.say("/who")
    ann.sees("! 2 are here: ann, host")


def test_a_host_whose_output_goes_elsewhere_speaks_at_its_terminal(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    command = f"{' '.join(ROOM)} 0 --log log | tee seen"
    host = terminal("sh", "-c", command, cwd=tmp_path)
    host.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    ann = Client(int(host.spawned.match[1]))
    ann.sees("! welcome")
    host.line("hello")
    ann.sees("<host> hello")
    ann.say("hi")
    host.sees("<guest-1> hi")
    assert b"Z <guest-1> hi\n" in (tmp_path / "seen").read_bytes()


def test_lines_in_a_pipe_are_said_and_its_end_closes_nothing(duo: Duo) -> None:
    host = duo.start([*ROOM, "0", "--plain", "--log", "log"], "room")
    port = port_of(host)
    ann = enter(port, "ann")
    assert host.out == b"", "nobody keeps it so far"
    host.type("hello\n/who\nhalf a line")
    ann.sees("<host> hello")
    until(lambda: b"! 2 are here: ann, host\n" in host.out)
    assert b"Z * guest-1 is now ann\n" in host.out
    host.end_input()
    ann.sees("<host> half a line")
    ann.say("still here")
    until(lambda: b"Z <ann> still here\n" in host.out)
    assert "guest-1 entered the room" in host.err, "as before"


def test_a_file_of_lines_is_said(duo: Duo, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("one\ntwo\n")
    with (tmp_path / "lines").open() as lines:
        host = duo.start([*ROOM, "0", "--log", "log"], "room", stdin=lines)
    port_of(host)
    until(lambda: (host.cwd / "log").read_bytes().endswith(b"<host> two\n"))


@pytest.mark.parametrize("stdin", [subprocess.DEVNULL, "empty file", "ended pipe", "closed"])
def test_a_service_has_no_operator(duo: Duo, tmp_path: Path, stdin: int | str) -> None:
    command, given = [*ROOM, "0", "--log", "log"], subprocess.DEVNULL
    if stdin == "empty file":
        (tmp_path / "empty").touch()
        given = os.open(tmp_path / "empty", os.O_RDONLY)
    elif stdin == "ended pipe":
        given, end = os.pipe()
        os.close(end)
    elif stdin == "closed":
        command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    host = duo.start(command, "room", stdin=given)
    ann = enter(port_of(host), "ann")
    ann.say("/who")
    assert ann.sees("here:") == "! 1 is here: ann"
    assert host.out == b""
    assert "guest-1 entered the room" in host.err


def test_who_reads_no_more_of_a_plain_host_does_not_close_the_room(duo: Duo) -> None:
    reading, writing = os.pipe()
    host: Program = duo.start([*ROOM, "0", "--log", "log"], "room", stdout=writing)
    os.close(writing)
    ann = enter(port_of(host), "ann")
    host.type("hello\n")
    ann.sees("<host> hello")
    os.close(reading)
    ann.say("is anybody reading?")
    until(lambda: "the room goes on without" in host.err)
    ann.say("/who")
    ann.sees("! 1 is here: ann")
    assert children(host.pid)
