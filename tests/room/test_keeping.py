"""Whose a transcript is: talks, rooms and their clients in one directory never share one."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import stat
from pathlib import Path

import pytest
from room_support import Client
from support import (
    DUPLEX,
    ROOM,
    Duo,
    Program,
    connected,
    events,
    follower_log,
    port_of,
    records,
    room_log,
    said,
    until,
)

from duplex.transcript import keeping, record

TORN = b"2026-11-24T13:00:00.456Z <ann> half a rec"
ONE_PLACE = "place"  # all programs of a test are started here


@pytest.fixture
def place(duo: Duo) -> Path:
    (duo.tmp / ONE_PLACE).mkdir()
    return duo.tmp / ONE_PLACE


def listen(duo: Duo, *args: str) -> tuple[Program, int]:
    program = duo.start([*DUPLEX, "listen", "0", *args], ONE_PLACE)
    return program, port_of(program)


def connect(duo: Duo, port: int, *args: str) -> Program:
    return duo.start([*DUPLEX, "connect", "127.0.0.1", str(port), *args], ONE_PLACE)


def room(duo: Duo, *args: str, port: int = 0) -> tuple[Program, int]:
    program = duo.start([*ROOM, str(port), "--plain", *args], ONE_PLACE)
    return program, port_of(program)


def close(host: Program) -> None:
    host.process.terminate()
    assert host.status() == 0


def refusal(program: Program) -> str:
    """The one line of a program that does not begin."""
    assert program.status() == 1
    (line,) = [line for line in program.err.splitlines() if "listening" not in line]
    return line


def whole_of(port: int) -> list[str]:
    """All that a room has ever been told, as somebody sees it who asks for it from the start."""
    client = Client(port)
    client.say("/join ann")
    key = client.sees("! joined").split("key ")[1].split(",")[0]
    client.say("/quit")
    client.reads_to_the_end()
    again = Client(port)
    again.say(f"/resume ann {key} 0", "/quit")
    again.sees("! joined")
    return again.reads_to_the_end()


# Talks and rooms


def test_nothing_of_a_talk_is_ever_in_a_room_of_the_same_directory(duo: Duo, place: Path) -> None:
    """Neither yesterday's, as history, nor what is said in one while the room runs."""
    yesterdays, port = listen(duo)
    with connected(port) as friend:
        friend.sendall(b"a secret of yesterday\n")
        until(lambda: b"yesterday" in yesterdays.out)
    yesterdays.end_input()
    yesterdays.status()
    _, port = room(duo)
    _, listening = listen(duo)
    ann = Client(port)
    with connected(listening) as friend:
        friend.sendall(b"a secret of today\n")
        until(lambda: "a secret of today" in said(place / "logs" / "client_input.log"))
        ann.say("hello", "/nick bob")
        ann.sees("you are bob")
    assert "a secret" not in "\n".join(whole_of(port))
    assert "hello" in said(room_log(place))
    assert said(place / "logs" / "client_input.log") == [
        "a secret of yesterday",
        "a secret of today",
    ]
    ann.close()


def test_talks_at_the_same_time_have_transcripts_of_their_own_and_are_told(
    duo: Duo, place: Path
) -> None:
    ports = []
    for number in range(3):
        program, port = listen(duo)
        ports.append(port)
        if number:
            told = "another talk is keeping logs/client_input.log: this one is kept in "
            assert f"{told}logs/client_input-{number + 1}.log\n" in program.err
    names = ["client_input.log", "client_input-2.log", "client_input-3.log"]
    for name, port in zip(names, ports, strict=True):
        calling = connect(duo, port)
        calling.type(f"to {name}\n")
        until(lambda name=name: said(place / "logs" / name) == [f"to {name}"])
    told = "another talk is keeping logs/server_input.log: this one is kept in logs/server_input-"
    until(lambda: f"{told}3.log\n" in calling.err)
    for program in duo.programs:
        if program.process.stdin and program.process.poll() is None:
            program.type("bye\n")
    for program in duo.programs:
        program.status()
    program, _ = listen(duo)  # who comes later has the first one again
    assert "another talk" not in program.err


def test_a_name_that_was_given_is_numbered_too_and_no_other_file_is_written_into(
    duo: Duo, place: Path
) -> None:
    (place / "notes-2.log").write_bytes(b"not a transcript\n")
    listen(duo, "--log", "notes.log")
    program, _ = listen(duo, "--log", "notes.log")
    assert "another talk is keeping notes.log: this one is kept in notes-3.log\n" in program.err
    assert (place / "notes-2.log").read_bytes() == b"not a transcript\n"


