"""A room that lies to its client: whatever it says, nobody falls, and nobody is made to speak for
another. Each of these was found by fuzzing (tests/fuzz), whose stand-ins look at all that is told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from fuzz.client import Client

from duplex.client.incoming import RoomState
from duplex.client.outbox import Outbox
from duplex.client.ownership import Ownership
from duplex.client.tracker import KNOWN, Tracker
from duplex.terminal.room_view import Colours
from duplex.transcript.record import NICK_LIMIT, Record

WELCOME = b"! welcome to room 5000: you are guest-1, 3 are here; /help lists the commands\n"
JOINED = b"! joined 5000 as ann: key 00ff, offset 0, end %d, 3 are here\n"
SAID = b"2026-11-23T23:34:31.123Z <bob> hello\n"


@pytest.fixture(params=[True, False], ids=["on a screen", "in a pipe"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("NO_COLOR", "1")
    fd = os.open(os.devnull, os.O_RDWR)
    made = Client(fd, on_screen=request.param, operates=False)
    yield made
    made.close()
    os.close(fd)


@pytest.mark.parametrize("end", [1, 30, len(SAID) - 1, len(SAID), len(SAID) + 1, 3 * len(SAID)])
def test_history_that_ends_within_a_record_makes_no_report_of_its_rest(
    client: Client, end: int
) -> None:
    client.is_sent(WELCOME + JOINED % end + SAID * 3, 0)
    assert client.room.away


@pytest.mark.parametrize(
    "line",
    [
        JOINED % 10**30,
        b"! joined 5000 as ann: key 00ff, offset %b, end 1, 3 are here\n" % (b"9" * 5000),
        b"! %b are here: ann\n" % (b"9" * 5000),
        b"! %d are here: ann\n" % 10**30,
        JOINED.replace(b"3 are", b"9" * 5000 + b" are") % 0,
    ],
    ids=["end", "offset", "long count", "count", "count on joining"],
)
def test_numbers_of_any_length_are_borne(client: Client, line: bytes) -> None:
    client.is_sent(WELCOME + JOINED % 0 + line + SAID, 0)
    assert len(client.room.people) >= 0


def test_a_nick_with_an_odd_space_in_it_is_a_nick(client: Client) -> None:
    line = "! you are a\u00a0b now: key k\u2003k\n".encode()
    client.is_sent(WELCOME + JOINED % 0 + line + SAID, 0)
    assert client.room.nick == "a\u00a0b"


@pytest.mark.parametrize("stamp", [b"9999-99-99T99:99:99.999Z", b"0000-00-00T00:00:00.000Z"])
def test_a_time_that_cannot_be_is_shown_as_it_is(client: Client, stamp: bytes) -> None:
    client.is_sent(WELCOME + JOINED % 0 + SAID.replace(SAID[:24], stamp), 0)


@pytest.mark.parametrize(
    "greeting",
    [
        b"! the room is full: 9\r.connection\n",
        b"! your address is banned\n",
        b"! welcome to room \x1b[2J\r.over: you are ann, 1 is here; so\n",
    ],
)
def test_a_greeting_is_one_line_and_safe_to_show(client: Client, greeting: bytes) -> None:
    client.is_sent(greeting, 0)


def test_records_stay_whole_wherever_a_room_says_that_one_began_to_speak() -> None:
    for end in range(3 * len(SAID) + 2):
        mine = Ownership()
        mine.joined(b"ann", end, resumed=False)
        parts = [part for _, part in mine.split(SAID * 3, 0)]
        assert b"".join(parts) == SAID * 3
        assert all(part.endswith(b"\n") for part in parts)


def test_no_more_nicks_are_remembered_than_a_room_can_have_in_earnest() -> None:
    company = Tracker()
    for number in range(KNOWN + 50):
        company.note(Record(b"", None, b"n%d entered the room (x)" % number))
    assert len(company.nicks) == KNOWN
    assert len(company) == KNOWN + 50
    company.note(Record(b"", None, b"n%d left" % (KNOWN + 7)))
    company.note(Record(b"", None, b"n%d is now other" % (KNOWN + 8)))
    assert len(company) == KNOWN + 49
    company.note(Record(b"", None, b"n3 left"))
    assert len(company) == KNOWN + 48


def test_what_is_no_nick_for_its_length_is_counted_and_not_remembered() -> None:
    company = Tracker()
    company.are(2, ["ann", "x" * 60_000])
    for number in range(50):
        nick = b"%d" % number + b"x" * 60_000
        company.note(Record(b"", None, nick + b" entered the room (x)"))
        company.note(Record(b"", nick, b"hello"))
        company.note(Record(b"", None, nick + b" is now " + nick + b"x"))
    assert company.nicks == {"ann"}
    assert len(company) == 52


def test_who_comes_back_without_end_to_a_room_that_is_ever_further_ahead_keeps_few_turns() -> None:
    mine = Ownership()
    for number in range(1000):
        mine.joined(b"n%d" % number, 10**17 + number, resumed=True)
    assert len(mine._turns) <= 100
    mine.joined(b"ann", 10, resumed=True)
    assert len(mine._turns) == 1


def test_a_question_of_ours_waits_once() -> None:
    outbox = Outbox()
    heard = RoomState(outbox, lambda _lines: None)
    for _ in range(1000):
        heard.ask_who()
    assert outbox.take(1 << 20) == b"/who\n"


def test_an_answer_to_what_was_not_asked_makes_nothing_to_be_sent(client: Client) -> None:
    client.is_sent(WELCOME + b"! not resumed: because\n" * 1000 + JOINED % 0, 0)
    assert len(client.parent.connection.outgoing) < 1000


def test_no_colours_are_remembered_but_those_of_nicks() -> None:
    colours = Colours()
    for number in range(5000):
        colours.of(f"{number}" + "x" * 1000)
        colours.of(f"n{number}")
        colours.rename(f"n{number}", f"{number}" + "y" * 1000)
        colours.of(f"m{number}")
    assert len(colours._of) <= 1000
    assert max(map(len, colours._of)) <= NICK_LIMIT
