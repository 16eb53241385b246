"""The same talk with programs that know nothing of duplex: ncat, socat and telnet.

ncat and socat sit at both ends, listening and connecting; telnet can only connect. What they get
and what of theirs is recorded is compared with what was said, and each ending is met with each.
"""

from __future__ import annotations

import os
import signal
import socket
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from support import (
    DEADLINE,
    DUPLEX,
    Duo,
    Program,
    Terminal,
    connected,
    events,
    needs,
    port_bound_by,
    read_all,
    said,
    until,
)

Start = Callable[..., Terminal]

CONNECTING = {
    "ncat": ["ncat", "127.0.0.1", "PORT"],
    "socat": ["socat", "-t30", "-", "TCP:127.0.0.1:PORT"],
}
LISTENING = {
    "ncat": ["ncat", "-l", "127.0.0.1", "0"],
    "socat": ["socat", "-t30", "-", "TCP-LISTEN:0,bind=127.0.0.1"],
}
EITHER_WAY = [(name, way) for way in ("connects", "listens") for name in ("ncat", "socat")]
NCAT_LISTENS = ("ncat", "listens")  # leaves at our end of input, whatever it has still to say
TEXT = "größer, 日本語, мир, 😀 and a\ttab"
LINES = 60_000  # in a file: about 3 MB

# Without the bytes that telnet takes for its own keys: it strips the eighth bit, and then 0x9c (of
# 本) is its quit, 0x80 (of 😀) an interrupt that was switched off. They never leave telnet.
TEXT_TELNET_CAN_TYPE = "größer, 日語 and a\ttab"


class Talk:
    """A duplex on pipes, and another program at the other end."""

    def __init__(
        self,
        duo: Duo,
        name: str,
        way: str,
        *options: str,
        command: list[str] | None = None,
        ours_in: Path | None = None,
        peer_in: Path | None = None,
    ) -> None:
        ours = {"stdin": ours_in.open("rb")} if ours_in else {}
        peers = {"stdin": peer_in.open("rb")} if peer_in else {}
        if way == "connects":
            command = command or CONNECTING[name]
            needs(command[0])
            self.ours, port = duo.listen(*options, **ours)
            command = [part.replace("PORT", str(port)) for part in command]
            self.peer = duo.start(command, "peer", **peers)
            self.heard = duo.heard_by_listener
            self.nick = "client"
        else:
            command = command or LISTENING[name]
            needs(command[0])
            self.peer = duo.start(command, "peer", **peers)
            self.ours = duo.connect(port_bound_by(self.peer), *options, **ours)
            self.heard = duo.heard_by_connector
            self.nick = "server"
        until(lambda: "not encrypted" in self.ours.err or self.ours.process.poll() is not None)

    @property
    def peer_left(self) -> bool:
        return f"{self.nick} left\n" in self.ours.err


@pytest.fixture(params=EITHER_WAY, ids=lambda param: "-".join(param))
def talk(request: pytest.FixtureRequest, duo: Duo) -> Talk:
    return Talk(duo, *request.param)


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    """A few MB of lines, no two of them alike."""
    path = tmp_path / "a_file"
    path.write_text("".join(f"{n} {TEXT}\n" for n in range(LINES)))
    return path


@pytest.fixture
def another_file(tmp_path: Path) -> Path:
    path = tmp_path / "another_file"
    path.write_text("".join(f"{n} 返事 answers\n" * (n % 3) for n in range(LINES)))
    return path


def test_lines_go_both_ways(talk: Talk) -> None:
    talk.peer.type(f"{TEXT}\n")
    until(lambda: said(talk.heard) == [TEXT])
    assert talk.ours.out == f"{TEXT}\n".encode()
    talk.ours.type(f"answer: {TEXT}\n")
    until(lambda: talk.peer.out == f"answer: {TEXT}\n".encode())
    talk.peer.type("second\n\n\nafter two empty ones\n")
    until(lambda: said(talk.heard) == [TEXT, "second", "", "", "after two empty ones"])
    assert talk.ours.process.poll() is None
    assert talk.peer.process.poll() is None


def test_quit_closes_the_peer_in_good_order(talk: Talk) -> None:
    talk.ours.type("one\nquit\n")
    assert talk.ours.status() == 0
    talk.peer.end_input()
    assert talk.peer.status() == 0
    assert talk.peer.out == b"one\n"
    assert talk.peer.err == "", "no reset, no broken pipe"
    assert events(talk.heard)[-1] == "this side left"


