"""The interactive screen as a real terminal shows it: in a tmux of its own, typed into by its keys.

A shell runs in it, as on anybody's terminal, and duplex in the shell; the peer is a bare socket.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import termios
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from screen_support import BAR, Start, Talk
from support import DUPLEX, Terminal, children, connected, said, unread, until
from tmux import WIDTH, Tmux

INCOMING = [
    "hello",
    "日本語の行です。" * 9,
    "a long line " * 30,
    "😀 👍🏽 e\u0301 family",
    "",
    "the last",
]
TYPED = {
    "ascii": "half a line",
    "wide": "日本語の半分",
    "emoji": "half 😀 a 👍 line",
    "wraps": "a_line_that_is_longer_than_the_terminal_is_wide," * 5,
    "wide and wraps": "長い行" * 40,
}


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED)
def test_the_typed_line_stays_whole_while_lines_come_in(talk: Talk, typed: str) -> None:
    talk.at.type(typed)
    talk.shows_input(typed)
    talk.at.key("Left", "Left", "Left")
    at_the_end = ""

    def cursor() -> tuple[str, ...]:
        rows = talk.at.screen.count("\n")
        return talk.at.told("cursor_x"), str(rows - int(talk.at.told("cursor_y")))

    talk.says("first")
    talk.at.sees("client: first")
    before = until(lambda: cursor() if talk.input_line() else None)
    for text in INCOMING:
        talk.says(text)
        talk.at.sees(f"client: {text}"[: WIDTH // 3].rstrip())
        talk.shows_input(typed)
        until(lambda: cursor() == before)
    talk.at.type("X")
    at_the_end = typed[:-3] + "X" + typed[-3:]
    talk.shows_input(at_the_end)
    talk.at.key("Enter")
    assert talk.hears() == at_the_end
    talk.shows_input("")
    under = "\n" + " " * len("12:34:56 client: ")  # where a line goes on in the next row
    whole = talk.at.all.replace(under, "").split("\n")
    shown = [line.partition("client: ")[2] for line in whole if "client: " in line]
    assert [s.replace(" ", "") for s in shown] == ["first", *(t.replace(" ", "") for t in INCOMING)]


def test_a_burst_of_lines_leaves_the_typed_line_and_all_of_them(talk: Talk) -> None:
    lines = [f"line {n} 日本語 😀" for n in range(1000)]
    typed = "half a line 半分"
    talk.at.type(typed)
    talk.shows_input(typed)
    talk.says(*lines)
    talk.at.sees(lines[-1])
    talk.shows_input(typed)
    shown = re.findall(r"client: (line .*)", talk.at.all)
    assert [line.rstrip() for line in shown] == lines, "each once, in order"
    talk.at.line(" and the rest")
    assert talk.hears() == f"{typed} and the rest"
    assert said(talk.log) == lines


def test_lines_that_come_while_typing_disturb_neither(talk: Talk) -> None:
    typed = "typed letter by letter, while the other side goes on and on"
    for number, character in enumerate(typed):
        talk.says(f"line {number}")
        talk.at.type(character)
    talk.at.sees(f"line {len(typed) - 1}")
    talk.shows_input(typed)
    talk.at.key("Enter")
    assert talk.hears() == typed
    assert re.findall(r"client: line (\d+)", talk.at.all) == [str(n) for n in range(len(typed))]


def test_the_arrow_keys_bring_earlier_lines_back(talk: Talk) -> None:
    for text in ("one", "two 日本語"):
        talk.at.line(text)
        assert talk.hears() == text
    talk.at.type("unfinished")
    talk.shows_input("unfinished")
    talk.at.key("Up")
    talk.shows_input("two 日本語")
    talk.at.key("Up")
    talk.shows_input("one")
    talk.at.key("Down", "Down")
    talk.shows_input("unfinished")
    talk.at.key("Up", "Up", "Enter")
    assert talk.hears() == "one"


@pytest.mark.parametrize("how", [["-p"], []], ids=["bracketed", "as keys"])
def test_pasted_lines_are_sent_as_lines(talk: Talk, how: list[str]) -> None:
    pasted = [f"pasted {n} 日本語" for n in range(200)]
    talk.at.tmux("set-buffer", "\n".join(pasted))
    talk.at.tmux("paste-buffer", *how)
    if how:
        talk.at.sees("paste 200 lines? [Y/n]")
        talk.at.key("y")
    assert [talk.hears() for _ in pasted[:-1]] == pasted[:-1]
    talk.shows_input(pasted[-1])
    talk.at.key("Enter")
    assert talk.hears() == pasted[-1]
    talk.at.sees(f"me: {pasted[-1]}")
    assert re.findall(r"me: (pasted .*)", talk.at.all) == pasted


def test_a_pasted_control_character_does_nothing_to_this_terminal(talk: Talk) -> None:
    talk.at.tmux("set-buffer", "a\x1b]0;title\x07b\n")
    talk.at.tmux("paste-buffer", "-p")
    assert talk.hears().startswith("a")
    talk.at.sees("me: a")
    assert "title" not in talk.at.told("pane_title")


def test_the_bar_tells_who_how_long_and_where(talk: Talk) -> None:
    address = "{}:{}".format(*talk.peer.getsockname())
    talk.at.sees(f" client {address} · 0:0")
    talk.at.sees(" · not encrypted · logs/client_input.log")
    talk.at.sees(" · 0:02 · ")
    assert BAR in talk.at.screen.split("\n")[-1]


def test_the_bar_says_when_there_is_no_transcript(start: Start) -> None:
    start("--no-log", "--peer", "ann").at.sees("· not encrypted · no transcript")


def test_each_line_says_who_spoke(talk: Talk) -> None:
    talk.says("hello")
    talk.at.sees("client: hello")
    talk.at.line("hello, too")
    talk.at.sees("me: hello, too")
    assert talk.hears() == "hello, too"
    lines = talk.at.screen.split("\n")
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in lines[-4:-2]] == [
        "client: hello",
        "me: hello, too",
    ]


def test_the_other_side_is_the_server_for_who_has_connected(at: Tmux) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        at.line(f"./duplex connect 127.0.0.1 {server.getsockname()[1]}")
        peer, _ = server.accept()
        with peer:
            at.sees(BAR)
            peer.sendall(b"hello\n")
            at.sees("server: hello")
            at.sees("logs/server_input.log")


def test_messages_have_local_time_dim_and_the_peer_in_colour(start: Start) -> None:
    talk = start(variables="TZ=Asia/Tokyo")
    talk.at.sees(BAR)
    talk.says("hello")
    talk.at.sees("client: hello")
    stamp = re.search(rb"(\S+)Z <client> hello", talk.log.read_bytes())
    assert stamp
    utc = datetime.fromisoformat(stamp[1].decode()).replace(tzinfo=UTC)
    clock = (utc + timedelta(hours=9)).strftime("%H:%M:%S")
    line = next(line for line in talk.at.painted.split("\n") if "client: hello" in line)
    assert re.search(rf"\x1b\[(0;)?2m{clock} ", line), repr(line)
    assert re.search(r"\x1b\[(0;)?36m(\x1b\[\d+m)*client: hello", line), repr(line)


def test_no_color_leaves_messages_without_any(start: Start) -> None:
    talk = start(variables="NO_COLOR=1")
    talk.at.sees(BAR)
    talk.says("hello")
    talk.at.sees("client: hello")
    talk.at.line("and to you")
    talk.at.sees("me: and to you")
    lines = [line for line in talk.at.painted.split("\n") if re.search("client: |me: ", line)]
    assert len(lines) == 2
    for line in lines:
        assert re.fullmatch(r"\d\d:\d\d:\d\d (client: hello|me: and to you)", line), repr(line)


@pytest.mark.parametrize(("options", "variables"), [(["--plain"], ""), ([], "TERM=dumb")])
def test_a_plain_terminal_has_no_screen(start: Start, options: list[str], variables: str) -> None:
    talk = start(*options, variables=variables)
    talk.says("hello")
    talk.at.sees("\nclient: hello")
    talk.at.line("and to you")
    assert talk.hears() == "and to you"
    assert BAR not in talk.at.all
    assert "> " not in talk.at.all
    talk.at.line("quit")
    talk.at.is_left()
    talk.at.prompt_again()
    assert "\x1b" not in talk.at.painted, "nothing is painted"


def test_what_was_on_the_terminal_before_stays_in_its_scrollback(at: Tmux, start: Start) -> None:
    at.line("seq 1000 1100")
    at.sees("\n1100\n")
    talk = start()
    at.sees(BAR)
    talk.says(*(f"line {n}" for n in range(50)))
    at.sees("client: line 49")
    assert at.told("alternate_on") == "0"
    shown = at.all
    assert re.findall(r"^1\d{3}$", shown, re.M) == [str(n) for n in range(1000, 1101)]
    at.line("quit")
    at.is_left()
    at.prompt_again()
    shown = at.all
    assert re.findall(r"^1\d{3}$", shown, re.M) == [str(n) for n in range(1000, 1101)]
    assert re.findall(r"client: line (\d+)", shown) == [str(n) for n in range(50)]


def leave_by_quit(talk: Talk) -> None:
    talk.at.key("C-c")  # the line that was begun goes
    talk.shows_input("")
    talk.at.line("quit")


def leave_by_ctrl_c(talk: Talk) -> None:
    talk.at.key("C-c")
    talk.shows_input("")
    talk.at.key("C-c")
    talk.at.sees("Ctrl-C once more ends the talk")
    talk.at.key("C-c")


def the_peer_leaves(talk: Talk) -> None:
    talk.peer.shutdown(socket.SHUT_RDWR)


def be_terminated(talk: Talk) -> None:
    os.kill(talk.pid, signal.SIGTERM)


def lose_the_receiver(talk: Talk) -> None:
    os.kill(children(talk.pid)[0], signal.SIGKILL)


ENDINGS = [leave_by_quit, leave_by_ctrl_c, the_peer_leaves, be_terminated, lose_the_receiver]


@pytest.mark.parametrize("end", ENDINGS)
def test_afterwards_the_terminal_is_as_it_was(
    at: Tmux, start: Start, end: Callable[[Talk], None]
) -> None:
    at.line("stty -a > before")
    at.prompt_again()
    talk = start()
    at.sees(BAR)
    talk.says("hello")
    at.sees("client: hello")
    at.type("half a line")
    talk.shows_input("half a line")
    end(talk)
    at.is_left()
    at.line("stty -a > after")
    at.prompt_again()
    assert (at.cwd / "after").read_text() == (at.cwd / "before").read_text()
    assert at.told("cursor_flag") == "1"
    assert BAR not in at.all
    assert "client: hello" in at.all
    at.type("echoed")
    at.sees("$ echoed")
    # Nothing that is pasted from now on is to be wrapped in brackets by us, nor painted.
    at.key("C-u")
    assert not at.painted.rstrip("\n").split("\n")[-1].startswith("\x1b[7m")


def test_ctrl_z_suspends_and_fg_resumes(talk: Talk) -> None:
    at = talk.at
    at.type("half a line")
    talk.shows_input("half a line")
    at.key("C-z")
    at.sees("Stopped")
    at.prompt_again()
    at.line("stty -a > while_stopped")
    at.prompt_again()
    modes = (at.cwd / "while_stopped").read_text().split()
    assert "icanon" in modes
    assert "echo" in modes
    talk.says("said meanwhile")
    at.line("fg")
    at.sees("client: said meanwhile")
    talk.shows_input("half a line")
    at.line(" and the rest")
    assert talk.hears() == "half a line and the rest"


@pytest.mark.parametrize("width", [60, 140])
@pytest.mark.parametrize("typed", [TYPED["ascii"], TYPED["wraps"]], ids=["short", "long"])
def test_a_resized_window_keeps_the_typed_line(talk: Talk, typed: str, width: int) -> None:
    talk.says("before")
    talk.at.sees("client: before")
    talk.at.type(typed)
    talk.shows_input(typed)
    talk.at.tmux("resize-window", "-x", str(width), "-y", "20")
    talk.at.key("X")
    talk.shows_input(typed + "X")
    talk.says("after")
    talk.at.sees("client: after")
    talk.shows_input(typed + "X")
    talk.at.key("Enter")
    assert talk.hears() == typed + "X"
    assert re.findall(r"client: (\w+)", talk.at.all) == ["before", "after"]


def test_nothing_typed_is_echoed_while_lines_are_printed(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    """Neither in the midst of printing, which the terminal holds up here by not being read."""
    listener = terminal(*DUPLEX, "listen", "0", cwd=tmp_path)
    listener.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    with connected(int(listener.spawned.match[1])) as peer:
        listener.is_ready()
        peer.sendall(b"many words\n" * 20_000)
        pty = listener.spawned.child_fd
        until(lambda: unread(pty) > 3000)  # of the 4 KiB that a terminal takes
        assert not termios.tcgetattr(pty)[3] & termios.ECHO
