"""One side says no more, or leaves; what the other is told, and what becomes of its half line."""

from __future__ import annotations

import os
import signal
import socket
import struct
from pathlib import Path

import pytest
from room_support import Room
from support import DUPLEX, Duo, Terminal, children, connected, events, read_all, said, until
from talk_support import Pair, Start

NO_MORE = "client says no more (you still can)"


@pytest.fixture(params=[(), ("--plain",)], ids=["screen", "plain"])
def pair(request: pytest.FixtureRequest, terminal: Start, tmp_path: Path) -> Pair:
    return Pair(terminal, tmp_path, *request.param)


def test_after_ctrl_d_the_other_side_is_told_and_goes_on(pair: Pair) -> None:
    pair.connector.line("my last")
    pair.listener.sees("client: my last")
    pair.connector.key("d")
    pair.listener.sees(NO_MORE)
    pair.connector.sees("you say no more; server still can (quit ends)")
    pair.listener.line("not mine")
    pair.connector.sees("server: not mine")
    pair.listener.line("quit")
    assert pair.listener.status() == 0
    pair.connector.sees("server left")
    assert pair.connector.status() == 0
    assert said(pair.heard_by_connector) == ["not mine"]
    assert events(pair.heard_by_listener)[1:] == ["client says no more", "this side left"]


def test_when_both_sides_have_pressed_ctrl_d_the_talk_is_over(pair: Pair) -> None:
    pair.connector.key("d")
    pair.listener.sees(NO_MORE)
    pair.listener.key("d")
    pair.listener.sees("client left")
    pair.connector.sees("server left")
    assert (pair.listener.status(), pair.connector.status()) == (0, 0)


@pytest.mark.parametrize("way", ["quit", "bye", "ctrl-d"])
def test_who_says_no_more_can_still_end(pair: Pair, way: str) -> None:
    pair.connector.key("d")
    pair.connector.sees("you say no more")
    pair.listener.sees(NO_MORE)
    pair.listener.line("an answer")  # after which nothing waits to be read on the other side
    pair.connector.sees("server: an answer")
    pair.connector.line("too late")
    pair.connector.sees("not sent: too late")
    if way == "ctrl-d":
        pair.connector.key("d")
    else:
        pair.connector.line(way)
    assert pair.connector.status() == 0
    pair.listener.sees("client left")
    assert pair.listener.status() == 0
    assert said(pair.heard_by_listener) == []


def test_quit_is_told_as_leaving_at_once(pair: Pair) -> None:
    pair.connector.line("quit")
    pair.listener.sees("client left")
    assert (pair.connector.status(), pair.listener.status()) == (0, 0)
    assert events(pair.heard_by_listener)[1:] == ["client left"]


def test_a_program_that_has_shut_its_half_can_be_answered(terminal: Start, tmp_path: Path) -> None:
    listener = terminal(*DUPLEX, "listen", "0", cwd=tmp_path)
    listener.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    with connected(int(listener.spawned.match[1])) as peer:
        listener.is_ready()
        peer.sendall(b"a question\n")
        peer.shutdown(socket.SHUT_WR)
        listener.sees("client: a question")
        listener.sees(NO_MORE)
        listener.line("an answer")
        assert peer.recv(100) == b"an answer\n", "and nothing of how it was found to be there"
    listener.line("is anybody there?")
    listener.sees("client left")
    listener.status()


@pytest.mark.parametrize("how", ["close", "reset", "shut both"])
def test_a_program_that_is_gone_has_left(terminal: Start, tmp_path: Path, how: str) -> None:
    listener = terminal(*DUPLEX, "listen", "0", cwd=tmp_path)
    listener.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    with connected(int(listener.spawned.match[1])) as peer:
        listener.is_ready()
        peer.shutdown(socket.SHUT_WR)
        listener.sees(NO_MORE)
        if how == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "shut both":
            peer.shutdown(socket.SHUT_RDWR)
    listener.sees("client left")
    assert listener.status() == 0


def test_a_pipe_that_has_ended_hears_the_answer(terminal: Start, duo: Duo) -> None:
    listener = terminal(*DUPLEX, "listen", "0", cwd=duo.tmp / "l")
    listener.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    connector = duo.connect(int(listener.spawned.match[1]))
    connector.type("a question\n")
    connector.end_input()
    listener.sees(NO_MORE)
    listener.line("an answer")
    until(lambda: connector.out == b"an answer\n")
    os.kill(connector.pid, signal.SIGTERM)
    assert connector.status() == 143
    listener.sees("client left")
    assert listener.status() == 0


