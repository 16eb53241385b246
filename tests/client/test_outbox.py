"""The outbox, and which records are one's own: a connection lost at any byte loses nothing.

Against a model of a room: a transcript, a member that takes lines one by one, two streams of bytes
that are cut anywhere.
"""

from __future__ import annotations

import random

import pytest

from duplex.client.incoming import RoomState
from duplex.client.outbox import LIMIT, Disagreement, Outbox
from duplex.client.ownership import Ownership
from duplex.protocol import commands
from duplex.protocol.events import all_dropped
from duplex.protocol.messages import NO_RECORD
from duplex.transcript.record import event, parse, said

AT = b"2026-11-24T13:00:00.123Z"


def texts(lines: object) -> list[str]:
    return [str(line) for line in lines]  # type: ignore[attr-defined]


def made(*lines: str) -> Outbox:
    """An outbox with these lines sent."""
    box = Outbox()
    box.say("".join(line + "\n" for line in lines).encode())
    box.take(LIMIT)
    return box


def test_a_line_stays_until_it_is_recorded() -> None:
    box = made("one", "two")
    assert box.recorded(b"one") == []
    assert texts(box) == ["two"]
    assert box.recorded(b"two") == []
    assert not box


@pytest.mark.parametrize(
    ("typed", "record"),
    [("/me waves", b"* waves"), ("//who", b"/who"), ("", b""), (" /who", b" /who")],
)
def test_a_line_is_known_by_the_text_of_its_record(typed: str, record: bytes) -> None:
    box = made(typed)
    box.recorded(record)
    assert not box


def test_a_change_of_nick_is_delivered_by_its_event() -> None:
    box = made("/nick bob", "after")
    assert texts(box) == ["/nick bob", "after"]
    box.renamed()
    assert texts(box) == ["after"]


def test_a_command_waits_for_an_answer_and_not_for_a_record() -> None:
    box = made("/msg bob psst", "said")
    assert texts(box) == ["said"]
    box.answered()
    box.recorded(b"said")
    assert not box


def test_an_answer_may_overtake_the_records_before_it() -> None:
    box = made("said", "/who")
    box.answered()
    box.recorded(b"said")
    assert not box


def test_lines_are_taken_in_pieces_and_in_order() -> None:
    box = Outbox()
    box.say(b"1\n2\n3\n")
    assert (box.take(1), box.take(3), box.take(9)) == (b"1\n", b"2\n3\n", b"")


def test_what_was_sent_before_the_room_was_known_to_be_one_is_pending_too() -> None:
    box = Outbox()
    box.say(b"early\n", sent=True)
    assert box.take(9) == b""
    assert texts(box) == ["early"]


def test_a_refused_line_is_told_and_no_longer_pending() -> None:
    box = made("one")
    assert texts(box.refused()) == ["one"]
    assert not box


def test_a_refusal_may_overtake_the_records_before_it() -> None:
    box = made("one", "two", "three")
    assert box.refused() == []  # one of three
    assert box.recorded(b"one") == []
    assert texts(box.recorded(b"three")) == ["two"]
    assert not box


def test_as_many_refusals_as_lines_refuse_them_all() -> None:
    box = made("one", "two", "three")
    assert box.recorded(b"one") == []
    assert box.refused() == []
    assert texts(box.refused()) == ["two", "three"]


def test_a_lost_connection_gives_back_what_was_never_sent() -> None:
    box = made("one", "two", "three")
    assert box.lost(untaken=len("o\nthree\n")) == []  # "tw" was sent
    assert texts(box.give_up()) == ["one", "two"]
    assert box.take(99) == b"three\n"


def test_what_was_sent_is_said_again_before_what_waits() -> None:
    box = made("one", "two")
    box.say(b"three\n")
    box.lost(0)
    box.recorded(b"one")
    box.say_again()
    assert box.take(99) == b"two\nthree\n"


def test_a_command_is_not_said_again() -> None:
    box = made("one", "/msg bob psst", "/nick bob")
    assert texts(box.lost(0)) == ["/msg bob psst"]
    box.say_again()
    assert box.take(99) == b"one\n/nick bob\n"


def test_it_is_full_at_its_limit_until_lines_have_gone() -> None:
    box = Outbox()
    box.say(b"x" * (LIMIT - 1) + b"\n")
    assert box.full
    box.take(9)
    assert box.full
    box.recorded(b"x" * (LIMIT - 1))
    assert not box.full


# Which records are one's own