def test_bye_is_sent_to_the_peer_and_ends_this_side(talk: Talk) -> None:
    talk.ours.type("bye\n")
    assert talk.ours.status() == 0
    talk.peer.end_input()
    assert talk.peer.status() == 0
    assert talk.peer.out == b"bye\n"
    assert talk.peer.err == ""


def test_bye_from_the_peer_ends_this_side(talk: Talk) -> None:
    talk.peer.type("so long\nbye\n")
    assert talk.ours.status() == 0, "though its own input has not ended"
    talk.peer.end_input()
    assert talk.peer.status() == 0
    assert talk.peer.err == ""
    assert said(talk.heard) == ["so long", "bye"]
    assert events(talk.heard)[-1] == f"{talk.nick} left"


def test_the_peers_end_of_input_leaves_this_side_sending(talk: Talk) -> None:
    talk.peer.type("my last")
    talk.peer.end_input()
    until(lambda: talk.peer_left)
    assert said(talk.heard) == ["my last"]
    talk.ours.type("not mine\n")
    until(lambda: talk.peer.out == b"not mine\n")
    talk.ours.type("but this\n")
    talk.ours.end_input()
    assert talk.ours.status() == 0
    assert talk.peer.status() == 0
    assert talk.peer.out == b"not mine\nbut this\n"
    assert talk.ours.err.count("left") == 1


@pytest.mark.parametrize(("name", "way"), [pair for pair in EITHER_WAY if pair != NCAT_LISTENS])
def test_our_end_of_input_leaves_the_peer_sending(duo: Duo, name: str, way: str) -> None:
    talk = Talk(duo, name, way)
    talk.ours.type("my last\n")
    talk.ours.end_input()
    until(lambda: talk.peer.out == b"my last\n")
    talk.peer.type("not mine\n")
    until(lambda: said(talk.heard) == ["not mine"])
    talk.peer.end_input()
    assert talk.ours.status() == 0
    assert talk.peer.status() == 0
    assert talk.peer.err == ""


def test_a_killed_peer_has_left(talk: Talk) -> None:
    talk.peer.type("whole\n")
    until(lambda: said(talk.heard) == ["whole"])
    os.kill(talk.peer.pid, signal.SIGKILL)
    until(lambda: talk.peer_left)
    assert talk.ours.process.poll() is None, "on a pipe, only the end of input is our end"
    talk.ours.end_input()
    assert talk.ours.status() == 0
    assert events(talk.heard)[-1] == f"{talk.nick} left"


@pytest.mark.parametrize("how", ["end of input", "killed"])
@pytest.mark.parametrize("name", sorted(CONNECTING))
def test_whoever_sits_at_the_screen_goes_on_while_the_peer_listens(
    duo: Duo, terminal: Start, tmp_path: Path, name: str, how: str
) -> None:
    needs(name)
    screen = terminal(*DUPLEX, "listen", "0", cwd=tmp_path)
    screen.spawned.expect(r"listening on 127\.0\.0\.1:(\d+),")
    port = screen.spawned.match[1]
    peer = duo.start([part.replace("PORT", port) for part in CONNECTING[name]], "peer")
    screen.is_ready()
    peer.type(f"{TEXT}\n")
    screen.sees(f"client: {TEXT}".partition("\t")[0])
    screen.line("answer 日本語 😀")
    until(lambda: peer.out == "answer 日本語 😀\n".encode())
    if how == "killed":
        os.kill(peer.pid, signal.SIGKILL)
        screen.sees("client left")
    else:
        peer.end_input()
        screen.sees("client says no more (you still can)")
        screen.line("one more answer")
        until(lambda: peer.out == "answer 日本語 😀\none more answer\n".encode())
        screen.line("quit")
        assert peer.status() == 0
        assert peer.err == ""
    assert screen.status() == 0
    assert said(tmp_path / "logs" / "client_input.log") == [TEXT]


def test_files_go_both_ways_at_once(talk: Talk, a_file: Path, another_file: Path) -> None:
    with feeding(talk.ours, a_file), feeding(talk.peer, another_file):
        until(lambda: size(talk.peer.out_path) >= size(a_file))
        until(lambda: size(talk.ours.out_path) >= size(another_file))
    assert same(talk.peer.out, a_file.read_bytes())
    assert same(talk.ours.out, another_file.read_bytes())
    assert said(talk.heard) == another_file.read_text().splitlines()
    talk.peer.end_input()
    talk.ours.end_input()
    assert talk.ours.status() == 0
    assert talk.peer.status() == 0
    assert talk.peer.err == ""


