"""What `duplex log` shows when it is told no file: each line once, talks and rooms apart."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from log_support import follow, out, run, texts
from support import until

from duplex.transcript.record import event, said


def at(clock: str) -> bytes:
    return f"2026-11-23T{clock}Z".encode()


def write(path: Path, *records: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(records))


def lines(tmp: Path, *args: str) -> list[str]:
    """What is shown, without its times."""
    return [text for text in texts(out(tmp, *args)) if text]


ENTERED = event("ann entered the room (127.0.0.1:1)", at("10:00:00.000"))
ROOM = [
    ENTERED,
    said("ann", b"one\n", at("10:00:01.000")),
    event("bob entered the room (127.0.0.1:2)", at("10:00:02.000")),
    said("bob", b"same\nsame\n", at("10:00:03.000")),
    said("ann", b"two\n", at("10:00:03.000")),
    said("bob", b"three\n", at("10:00:03.000")),
    said("ann", b"four\n", at("10:00:04.000")),
]


def test_a_line_that_several_have_kept_is_shown_once_and_in_order(tmp_path: Path) -> None:
    room = tmp_path / "logs" / "room-5000"
    write(room / "client_input.log", *ROOM)
    write(room / "127.0.0.1-5000" / "server_input.log", *ROOM[2:])
    write(room / "127.0.0.1-5000" / "server_input-2.log", *ROOM[4:6])
    write(room / "server_input.log", *ROOM)
    assert lines(tmp_path) == texts(b"".join(ROOM).splitlines())


def test_and_so_it_is_without_the_rooms_own_file(tmp_path: Path) -> None:
    room = tmp_path / "logs" / "room-host-5000"
    write(room / "server_input-2.log", *ROOM[:5])
    write(room / "server_input.log", *ROOM[4:])
    shown = lines(tmp_path)
    assert shown == texts(b"".join(ROOM).splitlines())
    assert lines(tmp_path, *map(str, sorted(room.iterdir()))) == shown, "named files likewise"


def test_two_talks_at_the_same_time_stand_apart(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    one = [
        event("connected from 192.0.2.1:1", at("10:00:00.000")),
        said("client", b"a1\n", at("10:00:10.000")),
        said("client", b"a2\n", at("10:00:30.000")),
        event("client left", at("10:00:50.000")),
    ]
    two = [
        event("connected from 192.0.2.2:2", at("10:00:05.000")),
        said("client", b"b1\n", at("10:00:20.000")),
        event("client left", at("10:00:40.000")),
    ]
    later = [
        event("connected from 192.0.2.2:3", at("11:00:00.000")),
        said("client", b"c1\n", at("11:00:01.000")),
    ]
    write(logs / "client_input.log", *one, *later)
    write(logs / "client_input-2.log", *two)
    shown = lines(tmp_path)
    b = shown.index("<client> b1")
    assert shown[b - 2 : b + 2] == [
        "==> logs/client_input-2.log <==", "* connected from 192.0.2.2:2", "<client> b1",
        "* client left",
    ]  # fmt: skip
    assert [line[9:] for line in shown if "<client> " in line] == ["b1", "a1", "a2", "c1"]


def test_both_sides_of_a_talk_are_one_and_another_meanwhile_is_not(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    write(
        logs / "client_input.log",
        event("connected from 127.0.0.1:1", at("10:00:00.100")),
        said("client", b"question\n", at("10:00:10.000")),
    )
    write(
        logs / "server_input.log",
        event("connected to 127.0.0.1:8000", at("10:00:00.000")),
        said("server", b"answer\n", at("10:00:20.000")),
    )
    assert [line[-8:] for line in lines(tmp_path)[2:]] == ["question", "> answer"]
    write(
        logs / "server_input.log",
        event("connected to 192.0.2.1:8000", at("09:59:00.000")),
        said("server", b"answer\n", at("10:00:20.000")),
    )
    assert [line for line in lines(tmp_path) if line.startswith("==>")] == [
        "==> logs/client_input.log <==",
        "==> logs/server_input.log <==",
    ]


def test_rooms_and_talks_stand_apart_the_latest_last(tmp_path: Path) -> None:
    talk = said("client", b"hi\n", at("09:00:00.000"))
    write(tmp_path / "logs" / "room-5000" / "client_input.log", *ROOM)
    write(
        tmp_path / "logs" / "room-lobby" / "client_input.log",
        said("eve", b"x\n", at("08:00:00.000")),
    )
    write(tmp_path / "logs" / "client_input.log", talk)
    shown = lines(tmp_path)
    assert [line for line in shown if line.startswith("==>")] == [
        "==> logs/room-lobby <==", "==> logs/client_input.log <==", "==> logs/room-5000 <==",
    ]  # fmt: skip
    assert lines(tmp_path, "--grep", "hi") == ["==> logs/client_input.log <==", "<client> hi"]
    assert len(out(tmp_path, "--json")) == 10
    assert b"10 lines" not in run(tmp_path, "--stats").stdout
    assert run(tmp_path, "--stats").stdout.startswith(b"8 lines said, 2 events")


def test_somebody_who_says_that_he_is_connected_begins_no_talk(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    write(
        logs / "client_input.log",
        said("client", b"Z * connected from 1\n2026-11-23T09:00:00.000Z * connected to 2\n",
             at("10:00:00.000")),
        said("client", b"last\n", at("10:00:09.000")),
    )  # fmt: skip
    write(logs / "server_input.log", said("server", b"between\n", at("10:00:05.000")))
    assert [line.rpartition(" ")[2] for line in lines(tmp_path)][-2:] == ["between", "last"]


def test_following_tells_whose_lines_come(tmp_path: Path) -> None:
    room = tmp_path / "logs" / "room-5000"
    write(room / "client_input.log", *ROOM[:2])
    write(room / "server_input.log", *ROOM[:2])
    program = follow(tmp_path)
    until(lambda: b"<ann> one" in program.out)
    with (room / "client_input.log").open("ab") as file:
        file.write(ROOM[4])
    until(lambda: b"<ann> two" in program.out)
    with (room / "server_input.log").open("ab") as file:
        file.write(ROOM[4] + ROOM[5])
    until(lambda: b"<bob> three" in program.out)
    write(tmp_path / "logs" / "client_input.log", said("client", b"hi\n", at("12:00:00.000")))
    until(lambda: b"<client> hi" in program.out)
    os.kill(program.pid, signal.SIGINT)
    assert program.status() == 130
    shown = program.out.decode()
    assert shown.count("two") == 1, "the member's copy came later"
    assert shown.index("==> logs/room-5000 <==") < shown.index("one")
    assert shown.index("==> logs <==") < shown.index("<client> hi")
