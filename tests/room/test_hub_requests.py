"""What a member asks that it should not costs that member alone, whatever it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hub_support import FakeMember, HubHere

from duplex.protocol import requests
from duplex.protocol.requests import request, said

NAMES = "HELLO NUMBERS ENTER JOIN RESUME SAY RENAME POST WHO HISTORY ANSWER WIRE LAST OPERATE LEAVE"
VERBS = [getattr(requests, name) for name in NAMES.split()]
FORGED = "x\n2026-11-24T13:00:00.123Z <ann> never said"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubHere]:
    made = HubHere(tmp_path / "t.log")
    yield made
    made.close()


def goes_on(hub: HubHere, ann: FakeMember, bob: FakeMember) -> None:
    """Others notice nothing."""
    assert hub.runs
    ann.asks(said(b"still here\n", 1))
    bob.heard = b""
    bob.hears(b"<ann> still here\n")


MALFORMED: dict[str, Callable[[FakeMember], object]] = {
    "a part of a head": lambda member: member.pair.send(b"s"),
    "no verb that there is": lambda member: member.pair.send(request(b"Z")),
    "too few words": lambda member: member.pair.send(request(requests.RESUME, 0, "ann", "key")),
    "no text": lambda member: member.pair.send(said(b"\xff\xfe", 0, requests.RENAME)),
    "lines without an end": lambda member: member.pair.send(said(b"hello", 1)),
    "lines that are not safe": lambda member: member.pair.send(said(b"\x1b[2J\n", 1)),
    "a forged record": lambda member: member.pair.send(said(FORGED.encode(), 1)),
    "no lines": lambda member: member.pair.send(said(b"", 1)),
    "a second client": lambda member: member.pair.send(request(requests.HELLO)),
    "to be let in again": lambda member: member.pair.send(request(requests.ENTER)),
    "what the operator may": lambda member: member.pair.send(
        request(requests.OPERATE, 1, "kick", "ann")
    ),
    "things before it has an answer": lambda member: asks_on(member),
    "a record in a private message": lambda member: member.pair.send(
        request(requests.POST, 1, "ann", FORGED)
    ),
    "a record in the reason to leave": lambda member: member.pair.send(
        request(requests.LEAVE, 0, requests.LOST, FORGED)
    ),
    "an escape in the reason to leave": lambda member: member.pair.send(
        request(requests.LEAVE, 0, requests.UNSERVED, "\x1b[2J")
    ),
}  # fmt: skip


def asks_on(member: FakeMember) -> None:
    """Its client takes none of the answers, so that the hub does not reply."""
    with suppress(OSError):
        for _ in range(20):
            member.pair.send(request(requests.POST, 1, "nobody", "y" * 60_000))
            member.pair.send(request(requests.ANSWER) + b"z" * 60_000)


@pytest.mark.parametrize("asks", MALFORMED.values(), ids=MALFORMED)
def test_what_no_member_of_ours_asks_costs_it_its_life_and_nobody_else_anything(
    hub: HubHere, asks: Callable[[FakeMember], object], capfd: pytest.CaptureFixture[str]
) -> None:
    ann, bob, eve = hub.enters("ann"), hub.enters("bob"), hub.enters("eve")
    asks(eve)
    eve.is_let_go()
    hub.is_told(requests.OVER, eve.number)
    bob.hears(b"* eve was dropped (its process went wrong)\n")
    goes_on(hub, ann, bob)
    assert "never said" not in hub.log.read_text()
    assert b"never said" not in ann.heard + bob.heard
    assert "the member of 127.0.0.1:5 asks what cannot be: it is dropped" in capfd.readouterr().err


@pytest.mark.parametrize("data", [b"", request(requests.HELLO), said(b"hello\n", 1), b"x" * 99_999])
def test_who_is_not_welcomed_yet_is_dropped_without_a_word(hub: HubHere, data: bytes) -> None:
    ann, bob, eve = hub.enters("ann"), hub.enters("bob"), hub.arrives()
    eve.pair.send(data)
    if data:
        hub.is_told(requests.OVER, eve.number)
    assert eve.pair.recv(100) == b""
    goes_on(hub, ann, bob)
    assert "dropped" not in hub.log.read_text()


def test_whatever_members_ask_the_hub_goes_on(hub: HubHere, rng: random.Random) -> None:
    """Bytes of every kind, of members in every state; and what is recorded are records."""
    ann, bob = hub.enters("ann"), hub.enters("bob")
    words = [
        "",
        "ann",
        "eve",
        "0",
        "9" * 20,
        "kick",
        "left",
        "lost",
        "\0",
        "\n",
        "\x1b",
        "ﬃ",
        FORGED,
    ]
    for _ in range(400):
        eve = rng.choice([hub.arrives, hub.enters])()
        if rng.random() < 0.5 and not eve.heard:
            eve.says_hello()
        for _ in range(rng.randrange(1, 5)):
            data = request(rng.choice(VERBS), rng.choice([0, 1, 7, (1 << 64) - 1]))
            kind = rng.random()
            if kind < 0.6:
                data += "\0".join(rng.choices(words, k=rng.randrange(4))).encode()
            elif kind < 0.8:
                data += rng.randbytes(rng.randrange(100))
            else:
                data = rng.randbytes(rng.randrange(1, 30))
            try:
                eve.pair.send(data)
            except OSError:
                break
        eve.close()
    goes_on(hub, ann, bob)
    assert b"never said" not in ann.heard
    assert "<ann> never said" not in hub.log.read_text()
