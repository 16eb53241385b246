"""Who has a nick, when what would change that cannot be recorded: as before, for everybody."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_support import FakeMember, HubHere
from support import until

from duplex.protocol import requests
from duplex.protocol.requests import request


class FullDisk:
    """A hub whose disk is full while `is_full`."""

    def __init__(self, path: Path) -> None:
        self.hub = HubHere(path)
        self.is_full = False
        transcript = self.hub.hub.transcript
        real = transcript._write

        def write(*args: object) -> None:
            if self.is_full:
                raise OSError(28, "No space left on device")
            real(*args)  # type: ignore[arg-type]

        transcript._write = write  # type: ignore[method-assign]

    def events(self) -> list[str]:
        lines = self.hub.log.read_text().splitlines()
        return [re.sub(r" \(127[^)]*\)", "", line[27:]) for line in lines if line[25:26] == "*"]

    def nicks(self, member: FakeMember) -> list[str]:
        member.heard = b""
        member.asks(request(requests.WHO, 1))
        return member.hears(b" here: ").decode().split(": ")[1].split("\n")[0].split(", ")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FullDisk]:
    monkeypatch.setattr("duplex.room.journal.TRY_AGAIN", 0.05)
    made = FullDisk(tmp_path / "t.log")
    yield made
    made.is_full = False
    made.hub.close()


def test_a_nick_that_could_not_be_taken_is_free_and_the_former_still_its_own(
    disk: FullDisk,
) -> None:
    ann, bob = disk.hub.enters("ann"), disk.hub.enters("bob")
    disk.is_full = True
    ann.asks(request(requests.RENAME, 1, "eve"))
    ann.hears(b"! not recorded: No space left on device\n")
    assert disk.nicks(bob) == ["ann", "bob"]
    disk.is_full = False
    bob.asks(request(requests.RENAME, 1, "ann"))
    bob.hears(b"! somebody else is ann now\n")
    bob.asks(request(requests.RENAME, 2, "eve"))
    assert disk.nicks(ann) == ["ann", "eve"]
    assert disk.events()[-1] == "bob is now eve"


def test_who_could_not_enter_has_no_nick_and_is_not_counted(disk: FullDisk) -> None:
    ann = disk.hub.enters("ann")
    disk.is_full = True
    bob = disk.hub.arrives()
    bob.says_hello()
    bob.pair.send(request(requests.JOIN, 0, "bob"))
    bob.hears(b"! cannot write the transcript: No space left on device; come back later\n")
    bob.is_let_go()
    disk.is_full = False
    again = disk.hub.enters("bob")
    assert b" as bob: key " in again.heard
    assert disk.nicks(ann) == ["ann", "bob"]
    assert disk.events() == ["ann entered the room", "bob entered the room"]


def test_who_could_not_be_recorded_as_back_has_left_once_there_is_space(disk: FullDisk) -> None:
    """Its earlier connection made way: of that is told, and the nick is free."""
    bob, ann = disk.hub.enters("bob"), disk.hub.enters("ann")
    key, offset = re.findall(rb"key (\w+), offset (\d+)", ann.heard)[0]
    disk.is_full = True
    again = disk.hub.arrives()
    again.says_hello()
    again.pair.send(request(requests.RESUME, 0, "ann", key.decode(), offset.decode()))
    again.hears(b"! cannot write the transcript: ")
    ann.is_let_go()
    again.is_let_go()
    assert disk.nicks(bob) == ["bob"]
    disk.is_full = False
    left = "ann was dropped (its client came back, and is somebody else)"
    until(lambda: disk.events()[-1] == left)
    back = disk.hub.arrives()
    back.says_hello()
    back.asks(request(requests.RESUME, 0, "ann", key.decode(), offset.decode()))
    back.hears(b"* ann is back (")
    assert disk.nicks(bob) == ["ann", "bob"]


def test_who_left_while_nothing_could_be_recorded_keeps_its_nick_until_it_is(
    disk: FullDisk,
) -> None:
    bob, ann = disk.hub.enters("bob"), disk.hub.enters("ann")
    disk.is_full = True
    ann.pair.send(request(requests.LEAVE, 0, requests.LEFT, ""))
    ann.reply()
    bob.asks(request(requests.RENAME, 1, "ann"))
    bob.hears(b"! somebody else is ann now\n")
    disk.is_full = False
    until(lambda: disk.events()[-1] == "ann left")
    bob.asks(request(requests.RENAME, 2, "ann"))
    assert disk.events()[-2:] == ["ann left", "bob is now ann"]
