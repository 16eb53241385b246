"""A room without a directory: nobody's files are touched, nothing of it can be tidied away, and
other users of the machine are neither heard nor told anything."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from room_support import Client, Room, as_another_user, seats_at, signs
from support import DUPLEX, ROOM, Duo, hub_of, opened, port_of, until

from duplex.room import control

OpenRoom = Callable[..., Room]


def environment(runtime: str | None) -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    return found if runtime is None else {**found, "XDG_RUNTIME_DIR": runtime}


def who(port: int) -> subprocess.CompletedProcess[str]:
    command = [*DUPLEX, "who", str(port)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def nicks(port: int) -> list[str]:
    return [line.split()[0] for line in who(port).stdout.splitlines()[1:]]


def works(room: Room) -> None:
    """Newcomers come in, change their nicks, and write to each other; no nick is had twice."""
    before = room.held()
    ann, bob = room.enter("ann", "bob")
    bob.say("/nick ann")
    bob.sees("! somebody else is ann now")
    bob.say("/nick rob", "/msg ann psst")
    ann.sees("-rob- psst")
    ann.say("/msg rob psst yourself")
    bob.sees("-ann- psst yourself")
    assert {"ann", "rob"} <= set(nicks(room.port))
    for client in (ann, bob):
        client.say("/quit")
        client.reads_to_the_end()
    until(lambda: room.held() == before)


def tree(path: Path) -> dict[str, bytes]:
    return {
        str(found.relative_to(path)): found.read_bytes() if found.is_file() else b""
        for found in path.rglob("*")
    }


# Files


def test_a_checkout_where_a_runtime_directory_would_be_stays_as_it_is(
    duo: Duo, open_room: OpenRoom
) -> None:
    """With XDG_RUNTIME_DIR=$HOME, ~/duplex is a clone of this program, and `.git` no dead room."""
    home = duo.tmp / "home"
    for name in (".git/HEAD", "docs/page.md", "room-5000-99999999/key", "notes-1", "README.md"):
        (home / "duplex" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "duplex" / name).write_text(name)
    before = tree(home)
    room = open_room(env=environment(str(home)))
    assert tree(home) == before
    works(room)
    room.host.process.terminate()
    assert room.host.status() == 0
    assert tree(home) == before


@pytest.mark.parametrize("runtime", [None, "", "/nowhere/at/all", "/proc", "file"])
def test_a_room_needs_no_runtime_directory(
    runtime: str | None, duo: Duo, open_room: OpenRoom
) -> None:
    (duo.tmp / "room").mkdir()
    (duo.tmp / "room" / "file").write_bytes(b"")
    works(open_room(env=environment(runtime)))


def test_whatever_is_tidied_away_under_a_room_it_goes_on(duo: Duo, open_room: OpenRoom) -> None:
    """As systemd-tmpfiles, the end of a login, or rm do."""
    runtime = duo.tmp / "runtime"
    runtime.mkdir(mode=0o700)
    room = open_room(env=environment(str(runtime)))
    (eve,) = room.enter("eve")
    shutil.rmtree(runtime)
    works(room)
    other = room.client()
    other.say("/nick eve")
    other.sees("! somebody else is eve now")
    other.say("/msg eve for you alone")
    eve.sees("for you alone")
    eve.say("/nick eva")
    eve.sees("! you are eva now")


def test_two_rooms_at_one_port_on_two_addresses_do_not_know_each_other(
    open_room: OpenRoom,
) -> None:
    one = open_room()
    two = open_room("--host", "127.0.0.2", "--name", "two", port=one.port)
    ann = Client(one.port)
    ann.say("/nick ann", "/msg bob are you there?")
    ann.sees("! nobody here is called bob")
    other = Client(two.port, to="127.0.0.2")
    other.say("/nick ann")
    other.sees("! you are ann now")
    assert nicks(one.port) == ["ann", "ann"]
    assert len(signs(one.port)) == 2


def test_a_nick_is_taken_by_exactly_one_however_often_it_changes_hands(
    room: Room,
) -> None:
    """Ten want three nicks, again and again: nobody has two, and all are free at the end."""
    clients = room.enter(*[f"n{number}" for number in range(10)])
    for turn in range(60):
        for number, client in enumerate(clients):
            client.say(f"/nick x{(number * 7 + turn) % 3}", f"/nick n{number}")
    for client in clients:
        client.say("/quit")
    for client in clients:
        client.reads_to_the_end()
    had: set[str] = set()
    for event in room.events():
        former, _, nick = event.partition(" is now ")
        if nick:
            assert nick not in had, event
            had = had - {former} | {nick}
    assert any(" is now x" in event for event in room.events())
    until(lambda: room.held() == 0)


# Other users


def test_an_impostors_room_is_gone_round(room: Room) -> None:
    """Somebody else puts up signs for this port, and does not answer: it is not even asked."""
    room.enter("ann")

    def put_up() -> list[socket.socket]:
        made = []
        for number, backlog in ((1, 5), (2, 0), (3, None)):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sock.bind(f"\0duplex-room-{room.port}-{number:032x}")
            if backlog is not None:
                sock.listen(backlog)
            made.append(sock)
        return made

    with as_another_user(put_up):
        assert len(signs(room.port)) == 4
        done = who(room.port)
        assert (done.returncode, done.stderr) == (0, "")
        assert nicks(room.port) == ["ann"]


def test_another_user_is_not_told_who_is_in_a_room(room: Room) -> None:
    room.enter("ann")
    assert as_another_user(lambda: control.ask(room.port)).result() == ([], 0)


def test_who_takes_a_rooms_name_and_lies_is_not_believed(room: Room) -> None:
    """A room of the same user that answers what no room does; and one that answers nothing."""
    room.enter("ann")
    answers = [
        b"{",
        b"[1]\n",
        b'{"nick": "eve"}\n',
        b'{"nick": 1, "pid": "x"}\n',
        b"[" * 99_999,
        None,
    ]
    liars = []
    for number, answer in enumerate(answers):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.bind(f"\0duplex-room-{room.port}-{number:032x}")
        sock.listen(5)
        liars.append(Thread(target=lies, args=(sock, answer), daemon=True))
        liars[-1].start()
    done = who(room.port)
    for liar in liars:
        liar.join(10)
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["ann"]
    assert (done.returncode, done.stderr) == (0, "")


def lies(sock: socket.socket, answer: bytes | None) -> None:
    """Once, to whoever asks."""
    connection, _ = sock.accept()
    with sock, connection:
        if answer is None:
            return
        fd = os.memfd_create("lies")
        os.write(fd, answer)
        socket.send_fds(connection, [b"who"], [fd])
        os.close(fd)


def test_a_room_that_stands_still_is_told_of_as_such(room: Room) -> None:
    room.enter("ann")
    pids = [room.host.pid, room.hub]  # the hub alone would be followed by another
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        done = who(room.port)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert done.returncode == 1
    text = f"duplex who: cannot ask a room at port {room.port}: its host is busy, or was stopped\n"
    assert done.stderr == text
    until(lambda: nicks(room.port) == ["ann"])


def test_who_may_ask_as_often_as_they_like(duo: Duo) -> None:
    """What was asked and is answered leaves nothing in the hub."""
    host = duo.start([*ROOM, "0", "--plain"], "room")
    port = port_of(host)
    nicks(port)
    hub = hub_of(host.pid)
    fds = len(opened(hub))
    for _ in range(50):
        seats_at(port)
    until(lambda: len(opened(hub)) == fds)
