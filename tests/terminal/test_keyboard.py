"""A keyboard that cannot be frozen: pastes with and without an end, and what comes after them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys
from support import DUPLEX, Terminal, connected

from duplex.terminal.keyboard import _Parser

Start = Callable[..., Terminal]
BEGIN, END = "\x1b[200~", "\x1b[201~"


@pytest.fixture
def screen(terminal: Start, tmp_path: Path) -> Terminal:
    listener = terminal(*DUPLEX, "listen", "0", cwd=tmp_path)
    listener.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    return listener


@pytest.mark.parametrize("pressed", ["alone", "with the rest"])
def test_ctrl_c_and_ctrl_d_work_in_a_paste_without_an_end(screen: Terminal, pressed: str) -> None:
    with connected(int(screen.spawned.match[1])) as peer:
        screen.is_ready()
        if pressed == "alone":
            screen.spawned.send(f"{BEGIN}pasted\rand no end")
            screen.spawned.send("\x04")
        else:
            screen.spawned.send(f"{BEGIN}pasted\rand no end\x04")
        assert peer.recv(100) == b"", "nothing of the paste is said"
        screen.spawned.send(f"{BEGIN}more")
        screen.spawned.send("\x03\x03\x03")
        assert screen.status() == 130


def test_a_key_after_a_while_ends_a_paste_without_an_end(screen: Terminal) -> None:
    with connected(int(screen.spawned.match[1])) as peer:
        screen.is_ready()
        screen.spawned.send(f"{BEGIN}pasted")
        pressed = 0
        while screen.spawned.expect_exact(["pasted", pexpect.TIMEOUT], timeout=0.7) != 0:
            screen.spawned.send("x")
            pressed += 1
        screen.line("")
        assert re.fullmatch(b"pasted(x+)\n", peer.recv(100))
        assert pressed < 10


def test_ctrl_c_gives_up_where_a_code_is_asked_for_and_a_paste_has_no_end(
    terminal: Start, tmp_path: Path
) -> None:
    asked = terminal(*DUPLEX, "connect", "--code", "127.0.0.1", "1", cwd=tmp_path)
    asked.sees("3 letters of each")
    asked.spawned.send(f"{BEGIN}walrus")
    asked.spawned.send("\x03")
    assert asked.status() == 130


def keys_of(pieces: list[str]) -> list[tuple[str, str]]:
    found: list[KeyPress] = []
    parser = _Parser(found.append)
    for piece in pieces:
        parser.feed(piece)
    parser.flush()
    return [(key.key, key.data) for key in found]


def test_a_paste_is_whole_however_it_comes(rng: random.Random) -> None:
    for _ in range(300):
        parts = ["a", "é", "\r", "\x1b", "[201", "~", "\x03x"]
        pasted = "".join(rng.choice(parts) for _ in range(40))
        while END in pasted:
            pasted = pasted.replace(END, "")
        whole = f"x{BEGIN}{pasted}{END}y"
        pieces = []
        while whole:
            cut = rng.randrange(1, 12)
            piece, whole = whole[:cut], whole[cut:]
            if pieces and not piece.strip("\x03\x04"):  # is a key that is pressed
                pieces[-1] += piece
            else:
                pieces.append(piece)
        assert keys_of(pieces) == [("x", "x"), (Keys.BracketedPaste, pasted), ("y", "y")], pieces


def test_a_late_end_of_a_paste_is_no_key() -> None:
    found: list[KeyPress] = []
    parser = _Parser(found.append)
    parser.feed(f"{BEGIN}slow")
    parser.flush()
    parser.feed("k")
    parser.feed(f"{END}z")
    assert [(key.key, key.data) for key in found] == [
        (Keys.BracketedPaste, "slow"),
        ("k", "k"),
        ("z", "z"),
    ]
