"""`duplex connect` in a room: found out by the greeting, under a nick, by pipes, to the end."""

from __future__ import annotations

import getpass
import os
import re
import resource
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from client_support import heard_by, join, log_of, said_by, start_room
from support import DEADLINE, DUPLEX, Duo, Program, connected, events, read_all, records, until


def connect(duo: Duo, port: int, *args: str, name: str = "client", **options: object) -> Program:
    return duo.start([*DUPLEX, "connect", "127.0.0.1", str(port), *args], name, **options)


def entries(log: Path) -> list[str]:
    return [re.sub(r" \(.*", "", text) for text in events(log)]


# Coming in


def test_the_login_name_is_the_nick_and_nobody_sees_a_guest(duo: Duo) -> None:
    host, port = start_room(duo)
    client = connect(duo, port)
    until(lambda: "this is room" in client.err)
    client.end_input()
    assert client.status() == 0
    until(lambda: len(events(log_of(host))) == 2)
    nick = getpass.getuser()
    assert entries(log_of(host)) == [f"{nick} entered the room", f"{nick} left"]


def test_a_nick_that_is_taken_gets_a_digit(duo: Duo) -> None:
    _, port = start_room(duo)
    join(duo, port, "ann")
    second = connect(duo, port, "--nick", "ann")
    until(lambda: "you are ann2; 2 are here" in second.err)


def test_what_is_piped_in_before_the_greeting_is_said_under_the_nick(duo: Duo) -> None:
    host, port = start_room(duo)
    client = connect(duo, port, "--nick", "ann")
    client.type("one\ntwo")
    client.end_input()
    assert client.status() == 0
    until(lambda: len(records(log_of(host))) == 4)
    assert said_by("ann", log_of(host)) == ["one", "two"]


def test_a_large_file_is_said_whole_and_in_order(duo: Duo, tmp_path: Path) -> None:
    """More than what a room keeps of what is said before it knows the nick."""
    host, port = start_room(duo)
    lines = [f"{n} {'x' * (n % 150)}" for n in range(20_000)]
    file = tmp_path / "file"
    file.write_text("\n".join(lines))
    with file.open() as stdin:
        client = connect(duo, port, "--nick", "ann", stdin=stdin)
        assert client.status() == 0
    assert said_by("ann", log_of(host)) == lines
    assert client.out.count(b"\n") == 1  # its own entry


def test_a_room_that_greets_late_is_a_room_all_the_same(duo: Duo) -> None:
    """Long after a person would have been talked to; what was said by then is said in the room."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = connect(duo, listener.getsockname()[1], "--nick", "ann")
        room, _ = listener.accept()
        with room, room.makefile(encoding="utf-8") as heard:
            client.type("early\n")
            assert heard.readline() == "early\n"
            time.sleep(0.5)  # longer than it waits before it takes the other side for a person
            room.sendall(b"! welcome to room 9: you are guest-1, 1 is here; /help lists them\n")
            assert heard.readline() + heard.readline() == "/numbers\n/join ann\n"
            room.sendall(b"! joined 9 as ann: key k, offset 0, end 0, 1 is here\n")
            room.sendall(b"2026-11-24T13:00:00.123Z * ann entered the room (x)\n")
            client.type("later\n")
            assert heard.readline() == "later\n"
            client.end_input()
            for text in (b"early", b"later"):
                room.sendall(b"2026-11-24T13:00:00.123Z <ann> %b\n" % text)
            assert heard.read() == ""
        assert client.status() == 0


def test_whoever_was_taken_for_a_guest_comes_again(duo: Duo) -> None:
    """A machine can be so busy that the room's moment is over before it is answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = connect(duo, listener.getsockname()[1], "--nick", "ann")
        for answer in (
            "there is no command /join; /help lists them, //… says /…",
            "joined 9 as ann: key k, offset 0, end 0, 1 is here",
        ):
            room, _ = listener.accept()
            with room, room.makefile(encoding="utf-8") as heard:
                room.sendall(b"! welcome to room 9: you are guest-1, 1 is here; /help lists them\n")
                assert heard.readline() + heard.readline() == "/numbers\n/join ann\n"
                room.sendall(f"! {answer}\n".encode())
                if "joined" in answer:
                    client.type("quit\n")
                assert heard.read() == ""
        assert client.status() == 0
        assert "connection lost: the room's greeting was answered too late" in client.err


