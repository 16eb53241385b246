"""Garbage in place of a store, under its keys, or in a copy: told in one line, and never served."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rooms_support import Rooms, Site
from store_support import Host, Server, every_server
from support import ROOM, Duo, records, until, with_no_error

from duplex.store.address import Address
from duplex.store.errors import Damaged, Diverged, StoreError, TooOld, Unreachable
from duplex.store.position import Position
from duplex.store.shared import Shared

NO_STORE = "what answers there is neither Redis nor Valkey"
# What a server says to whatever it is asked.
ANSWERS = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "bytes": b"\xff\xfe\0\x80\r\n",
    "a word": b"+OK\r\n",
    "a number": b":1\r\n",
    "nothing": b"$-1\r\n",
    "an empty list": b"*0\r\n",
    "no list": b"*-1\r\n",
    "a list of a number": b"*1\r\n:1\r\n",
    "a short list": b"*2\r\n+ok\r\n+x\r\n",
    "a list of nonsense": b"*5\r\n+ok\r\n+x\r\n+y\r\n+z\r\n+w\r\n",
    "a list of an error": b"*1\r\n-ERR x\r\n",
    "an error": b"-ERR x\r\n",
    "no length": b"$x\r\n",
    "no number": b"*x\r\n",
    "a map": b"%1\r\n+a\r\n+b\r\n",
    "lists in lists": b"*1\r\n" * 5000,
}
KEYS = {"room": "list", "log": "hash", "people": "set", "nicks": "string", "sessions": "stream"}
KEYS |= {"hosts": "list"}


class Garbage:
    """A server, at a TCP port or a Unix socket, that answers everything with the same."""

    def __init__(self, answer: bytes, path: Path | None = None) -> None:
        self._answer = answer
        if path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(path))
            self._listener.listen()
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"unix://{path}" if path else "redis://127.0.0.1:{1}/0".format(*self._address())
        threading.Thread(target=self._accept, daemon=True).start()

    def _address(self) -> Any:
        return self._listener.getsockname()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                while sock.recv(65536):
                    sock.sendall(self._answer)
            except OSError:
                return

    def close(self) -> None:
        with_no_error(lambda: self._listener.shutdown(socket.SHUT_RDWR))
        self._listener.close()


@pytest.fixture
def garbage() -> Iterator[Callable[..., Garbage]]:
    made: list[Garbage] = []

    def start(answer: bytes, path: Path | None = None) -> Garbage:
        made.append(Garbage(answer, path))
        return made[-1]

    yield start
    for one in made:
        one.close()


# In place of the store


@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_answers_in_place_of_a_store_is_an_error_of_one_line(
    answer: str, garbage: Callable[..., Garbage]
) -> None:
    shared = Shared(Address(garbage(ANSWERS[answer]).url), "lobby", "h")
    for ask in (
        shared.find,
        shared.begin,
        shared.check_version,
        lambda: shared.read("0-0", "0-0", 10, 0),
        lambda: shared.entries_back("+", 1),
        lambda: shared.entry("1-1"),
        lambda: shared.calls(1, 0, [("add",), ("beat",)]),
    ):
        with suppress(StoreError):
            ask()


@pytest.mark.parametrize("answer", ["HTTP", "a word", "a list of nonsense"])
def test_a_room_does_not_open_on_garbage(
    duo: Duo, answer: str, garbage: Callable[..., Garbage]
) -> None:
    url = garbage(ANSWERS[answer]).url
    room = duo.start([*ROOM, "0", "--name", "lobby", "--redis", url], "room", stdin=-3)
    assert room.status() == 1
    assert room.err.count("\n") == 1
    assert NO_STORE in room.err or "no room has put there" in room.err


def test_a_store_that_is_replaced_by_garbage_is_out_of_reach_until_it_is_back(
    rooms: Rooms, server: Server, garbage: Callable[..., Garbage]
) -> None:
    site = rooms.open()
    ann = site.client("ann")
    server.kill()
    server.socket.unlink(missing_ok=True)
    garbage(ANSWERS["HTTP"], server.socket)
    until(lambda: NO_STORE in site.host.err)
    ann.say("hello")
    ann.sees("! the room's store is out of reach; lines wait")
    assert site.host.err.count("\n") < 20, site.host.err
    site.kill()


def test_a_server_that_is_too_old_is_told(garbage: Callable[..., Garbage]) -> None:
    told = b"# Server\r\nredis_version:6.0.16\r\n"
    answer = b"$%d\r\n%b\r\n" % (len(told), told)
    with pytest.raises(TooOld, match=r"is Redis 6\.0\.16: a room needs Redis 6\.2 or newer, or V"):
        Shared(Address(garbage(answer).url), "lobby", "h").check_version()


# Under its keys


def put(server: Server, key: str, kind: str) -> None:
    """Something of that type, in place of what is there."""
    client, name = server.address().connect(), f"duplex:{{lobby}}:{key}"
    client.delete(name)
    values: dict[str, tuple[str, ...]] = {
        "list": ("RPUSH", "x"),
        "hash": ("HSET", "x", "y"),
        "set": ("SADD", "x"),
        "string": ("SET", "x"),
        "stream": ("XADD", "*", "x", "y"),
    }
    command, *words = values[kind]
    client.execute_command(command, name, *words)


@every_server
@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_another_type_is_told_at_the_start(server: Server, key: str) -> None:
    server.shared("one").find()
    put(server, key, KEYS[key])
    with pytest.raises(Damaged, match=f"room lobby .*{key} is a {KEYS[key]}"):
        server.shared("two").find()


@every_server
def test_values_that_no_room_puts_there_are_told(server: Server) -> None:
    one = server.shared("one")
    one.find()
    turn = one.begin() + 1
    client, people = server.address().connect(), "duplex:{lobby}:people"
    client.hset(people, "c1", "no JSON")
    with pytest.raises(Damaged):
        one.call(turn, 0, ("claim", "c1", "s", "ann", "ann", ""))
    client.hset("duplex:{lobby}:room", "end", "many")
    with pytest.raises(Damaged, match="has no number as end"):
        server.shared("two").find()


def test_a_key_that_becomes_another_closes_the_host_with_one_line(
    rooms: Rooms, server: Server
) -> None:
    site = rooms.open()
    ann = site.client("ann")
    ann.say("hello")
    until(lambda: "<ann> hello" in site.log.read_text())
    put(server, "log", "hash")
    assert site.host.status() == 1
    told = [line for line in site.host.err.splitlines() if "no room has put there" in line]
    assert 1 <= len(told) <= 2, site.host.err  # the writer and the replicator
    assert "internal error" not in site.host.err


# In the stream


ENTRIES: list[dict[str, str]] = [
    {"x": "y"},
    {"o": "END"},
    {"o": "many", "b": "<ann> x\n"},
    {"o": "-1", "b": "<ann> x\n"},
    {"o": "END", "b": "<ann> without an end"},
    {"o": "END", "b": "a line of nobody's\n"},
    {"o": "END", "b": "<ann> x\n\n<ann> y\n"},
    {"o": "END", "b": ""},
    {"o": "END", "s": "<ann> without a stamp\n"},
]


@pytest.mark.parametrize("fields", ENTRIES, ids=str)
def test_an_entry_that_is_no_record_is_never_copied(
    server: Server, start_host: Callable[..., Host], fields: dict[str, str]
) -> None:
    host = start_host(server, "one")
    member = host.member("ann")
    member.says("hello")
    member.is_confirmed()
    end = member.confirmed[-1][1]
    host.has(end)
    host.kill()
    of_end = {name: str(end) if value == "END" else value for name, value in fields.items()}
    server.address().connect().xadd("duplex:{lobby}:log", of_end)
    with pytest.raises(Damaged):
        host.copying().go_on()
    assert host.log.stat().st_size == end


def test_an_entry_that_is_no_record_closes_the_host(rooms: Rooms, server: Server) -> None:
    site = rooms.open()
    site.client("ann").say("hello")
    until(lambda: "<ann> hello" in site.log.read_text())
    server.address().connect().xadd("duplex:{lobby}:log", {"o": "0", "b": "\x1b[2J\n"})
    assert site.host.status() == 1
    assert "no room has put there" in site.host.err
    assert "internal error" not in site.host.err
    records(site.log)  # nothing else stands there


# In a copy


def edited(site: Site) -> bytes:
    """A word in the middle of the transcript is another by now."""
    data = site.log.read_bytes()
    at = data.index(b"of the middle")
    site.log.write_bytes(data[:at] + b"of the muddle" + data[at + 13 :])
    return site.log.read_bytes()


def test_a_copy_that_was_edited_in_its_middle_is_not_served(rooms: Rooms) -> None:
    site = rooms.open()
    ann = site.client("ann")
    ann.say("first", "of the middle", "last")
    until(lambda: "<ann> last" in site.log.read_text())
    assert site.end() == 0
    changed = edited(site)
    env = rooms.env
    again = rooms.duo.start([*ROOM, "0", "--plain", "--name", "lobby"], "host1", env=env, stdin=-3)
    assert again.status() == 1
    path = site.log.relative_to(site.host.cwd)
    assert again.err == (
        f"duplex room: cannot keep the room: {path} and the store differ at offset 0 or later: "
        f"move it (and {path}.store) away to get a new copy\n"
    )
    assert site.log.read_bytes() == changed, "nothing of it is lost"


@pytest.mark.parametrize("killed", [False, True])
def test_a_copy_is_known_wherever_it_was_left(
    server: Server, start_host: Callable[..., Host], killed: bool
) -> None:
    """By a hub that was killed, and by a version that kept no sum: it goes on."""
    host = start_host(server, "one")
    member = host.member("ann")
    for _ in range(5):
        for number in range(20):
            member.says(f"{number} größer")
        member.is_confirmed()
        host.has(member.confirmed[-1][1])
        host.kill()
        if not killed:  # 0.1.0 leaves what it finds behind its two parts
            path = Path(f"{host.log}.store")
            path.write_bytes(path.read_bytes()[:256])
        host.start()
        member = host.member("ann")
    member.says("and one more")
    member.is_confirmed()
    host.has(member.confirmed[-1][1])
    assert Position(str(host.log)).offset == host.log.stat().st_size


def test_a_copy_whose_beginning_was_given_back_to_the_disk_goes_on(
    server: Server, start_host: Callable[..., Host]
) -> None:
    host = start_host(server, "one")
    member = host.member("ann")
    for number in range(200):
        member.says(f"{number} größer")
    member.is_confirmed()
    host.has(member.confirmed[-1][1])
    host.kill()
    data = host.log.read_bytes()
    hole = data.index(b"\n", 4096)
    host.log.write_bytes(bytes(hole) + data[hole:])
    host.copying().go_on(wait=0)
    host.log.write_bytes(bytes(hole) + data[hole:-100] + b"x" + data[-99:])
    with pytest.raises(Diverged):
        host.copying()


def test_an_unreachable_store_is_not_garbage(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        Shared(Address(f"unix://{tmp_path}/nobody"), "lobby", "h").find()