@pytest.mark.parametrize(("name", "way"), [pair for pair in EITHER_WAY if pair != NCAT_LISTENS])
def test_files_as_both_inputs_arrive_whole(
    duo: Duo, a_file: Path, another_file: Path, name: str, way: str
) -> None:
    talk = Talk(duo, name, way, ours_in=another_file, peer_in=a_file)
    assert talk.ours.status() == 0
    assert talk.peer.status() == 0
    assert same(talk.peer.out, another_file.read_bytes())
    assert same(talk.ours.out, a_file.read_bytes())
    assert said(talk.heard) == a_file.read_text().splitlines()


ONE_WAY_IN = {
    "ncat-connects": ["ncat", "--send-only", "127.0.0.1", "PORT"],
    "socat-connects": ["socat", "-u", "-", "TCP:127.0.0.1:PORT"],
    "ncat-listens": ["ncat", "-l", "--send-only", "127.0.0.1", "0"],
    "socat-listens": ["socat", "-u", "-", "TCP-LISTEN:0,bind=127.0.0.1"],
}
ONE_WAY_OUT = {
    "ncat-connects": ["ncat", "--recv-only", "127.0.0.1", "PORT"],
    "socat-connects": ["socat", "-u", "TCP:127.0.0.1:PORT", "-"],
    "ncat-listens": ["ncat", "-l", "--recv-only", "127.0.0.1", "0"],
    "socat-listens": ["socat", "-u", "TCP-LISTEN:0,bind=127.0.0.1", "-"],
}


@pytest.mark.parametrize("which", sorted(ONE_WAY_IN))
def test_a_file_from_a_peer_that_only_sends(duo: Duo, a_file: Path, which: str) -> None:
    name, way = which.split("-")
    talk = Talk(duo, name, way, command=ONE_WAY_IN[which], peer_in=a_file)
    until(lambda: talk.peer_left)
    assert talk.peer.status() == 0
    assert same(talk.ours.out, a_file.read_bytes())
    assert said(talk.heard) == a_file.read_text().splitlines()
    talk.ours.end_input()
    assert talk.ours.status() == 0


@pytest.mark.parametrize("which", sorted(ONE_WAY_OUT))
def test_any_bytes_reach_a_peer_that_only_receives(duo: Duo, tmp_path: Path, which: str) -> None:
    name, way = which.split("-")
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(256)) * 10_000 + b"quit\nbye\n\xff\xff no newline")
    talk = Talk(duo, name, way, "--verbatim", command=ONE_WAY_OUT[which], ours_in=path)
    assert talk.ours.status() == 0, talk.ours.err
    assert talk.peer.status() == 0
    assert same(talk.peer.out, path.read_bytes())
    assert said(talk.heard) == []
    assert talk.peer.err == ""


def test_lines_ended_by_cr_lf_are_recorded_clean(duo: Duo) -> None:
    talk = Talk(duo, "ncat", "connects", command=["ncat", "-C", "127.0.0.1", "PORT"])
    talk.peer.type("one\n\nthree 日本語\n")
    talk.peer.end_input()
    until(lambda: talk.peer_left)
    assert said(talk.heard) == ["one", "", "three 日本語"]
    assert talk.ours.out == "one\n\nthree 日本語\n".encode()


class Telnet:
    """A person at telnet, and a duplex on pipes that listens."""

    def __init__(self, duo: Duo, start: Start, tmp: Path, *options: str) -> None:
        telnet = needs("telnet")
        self.ours, port = duo.listen()
        self.heard = duo.heard_by_listener
        self.at = start(telnet, *options, "127.0.0.1", str(port), cwd=tmp)
        self.at.sees("Escape character is")

    def command(self, text: str) -> None:
        """What is said to telnet itself; on return it listens to the keyboard again."""
        self.at.key("]")
        self.at.sees("telnet> ")
        while_commanded = termios.tcgetattr(self.at.spawned.child_fd)
        self.at.line(text)
        until(lambda: termios.tcgetattr(self.at.spawned.child_fd) != while_commanded)

    def hears(self, lines: list[str]) -> None:
        until(lambda: len(said(self.heard)) >= len(lines))
        assert said(self.heard) == lines