def test_a_room_of_before_0_2_knows_no_numbers_and_is_talked_to_without(duo: Duo) -> None:
    at = b"2026-11-24T13:00:00.123Z"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = connect(duo, listener.getsockname()[1], "--nick", "ann")
        room, _ = listener.accept()
        with room, room.makefile(encoding="utf-8") as heard:
            room.sendall(b"! welcome to room 9: you are guest-1, 1 is here; /help lists them\n")
            assert heard.readline() + heard.readline() == "/numbers\n/join ann\n"
            room.sendall(b"! joined 9 as ann: key k, offset 0, end 0, 1 is here\n")
            room.sendall(b"! there is no command /numbers; /help lists them, //\xe2\x80\xa6 says\n")
            room.sendall(at + b" * ann entered the room (x)\n")
            client.type("/who\nhello\nrefused\n")
            client.end_input()
            assert [heard.readline() for _ in range(3)] == ["/who\n", "hello\n", "refused\n"]
            room.sendall(b"! 1 is here: ann\n" + at + b" <ann> hello\n! not recorded: full\n")
            assert heard.read() == ""
        assert client.status() == 1
    assert "/numbers" not in client.out.decode() + client.err
    assert b"! 1 is here: ann\n" in client.out
    assert client.err.count("not recorded by the room") == 1