@pytest.mark.parametrize("link", ["name", "symbolic", "hard"])
@pytest.mark.parametrize("runs", [True, False], ids=["running", "closed"])
@pytest.mark.parametrize("command", [["listen", "0"], ["connect", "127.0.0.1", "9"]])
def test_a_talk_refuses_what_a_room_keeps_whatever_it_is_called(
    command: list[str], runs: bool, link: str, duo: Duo, place: Path
) -> None:
    host, port = room(duo)
    ann = Client(port)
    ann.say("hello", "/nick ann")
    ann.sees("you are ann")
    ann.close()
    log = room_log(place)
    until(lambda: "ann left" in events(log))
    if not runs:
        close(host)
    name = place / "talk.log"
    if link == "name":
        name = log
    elif link == "symbolic":
        name.symlink_to(log)
    else:
        os.link(log, name)
    before = log.read_bytes()
    line = refusal(duo.start([*DUPLEX, *command, "--log", str(name)], ONE_PLACE, stdin=-3))
    if link == "hard" and not runs:
        assert line.startswith(
            f"duplex {command[0]}: cannot {command[0]}: {name} has another name (a hard link), "
            "and a room may keep it"
        )
    else:
        assert line.startswith(
            f"duplex {command[0]}: cannot {command[0]}: a room is keeping {name}"
        )
    assert line.endswith("; --log names another file")
    assert log.read_bytes() == before


def test_a_talk_without_a_name_for_its_transcript_goes_round_a_rooms(duo: Duo, place: Path) -> None:
    room(duo, "--log", "logs/client_input.log")
    program, _ = listen(duo)
    told = "a room is keeping logs/client_input.log: this one is kept in logs/client_input-2.log"
    assert f"{told}\n" in program.err


# Rooms


def a_talk(path: Path, tail: bytes = b"") -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = record.said("ann", b"a secret\n") + tail
    path.write_bytes(data)
    return data


def test_a_room_takes_no_transcript_that_no_room_has_kept_unless_it_is_to(
    duo: Duo, place: Path
) -> None:
    log = place / "talk.log"
    talk = a_talk(log, TORN)
    line = refusal(duo.start([*ROOM, "0", "--log", "talk.log"], ONE_PLACE, stdin=-3))
    assert line == (
        "duplex room: cannot keep the room: no room has kept talk.log before: "
        "there is no talk.log.key; --adopt takes it all the same, "
        "and everybody in the room can read it"
    )
    assert log.read_bytes() == talk
    assert not (place / "talk.log.key").exists()
    host, port = room(duo, "--log", "talk.log", "--adopt")
    Client(port).sees("<ann> a secret")
    close(host)
    _, port = room(duo, "--log", "talk.log")  # it is a room's now
    Client(port).sees("<ann> a secret")


def test_a_room_of_an_earlier_version_is_taken_where_it_was(duo: Duo, place: Path) -> None:
    log = place / "logs" / "client_input.log"
    a_talk(log)
    Path(f"{log}.key").write_bytes(b"k" * 32)
    _, port = room(duo, "--log", "logs/client_input.log")
    Client(port).sees("<ann> a secret")


@pytest.mark.parametrize("link", ["symbolic", "hard"])
def test_no_link_gets_a_second_room_into_a_transcript(link: str, duo: Duo, place: Path) -> None:
    room(duo)
    log, other = room_log(place), place / "other.log"
    other.symlink_to(log) if link == "symbolic" else os.link(log, other)
    other.with_name("other.log.key").write_bytes(b"k" * 32)
    for more in ([], ["--adopt"]):
        command = [*ROOM, "0", "--log", "other.log", *more]
        line = refusal(duo.start(command, ONE_PLACE, stdin=-3))
        assert (
            line == "duplex room: cannot keep the room: another room is keeping other.log; "
            "--log names another file"
        )