@pytest.fixture
def telnet(duo: Duo, terminal: Start, tmp_path: Path) -> Telnet:
    return Telnet(duo, terminal, tmp_path)


@pytest.mark.parametrize("option", [(), ("-8",)], ids=["default", "8-bit"])
def test_telnet_sends_and_gets_clean_lines(
    duo: Duo, terminal: Start, tmp_path: Path, option: tuple[str, ...]
) -> None:
    telnet = Telnet(duo, terminal, tmp_path, *option)
    telnet.at.line(TEXT_TELNET_CAN_TYPE)
    telnet.at.line("")
    telnet.at.line("third")
    telnet.hears([TEXT_TELNET_CAN_TYPE, "", "third"])
    assert telnet.ours.out == f"{TEXT_TELNET_CAN_TYPE}\n\nthird\n".encode()
    telnet.ours.type("an answer 日本語 мир 😀\n")
    telnet.at.sees("an answer 日本語 мир 😀")


def test_telnet_is_closed_by_quit(telnet: Telnet) -> None:
    telnet.ours.type("one\nquit\n")
    assert telnet.ours.status() == 0
    telnet.at.sees("one")
    telnet.at.sees("Connection closed by foreign host.")


def test_telnet_is_told_bye(telnet: Telnet) -> None:
    telnet.ours.type("bye\n")
    assert telnet.ours.status() == 0
    telnet.at.sees("bye")
    telnet.at.sees("Connection closed by foreign host.")


def test_bye_from_telnet_ends_this_side(telnet: Telnet) -> None:
    telnet.at.line("bye")
    assert telnet.ours.status() == 0
    telnet.at.sees("Connection closed by foreign host.")
    assert said(telnet.heard) == ["bye"]


def test_telnets_own_quit_ends_the_talk(telnet: Telnet) -> None:
    telnet.at.line("one")
    telnet.hears(["one"])
    telnet.at.key("]")
    telnet.at.sees("telnet> ")
    telnet.at.line("quit")
    telnet.at.sees("Connection closed.")
    assert telnet.at.status() == 0
    until(lambda: "client left" in telnet.ours.err)
    telnet.ours.end_input()
    assert telnet.ours.status() == 0
    assert events(telnet.heard)[-1] == "client left"


def test_a_killed_telnet_has_left(telnet: Telnet) -> None:
    os.kill(telnet.at.pid, signal.SIGKILL)
    until(lambda: "client left" in telnet.ours.err)
    telnet.ours.end_input()
    assert telnet.ours.status() == 0


@pytest.mark.parametrize(
    "signals",
    [
        ["send ayt", "send brk", "send ao", "send nop"],
        ["send ip ga ec el eof susp abort eor ayt brk ao nop"],
        ["send do echo", "send dont echo", "send will naws", "send wont naws"],
        ["set binary", "toggle binary"],
        ["mode character", "mode line"],
    ],
    ids=lambda commands: commands[0].replace(" ", "-"),
)
def test_telnets_commands_leave_no_trace(telnet: Telnet, signals: list[str]) -> None:
    telnet.at.line("before")
    for command in signals:
        telnet.command(command)
    telnet.at.line("after 日語")
    telnet.hears(["before", "after 日語"])
    assert telnet.ours.out == "before\nafter 日語\n".encode()
    telnet.ours.type("still here\n")
    telnet.at.sees("still here")


def test_telnets_urgent_synch_leaves_no_trace(telnet: Telnet) -> None:
    telnet.at.line("before")
    telnet.command("send synch")
    telnet.at.line("after")
    telnet.hears(["before", "after"])


def test_telnet_that_sends_each_character_makes_lines(telnet: Telnet) -> None:
    telnet.command("mode character")
    for character in "a line":
        telnet.at.spawned.send(character)
    telnet.at.spawned.send("\r")
    telnet.at.spawned.send("and one more\r")
    telnet.hears(["a line", "and one more"])


def test_telnets_interrupt_leaves_no_trace(telnet: Telnet) -> None:
    telnet.at.line("before")
    telnet.hears(["before"])  # or telnet itself mixes up the interrupt and the line
    telnet.at.key("c")
    telnet.at.line("after")
    telnet.hears(["before", "after"])