def test_a_greeting_after_the_end_of_what_is_said_makes_a_guest(duo: Duo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = connect(duo, listener.getsockname()[1])
        client.type("early\n")
        client.end_input()
        room, _ = listener.accept()
        with room:
            assert read_all(room) == b"early\n"
            room.sendall(b"! welcome to room 9: you are guest-1, 1 is here; /help lists them\n")
            room.sendall(b"2026-11-24T13:00:00.123Z * guest-1 entered the room (x)\n")
        assert client.status() == 0
        assert "you are a guest in it" in client.err
        assert heard_by(client).read_bytes().startswith(b"2026-11-24T13:00:00.123Z * guest-1")


def test_somebody_who_only_begins_like_a_room_is_a_person(duo: Duo) -> None:
    listener, port = duo.listen()
    connector = duo.connect(port, "--nick", "ann")
    listener.type("! welcome to my home\n! welcome to room 9, I am here\nbye\n")
    assert (listener.status(), connector.status()) == (0, 0)
    heard = records(duo.heard_by_connector)
    assert [text for _, text in heard] == [
        f"connected to 127.0.0.1:{port}",
        "! welcome to my home",
        "! welcome to room 9, I am here",
        "bye",
        "server left",
    ]


@pytest.mark.parametrize("option", [[], ["--nick", "ann"]])
def test_to_a_person_the_first_line_goes_at_once(duo: Duo, option: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = connect(duo, listener.getsockname()[1], *option)
        person, _ = listener.accept()
        with person:
            client.type("hi\n")
            assert person.recv(9) == b"hi\n"
            client.end_input()
            person.sendall(b"hello\n")  # then it is known that this is no room
            assert read_all(person) == b""
        assert client.status() == 0
        assert client.out == b"hello\n"


def test_to_a_person_who_is_silent_the_end_goes_soon(duo: Duo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = connect(duo, listener.getsockname()[1])
        client.type("hi\n")
        client.end_input()
        person, _ = listener.accept()
        begun = time.monotonic()
        with person:
            assert read_all(person) == b"hi\n"
        assert time.monotonic() - begun < 2
        assert client.status() == 0


@pytest.mark.parametrize("nick", ["a b", "<ann>", "", "x" * 33])
def test_what_cannot_be_a_nick_is_refused_before_anything_else(duo: Duo, nick: str) -> None:
    client = connect(duo, 1, "--nick", nick)
    assert client.status() == 2
    assert client.err.startswith(f"duplex connect: cannot use {nick!r} as a name: it ")


# What is said and heard


def test_the_transcript_is_the_rooms_byte_for_byte(duo: Duo) -> None:
    host, port = start_room(duo)
    ann, bob = join(duo, port, "ann"), join(duo, port, "bob")
    until(lambda: b"bob entered" in ann.out)
    long = "ä" * 32_768  # 64 KiB, as long as a line can be
    ann.type(f"hello\n{long}\n\n\x1b[31mred\x07\n")
    ann.type(b"\xff\xfd\x06noise \xfe\n")
    bob.type("/me nods\n")
    until(lambda: b"<bob> * nods" in ann.out)
    until(lambda: said_by("ann", heard_by(bob))[-1:] == ["noise \\xfe"])
    ann.end_input()
    assert ann.status() == 0
    room = log_of(host).read_bytes()
    assert room.startswith(heard_by(ann).read_bytes())
    assert said_by("ann", heard_by(ann)) == ["hello", long, "", "\\x1b[31mred\\x07", "noise \\xfe"]
    assert bob.out == b"".join(line for line in room.splitlines(True) if b"<bob>" not in line)


def test_own_lines_are_not_shown_and_everything_else_is_as_nc_sees_it(duo: Duo) -> None:
    _, port = start_room(duo)
    ann, bob = join(duo, port, "ann"), join(duo, port, "bob")
    until(lambda: b"bob entered" in ann.out)
    ann.type("mine\n/who\n/msg bob psst\n")
    bob.type("yours\n/msg ann hey\n")
    until(lambda: b"-bob- hey\n" in ann.out and b"<bob> yours\n" in ann.out)
    until(lambda: b"! you told bob: psst\n" in ann.out)
    assert b"mine" not in ann.out
    assert b"! 2 are here: ann, bob\n" in ann.out
    assert b"key" not in ann.out
    until(lambda: b"-ann- psst\n" in bob.out)


def test_bye_is_a_word_like_any_other(duo: Duo) -> None:
    host, port = start_room(duo)
    client = connect(duo, port, "--nick", "ann")
    client.type("bye\nstill here\n")
    until(lambda: said_by("ann", log_of(host)) == ["bye", "still here"])
    client.end_input()
    assert client.status() == 0


@pytest.mark.parametrize("word", ["quit", "/quit", "/QUIT for today"])
def test_quit_leaves_when_all_has_been_said(duo: Duo, word: str) -> None:
    host, port = start_room(duo)
    client = connect(duo, port, "--nick", "ann")
    client.type(f"one\ntwo\n{word}\nnot said\n")
    assert client.status() == 1
    assert f"not sent: 1 line after {word!r}; with --verbatim" in client.err
    until(lambda: entries(log_of(host))[-1:] == ["ann left"])
    assert said_by("ann", log_of(host)) == ["one", "two"]


def test_verbatim_says_what_would_be_a_command(duo: Duo) -> None:
    host, port = start_room(duo)
    client = connect(duo, port, "--nick", "ann", "--verbatim")
    text = ["quit", "/nick eve", "//", "/* a comment */", "bye", "#"]
    client.type("\n".join(text) + "\n")
    client.end_input()
    assert client.status() == 0
    assert said_by("ann", log_of(host)) == text


def test_it_is_slowed_by_the_rate_and_nothing_is_lost(duo: Duo) -> None:
    host, port = start_room(duo, "--rate", "200")
    client = connect(duo, port, "--nick", "ann")
    lines = [str(n) for n in range(400)]
    client.type("\n".join(lines))
    client.end_input()
    assert client.status() == 0
    assert said_by("ann", log_of(host)) == lines
    assert b"! slowly: " in client.out


@pytest.mark.parametrize("away", [False, True])
def test_stdin_is_not_read_while_much_is_pending(duo: Duo, away: bool) -> None:
    """A file that is longer than the memory may be piped into a room that takes its time."""
    host, port = start_room(duo, "--rate", "1")
    client = join(duo, port, "ann")
    if away:
        host.process.kill()
        until(lambda: "trying again" in client.err)
    at_once = 0 if away else 100
    fed = 0

    def feed() -> None:
        nonlocal fed
        try:
            for _ in range(400):
                client.type("x" * 65_535 + "\n")
                fed += 1
        except (BrokenPipeError, ValueError):
            return

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    until(lambda: fed > 0)
    seen = -1
    while seen != fed:
        seen = fed
        time.sleep(0.5)
    buffers = 4 if away else 150  # of the pipe, and of the connection
    assert fed < at_once + 17 + buffers  # one MiB is 16 lines
    client.stop()
    thread.join()


# How it ends


def test_a_room_that_closes_is_the_end(duo: Duo) -> None:
    host, port = start_room(duo)
    client = join(duo, port, "ann")
    until(lambda: b"ann entered" in client.out)
    host.process.terminate()
    assert client.status() == 0
    assert "the room closed" in client.err
    assert client.out.endswith(b"* the room closed\n")


def test_lines_that_cannot_be_recorded_are_told(duo: Duo) -> None:
    host, port = start_room(duo)
    ann = join(duo, port, "ann")
    until(lambda: b"ann entered" in ann.out)
    member = until(lambda: Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split())
    size = log_of(host).stat().st_size
    for pid in member:
        resource.prlimit(int(pid), resource.RLIMIT_FSIZE, (size, size))
    ann.type("one\ntwo\n")
    ann.end_input()
    assert ann.status() == 1
    assert ann.out.count(b"! not recorded: File too large\n") == 2
    assert "not recorded by the room: one\nnot recorded by the room: two\n" in ann.err
    assert said_by("ann", log_of(host)) == []


def test_whoever_leaves_while_the_room_is_away_is_told_what_was_not_delivered(duo: Duo) -> None:
    host, port = start_room(duo)
    ann = join(duo, port, "ann")
    until(lambda: b"ann entered" in ann.out)
    host.process.kill()
    until(lambda: "trying again" in ann.err)
    ann.type("one\nquit\n")
    assert ann.status() == 1
    assert "not known to have arrived: one" in ann.err


def test_whoever_reads_no_more_of_it_ends_it(duo: Duo) -> None:
    host, port = start_room(duo)
    reading, writing = os.pipe()
    client = join(duo, port, "ann", stdout=writing)
    os.close(writing)
    bob = join(duo, port, "bob")
    assert b"ann entered" in os.read(reading, 4096)
    os.close(reading)
    bob.type("to nobody\n")
    assert client.status() == 128 + signal.SIGPIPE
    until(lambda: "ann left" in entries(log_of(host)))


def test_a_client_that_is_killed_has_left(duo: Duo) -> None:
    host, port = start_room(duo)
    ann = join(duo, port, "ann")
    until(lambda: "ann entered" in host.err)
    receiver = ann.child()
    ann.process.kill()
    until(lambda: entries(log_of(host))[-1] in ("ann left", "ann was dropped"))
    until(lambda: not Path(f"/proc/{receiver}").exists())


def test_a_plain_client_and_ours_see_the_same(duo: Duo) -> None:
    _, port = start_room(duo)
    with connected(port) as plain:
        welcome = plain.recv(4096)
        assert welcome.startswith(b"! welcome to room")
        ann = join(duo, port, "ann")
        ann.type("hello\n")
        heard = b""

        def hears() -> bool:
            nonlocal heard
            heard += plain.recv(4096)
            return b"<ann> hello\n" in heard

        until(hears)
        plain.sendall(b"hi\n")
        until(lambda: b"> hi\n" in ann.out)


def test_what_was_said_before_quit_is_said_though_the_room_lets_us_in_slowly(duo: Duo) -> None:
    """It has let us in, and what was recorded before is still on its way: then lines wait."""
    entry = b"2026-11-24T00:00:00.000Z * ann entered the room (127.0.0.1:1)\n"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        client = connect(duo, server.getsockname()[1], "--nick", "ann", "--no-retry")
        client.type("/quitter\none\nquit\n")  # which is not known to be no room's until it greets
        sock, _ = server.accept()
    with sock:
        sock.settimeout(DEADLINE)
        sock.sendall(b"! welcome to room slow: you are guest-1, 1 is here; /help\n")
        heard = sock.recv(4096)
        assert heard == b"/numbers\n/join ann\n"
        sock.sendall(b"! joined slow as ann: key k, offset 0, end %d, 1 is here\n" % len(entry))
        until(lambda: "you are ann" in client.err)
        sock.sendall(entry)
        assert sock.recv(4096) == b"/quitter\none\n"
        sock.sendall(b"! there is no command /quitter\n")
        sock.sendall(b"2026-11-24T00:00:00.000Z <ann> one\n")
        assert client.status() == 0