def own(mine: Ownership, records: bytes, at: int) -> list[bytes]:
    parts = list(mine.split(records, at))
    assert b"".join(part for _, part in parts) == records
    lines = b"".join(part for is_own, part in parts if is_own).splitlines()
    return [line[len(AT) + 1 :] for line in lines]


def test_history_is_nobodys() -> None:
    mine = Ownership()
    history = said("ann", b"old\n", AT)
    mine.joined(b"ann", len(history), resumed=False)
    entry = event("ann entered the room (127.0.0.1:1)", AT)
    stream = history + entry + said("bob", b"hi\n", AT) + said("ann", b"new\n", AT)
    assert own(mine, stream, 0) == [b"<ann> new"]


def test_a_new_nick_of_ones_own_counts_from_its_event() -> None:
    mine = Ownership()
    mine.joined(b"ann", 0, resumed=False)
    stream = said("bob", b"1\n", AT) + said("ann", b"2\n", AT) + event("ann is now bob", AT)
    stream += said("ann", b"3\n", AT) + said("bob", b"4\n", AT)
    assert own(mine, stream, 0) == [b"<ann> 2", b"* ann is now bob", b"<bob> 4"]


@pytest.mark.parametrize(
    "taken",
    ["ann entered the room (127.0.0.1:7)", "eve is now ann", "ann is back (127.0.0.1:7)"],
)
def test_a_nick_that_was_taken_meanwhile_is_not_ones_own_until_one_is_back(taken: str) -> None:
    mine = Ownership()
    mine.joined(b"ann", 0, resumed=False)
    entry = event("ann entered the room (127.0.0.1:1)", AT)
    first = entry + said("ann", b"1\n", AT)
    assert own(mine, first, 0) == [b"<ann> 1"]
    away = said("ann", b"2\n", AT) + event("ann left", AT) + event(taken, AT)
    away += said("ann", b"not me\n", AT)
    end = len(first) + len(away)
    mine.joined(b"ann", end, resumed=True)
    back = event("ann is back (127.0.0.1:2)", AT) + said("ann", b"3\n", AT)
    assert own(mine, away + back, len(first)) == [b"<ann> 2", b"<ann> 3"]


@pytest.mark.parametrize("nick", ["ann", "everybody"])
def test_what_was_said_before_everybody_was_dropped_stays_ones_own(nick: str) -> None:
    mine = Ownership()
    mine.joined(nick.encode(), 0, resumed=False)
    first = said(nick, b"1\n", AT)
    away = said(nick, b"2\n", AT) + event(all_dropped("was killed by SIGKILL"), AT)
    mine.joined(nick.encode(), len(first) + len(away), resumed=True)
    back = event(f"{nick} is back (127.0.0.1:2)", AT) + said(nick, b"3\n", AT)
    found = own(mine, first + away + back, 0)
    assert found == [f"<{nick}> {text}".encode() for text in "123"]
    assert mine.closed == ""


def test_a_connection_lost_within_the_history_does_not_hide_ones_own_entry() -> None:
    mine = Ownership()
    history = said("ann", b"old\n", AT)
    mine.joined(b"ann", len(history), resumed=False)
    entry = event("ann entered the room (127.0.0.1:1)", AT)
    rest = entry + said("ann", b"early\n", AT) + event("ann left", AT)
    mine.joined(b"ann", len(history) + len(rest), resumed=True)
    assert own(mine, history + rest, 0) == [b"<ann> early"]


def test_ones_own_way_back_takes_nothing_from_oneself() -> None:
    """The answer to the first /resume has come, and then the connection was lost."""
    mine = Ownership()
    mine.joined(b"ann", 0, resumed=False)
    first = event("ann entered the room (127.0.0.1:1)", AT) + said("ann", b"1\n", AT)
    assert own(mine, first, 0) == [b"<ann> 1"]
    mine.joined(b"ann", len(first), resumed=True)
    away = event("ann is back (127.0.0.1:2)", AT) + said("ann", b"2\n", AT)
    mine.joined(b"ann", len(first + away), resumed=True)
    back = event("ann is back (127.0.0.1:3)", AT) + said("ann", b"3\n", AT)
    assert own(mine, away + back, len(first)) == [b"<ann> 2", b"<ann> 3"]


# Numbers


def numbered(*lines: str) -> Outbox:
    """An outbox of a room that numbers, with these lines sent, from 3 on."""
    box = Outbox()
    box.passes(2)
    box.numbered_from(1)
    box.say("".join(line + "\n" for line in lines).encode())
    box.take(LIMIT)
    return box


