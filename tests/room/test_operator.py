"""Who sits at the host's terminal keeps the room: kicks, bans and closes, in tmux as a person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from room_support import Client, Client6, Room
from support import Duo, events, members_of, needs_ipv6, records, room_log, until
from tmux import Tmux


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Tmux]:
    (tmp_path / "host").mkdir()
    made = Tmux(tmp_path / "host")
    yield made
    made.stop()


@pytest.fixture
def port(at: Tmux) -> int:
    at.line("./duplex room 0 --allow-root --rate 0; echo status $?")
    match = until(lambda: re.search(r"listening on 127\.0\.0\.1:(\d+)", at.all))
    at.sees("and you are host")
    return int(match[1])


def enter(port: int, nick: str, address: str = "127.0.0.1") -> Client:
    client = Client(port, address)
    client.say(f"/nick {nick}")
    client.sees(f"! you are {nick} now")
    return client


def log(at: Tmux) -> Path:
    return room_log(at.cwd)


def test_the_operator_speaks_as_host_and_is_here(at: Tmux, port: int) -> None:
    ann = enter(port, "ann")
    at.sees("ann")
    at.line("hello")
    assert ann.sees("hello").endswith("Z <host> hello")
    ann.say("/who", "/msg host psst")
    assert ann.sees("are here") == "! 2 are here: ann, host"
    at.sees("ann, to you alone: psst")
    at.line("/msg ann psst yourself")
    ann.sees("-host- psst yourself")
    at.line("/nick boss")
    at.sees("you keep this room: you stay host")
    at.line("/help")
    at.sees("/kick NICK [WHY]: close one client")
    at.sees("/close [WHY]: end the room")
    assert ("host", "hello") in records(log(at))
    assert not any(text.startswith("host entered") for text in events(log(at)))


def test_one_is_kicked_with_a_reason_and_may_come_again(at: Tmux, port: int) -> None:
    ann, bob = enter(port, "ann"), enter(port, "bob")
    at.sees("bob")
    at.line("/kick BOB enough of this")
    assert bob.reads_to_the_end()[-1] == "! you were kicked by host: enough of this"
    ann.sees("* bob was kicked by host: enough of this")
    at.line("/kick ann")
    assert ann.reads_to_the_end()[-1] == "! you were kicked by host"
    at.line("/kick nobody")
    at.sees("nobody here is called nobody")
    at.line("/kick")
    enter(port, "bob")
    assert "ann was kicked by host" in events(log(at))


def test_an_address_is_banned_listed_and_let_in_again(at: Tmux, port: int) -> None:
    ann = enter(port, "ann")
    bob, eve = (enter(port, nick, "127.0.0.2") for nick in ("bob", "eve"))
    at.sees("eve")
    at.line("/bans")
    at.sees("banned: nobody")
    at.line("/ban 127.0.0.2")
    at.sees("127.0.0.2 is banned until the room closes")
    for client in (bob, eve):
        why = "! you were kicked by host: the address is banned"
        assert client.reads_to_the_end()[-1] == why
    for _ in range(2):
        ann.sees(" was kicked by host: the address is banned")
    assert Client(port, "127.0.0.2").reads_to_the_end() == ["! your address is banned"]
    at.sees("refused 127.0.0.2:")
    at.line("/bans")
    at.sees("banned: 127.0.0.2")
    at.line("/ban everybody")
    at.sees("everybody is not an address")
    at.line("/unban 127.0.0.3")
    at.sees("127.0.0.3 was not banned")
    at.line("/unban 127.0.0.2")
    at.sees("127.0.0.2 may come in again")
    enter(port, "bob", "127.0.0.2")
    ann.sees("is now bob")
    at.line("/ban")
    at.sees("/ban takes an ADDRESS")


@pytest.mark.parametrize("typed", ["127.0.0.2", "::ffff:127.0.0.2", "0:0:0:0:0:ffff:7f00:2"])
def test_a_ban_is_of_the_host_where_one_socket_takes_both_families(at: Tmux, typed: str) -> None:
    needs_ipv6()
    at.line("./duplex room 0 --host :: --allow-root --rate 0; echo status $?")
    match = until(lambda: re.search(r"listening on \[::\]:(\d+)", at.all))
    at.sees("and you are host")
    port = int(match[1])
    ann, eve = enter(port, "ann"), enter(port, "eve", "127.0.0.2")
    sixth = Client6(port, "::1")
    sixth.say("/nick six")
    sixth.sees("! you are six now")
    at.line(f"/ban {typed}")
    at.sees("127.0.0.2 is banned until the room closes")
    assert eve.reads_to_the_end()[-1] == "! you were kicked by host: the address is banned"
    ann.sees("* eve was kicked by host: the address is banned")
    assert Client(port, "127.0.0.2").reads_to_the_end() == ["! your address is banned"]
    at.sees("refused 127.0.0.2:")
    at.line("/ban 0:0:0:0:0:0:0:1")
    at.sees("::1 is banned until the room closes")
    assert sixth.reads_to_the_end()[-1] == "! you were kicked by host: the address is banned"
    assert Client6(port, "::1").reads_to_the_end() == ["! your address is banned"]
    at.line(f"/unban {typed}")
    at.sees("127.0.0.2 may come in again")
    enter(port, "eve", "127.0.0.2")
    assert "ffff" not in log(at).read_text()
    assert "eve entered" not in log(at).read_text()
    assert re.search(r"\* guest-\d entered the room \(127\.0\.0\.2:\d+\)", log(at).read_text())


def test_a_ban_of_a_64_is_of_all_its_addresses(at: Tmux) -> None:
    needs_ipv6()
    at.line("./duplex room 0 --host ::1 --allow-root --rate 0; echo status $?")
    match = until(lambda: re.search(r"listening on \[::1\]:(\d+)", at.all))
    at.sees("and you are host")
    port = int(match[1])
    eve = Client6(port, "::1")
    eve.sees("! welcome")
    at.line("/ban ::5/64")
    at.sees("::/64 is banned until the room closes")
    assert eve.reads_to_the_end()[-1].startswith("! you were kicked by host")
    assert Client6(port, "::1").reads_to_the_end() == ["! your address is banned"]
    at.line("/ban ::/48")
    at.sees("::/48 is not an address")
    at.line("/unban 0::0/64")
    at.sees("::/64 may come in again")
    Client6(port, "::1").sees("! welcome")


def test_the_operator_closes_the_room_with_a_reason(at: Tmux, port: int) -> None:
    ann = enter(port, "ann")
    at.sees("ann")
    at.line("/close until tomorrow")
    assert ann.reads_to_the_end()[-1].endswith("* the room closed: until tomorrow")
    at.sees("status 0")
    at.is_left()
    assert events(log(at))[-1] == "the room closed: until tomorrow"


@pytest.mark.parametrize("way", ["C-d", "C-c", "quit", "/quit", "bye"])
def test_the_room_closes_when_its_operator_leaves_and_means_it(
    at: Tmux, port: int, way: str
) -> None:
    ann = enter(port, "ann")
    at.sees("ann")

    def leave() -> None:
        if way.startswith("C-"):
            at.key(way)
            return
        at.line(way)

    question = "close the room for all 2? [y/N]"
    if way == "C-c":
        question = "Ctrl-C once more closes the room for all"
    leave()
    at.sees(question)
    at.type("n")
    if way == "C-c":
        at.key("BSpace")  # it was typed, too
    until(lambda: question not in at.screen)
    at.line("still open")
    ann.sees("<host> still open")
    leave()
    at.sees(question)
    at.key("C-c") if way == "C-c" else at.type("y")
    assert ann.reads_to_the_end()[-1].endswith("* the room closed")
    until(lambda: re.search(r"status \d+", at.all))
    at.is_left()
    assert events(log(at))[-1] == "the room closed"
    assert "status 0" in at.all


def test_nobody_but_the_operator_can_do_what_the_operator_can(at: Tmux, port: int) -> None:
    ann, bob = enter(port, "ann"), enter(port, "bob")
    at.sees("bob")
    for line in ("/kick ann", "/ban 127.0.0.1", "/unban 127.0.0.1", "/bans", "/close"):
        bob.say(line)
        bob.sees(f"! there is no command {line.split()[0]};")
    ann.say("still here")
    bob.sees("<ann> still here")
    at.line("/who")
    at.sees("3 are here: ann, bob, host")


def test_without_a_terminal_the_room_logs_a_line_for_each(duo: Duo) -> None:
    room = Room(duo, "--max-members", "2")
    ann, bob = room.enter("ann", "bob")
    third = room.connect()
    third.reads_to_the_end()
    until(lambda: "refused" in room.host.err)  # the server tells of it, and of bob the hub
    bob.say("/quit")
    bob.reads_to_the_end()
    ann.sees("* bob left")
    ann.reset()
    until(lambda: not members_of(room.host.pid))
    until(lambda: "ann was dropped" in room.host.err)
    lines = room.host.err.splitlines()
    assert lines[0].startswith(f"listening on 127.0.0.1:{room.port}, this machine only (--host ")
    assert sorted(lines[1:3]) == [
        f"guest-1 entered the room ({ann.place})",
        f"guest-2 entered the room ({bob.place})",
    ]
    assert lines[3] == f"refused {third.place}: the room is full: 2 are here (--max-members)"
    assert lines[4:] == ["bob left", "ann was dropped (connection lost)"]