def test_a_room_that_was_kept_by_a_link_is_a_rooms_by_its_own_name_too(
    duo: Duo, place: Path
) -> None:
    (place / "link.log").symlink_to("real.log")
    host, port = room(duo, "--log", "link.log")
    Client(port).sees("entered the room")
    close(host)
    line = refusal(duo.start([*DUPLEX, "listen", "0", "--log", "real.log"], ONE_PLACE, stdin=-3))
    assert line == (
        "duplex listen: cannot listen: a room is keeping real.log, when it runs; "
        "--log names another file"
    )
    key = (place / "real.log.key").read_bytes()[:32]
    (place / "real.log.key").rename(place / "link.log.key")  # as 0.1.0 had it
    room(duo, "--log", "link.log")
    assert (place / "real.log.key").read_bytes()[:32] == key


def test_where_all_locks_are_one_a_session_keeps_none_from_appending(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on some file systems of a network, where a claim would lock out its own session."""
    path = str(tmp_path / "talk.log")
    one, _ = keeping.for_talk(path, given=True)
    _, told = keeping.for_talk(path, given=True)
    assert "another talk is keeping" in told
    one.close()

    def flock(_fd: int, operation: int) -> None:
        if operation & fcntl.LOCK_NB:
            raise BlockingIOError

    with monkeypatch.context() as there:
        there.setattr(keeping, "_others_may_append", lambda _fd: False)
        two, told = keeping.for_talk(path, given=True)
    assert told == ""
    three, told = keeping.for_talk(path, given=True)
    assert told == ""
    two.append(record.event("two"))
    three.append(record.event("three"))
    assert events(Path(path)) == ["two", "three"]
    with monkeypatch.context() as there:
        there.setattr("fcntl.flock", flock)
        assert not keeping._others_may_append(three.fd)
    assert keeping._others_may_append(three.fd)


def test_a_room_does_not_take_the_transcript_of_a_talk_that_goes_on(duo: Duo, place: Path) -> None:
    listen(duo)
    for path in ("logs/client_input.log", "link.log"):
        (place / "link.log").unlink(missing_ok=True)
        (place / "link.log").symlink_to("logs/client_input.log")
        line = refusal(duo.start([*ROOM, "0", "--log", path, "--adopt"], ONE_PLACE, stdin=-3))
        assert line == (
            f"duplex room: cannot keep the room: a talk is keeping {path}; --log names another file"
        )


def test_rooms_of_one_directory_have_transcripts_of_their_own(duo: Duo, place: Path) -> None:
    _, one = room(duo)
    room(duo, "--name", "../../lobby")
    room(duo, "--name", str(one))
    first, rest = str(one)[0], str(one)[1:]
    names = {f"room-{one}", "room-%2E.%2F..%2Flobby", f"room-%3{first}{rest}"}
    assert {path.parent.name for path in place.rglob("client_input.log")} == names
    assert {path.parent.name for path in place.rglob("client_input.log.key")} == names


# Who is in a room


@pytest.fixture
def lobby(duo: Duo) -> int:
    return port_of(duo.start([*ROOM, "0", "--plain", "--name", "lobby"], "room"))


def test_who_is_in_a_room_keeps_it_in_a_directory_of_its_own(
    duo: Duo, place: Path, lobby: int
) -> None:
    """For each host and port: what a room is called is not the room's alone."""
    other = port_of(duo.start([*ROOM, "0", "--plain", "--name", "lobby"], "other"))
    for number, port in enumerate((lobby, other)):
        client = connect(duo, port, "--nick", f"ann{number}")
        client.type("hello\n")
        log = place / "logs" / "room-lobby" / f"127.0.0.1-{port}" / "server_input.log"
        until(lambda log=log: log.exists() and said(log) == ["hello"])
        client.end_input()
        client.status()
    assert not (place / "logs" / "server_input.log").exists()


def test_two_clients_of_one_room_keep_it_twice_whole_and_the_second_is_told(
    duo: Duo, place: Path, lobby: int
) -> None:
    ann = connect(duo, lobby, "--nick", "ann")
    until(lambda: "you are ann" in ann.err)
    bob = connect(duo, lobby, "--nick", "bob")
    until(lambda: "you are bob" in bob.err)
    directory = f"logs/room-lobby/127.0.0.1-{lobby}/"
    assert f"another client is keeping {directory}server_input.log: this one is kept in " in bob.err
    bob.type("hello\n")
    for name in ("server_input.log", "server_input-2.log"):
        log = place / directory / name
        until(lambda log=log: "hello" in said(log))
        assert [nick for nick, text in records(log) if text == "hello"] == ["bob"]
    shown = until(lambda: {path.name for path in (place / directory).iterdir()})
    assert shown == {"server_input.log", "server_input-2.log"}


def test_a_room_that_is_slow_to_greet_is_kept_as_a_room(duo: Duo, place: Path) -> None:
    """It is taken for a person for a second; what it says then is not in the talk's transcript."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = connect(duo, server.getsockname()[1])
        sock, _ = server.accept()
        with sock:
            until(lambda: events(place / "logs" / "server_input.log"))
            sock.sendall(b"! welcome to room x: you are guest-1, 1 is here; /help lists it\n")
            assert b"/join" in sock.recv(100)
            sock.sendall(b"! joined x as ann: key k, offset 0, end 0, 1 is here\n")
            sock.sendall(record.said("eve", b"hello\n"))
            until(lambda: said(follower_log(place)) == ["hello"])
    talk = place / "logs" / "server_input.log"
    assert said(talk) == []
    assert [event.split(" to ")[0] for event in events(talk)] == ["connected"]
    client.stop()


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", ".", "x" * 900, "a\x1b[31mb"])
def test_a_room_that_calls_itself_a_path_gets_no_further_than_logs(
    name: str, duo: Duo, place: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = connect(duo, port)
        sock, _ = server.accept()
        with sock:
            sock.sendall(f"! welcome to room {name}: you are guest-1, 1 is here; /help\n".encode())
            assert b"/join" in sock.recv(100)
            sock.sendall(f"! joined {name} as ann: key k, offset 0, end 0, 1 is here\n".encode())
            sock.sendall(record.said("eve", b"hello\n"))
            until(lambda: said(follower_log(place)) == ["hello"])
    client.stop()
    (log,) = duo.tmp.rglob("*.log")
    assert log.parent.parent.parent == place / "logs"
    assert log.parent.name == f"127.0.0.1-{port}"


def test_a_caller_whose_child_is_killed_at_once_still_records_the_talk(
    duo: Duo, place: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = connect(duo, server.getsockname()[1])
        sock, _ = server.accept()
        with sock:
            os.kill(client.child(), signal.SIGKILL)
            assert client.status() == 1
    found = [event.partition(" 127")[0] for event in events(place / "logs" / "server_input.log")]
    killed = "connection closed: the receiving process was killed by SIGKILL"
    assert found == ["connected to", killed]


@pytest.mark.parametrize("what", ["logs", "logs/server_input.log"])
def test_where_no_transcript_can_be_a_caller_is_told_before_it_connects(
    what: str, duo: Duo, place: Path
) -> None:
    if what == "logs":
        (place / what).write_bytes(b"")
    else:
        (place / what).mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = refusal(connect(duo, server.getsockname()[1]))
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    reason = "File exists" if what == "logs" else "Is a directory"
    assert line == f"duplex connect: cannot write the transcript logs/server_input.log: {reason}"


# Reading, and directories


def test_duplex_log_finds_all_that_is_kept_here(duo: Duo, place: Path) -> None:
    for number, path in enumerate(
        (
            "client_input.log",
            "client_input-2.log",
            "server_input.log",
            "room-5000/client_input.log",
            "room-lobby/127.0.0.1-5000/server_input.log",
            "room-lobby/127.0.0.1-5000/server_input-12.log",
        )
    ):
        (place / "logs" / path).parent.mkdir(parents=True, exist_ok=True)
        (place / "logs" / path).write_bytes(record.said("ann", b"%d\n" % number))
    (place / "logs" / "room-5000" / "client_input.log.key").write_bytes(b"k" * 32)
    program = duo.start([*DUPLEX, "log", "--json"], ONE_PLACE)
    assert program.status() == 0
    assert sorted(re.findall(r'"text": ?"(.)"', program.out.decode())) == list("012345")


@pytest.mark.parametrize(
    "command", [[*DUPLEX, "listen", "0"], [*ROOM, "0", "--plain"]], ids=["talk", "room"]
)
@pytest.mark.parametrize("log", [["--log", "a/b/c/x.log"], []], ids=["nested", "default"])
def test_directories_of_transcripts_are_for_this_user_alone_whatever_the_umask(
    log: list[str], command: list[str], duo: Duo, place: Path
) -> None:
    port_of(duo.start([*command, *log], ONE_PLACE, preexec_fn=lambda: os.umask(0)))
    until(lambda: list(place.rglob("*.log")))
    for path in place.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        elif path.suffix in (".log", ".key"):
            assert mode == 0o600, path