def test_an_answer_crosses_off_the_line_that_it_answers() -> None:
    box = numbered("/who", "/nick bob", "/who", "said")
    assert str(box.done(5)) == "/who"
    box.expect(6, 6)
    assert box.recorded(b"said") == []
    assert texts(box) == ["/nick bob"]
    assert box.renamed("bob") == []
    assert box.done(4) is None
    assert not list(box)


def test_a_record_that_is_announced_crosses_off_no_other_line_of_the_same_text() -> None:
    box = numbered("same", "same", "same")
    box.expect(4, 5)
    assert box.recorded(b"same") == box.recorded(b"same") == []
    assert str(box.done(3)) == "same"
    assert not box


def test_a_record_that_is_not_the_line_that_it_is_said_to_be_is_noticed() -> None:
    box = numbered("one", "two")
    box.expect(3, 4)
    with pytest.raises(Disagreement):
        box.recorded(b"two")
    box.lost(0)
    box.say_again()
    assert box.take(99) == b"one\ntwo\n"


def test_lines_from_before_there_were_numbers_are_known_by_their_order() -> None:
    box = Outbox()
    box.say(b"one\n/who\nrefused\ntwo\nlost\n", sent=True)
    box.passes(2)
    box.numbered_from(6)
    box.say(b"three\n")
    box.take(LIMIT)
    assert box.recorded(b"one") == []
    assert texts(box.recorded(b"two")) == ["refused"]
    assert texts(box.expect(8, 8)) == ["lost"]
    assert box.recorded(b"three") == []
    assert not box


def test_numbers_begin_anew_with_each_connection() -> None:
    box = numbered("one", "/nick bob", "two")
    box.lost(0)
    box.passes(2)
    box.numbered_from(1)
    assert box.recorded(b"one") == []
    assert box.renamed() == []
    box.say_again()
    assert box.take(LIMIT) == b"two\n"
    box.expect(3, 3)
    box.recorded(b"two")
    assert not box


def test_the_room_is_closed_when_that_is_its_last_record() -> None:
    mine = Ownership()
    mine.joined(b"ann", 0, resumed=False)
    closed = event("the room closed: good night", AT)
    list(mine.split(said("bob", b"the room closed\n", AT), 0))
    assert mine.closed == ""
    list(mine.split(closed, 100))
    assert mine.closed == "the room closed: good night"
    mine.joined(b"ann", 1000, resumed=True)
    list(mine.split(closed + event("eve left", AT), 900))
    assert mine.closed == ""


# A connection lost at any byte