def test_a_listener_that_fills_a_file_ends_with_it(terminal: Start, tmp_path: Path) -> None:
    """Though it was started at a terminal: nobody sits there to answer."""
    shell = terminal("bash", "--norc", "--noprofile", cwd=tmp_path, PS1="$ ")
    shell.line(" ".join([*DUPLEX, "listen", "0", "> heard; echo status $?"]))
    shell.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    with connected(int(shell.spawned.match[1])) as peer:
        peer.sendall(b"all of it\n")
        peer.shutdown(socket.SHUT_WR)
        assert read_all(peer) == b""
    shell.sees("status 0")
    assert (tmp_path / "heard").read_bytes() == b"all of it\n"


# What was being typed


def in_a_shell(terminal: Start, tmp: Path, *options: str) -> tuple[Terminal, int]:
    shell = terminal("bash", "--norc", "--noprofile", cwd=tmp, PS1="$ ")
    shell.line(" ".join([*DUPLEX, "listen", "0", *options]))
    shell.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    return shell, int(shell.spawned.match[1])


@pytest.mark.parametrize("how", ["leave", "bye", "signal"])
@pytest.mark.parametrize("options", [(), ("--plain",)], ids=["screen", "plain"])
def test_a_half_typed_line_is_told_and_never_reaches_the_shell(
    terminal: Start, tmp_path: Path, options: tuple[str, ...], how: str
) -> None:
    shell, port = in_a_shell(terminal, tmp_path, *options)
    with connected(port) as peer:
        shell.sees("connected from") if options else shell.is_ready()
        shell.spawned.send("touch executed;")
        shell.sees("touch executed;")
        if how == "bye":
            peer.sendall(b"bye\n")
        elif how == "signal":
            os.kill(children(shell.pid)[0], signal.SIGTERM)
            read_all(peer)
    shell.sees("not sent: touch executed;")
    shell.sees("$ ")
    shell.line("echo he''re; ls; exit")
    shell.sees("here")
    shell.status()
    assert not (tmp_path / "executed").exists()


def test_lines_typed_after_quit_are_told_and_never_reach_the_shell(
    terminal: Start, tmp_path: Path
) -> None:
    for options in ((), ("--plain",)):
        shell, port = in_a_shell(terminal, tmp_path, *options)
        with connected(port) as peer:
            shell.sees("connected from") if options else shell.is_ready()
            shell.spawned.send("said\rquit\rtouch executed\rtouch executed\r")
            assert read_all(peer) == b"said\n"
        shell.sees("not sent: touch executed")
        shell.line("echo he''re; exit")
        shell.sees("here")
        assert not (tmp_path / "executed").exists()


def test_lines_typed_to_nobody_are_told_when_the_waiting_ends(
    terminal: Start, tmp_path: Path
) -> None:
    shell, _ = in_a_shell(terminal, tmp_path)
    shell.spawned.send("hello\rquit\rtouch executed\rtouch exe")
    shell.sees("not sent: hello")
    shell.sees("not sent: touch executed")
    shell.sees("not sent: touch exe")
    shell.line("echo he''re; exit")
    shell.sees("here")
    assert not (tmp_path / "executed").exists()


def test_a_half_typed_line_is_told_when_a_room_closes(terminal: Start, duo: Duo) -> None:
    room = Room(duo)
    shell = terminal("bash", "--norc", "--noprofile", cwd=duo.tmp, PS1="$ ")
    shell.line(" ".join([*DUPLEX, "connect", f"127.0.0.1:{room.port}", "--nick", "ann"]))
    shell.sees("and you are ann")
    shell.spawned.send("touch executed;")
    shell.sees("touch executed;")
    os.kill(room.host.pid, signal.SIGTERM)
    shell.sees("not sent: touch executed;")
    shell.line("echo he''re; exit")
    shell.sees("here")
    assert not (duo.tmp / "executed").exists()


def test_the_question_whether_somebody_is_there_makes_no_telnet_of_who_asks(duo: Duo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connector = duo.connect(server.getsockname()[1])
        peer, _ = server.accept()
        with peer:
            connector.type("my last\n")
            connector.end_input()
            assert read_all(peer) == b"my last\n"
            peer.send(b"\0", socket.MSG_OOB)
            peer.sendall(b"\xff\xfdA \xff\xff\n")
            until(lambda: connector.out == b"\\xff\\xfdA \\xff\\xff\n")
    assert connector.status() == 0