def test_telnet_shows_what_we_say_after_its_interrupt(telnet: Telnet) -> None:
    telnet.at.key("c")
    telnet.at.line("heard")
    telnet.hears(["heard"])
    telnet.ours.type("shown\n")
    telnet.at.spawned.expect_exact("shown")


def test_a_timing_mark_is_answered_between_two_lines(duo: Duo) -> None:
    ours, port = duo.listen()
    with connected(port) as peer:
        ours.type("one\nhalf")
        assert read_until(peer, b"one\n") == b"one\n"
        peer.sendall(b"what\xff\xfd\x06?\n")
        assert read_until(peer, b"\x06") == b"\xff\xfc\x06"
        ours.type(" a line\n")
        ours.end_input()
        assert read_all(peer) == b"half a line\n"
    assert ours.status() == 0
    assert said(duo.heard_by_listener) == ["what?"]


def test_a_file_sent_verbatim_has_no_answer_in_it(duo: Duo) -> None:
    ours, port = duo.listen("--verbatim")
    with connected(port) as peer:
        peer.sendall(b"\xff\xfd\x06asked\n")
        until(lambda: said(duo.heard_by_listener) == ["asked"])
        ours.type("bytes")
        ours.end_input()
        assert read_all(peer) == b"bytes"
    assert ours.status() == 0


def test_files_go_both_ways_through_telnet(duo: Duo, tmp_path: Path) -> None:
    telnet = needs("telnet")
    path = tmp_path / "file"
    path.write_text("".join(f"{n} {TEXT_TELNET_CAN_TYPE}\n" for n in range(LINES)))
    ours, port = duo.listen()
    peer = duo.start([telnet, "127.0.0.1", str(port)], "peer")
    until(lambda: b"Escape character" in peer.out)
    greeting = len(peer.out)
    with feeding(ours, path), feeding(peer, path):
        until(lambda: size(ours.out_path) >= size(path))
        until(lambda: size(peer.out_path) >= greeting + size(path))
    peer.end_input()
    ours.end_input()
    assert peer.status() == 0
    assert ours.status() == 0
    assert same(peer.out[greeting:], path.read_bytes())
    assert same(ours.out, path.read_bytes())
    assert said(duo.heard_by_listener) == path.read_text().splitlines()


@contextmanager
def feeding(program: Program, path: Path) -> Iterator[None]:
    """Type a file into a program while other things happen, and leave its input open."""
    typing = Thread(target=program.type, args=(path.read_bytes(),), daemon=True)
    typing.start()
    yield
    typing.join(DEADLINE)
    assert not typing.is_alive()


def read_until(sock: socket.socket, end: bytes) -> bytes:
    """What comes until that, and no more."""
    data = b""
    while not data.endswith(end) and (more := sock.recv(1)):
        data += more
    return data


def size(path: Path) -> int:
    return path.stat().st_size


def same(one: bytes, other: bytes) -> bool:
    """One is the other; a comparison whose millions of bytes pytest does not explain."""
    if one == other:
        return True
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), -1)
    return bool(pytest.fail(f"{len(one)} bytes, not {len(other)}; they first differ at {at}"))


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r"])
def test_a_letter_that_is_0xff_is_no_telnet_command(duo: Duo, encoding: str) -> None:
    ours, port = duo.listen()
    letter = b"\xff".decode(encoding)
    with connected(port) as peer:
        lines = [letter, f"{letter}сно {letter}", f"о{letter}", "Б" + letter, "end"]
        peer.sendall("".join(f"{line}\n" for line in lines).encode(encoding))
        peer.sendall(b"\xff\xfathis is shown at once\n")
        expected = [line.encode(encoding).decode("utf-8", "backslashreplace") for line in lines]
        expected.append(r"\xff\xfathis is shown at once")
        until(lambda: said(duo.heard_by_listener) == expected)
    ours.end_input()
    assert ours.status() == 0


def test_a_telnet_that_negotiates_at_the_beginning_is_one(duo: Duo) -> None:
    _, port = duo.listen()
    with connected(port) as peer:
        peer.sendall(b"\xff\xfd\x03\xff\xfb\x18\xff\xfb\x1f\xff\xfb\x20\xff\xfb\x21hello\r\n")
        peer.sendall(b"\xff\xf1\xff\xff\r\n")
        until(lambda: said(duo.heard_by_listener) == ["hello", r"\xff"])