class ModelRoom:
    """A transcript, and the member of one client: two streams of bytes."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.transcript = b""
        self.nick = "ann"
        self.owner: list[bytes] = []  # what our client really said, as recorded
        for _ in range(rng.randrange(4)):
            self.transcript += said("ann", b"%d\n" % rng.randrange(3), AT)

    def someone(self) -> None:
        """Somebody else says something, or uses the nick while its owner is away."""
        self.transcript += said("bob", b"%d\n" % self.rng.randrange(3), AT)

    def impostor(self) -> None:
        self.transcript += event(f"{self.nick} left", AT)
        taken = [f"{self.nick} entered the room (127.0.0.1:9)", f"eve is now {self.nick}"]
        self.transcript += event(self.rng.choice(taken), AT)
        self.transcript += said(self.nick, b"%d\n" % self.rng.randrange(3), AT)
        self.transcript += event(f"{self.nick} left", AT)

    def hear(self, line: bytes) -> bytes:
        """Take one line; what is answered."""
        command, argument = commands.split(line)
        if not command:
            self.transcript += said(self.nick, argument + b"\n", AT)
            self.owner.append(argument)
            return b""
        if command == "nick":
            self.transcript += event(f"{self.nick} is now {argument.decode()}", AT)
            self.nick = argument.decode()
            return b"! you are %b now\n" % argument
        return b"! 3 are here: ann, bob, eve\n"


class ModelClient:
    """What the child and the parent of a client do between them, in one."""

    def __init__(self, room: ModelRoom, rng: random.Random) -> None:
        self.room, self.rng = room, rng
        self.box, self.mine = Outbox(), Ownership()
        self.transcript = b""
        self.begin = len(room.transcript)
        self.offset = self.begin
        self.connect(resumed=False)

    def connect(self, *, resumed: bool) -> None:
        room = self.room
        self.end = len(room.transcript)
        room.transcript += event(f"{room.nick} {'is back' if resumed else 'entered the room'} (x)")
        self.mine.joined(room.nick.encode(), self.end, resumed=resumed)
        self.resumed, self.current = resumed, False
        self.up, self.down, self.sent_to = b"", b"", self.offset
        self.partial = b""
        self.catch_up()

    def catch_up(self) -> None:
        if not self.current and self.offset >= self.end:
            self.current = True
            if self.resumed:
                self.box.say_again()

    def room_reads(self, size: int) -> None:
        whole, _, rest = self.up[:size].rpartition(b"\n")
        if whole or self.up[:size].startswith(b"\n"):
            self.up = rest + self.up[size:]
            for line in whole.split(b"\n"):
                self.down += self.room.hear(line)

    def room_writes(self) -> None:
        self.down += self.room.transcript[self.sent_to :]
        self.sent_to = len(self.room.transcript)

    def reads(self, size: int) -> None:
        data, self.down = self.partial + self.down[:size], self.down[size:]
        end = data.rfind(b"\n") + 1
        lines, self.partial = data[:end], data[end:]
        for line in lines.splitlines(keepends=True):
            if NO_RECORD.match(line):
                if not line.startswith(b"! you are"):
                    self.box.answered()
            else:
                self.on_record(line)

    def on_record(self, line: bytes) -> None:
        self.transcript += line
        for is_own, part in self.mine.split(line, self.offset):
            parts = parse(part)
            assert parts
            if is_own:
                found = self.box.recorded(parts.text) if parts.nick else self.box.renamed()
                assert found == []
        self.offset += len(line)
        self.catch_up()

    def turn(self) -> None:
        if self.current:
            self.up += self.box.take(self.rng.randrange(1, 40))
        self.room_reads(self.rng.randrange(30))
        if self.rng.random() < 0.5:
            self.room_writes()
        self.reads(self.rng.randrange(80))

    def lose(self) -> None:
        """What was under way arrives in part. A change of nick is known by both, or not made."""
        untaken = self.rng.randrange(len(self.up) + 1) if self.rng.random() < 0.5 else 0
        self.up = self.up[: len(self.up) - untaken]
        self.room_reads(self.rng.randrange(len(self.up) + 1))
        self.room_writes()
        self.reads(self.rng.randrange(len(self.down) + 1))
        self.box.lost(untaken)


@pytest.mark.parametrize("run", range(300))
def test_a_connection_lost_at_any_byte_loses_and_doubles_nothing(
    run: int, rng: random.Random
) -> None:
    rng.seed(rng.random() + run)
    room = ModelRoom(rng)
    client = ModelClient(room, rng)
    spoken = []
    for _ in range(rng.randrange(20, 200)):
        chance = rng.random()
        if chance < 0.25:
            text = rng.choice(["0", "1", "2", "/me 1", "//1", "/who", "", str(len(spoken))])
            command, argument = commands.split(text.encode())
            client.box.say(text.encode() + b"\n")
            spoken += [argument] if not command else []
        elif chance < 0.35:
            room.someone()
        elif chance < 0.40:
            client.lose()
            if rng.random() < 0.3:
                room.impostor()
            client.connect(resumed=True)
        else:
            client.turn()
    while list(client.box):
        client.turn()
    client.room_writes()
    client.reads(1 << 20)
    assert room.owner == spoken
    assert client.transcript == room.transcript[client.begin :]


def test_a_change_of_nick_is_not_taken_for_another_after_a_lost_connection() -> None:
    """The answer to the first has come, the record had not: the second is further on."""
    box = numbered("/nick anna", "one", "/nick eve", "two", "/nick anna")
    refused: list[object] = []
    heard = RoomState(box, refused.extend)
    heard.private(b"! [3] you are anna now")
    box.lost(0)
    for record in (
        event("ann is now anna", AT),
        said("anna", b"one\n", AT),
        event("anna is now eve", AT),
        said("eve", b"two\n", AT),
    ):
        heard.own_record(record)
    assert refused == []
    box.say_again()
    assert box.take(LIMIT) == b"/nick anna\n"


def test_a_change_of_nick_that_was_refused_does_not_stand_for_a_later_one() -> None:
    box = numbered("/nick eve", "one", "/nick bob", "two")
    box.lost(0)
    assert box.recorded(b"one") == []
    assert box.renamed("bob") == []
    assert box.recorded(b"two") == []
    assert not box
