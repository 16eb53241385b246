"""Letters to one reader stay in order, and none is lost untold (no store needed)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from duplex.room.seat import HERE
from duplex.store import letters
from duplex.store.entry import Letter


class Readers:
    """Those of a host, and what the store is told."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.ended: list[str] = []
        self.taken: list[tuple[str, bytes]] = []
        self.timers: list[Any] = []
        self.seats = {nick: self._seat(nick) for nick in ("bob", "eve")}
        hub: Any = SimpleNamespace(
            loop=SimpleNamespace(after=lambda _seconds, call: self.timers.append(call)),
            seats=SimpleNamespace(end=lambda seat, *_: self.ended.append(seat.nick)),
        )
        calls: Any = SimpleNamespace(ask=self._ask)
        presence: Any = SimpleNamespace(
            find=self.seats.get, moved=lambda seat: self.ended.append(seat.nick)
        )
        self.letters = letters.Letters(hub, calls, presence)

    def _ask(self, _operation: str, letter: str, _sender: str, told: Any, then: object) -> None:
        self.taken.append((letter, told or b""))

    def _seat(self, nick: str) -> SimpleNamespace:
        def tell(text: str) -> None:
            self.got.append((nick, text))

        return SimpleNamespace(nick=nick, state=HERE, client=True, crowded=False, tell=tell)

    def go_on(self) -> None:
        timers, self.timers = self.timers, []
        assert len(timers) == 1
        timers[0]()


@pytest.fixture
def readers() -> Readers:
    return Readers()


def letter(number: int, nick: str, kind: str = "-") -> Letter:
    text = b"%b-ann- %d" % (kind.encode(), number)
    of = {b"n": nick.encode(), b"l": text, b"c": nick.encode(), b"f": b"c1"}
    return Letter(b"%d-0" % number, of)


def test_what_is_for_who_takes_nothing_waits_in_order_and_holds_up_nobody_else(
    readers: Readers,
) -> None:
    readers.seats["bob"].crowded = True
    for number, nick in ((1, "bob"), (2, "bob"), (3, "eve")):
        readers.letters.deliver(letter(number, nick))
    assert readers.got == [("eve", "-ann- 3")]
    assert readers.taken == [("3-0", b"")]
    readers.go_on()
    readers.seats["bob"].crowded = False
    readers.letters.deliver(letter(4, "bob"))
    readers.go_on()
    assert [text for _, text in readers.got[1:]] == ["-ann- 1", "-ann- 2", "-ann- 4"]
    assert not readers.timers


def test_patience_ends_and_the_sender_is_told(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "PATIENCE", 0.0)
    readers.seats["bob"].crowded = True
    readers.letters.deliver(letter(1, "bob"))
    readers.go_on()
    why = b"bob has a full mailbox; try again later"
    assert readers.taken == [("1-0", b"!! what you told bob is lost (%b): 1" % why)]


def test_no_more_is_kept_than_a_little(readers: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "KEPT", 8)
    for nick in ("bob", "eve"):
        readers.seats[nick].crowded = True
    readers.letters.deliver(letter(1, "bob"))
    readers.letters.deliver(letter(2, "eve"))
    assert [told[-2:] for _, told in readers.taken] == [b" 2"]


def test_a_letter_that_is_brought_again_is_opened_once(readers: Readers) -> None:
    for _ in range(2):
        readers.letters.deliver(letter(1, "bob"))
    assert readers.got == [("bob", "-ann- 1")]
    assert len(readers.taken) == 1


def test_a_kick_that_finds_nobody_is_told_and_a_takeover_is_not(readers: Readers) -> None:
    readers.letters.deliver(letter(1, "nobody", "k"))
    readers.letters.deliver(letter(2, "nobody", "t"))
    why = b"!! nobody was not kicked (nobody here is called nobody)"
    assert readers.taken == [("1-0", why), ("2-0", b"")]


def test_a_takeover_is_for_that_connection_alone(readers: Readers) -> None:
    of = {b"n": b"bob", b"c": b"bob", b"f": b""}
    readers.letters.deliver(Letter(b"1-0", {**of, b"l": b"tanother"}))
    assert not readers.ended
    readers.letters.deliver(Letter(b"2-0", {**of, b"l": b"tbob"}))
    assert readers.ended == ["bob"]
