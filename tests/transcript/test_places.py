"""Where transcripts are kept without --log: names that strangers choose, as parts of a path."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import pytest

from duplex.transcript import places
from duplex.transcript.file import make_directory

NAMES = [
    "lobby", "Lobby", "a/b", "a%2Fb", "a%252Fb", "a b", "a\tb", "..", ".", ".hidden", "-n", "--n",
    "5000", "\u0665\u0660\u0660\u0660", "Küche", "Ku\u0308che", "кухня", "a\x1b[31mb", "\u202eabc",
    "x" * 120, "x" * 121, "x" * 122, "é" * 100, "é" * 101, "%" * 50, "~", "$HOME",
    "*", "a\\b", "%-0",
]  # fmt: skip


def test_of_two_names_no_two_share_a_directory() -> None:
    paths = [places.of_room(name, 6000) for name in NAMES] + [places.of_room(None, 5000)]
    assert len(set(paths)) == len(NAMES) + 1
    followed = [places.of_follower(name, ["h"], 1) for name in NAMES]
    assert len(set(followed)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_part_of_a_path_whatever_stands_in_it(name: str, tmp_path: Path) -> None:
    for path in (places.of_room(name, 6000), places.of_follower(name, [name, "::1"], 5000)):
        assert path.isprintable()
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(b"")
        parts = path.split("/")
        assert parts[0] == "logs"
        assert parts[1].startswith("room-")
        assert len(parts) == (3 if "client" in path else 4)
        assert not any(part.startswith(".") for part in parts)
        assert all(len(os.fsencode(part)) < 200 for part in parts)


def test_random_names_are_told_apart(rng: random.Random) -> None:
    alphabet = "ab%-./ é2F\n"
    names = {"".join(rng.choices(alphabet, k=rng.randrange(200))) for _ in range(5000)}
    assert len({places.part(name) for name in names}) == len(names)


def test_a_name_that_can_be_read_is_kept_readable() -> None:
    assert places.of_room(None, 5000) == "logs/room-5000/client_input.log"
    assert places.of_room("lobby", 5000) == "logs/room-lobby/client_input.log"
    assert places.of_room("кухня", 5000) == "logs/room-кухня/client_input.log"
    followed = places.of_follower("lobby", ["::1"], 5000)
    assert followed == "logs/room-lobby/::1-5000/server_input.log"


def test_the_hosts_of_one_room_are_one_place_in_any_order() -> None:
    one = places.of_follower("lobby", ["alpha", "Beta.example"], 5000)
    assert one == places.of_follower("lobby", ["beta.example", "ALPHA", "alpha"], 5000)
    assert one == "logs/room-lobby/alpha,beta.example-5000/server_input.log"
    assert one != places.of_follower("lobby", ["alpha"], 5000)


def test_every_directory_that_is_made_is_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_directory(str(tmp_path / "a" / "b" / "c"))
    finally:
        os.umask(before)
    for made in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / made).stat().st_mode) == 0o700
