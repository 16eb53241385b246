"""A room on a real terminal: who says what, what is pending, who is here, and what Tab knows."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from client_support import join, log_of, members, said_by, start_room
from support import Duo, Program, events, room_log, until
from tmux import Tmux

BAR = "· not encrypted ·"


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Callable[..., Tmux]]:
    made: list[Tmux] = []

    def start(**env: str) -> Tmux:
        (tmp_path / "screen").mkdir(exist_ok=True)
        made.append(Tmux(tmp_path / "screen", **env))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def at(tmux: Callable[..., Tmux]) -> Tmux:
    return tmux()


@pytest.fixture
def room(duo: Duo) -> tuple[Program, int]:
    return start_room(duo, "--name", "lobby")


@pytest.fixture
def ann(at: Tmux, room: tuple[Program, int]) -> Tmux:
    """Her screen, in the room."""
    enter(at, room[1])
    return at


def enter(at: Tmux, port: int, *options: str) -> None:
    at.line(f"./duplex connect 127.0.0.1 {port} --nick ann {' '.join(options)}")
    until(lambda: re.search(r"this is room lobby, and you are ann|connected again, as ann", at.all))
    until(lambda: bar_of(at))


def bar_of(at: Tmux) -> str:
    last = at.screen.rpartition("\n")[2]
    return last if BAR in last else ""


def input_line(at: Tmux) -> str:
    return at.screen.split("\n")[-2].rstrip()


def colours_of(at: Tmux, text: str) -> list[str]:
    """The escape sequences right before each `text`."""
    found = re.findall(rf"((?:\x1b\[[\d;]*m)+){re.escape(text)}", at.painted)
    return [re.sub(r"\x1b\[(?:0|39|49)?m", "", codes) for codes in found]


def test_what_is_said_and_what_happens_look_different(
    ann: Tmux, room: tuple[Program, int], duo: Duo
) -> None:
    bob = join(duo, room[1], "bob")
    bob.type("hello\n/me waves\n/me left\n/msg ann psst\n")
    ann.sees("bob, to you alone: psst")
    shown = ann.all
    assert re.search(r"\n\d\d:\d\d:\d\d bob: hello\n", shown)
    assert re.search(r"\n\d\d:\d\d:\d\d \* bob waves\n", shown)
    assert re.search(r"\n\d\d:\d\d:\d\d \* bob left\n", shown)  # he has only said so
    bob.end_input()
    assert bob.status() == 0
    until(lambda: re.search(r"\n\d\d:\d\d:\d\d · bob left\n", ann.all))
    assert "bob entered the room (127.0.0.1:" in shown


def test_own_lines_appear_once_the_room_has_them(ann: Tmux, room: tuple[Program, int]) -> None:
    host, _ = room
    ann.line("hello")
    ann.sees(" ann: hello\n")
    assert said_by("ann", log_of(host)) == ["hello"]
    assert ann.all.count("hello") == 1


def test_lines_that_have_not_arrived_are_shown_as_pending(
    ann: Tmux, room: tuple[Program, int], duo: Duo
) -> None:
    host, port = room
    host.process.kill()
    ann.sees("connection lost: ")
    until(lambda: "reconnecting…" in bar_of(ann))
    for number in range(7):
        ann.line(f"line {number}")
    until(lambda: "… and 3 more" in ann.screen)
    assert "… line 0\n… line 1\n… line 2\n… line 3\n… and 3 more\n>" in ann.screen
    assert ": line 0" not in ann.all
    start_room(duo, "--name", "lobby", port=port)
    ann.sees(" ann: line 6\n")
    until(lambda: ann.screen.split("\n")[-2] == ">")
    assert re.findall(r"ann: (line \d)", ann.all) == [f"line {number}" for number in range(7)]
    assert "…" not in ann.screen


def test_the_bar_counts_who_is_here(ann: Tmux, room: tuple[Program, int], duo: Duo) -> None:
    until(lambda: " room lobby · ann · 1 here · " in bar_of(ann))
    bob, eve = join(duo, room[1], "bob"), join(duo, room[1], "eve")
    until(lambda: "· 3 here ·" in bar_of(ann))
    bob.type("/nick bobby\n")
    ann.sees("bob is now bobby")
    bob.end_input()
    until(lambda: "· 2 here ·" in bar_of(ann))
    eve.process.kill()
    until(lambda: "· 1 here ·" in bar_of(ann))
    assert f"logs/room-lobby/127.0.0.1-{room[1]}/server_input.log" in bar_of(ann)


def test_a_change_of_nick_shows_in_the_bar(ann: Tmux) -> None:
    ann.line("/nick eve")
    until(lambda: " room lobby · eve · 1 here" in bar_of(ann))
    ann.sees("you are eve now\n")


def test_nicks_have_colours_that_stay(ann: Tmux, room: tuple[Program, int], duo: Duo) -> None:
    for nick in ("bob", "eve"):
        join(duo, room[1], nick).type("one\ntwo\n")
        ann.sees(f"{nick}: two")
    ann.line("mine")
    ann.sees("ann: mine")
    assert len(colours_of(ann, "bob")) == len(colours_of(ann, "eve")) == 2
    (bob,), (eve,) = set(colours_of(ann, "bob")), set(colours_of(ann, "eve"))
    assert bob != eve
    assert "\x1b[1m" in colours_of(ann, "ann")[-1]
    assert "\x1b[2m" in colours_of(ann, "· bob entered")[-1]


def test_no_colour_where_none_is_wanted(
    tmux: Callable[..., Tmux], room: tuple[Program, int], duo: Duo
) -> None:
    at = tmux(NO_COLOR="1")
    enter(at, room[1])
    join(duo, room[1], "bob").type("hello\n/msg ann psst\n")
    at.sees("bob, to you alone: psst")
    above = at.painted.rpartition("psst")[0]
    assert not re.search(r"\x1b\[[\d;]*[1-9]", above.partition("this is room")[2])


def test_tab_completes_nicks_and_commands(ann: Tmux, room: tuple[Program, int], duo: Duo) -> None:
    for nick in ("bob", "bert", "Eve"):
        join(duo, room[1], nick)
    until(lambda: "· 4 here ·" in bar_of(ann))
    ann.type("b")
    for expected in ("> bert:", "> bob:", "> bert:"):
        ann.key("Tab")
        until(lambda expected=expected: input_line(ann) == expected)
    ann.key("C-u")
    ann.type("/m")
    for expected in ("> /me", "> /msg"):
        ann.key("Tab")
        until(lambda expected=expected: input_line(ann) == expected)
    ann.type("e")
    ann.key("Tab")
    until(lambda: input_line(ann) == "> /msg Eve")
    ann.type("psst")
    until(lambda: input_line(ann) == "> /msg Eve psst")


def test_who_was_there_before_is_known_without_a_word_on_the_screen(
    at: Tmux, room: tuple[Program, int], duo: Duo
) -> None:
    join(duo, room[1], "bob")
    enter(at, room[1])
    at.sees("ann entered")
    at.type("bo")
    at.key("Tab")
    until(lambda: input_line(at) == "> bob:")
    assert "are here: " not in at.all
    at.key("C-u")
    at.line("/who")
    at.sees("2 are here: ann, bob")


@pytest.mark.parametrize("line", ["hi Ann!", "ANN", "/msg ann psst", "/me pokes ann"])
def test_the_bell_rings_when_one_is_spoken_to(
    ann: Tmux, room: tuple[Program, int], duo: Duo, line: str
) -> None:
    bob = join(duo, room[1], "bob")
    bob.type("nobody, annoying, anna\nlast\n")
    ann.sees("bob: last")
    ann.tmux("set", "-g", "monitor-bell", "on")
    assert not rings(ann)
    bob.type(f"{line}\n")
    until(lambda: rings(ann))


def rings(at: Tmux) -> bool:
    """tmux marks a window in which a bell has rung, as long as it is not the one looked at."""
    if at.told("session_windows") == "1":
        at.tmux("new-window", "-d")
        at.tmux("select-window", "-t", ":1")
    return "!" in at.tmux("list-windows", "-F", "#{window_index}#{window_flags}").split()[0]


def test_a_lost_connection_is_told_once_and_so_is_the_next(
    ann: Tmux, room: tuple[Program, int]
) -> None:
    host, _ = room
    ann.sees("ann entered")
    os.kill(members(host)[0], signal.SIGKILL)
    ann.sees("connected again, as ann")
    ann.line("still here")
    ann.sees("ann: still here")
    assert ann.all.count("trying again") == 1
    assert ann.all.count("connected again") == 1


def test_ctrl_d_leaves_when_all_has_been_said(ann: Tmux, room: tuple[Program, int]) -> None:
    host, _ = room
    ann.line("good night")
    ann.key("C-d")
    ann.is_left()
    assert said_by("ann", log_of(host)) == ["good night"]
    until(lambda: events(log_of(host))[-1] == "ann left")


def test_pasted_lines_are_said_one_by_one(ann: Tmux, room: tuple[Program, int]) -> None:
    host, _ = room
    ann.tmux("set-buffer", "one\n  two\n\nthree\n")
    ann.tmux("paste-buffer", "-p")
    until(lambda: said_by("ann", log_of(host)) == ["one", "  two", "", "three"])


# The host's own terminal


def test_who_sits_at_the_host_sees_the_room_and_keeps_it(at: Tmux, duo: Duo) -> None:
    at.line("./duplex room 0 --allow-root --name lobby; echo status $?")
    match = until(lambda: re.search(r"listening on 127\.0\.0\.1:(\d+)", at.all))
    at.sees("this is room lobby, and you are host")
    bob = join(duo, int(match[1]), "bob")
    bob.type("hello\n")
    at.sees("bob: hello")
    at.line("welcome")
    at.sees("host: welcome")
    until(lambda: b"<host> welcome\n" in bob.out)
    at.line("/kick bob enough")
    assert bob.status() == 1
    assert "you were kicked by host: enough" in bob.err
    at.sees("bob was kicked by host: enough")
    at.line("/close good night")
    at.sees("status 0")
    assert "the room closed: good night" in at.all
    assert events(room_log(at.cwd))[-1] == "the room closed: good night"


def test_the_screen_may_be_slow_and_nobody_waits(
    ann: Tmux, room: tuple[Program, int], duo: Duo
) -> None:
    """A flood is shown in the end, and the input line is whole after it."""
    bob = join(duo, room[1], "bob")
    bob.type("".join(f"{n}\n" for n in range(3000)))
    ann.sees("bob: 2999")
    until(lambda: input_line(ann) == ">")
