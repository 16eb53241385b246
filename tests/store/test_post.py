"""The post: letters to one mailbox stay in order, and none is lost untold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from duplex.room.roster import Full, Nobody
from duplex.store import post
from duplex.store.entry import Letter
from duplex.store.errors import Unreachable


class Mailboxes:
    """Those of a host, and what the store is told."""

    def __init__(self) -> None:
        self.full: set[str] = set()
        self.got: list[tuple[str, bytes]] = []
        self.told: list[tuple[str, bytes]] = []
        self.taken: list[str] = []
        self.away = False
        shared: Any = SimpleNamespace(tell=self._tell, taken=self.taken.append)
        self.post = post.Post(shared, self._send)

    def _send(self, letter: Letter) -> None:
        nick = letter.nick
        if nick == "nobody":
            raise Nobody(nick)
        if nick in self.full:
            self.full.discard(nick)  # there is room again, right after this one
            raise Full(nick)
        self.got.append((nick, letter.text))

    def _tell(self, connection: str, letter: bytes) -> None:
        if self.away:
            raise Unreachable("a store", "it is away")
        self.told.append((connection, letter))


@pytest.fixture
def mailboxes() -> Mailboxes:
    return Mailboxes()


def letter(number: int, nick: str, kind: str = "-") -> Letter:
    text = b"%b-ann- %d" % (kind.encode(), number)
    return Letter(b"%d-0" % number, {b"n": nick.encode(), b"l": text, b"c": b"c2", b"f": b"c1"})


def test_what_is_for_a_full_mailbox_waits_in_order_and_holds_up_nobody_else(
    mailboxes: Mailboxes,
) -> None:
    mailboxes.full = {"bob"}
    mailboxes.post.deliver([letter(1, "bob"), letter(2, "bob"), letter(3, "eve")])
    assert mailboxes.got == [("eve", b"--ann- 3")]
    assert mailboxes.taken == ["3-0"]
    assert mailboxes.post.wait(1.0) == post.AGAIN
    mailboxes.post.deliver([letter(4, "bob")])
    assert [text for _, text in mailboxes.got[1:]] == [b"--ann- 1", b"--ann- 2", b"--ann- 4"]
    assert mailboxes.post.wait(1.0) == 1.0
    assert not mailboxes.told


def test_patience_ends_and_the_sender_is_told(
    mailboxes: Mailboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "PATIENCE", 0.0)
    mailboxes.full = {"bob"}
    mailboxes.post.deliver([letter(1, "bob")])
    why = b"bob has a full mailbox; try again later"
    assert mailboxes.told == [("c1", b"!! what you told bob is lost (%b): 1" % why)]
    assert mailboxes.taken == ["1-0"]


def test_no_more_is_kept_than_a_little(
    mailboxes: Mailboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "KEPT", 1)
    mailboxes.full = {"bob", "eve"}
    mailboxes.post.deliver([letter(1, "bob"), letter(2, "eve")])
    assert [text[-2:] for _, text in mailboxes.told] == [b" 2"]


def test_a_letter_is_kept_until_its_sender_could_be_told(mailboxes: Mailboxes) -> None:
    mailboxes.away = True
    mailboxes.post.deliver([letter(1, "nobody")])
    assert not mailboxes.taken
    mailboxes.away = False
    mailboxes.post.deliver([])
    assert len(mailboxes.told) == 1
    assert mailboxes.taken == ["1-0"]


def test_a_kick_that_finds_nobody_is_told_and_a_takeover_is_not(mailboxes: Mailboxes) -> None:
    mailboxes.post.deliver([letter(1, "nobody", "k"), letter(2, "nobody", "t")])
    assert mailboxes.told == [("c1", b"!! nobody was not kicked (nobody here is called nobody)")]
    assert mailboxes.taken == ["1-0", "2-0"]
