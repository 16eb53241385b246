"""What a room says, as far as it concerns who sits here: the company, mentions, answers."""

from __future__ import annotations

import pytest

from duplex.client.incoming import JOINING, LIVE, RoomState
from duplex.client.outbox import LIMIT, Outbox
from duplex.transcript.record import event, said

AT = b"2026-11-24T13:00:00.123Z"


class Listener:
    """Somebody called ann, who hears lines as they come."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.box = Outbox()
        self.room = RoomState(self.box, lambda lines: self.refused.extend(map(str, lines)))
        self.room.be_called("ann")
        self.room.presence = LIVE

    def happens(self, *events: str) -> None:
        for text in events:
            self.room.record(event(text, AT)[:-1])

    def says(self, nick: str, text: str, *, live: bool = True) -> bool:
        """Somebody else; whether the bell rings."""
        self.room.presence = LIVE if live else JOINING
        self.room.record(said(nick, f"{text}\n".encode(), AT)[:-1])
        return self.room.take_call()

    def is_told(self, *lines: str) -> list[bool]:
        """Lines for her alone; which of them are shown."""
        return [self.room.private(line.encode()) for line in lines]

    @property
    def nicks(self) -> list[str]:
        return sorted(self.room.people.nicks)


@pytest.fixture
def ann() -> Listener:
    return Listener()


def test_the_company_is_what_who_says_and_what_happens_then(ann: Listener) -> None:
    ann.room.people.are(4)
    assert len(ann.room.people) == 4
    ann.is_told("! 4 are here: ann, bob", "! and: eve, fay")
    ann.happens("gil entered the room (127.0.0.1:1)", "bob left", "eve is now Eva")
    ann.happens("fay was dropped (connection lost)", "hal is back (127.0.0.1:2)")
    assert ann.nicks == ["Eva", "ann", "gil", "hal"]
    ann.happens("hal was kicked by host: enough", "gil was kicked by host", "hal left")
    assert ann.nicks == ["Eva", "ann"]
    assert len(ann.room.people) == 2


def test_without_who_the_number_is_kept_all_the_same(ann: Listener) -> None:
    ann.room.people.are(3)
    ann.says("bob", "hello")
    ann.happens("eve left", "gil entered the room (127.0.0.1:1)")
    assert len(ann.room.people) == 3


def test_nobody_is_left_when_everybody_was_dropped(ann: Listener) -> None:
    ann.room.people.are(4, ["ann", "bob"])
    ann.happens("everybody was dropped (the room's hub was killed by SIGKILL)")
    assert (ann.nicks, len(ann.room.people)) == ([], 0)
    ann.happens("ann is back (127.0.0.1:2)", "the room closed", "bob entered the room (x)")
    assert (ann.nicks, len(ann.room.people)) == (["ann", "bob"], 2)


def test_what_is_said_is_no_event(ann: Listener) -> None:
    ann.room.people.are(2, ["ann", "bob"])
    ann.says("bob", "* bob left")
    assert ann.nicks == ["ann", "bob"]


def test_history_tells_nothing_of_who_is_here_and_rings_no_bell(ann: Listener) -> None:
    assert not ann.says("bob", "hi ann", live=False)
    assert ann.nicks == []


@pytest.mark.parametrize("text", ["ann", "hi ANN!", "(Ann)", "* pokes ann"])
def test_one_is_called_by_name(ann: Listener, text: str) -> None:
    assert ann.says("bob", text)


@pytest.mark.parametrize("text", ["anna", "Hermann", "an n", "ann_", "ännann"])
def test_a_part_of_a_word_is_no_call(ann: Listener, text: str) -> None:
    assert not ann.says("bob", text)


def test_our_own_question_who_is_here_has_no_visible_answer(ann: Listener) -> None:
    ann.room.ask_who()
    assert ann.box.take(LIMIT) == b"/who\n"
    lines = ("! 3 are here: ann, bob", "! and: eve")
    assert ann.is_told(*lines) == [False, False]
    assert not ann.box
    assert ann.is_told(*lines) == [True, True]


def test_an_answer_ends_the_waiting_of_a_command_and_a_warning_does_not(ann: Listener) -> None:
    ann.box.say(b"/msg bob psst\n")
    ann.box.take(LIMIT)
    ann.is_told("! slowly: 20 lines a second; all will be said", "-bob- hey")
    ann.is_told("! what you told eve is lost (nobody here is called eve): hi")
    ann.is_told("! eve was not kicked (nobody here is called eve)")
    assert ann.box
    ann.is_told("! you told bob: psst")
    assert not ann.box


def test_own_records_are_crossed_off_and_refusals_told(ann: Listener) -> None:
    ann.box.say(b"one\n/nick eve\ntwo\n")
    ann.box.take(LIMIT)
    ann.room.own_record(said("ann", b"one\n", AT)[:-1])
    ann.room.own_record(event("ann is now eve", AT)[:-1])
    assert list(map(str, ann.box)) == ["two"]
    assert ann.is_told("! not recorded: No space left on device") == [True]
    assert ann.refused == ["two"]
    assert not ann.box
