"""How a room looks on a screen: nicks, mentions, what comes once more, and why one is `ann2`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_support import join, start_room
from room_support import Client
from support import Duo, Program, until
from tmux import Tmux

RED = re.compile(r"\x1b\[(?:\d+;)*(?:31|91|38;5;(?:1|9|196|160|124|88))(?:;\d+)*m")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Tmux]:
    (tmp_path / "screen").mkdir()
    made = Tmux(tmp_path / "screen")
    yield made
    made.stop()


@pytest.fixture
def room(duo: Duo) -> tuple[Program, int]:
    return start_room(duo, "--name", "lobby")


def enter(at: Tmux, port: int, nick: str = "ann") -> None:
    at.line(f"./duplex connect 127.0.0.1 {port} --nick {nick}")
    at.sees(f"{nick} entered the room")
    at.sees(" here · not encrypted")


def client(port: int, nick: str) -> Client:
    made = Client(port)
    made.say(f"/nick {nick}")
    made.sees(f"! you are {nick} now")
    return made


def painted(at: Tmux, text: str) -> list[str]:
    """The escape sequences right before each `text`."""
    return re.findall(rf"((?:\x1b\[[\d;]*m)+){re.escape(text)}", at.painted)


def test_the_first_dozen_nicks_have_a_dozen_colours_and_none_is_an_errors(
    at: Tmux, room: tuple[Program, int]
) -> None:
    enter(at, room[1])
    at.line("mine")
    at.sees("ann: mine")
    nicks = [f"nick{number}" for number in range(11)]
    clients = [client(room[1], nick) for nick in nicks]
    at.sees(f"is now {nicks[-1]}")  # nothing of that comes after the screen is cleared
    at.tmux("send-keys", "C-l")
    until(lambda: "is now" not in at.screen)
    for one, nick in zip(clients, nicks, strict=True):
        one.say("hello")
        at.sees(f"{nick}: hello")
    at.line("again")
    at.sees("ann: again")
    colours = [painted(at, f"{nick}\x1b")[-1] for nick in [*nicks, "ann"]]
    colours[-1] = colours[-1].replace("\x1b[1m", "")
    assert len({re.sub(r"\x1b\[(?:0|39|49)?m", "", codes) for codes in colours}) == 12
    assert not any(map(RED.search, colours))
    clients[0].say("/nick other", "still me")
    at.sees("other: still me")
    assert painted(at, "other\x1b")[-1] == colours[0], "who has another nick keeps the colour"
    for one in clients:
        one.close()


def test_a_mention_is_highlighted(at: Tmux, room: tuple[Program, int]) -> None:
    enter(at, room[1])
    bob = client(room[1], "bob")
    bob.say("annoying: hello Ann, and ann!", "/me waves at ann")
    at.sees("waves at ann")
    shown = at.painted
    line = next(row for row in shown.split("\n") if "annoying" in row)
    assert re.search(r"hello \x1b\[[\d;]*7mAnn\x1b", line.replace("\x1b[1m\x1b[7m", "\x1b[1;7m"))
    assert len(re.findall(r"7m[Aa]nn\x1b", line)) == 2
    assert re.search(r"waves at (?:\x1b\[1m)?\x1b\[[\d;]*7mann", shown)
    at.line("I am ann")
    at.sees("ann: I am ann")
    assert not re.search(r"I am .*7mann", at.painted), "not what one says oneself"
    bob.close()


def test_history_looks_as_it_did_when_it_was_said(at: Tmux, room: tuple[Program, int]) -> None:
    enter(at, room[1])
    bob = client(room[1], "bob")
    bob.say("hello ann", "/me waves")
    at.sees("* bob waves")
    before = rows(at)[-4:]
    assert [row[9:] for row in before][-3:] == [
        "· guest-2 is now bob",
        "bob: hello ann",
        "* bob waves",
    ]
    at.key("C-l")
    at.line("/history 4")
    until(lambda: rows(at)[-4:] == before and len(rows(at)) == 4)
    assert "Z <bob>" not in at.all
    assert re.search(r"7mann", at.painted)
    bob.close()


def rows(at: Tmux) -> list[str]:
    """What is shown above the prompt."""

    def drawn() -> list[str]:
        shown = at.screen.split("\n")
        return shown if ">" in shown else []

    shown = until(drawn)
    return [row for row in shown[: shown.index(">")] if re.match(r"\d\d:\d\d:\d\d ", row)]


def test_a_taken_nick_says_why_one_has_another(
    at: Tmux, room: tuple[Program, int], duo: Duo
) -> None:
    ann = join(duo, room[1], "ann")
    at.line(f"./duplex connect 127.0.0.1 {room[1]} --nick ann")
    at.sees("somebody else is ann now, so you are ann2")
    at.sees(" · ann2 · 2 here")
    at.line("hello")
    at.sees("ann2: hello")
    other = Client(room[1])
    other.sees("! welcome")
    other.say("/join ann")
    assert other.sees("so you are") == "! somebody else is ann now, so you are ann3"
    assert other.sees("! joined").startswith("! joined lobby as ann3: ")
    ann.end_input()
    assert ann.status() == 0
    other.close()
