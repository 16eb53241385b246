"""What is typed and what is pasted: words that mean something, and text that does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from room_support import Room
from support import DUPLEX, Duo, Terminal, connected, records, said, until
from talk_support import Pair, Start

BEGIN, END = "\x1b[200~", "\x1b[201~"
WORDS = ["one", "quit", "bye", "/quit", "/help", "", "two"]


@pytest.fixture
def listener(terminal: Start, tmp_path: Path) -> Terminal:
    started = terminal(*DUPLEX, "listen", "0", cwd=tmp_path)
    started.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    return started


def port_of(listener: Terminal) -> int:
    return int(listener.spawned.match[1])


# Pastes


def paste(at: Terminal, lines: list[str]) -> None:
    at.spawned.send(BEGIN + "\r".join(lines) + END)


def test_what_is_pasted_is_text_whatever_it_is(listener: Terminal) -> None:
    with connected(port_of(listener)) as peer:
        listener.is_ready()
        paste(listener, [*WORDS, ""])
        heard = peer.makefile()
        assert [heard.readline().rstrip("\n") for _ in WORDS] == WORDS
        listener.line("still here")
        assert heard.readline() == "still here\n"


def test_the_last_pasted_line_is_text_too_when_it_is_said(listener: Terminal) -> None:
    with connected(port_of(listener)) as peer:
        listener.is_ready()
        paste(listener, ["one", "quit"])
        listener.sees("> quit")
        listener.line("")
        listener.line("still here")
        heard = peer.makefile()
        assert [heard.readline() for _ in range(3)] == ["one\n", "quit\n", "still here\n"]
        listener.line("quit")
        assert heard.readline() == ""
    assert listener.status() == 0


@pytest.mark.parametrize("last", ["two", "bye"])
def test_pasted_words_do_not_end_the_other_side_either(
    terminal: Start, tmp_path: Path, last: str
) -> None:
    pair = Pair(terminal, tmp_path)
    paste(pair.connector, ["one", "bye", "quit", last, ""])
    pair.listener.sees(f"client: {last}")
    pair.listener.line("still here")
    pair.connector.sees("server: still here")
    assert [line.rstrip() for line in said(pair.heard_by_listener)] == ["one", "bye", "quit", last]
    pair.connector.line("bye")
    pair.listener.sees("client left")
    assert (pair.connector.status(), pair.listener.status()) == (0, 0)


def test_in_a_room_what_is_pasted_is_text_too(terminal: Start, duo: Duo) -> None:
    room = Room(duo)
    ann = terminal(*DUPLEX, "connect", "127.0.0.1", str(room.port), "--nick", "ann", cwd=duo.tmp)
    ann.sees("and you are ann")
    pasted = ["one", "/quit", "/nick bob", "//", "quit", "bye"]
    paste(ann, [*pasted, ""])
    until(lambda: said(room.log) == pasted)
    ann.line("/me waves")
    until(lambda: said(room.log)[-1] == "* waves")


@pytest.mark.parametrize("answer", ["y", "\r"])
def test_a_long_paste_is_said_when_that_is_wanted(listener: Terminal, answer: str) -> None:
    lines = [f"line {n}" for n in range(300)]
    with connected(port_of(listener)) as peer:
        listener.is_ready()
        paste(listener, lines)
        listener.sees("paste 300 lines? [Y/n]")
        listener.spawned.send("x")  # is no answer
        listener.spawned.send(answer)
        listener.sees("> line 299")
        listener.line("")
        heard = peer.makefile()
        assert [heard.readline().rstrip("\n") for _ in lines] == lines


@pytest.mark.parametrize("answer", ["n", "\x03", "\x04"])
def test_a_long_paste_is_dropped_when_it_is_not(listener: Terminal, answer: str) -> None:
    with connected(port_of(listener)) as peer:
        listener.is_ready()
        listener.spawned.send("mine ")
        paste(listener, [str(n) for n in range(11)])
        listener.sees("paste 11 lines? [Y/n]")
        listener.spawned.send(answer)
        listener.line("alone")
        assert peer.recv(100) == b"mine alone\n"


def test_ten_lines_are_pasted_without_a_question(listener: Terminal) -> None:
    with connected(port_of(listener)) as peer:
        listener.is_ready()
        paste(listener, [*(str(n) for n in range(10)), ""])
        assert peer.makefile().readline() == "0\n"


# Words


@pytest.mark.parametrize("options", [(), ("--plain",)], ids=["screen", "plain"])
def test_slash_quit_and_slash_help_do_in_a_talk_what_one_means(
    terminal: Start, tmp_path: Path, options: tuple[str, ...]
) -> None:
    pair = Pair(terminal, tmp_path, *options)
    for at in (pair.connector, pair.listener):
        at.line("/help")
        at.sees("bye: say bye, and end both sides")
    pair.connector.line("//quit")
    pair.listener.sees("client: /quit")
    pair.connector.line("/quit")
    pair.listener.sees("client left")
    assert (pair.connector.status(), pair.listener.status()) == (0, 0)
    assert said(pair.heard_by_listener) == ["/quit"]
    assert said(pair.heard_by_connector) == []


def test_bye_in_a_room_is_said_and_leaves(terminal: Start, duo: Duo) -> None:
    room = Room(duo)
    ann = terminal(*DUPLEX, "connect", "127.0.0.1", str(room.port), "--nick", "ann", cwd=duo.tmp)
    ann.sees("and you are ann")
    ann.line("bye")
    assert ann.status() == 0
    until(lambda: records(room.log)[-2:] == [("ann", "bye"), (None, "ann left")])


# While nobody is there


@pytest.mark.parametrize("word", ["quit", "bye", "/quit", "\x04"])
@pytest.mark.parametrize("options", [(), ("--code",)], ids=["plain", "code"])
def test_quit_ends_a_listener_that_waits(
    terminal: Start, tmp_path: Path, word: str, options: tuple[str, ...]
) -> None:
    listener = terminal(*DUPLEX, "listen", "0", *options, cwd=tmp_path)
    listener.sees("join with")
    listener.spawned.send(word if word == "\x04" else f"{word}\r")
    assert listener.status() == 0
    assert "Traceback" not in listener.spawned.before


def test_quit_ends_the_retrying(terminal: Start, tmp_path: Path) -> None:
    connector = terminal(*DUPLEX, "connect", "127.0.0.1", "1", "--retry", cwd=tmp_path)
    connector.sees("trying again until it answers")
    connector.line("quit")
    assert connector.status() == 0


@pytest.mark.parametrize("options", [(), ("--plain",)], ids=["screen", "plain"])
def test_what_is_typed_while_nobody_is_there_is_said_first(
    terminal: Start, tmp_path: Path, options: tuple[str, ...]
) -> None:
    listener = terminal(*DUPLEX, "listen", "0", *options, cwd=tmp_path)
    listener.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    port = port_of(listener)
    listener.line("hello")
    listener.sees("hello\r\n")
    listener.line("are you there?")
    listener.sees("there?\r\n")
    with connected(port) as peer:
        heard = peer.makefile()
        assert [heard.readline(), heard.readline()] == ["hello\n", "are you there?\n"]
        if not options:
            listener.sees("me: are you there?")
        listener.line("now")
        assert heard.readline() == "now\n"


def test_a_listener_in_the_background_waits_without_the_keyboard(
    terminal: Start, tmp_path: Path
) -> None:
    shell = terminal("bash", "--norc", "--noprofile", cwd=tmp_path, PS1="$ ")
    shell.line(" ".join([*DUPLEX, "listen", "0", "--plain", "> heard", "&"]))
    shell.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    port = port_of(shell)
    shell.line("jobs; echo mine''")
    shell.spawned.expect(r"Running .*mine\r\n")
    with connected(port) as peer:
        peer.sendall(b"for the file\n")
        until(lambda: (tmp_path / "heard").read_bytes() == b"for the file\n")


def test_with_verbatim_quit_is_a_word_while_nobody_is_there_too(
    terminal: Start, tmp_path: Path
) -> None:
    listener = terminal(*DUPLEX, "listen", "0", "--plain", "--verbatim", cwd=tmp_path)
    listener.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    port = port_of(listener)
    listener.line("quit")
    listener.sees("quit\r\n")
    with connected(port) as peer:
        assert peer.makefile().readline() == "quit\n"
