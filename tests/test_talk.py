"""Two people talk, and every way in which a talk ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from support import (
    DUPLEX,
    Duo,
    alive,
    children,
    connected,
    events,
    needs_ipv6,
    port_of,
    probes,
    read_all,
    records,
    said,
    until,
)
from talk_support import Pair, Start


@pytest.fixture(params=[(), ("--plain",)], ids=["screen", "plain"])
def pair(request: pytest.FixtureRequest, terminal: Start, tmp_path: Path) -> Pair:
    return Pair(terminal, tmp_path, *request.param)


def test_a_caller_by_ipv4_is_called_so_where_one_socket_takes_both_families(duo: Duo) -> None:
    needs_ipv6()
    listener, port = duo.listen("--host", "0:0:0:0:0:0:0:0")
    with connected(port) as peer:
        place = "{}:{}".format(*peer.getsockname())
        until(lambda: f"connected from {place}, not encrypted\n" in listener.err)
        assert events(duo.heard_by_listener) == [f"connected from {place}"]


def test_two_people_talk(pair: Pair) -> None:
    pair.connector.line("hello, größer 日本語 😀")
    pair.listener.sees("client: hello, größer 日本語 😀")
    pair.listener.line("and hello to you")
    pair.connector.sees("server: and hello to you")
    assert said(pair.heard_by_listener) == ["hello, größer 日本語 😀"]
    assert said(pair.heard_by_connector) == ["and hello to you"]
    pair.connector.line("quit")
    assert pair.connector.status() == 0
    assert pair.listener.status() == 0


def test_quit_ends_this_side_and_the_other_is_told(pair: Pair) -> None:
    pair.listener.line("quit")
    assert pair.listener.status() == 0
    pair.connector.sees("server left")
    assert pair.connector.status() == 0
    assert said(pair.heard_by_connector) == []
    assert events(pair.heard_by_connector)[-1] == "server left"
    assert events(pair.heard_by_listener)[-1] == "this side left"


def test_bye_is_sent_and_both_end(pair: Pair) -> None:
    pair.connector.line("bye")
    pair.listener.sees("client: bye")
    pair.listener.sees("client left")
    assert pair.connector.status() == 0
    assert pair.listener.status() == 0
    assert said(pair.heard_by_listener) == ["bye"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_this_side_and_restores_the_terminal(
    terminal: Start, tmp_path: Path, number: signal.Signals
) -> None:
    shell = terminal("sh", cwd=tmp_path, PS1="$ ", ENV="")
    shell.line("stty -a | sed s/^/A:/ > before")
    python, *rest = DUPLEX
    shell.line(f"{python} {' '.join(rest)} listen 0; echo status=$?")
    shell.spawned.expect(r"listening on 127\.0\.0\.1:(\d+),")
    port = int(shell.spawned.match[1])
    with connected(port) as sock:
        shell.is_ready()
        pid = children(shell.pid)[0]
        receiver = children(pid)[0]
        os.kill(pid, number)
        assert read_all(sock) == b""
        shell.sees(f"status={128 + number}")
    shell.line('stty -a | sed s/^/A:/ > after; echo do""ne')
    shell.sees("done\r\n")
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()
    assert not alive(receiver)
    log = tmp_path / "logs" / "client_input.log"
    assert events(log)[-1] == f"this side left ({number.name})"


def test_ctrl_c_with_text_only_clears_the_line(terminal: Start, tmp_path: Path) -> None:
    pair = Pair(terminal, tmp_path)
    pair.connector.spawned.send("never said")
    pair.connector.sees("never said")
    pair.connector.key("c")
    pair.connector.line("said")
    pair.listener.sees("client: said")
    pair.connector.key("c")
    pair.connector.sees("Ctrl-C once more ends the talk")
    pair.connector.line("said, too")  # whatever else is typed answers it
    pair.listener.sees("client: said, too")
    pair.connector.key("c")
    pair.connector.sees("Ctrl-C once more ends the talk")
    pair.connector.key("c")
    assert pair.connector.status() == 130
    pair.listener.sees("client left")
    assert said(pair.heard_by_listener) == ["said", "said, too"]


def test_ctrl_c_ends_a_plain_terminal(terminal: Start, tmp_path: Path) -> None:
    pair = Pair(terminal, tmp_path, "--plain")
    pair.connector.key("c")
    assert pair.connector.status() == 130
    pair.listener.sees("client left")
    assert pair.listener.status() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_listener_that_waits(duo: Duo, number: signal.Signals) -> None:
    listener, _ = duo.listen()
    os.kill(listener.pid, number)
    assert listener.status() == 128 + number
    assert "Traceback" not in listener.err


def test_the_killed_receiver_is_noticed_at_once(pair: Pair) -> None:
    receiver = until(lambda: children(pair.listener.pid))[0]
    os.kill(receiver, signal.SIGKILL)
    pair.listener.sees("the receiving process was killed by SIGKILL")
    assert pair.listener.status() == 1
    pair.connector.sees("server left")
    assert pair.connector.status() == 0


def test_the_receiver_goes_when_its_parent_is_killed(pair: Pair) -> None:
    receiver = until(lambda: children(pair.listener.pid))[0]
    os.kill(pair.listener.pid, signal.SIGKILL)
    until(lambda: not alive(receiver), 5)
    pair.connector.sees("server left")


def test_a_terminated_receiver_is_told(duo: Duo) -> None:
    listener, port = duo.listen()
    with connected(port) as sock:
        sock.sendall(b"whole\nhalf")
        until(lambda: said(duo.heard_by_listener) == ["whole"])
        os.kill(listener.child(), signal.SIGTERM)
        assert listener.status() == 1
    assert "receiving process" in listener.err
    assert said(duo.heard_by_listener) == ["whole", "half…"]


def test_pipes_carry_the_bare_text(duo: Duo) -> None:
    listener, port = duo.listen()
    connector = duo.connect(port)
    connector.type("one\ntwo")
    listener.type("three\n")
    connector.end_input()
    until(lambda: listener.out == b"one\ntwo\n")
    until(lambda: connector.out == b"three\n")
    assert connector.process.poll() is None, "the other side may still say something"
    listener.type("four\n")
    listener.end_input()
    assert connector.status() == 0
    assert listener.status() == 0
    assert connector.out == b"three\nfour\n"
    assert said(duo.heard_by_connector) == ["three", "four"]
    assert records(duo.heard_by_listener)[1:] == [
        ("client", "one"),
        ("client", "two"),
        (None, "client left"),
    ]


def test_a_pipe_goes_on_sending_after_the_peer_has_said_its_last(duo: Duo) -> None:
    listener, port = duo.listen()
    with connected(port) as sock:
        sock.sendall(b"nothing more from me\n")
        sock.shutdown(socket.SHUT_WR)
        until(lambda: "client left" in listener.err)
        listener.type("but from me\n")
        listener.end_input()
        assert read_all(sock) == b"but from me\n"
    assert listener.status() == 0
    assert listener.err.count("client left") == 1


def test_quit_in_a_pipe_ends_before_the_rest(duo: Duo) -> None:
    listener, port = duo.listen(stdin=-3)
    connector = duo.connect(port)
    connector.type("one\nquit\nnever\nnot this")
    assert connector.status() == 1
    told = "not sent: 2 lines after 'quit'; with --verbatim it is a word like others\n"
    assert connector.err.endswith(told)
    assert listener.status() == 0
    assert listener.out == b"one\n"


def test_quit_as_the_last_line_of_a_pipe_loses_nothing(duo: Duo) -> None:
    listener, port = duo.listen(stdin=-3)
    connector = duo.connect(port)
    connector.type("one\nquit\n")
    assert connector.status() == 0
    assert listener.status() == 0
    assert "not sent" not in connector.err


def test_all_lines_after_quit_in_a_file_are_counted(duo: Duo, tmp_path: Path) -> None:
    much = tmp_path / "much"
    much.write_text("one\nquit\n" + "never\n" * 200_000)
    listener, port = duo.listen(stdin=-3)
    connector = duo.connect(port, stdin=much.open("rb"))
    assert connector.status() == 1
    assert "not sent: 200000 lines after 'quit'" in connector.err
    assert listener.status() == 0
    assert listener.out == b"one\n"


def test_a_pipe_that_never_ends_does_not_keep_quit_from_ending(duo: Duo) -> None:
    listener, port = duo.listen(stdin=-3)
    endless = duo.start(["sh", "-c", "echo quit; exec yes"], "yes", stdout=subprocess.PIPE)
    connector = duo.connect(port, stdin=endless.process.stdout)
    assert connector.status(10) == 1
    assert re.search(r"not sent: at least \d+ lines after 'quit'", connector.err)
    assert listener.status() == 0


def test_bye_in_a_pipe_ends_both_after_it(duo: Duo) -> None:
    listener, port = duo.listen()
    connector = duo.connect(port)
    connector.type("one\nbye\nnever\n")
    assert connector.status() == 1
    assert "not sent: 1 line after 'bye'" in connector.err
    assert listener.status() == 0, "though its own input has not ended"
    assert listener.out == b"one\nbye\n"


def test_verbatim_sends_the_words_and_adds_nothing(duo: Duo) -> None:
    listener, port = duo.listen("--verbatim", stdin=-3)
    connector = duo.connect(port, "--verbatim")
    connector.type("quit\nbye\nno newline")
    connector.end_input()
    assert connector.status() == 0
    assert listener.status() == 0
    assert listener.out == b"quit\nbye\nno newline\n"
    with_nc, port = duo.listen("--verbatim", "--log", "other.log")
    with connected(port) as sock:
        with_nc.type("\xffno newline".encode("latin-1"))
        with_nc.end_input()
        assert read_all(sock) == b"\xffno newline"


def test_a_reset_is_told_with_the_bytes_that_were_lost(duo: Duo) -> None:
    listener, port = duo.listen()
    with connected(port) as sock:
        sock.sendall(b"whole\nha")
        until(lambda: said(duo.heard_by_listener) == ["whole"])
        listener.type("x" * 5000 + "\n")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert listener.status() == 1
    last = listener.err.splitlines()[-1]
    match = re.fullmatch(
        r"connection lost: Connection reset by peer; (\d+) bytes were not acknowledged", last
    )
    assert match, listener.err
    assert said(duo.heard_by_listener)[0] == "whole"
    assert events(duo.heard_by_listener)[-1] == last


def test_the_bytes_a_dead_reader_never_took_are_counted(duo: Duo, tmp_path: Path) -> None:
    much = tmp_path / "much"
    much.write_bytes(b"x" * 30_000_000)
    listener, port = duo.listen(stdin=much.open("rb"))
    with connected(port) as sock:
        sock.recv(10)
        until(lambda: probes(listener.pid))  # all is full
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert listener.status() == 1
    match = re.search(r"; (\d+) bytes were not acknowledged", listener.err)
    assert match
    assert int(match[1]) > 10_000


def test_a_second_peer_is_refused_while_the_first_talks(duo: Duo) -> None:
    listener, port = duo.listen("--keep")
    with connected(port) as first:
        until(lambda: "connected from" in listener.err)
        second = duo.connect(port)
        assert second.status() == 1
        assert "Connection refused" in second.err
        first.sendall(b"still here\n")
        until(lambda: said(duo.heard_by_listener) == ["still here"])


def test_keep_serves_one_peer_after_another(duo: Duo) -> None:
    listener, port = duo.listen("--keep")
    for number in range(5):
        with connected(port) as sock:
            sock.sendall(b"peer %d\n" % number)
            listener.type(f"hello {number}\n")
            assert sock.makefile().readline() == f"hello {number}\n"
        until(lambda n=number: listener.err.count("waiting for the next") == n + 1)
    assert said(duo.heard_by_listener) == [f"peer {n}" for n in range(5)]
    os.kill(listener.pid, signal.SIGTERM)
    assert listener.status() == 143


def test_keep_on_a_terminal_opens_the_screen_anew(terminal: Start, tmp_path: Path) -> None:
    listener = terminal(*DUPLEX, "listen", "0", "--keep", cwd=tmp_path)
    listener.spawned.expect(r"listening on 127\.0\.0\.1:(\d+),")
    port = int(listener.spawned.match[1])
    for number in range(3):
        with connected(port) as sock:
            listener.is_ready()
            sock.sendall(b"peer %d\n" % number)
            listener.sees(f"client: peer {number}")
            listener.line(f"hello {number}")
            assert sock.makefile().readline() == f"hello {number}\n"
        listener.sees("client left")
        listener.sees("waiting for the next")
    listener.key("c")
    assert listener.status() == 130


def test_both_records_what_this_side_says(duo: Duo) -> None:
    listener, port = duo.listen("--both", "--peer", "ann")
    with connected(port) as sock:
        sock.sendall(b"question\n")
        until(lambda: said(duo.heard_by_listener) == ["question"])
        listener.type("answer \x1b[31m\n")
        assert sock.makefile().readline() == "answer \x1b[31m\n"
    listener.end_input()
    assert listener.status() == 0
    assert records(duo.heard_by_listener)[1:] == [
        ("ann", "question"),
        ("me", "answer \\x1b[31m"),
        (None, "ann left"),
    ]


def test_no_log_keeps_no_transcript(duo: Duo) -> None:
    listener, port = duo.listen("--no-log", stdin=-3)
    connector = duo.connect(port, "--no-log")
    connector.type("hi\n")
    connector.end_input()
    assert listener.status() == 0
    assert listener.out == b"hi\n"
    assert not duo.heard_by_listener.parent.exists()


def test_new_transcripts_are_private(duo: Duo) -> None:
    listener, _ = duo.listen()
    log = duo.heard_by_listener
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.parent.stat().st_mode & 0o777 == 0o700
    assert listener.process.poll() is None


def test_a_reader_that_has_seen_enough_ends_it_quietly(duo: Duo) -> None:
    read, write = os.pipe()
    listener, port = duo.listen(stdout=write)
    os.close(write)
    os.close(read)
    with connected(port) as sock:
        sock.sendall(b"one\n")
        assert read_all(sock) == b""
    assert listener.status() == 141
    assert listener.err.count("\n") == 2, listener.err
    assert said(duo.heard_by_listener) == ["one"], "it was recorded before it was to be shown"


def test_each_half_holds_only_its_own_descriptors(duo: Duo) -> None:
    listener, port = duo.listen("--keep")
    with connected(port):
        receiver = listener.child()

        def held(pid: int) -> list[str]:
            return sorted(os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd"))

        until(lambda: "/dev/null" in held(receiver))
        sockets = [name for name in held(receiver) if name.startswith("socket:")]
        assert len(sockets) == 2, "the connection and the channel, and no listening socket"
        assert os.readlink(f"/proc/{receiver}/fd/0") == "/dev/null"
        logs = [name for name in held(receiver) if name.endswith("client_input.log")]
        assert len(logs) == 1
        pipes = [name for name in held(receiver) if name.startswith("pipe:")]
        assert len(pipes) == 2, "both ends of its own for signals"


def test_the_parent_reads_nothing_from_the_socket_and_the_child_writes_nothing(
    duo: Duo, tmp_path: Path
) -> None:
    from support import needs

    strace = needs("strace")
    trace = tmp_path / "trace"
    listener = duo.start(
        [strace, "-ff", "-o", str(trace), "-e", "trace=network,clone", *DUPLEX, "listen", "0"],
        "listener",
    )
    with connected(port_of(listener)) as sock:
        sock.sendall(b"in\n")
        until(lambda: said(duo.heard_by_listener) == ["in"])
        listener.type("out\n")
        assert sock.recv(10) == b"out\n"
        sock.shutdown(socket.SHUT_WR)
        listener.end_input()
        assert listener.status() == 0
    # What comes first is looked at before the fork: until then it is nobody's half.
    texts = [p.read_text().rpartition("clone(")[2] for p in sorted(tmp_path.glob("trace.*"))]
    reading = [t for t in texts if "recvfrom(" in t]
    writing = [t for t in texts if "sendto(" in t]
    assert len(reading) == len(writing) == 1
    assert reading != writing
