"""The gate: who is let in, who is told why not, and that what it counts comes back to nothing."""

from __future__ import annotations

import random

import pytest

from duplex.room.gate import BURST, Gate
from duplex.room.startups import Startups
from duplex.system.address import source_of

ANN, BOB = "192.0.2.1", "198.51.100.7"
MEMBERS = 200


class Room:
    """The gate of a room whose members do as they are told."""

    def __init__(
        self, *, members: int = MEMBERS, per_address: int = 0, startups: Startups | None = None
    ) -> None:
        self.gate = Gate(members, per_address, startups)
        self._come = 0

    def comes(self, ip: str) -> int:
        """Somebody who is let in; the number of its member."""
        assert self.gate.reason_to_refuse(ip) == ""
        return self.let_in(ip)

    def let_in(self, ip: str) -> int:
        self._come += 1
        self.gate.come(ip, self._come)
        return self._come

    def enters(self, ip: str) -> int:
        """One whose handshake is over."""
        number = self.comes(ip)
        self.gate.seated(number)
        return number

    def goes(self, ip: str, number: int) -> None:
        self.gate.gone(ip, number)


@pytest.mark.parametrize(
    ("ip", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),  # who comes to an IPv6 socket by IPv4
        ("", ""),
    ],
)
def test_what_counts_as_one_source(ip: str, source: str) -> None:
    assert source_of(ip) == source


def test_a_full_room_is_full_until_somebody_goes() -> None:
    room = Room(members=2)
    room.comes(ANN)
    number = room.comes(BOB)
    assert room.gate.reason_to_refuse(BOB) == "the room is full: 2 are here (--max-members)"
    room.goes(BOB, number)
    assert room.gate.reason_to_refuse(BOB) == ""


def test_a_source_is_limited_and_an_ipv6_network_is_one() -> None:
    room = Room(per_address=2)
    for last in (1, 2):
        room.enters(f"2001:db8::{last}")
    assert "2 are here from your address" in room.gate.reason_to_refuse("2001:db8::3")
    assert room.gate.reason_to_refuse("2001:db8:0:1::3") == ""
    assert room.gate.reason_to_refuse(ANN) == ""


def test_a_source_that_comes_and_goes_without_end_is_refused_and_nobody_else() -> None:
    room = Room(per_address=4)
    for _ in range(BURST * 4):
        room.goes(ANN, room.comes(ANN))
    why = "your address comes too often: wait a few seconds (--max-per-address)"
    assert room.gate.reason_to_refuse(ANN) == why
    assert room.gate.reason_to_refuse(BOB) == ""


def test_where_addresses_have_no_limit_they_may_come_as_often_as_they_like() -> None:
    room = Room(per_address=0)
    for _ in range(5000):
        room.goes(ANN, room.comes(ANN))


def test_who_is_banned_is_told_only_that() -> None:
    room = Room(members=1)
    room.comes(BOB)
    room.gate.banned.add(ANN)
    assert room.gate.reason_to_refuse(ANN) == "your address is banned"


@pytest.mark.parametrize(
    ("ban", "ip"),
    [
        ("2001:db8::1", "2001:db8::1"),
        ("2001:db8::/64", "2001:db8::2"),
        ("fe80::1", "fe80::1%eth0"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_a_ban_finds_whom_it_means(ban: str, ip: str) -> None:
    room = Room()
    room.gate.banned.add(ban)
    assert room.gate.reason_to_refuse(ip) == "your address is banned"
    for other in ("2001:db8:0:1::1", "fe80::2%eth0", ANN):
        assert room.gate.reason_to_refuse(other) == ""


def test_without_handshakes_none_are_unfinished() -> None:
    room = Room()
    for _ in range(100):
        room.comes(ANN)


def test_a_source_has_a_quarter_of_the_unfinished() -> None:
    room = Room(startups=Startups(32, random.Random(1)))
    numbers = [room.comes(ANN) for _ in range(8)]
    why = room.gate.reason_to_refuse(ANN)
    assert why == "too many are on their way in: try again in a moment"
    room.comes(BOB)
    # One is through, another has given up, a third is through, too.
    room.gate.seated(numbers[0])
    room.goes(ANN, numbers[1])
    room.gate.seated(numbers[2])
    for _ in range(3):
        room.comes(ANN)
    assert room.gate.reason_to_refuse(ANN) == why


def test_whose_handshake_is_over_counts_no_more_whatever_becomes_of_it() -> None:
    room = Room(startups=Startups(8, random.Random(1)))
    for _ in range(50):
        first, second = room.comes(ANN), room.comes(ANN)
        assert room.gate.reason_to_refuse(ANN)
        for number in (first, second):
            room.gate.seated(number)
        room.enters(BOB)


def test_a_flood_of_many_sources_is_dropped_at_random_and_leaves_nothing(
    rng: random.Random,
) -> None:
    room = Room(startups=Startups(32, rng))
    inside: list[tuple[str, int]] = []
    dropped = 0
    for number in range(5000):
        ip = f"10.0.{number % 256}.{rng.randrange(256)}"
        if room.gate.reason_to_refuse(ip):
            dropped += 1
        else:
            inside.append((ip, room.let_in(ip)))
        assert len(inside) <= 32
        if inside and rng.random() < 0.3:
            room.goes(*inside.pop(rng.randrange(len(inside))))
    assert 1000 < dropped < 4800
    for one in inside:
        room.goes(*one)
    assert not any(room.gate.reason_to_refuse(ANN) for _ in range(1000))


def test_a_wrong_code_makes_its_source_wait_and_the_operator_know() -> None:
    room = Room(startups=Startups(32, random.Random(1)))
    told = [room.gate.wrong_code("2001:db8::1") for _ in range(4)]
    where = "from 2001:db8::/64"
    assert told[0] == f"wrong code {where}, the 1st from there: refused for 1 s"
    assert [line.split(", the ")[1].split()[0] for line in told] == ["1st", "2nd", "3rd", "4th"]
    why = room.gate.reason_to_refuse("2001:db8::2")
    assert why == "wrong codes came from your address: wait 15 s"
    assert room.gate.reason_to_refuse("2001:db8:1::2") == ""


def test_who_has_erred_tries_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(startups=Startups(32, random.Random(1)))
    room.gate.wrong_code(ANN)
    monkeypatch.setattr(room.gate._guesses, "_clock", lambda: 1e9)  # much later: forgotten
    room.comes(ANN)
    room.comes(ANN)
    clock = [1e9]
    monkeypatch.setattr(room.gate._guesses, "_clock", lambda: clock[0])
    room.gate.wrong_code(BOB)
    clock[0] += 2
    number = room.comes(BOB)
    assert room.gate.reason_to_refuse(BOB) == (
        "wrong codes came from your address: one connection at a time"
    )
    room.gate.seated(number)
    room.comes(BOB)


@pytest.mark.parametrize(
    ("number", "word"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"),
     (21, "21st"), (111, "111th"), (122, "122nd")],
)  # fmt: skip
def test_ordinals(number: int, word: str) -> None:
    room = Room()
    for _ in range(number - 1):
        room.gate.wrong_code(ANN)
    assert f", the {word} from there: " in room.gate.wrong_code(ANN)
