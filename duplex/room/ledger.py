"""The ledger: what a room asks of whatever keeps its order and its people.

`LocalLedger` answers at once, from tables and the transcript of its own; a room on many hosts has
one that asks the store (store/ledger.py). Both are given a callback by whoever asks: nothing is
known before that is called, and what asks does not know which of the two it asks. Part of the hub.

What was recorded is told by offsets (start, end), or by why it was not.
"""

from __future__ import annotations

from contextlib import suppress

from duplex.protocol import events, messages
from duplex.protocol.lookalikes import look
from duplex.protocol.nick import HOST, Taken, guest, numbered, same_nick
from duplex.protocol.requests import KICKED, LEFT
from duplex.room.people import Undeliverable
from duplex.room.seat import COMING, HERE
from duplex.transcript import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from duplex.room.journal import Journal
    from duplex.room.people import People
    from duplex.room.seat import Seat

    Then = Callable[[int, int, str], None]  # start, end; or why not
    Cut = Callable[[Seat], None]
    End = Callable[[Seat, str, str], None]

    class Ledger(Protocol):
        """Offsets in bytes. A seat leaves once; nothing is asked for it afterwards."""

        here: int  # members whose entry is recorded, and the operators
        ends_room: bool  # nothing is recorded any more once this host has closed

        def guest(self, seat: Seat, then: Callable[[str], None]) -> None:
            """Give it a nick of a guest's. `then("")`, or why that cannot be."""

        def enter(self, seat: Seat, wanted: str, then: Then) -> None:
            """Record its entry, as `wanted` (with a number behind it where that is taken, and
            `why_not` in the seat), or as the guest that it is. The seat has the nick when `then`
            is called."""

        def resume(self, seat: Seat, nick: str, session: int, then: Then) -> None:
            """Record that the client of that session is back, instead of wherever it was. Who was
            here as a guest leaves. `why` may be a reason not to be resumed."""

        def rename(self, seat: Seat, wanted: str, seek: bool, then: Then) -> None:
            """Call it so from now on; with `seek`, with a number where that is taken."""

        def takes(self, seat: Seat, lines: bytes) -> int:
            """How many of the lines can be said at once, if there are so many: one at least."""

        def say(self, seat: Seat, lines: bytes, number: int, then: Then) -> None:
            """Record whole lines as said by it; `number` is that of the first."""

        def post(self, seat: Seat, nick: str, text: str, then: Callable[[str], None]) -> None:
            """A line for who is called `nick`, alone. `then("")`, or why it was not delivered."""

        def kick(self, nick: str, why: str, then: Callable[[str], None]) -> None:
            """End that client. `then("")`, or why not."""

        def who(self, then: Callable[[list[str], str], None]) -> None:
            """The nicks of all who are here; or why that is not known."""

        def leave(self, seat: Seat, how: str) -> None:
            """It is not here any more; "left", "was dropped (…)"."""

        def reach(self, offset: int, then: Callable[[], None]) -> None:
            """Call it when the transcript here goes that far, or cannot soon."""

        def all_dropped(self, how: str) -> None:
            """The hub before this one has ended, and with it every connection."""

        def close(self, event: str) -> None:
            """Record that the room has ended."""

        def retire(self, then: Callable[[], None]) -> None:
            """All have gone; call it when that is known wherever it has to be."""


NOWHERE = 0, 0  # the offsets of what is not recorded


class LocalLedger:
    """Of a room on this host alone.

    `cut(seat)` ends a connection that is taken over, `end(seat, kind, reason)` one that is kicked.
    """

    ends_room = True

    def __init__(self, journal: Journal, people: People, cut: Cut, end: End) -> None:
        self.here = 0
        self._journal = journal
        self._people = people
        self._cut = cut
        self._end = end

    def guest(self, seat: Seat, then: Callable[[str], None]) -> None:
        if seat.operator:
            self._people.take(seat, HOST)
        number = seat.number
        while not seat.nick:
            with suppress(Taken):  # somebody has chosen to be called so
                self._people.take(seat, guest(number))
            number += 1
        then("")

    def enter(self, seat: Seat, wanted: str, then: Then) -> None:
        guest, end = seat.nick, self._journal.end
        if wanted and not seat.operator:
            self._take_or_number(seat, wanted)
            self._people.free(seat, guest)
        self._people.enter(seat)
        self.here += 1
        if seat.operator:
            then(end, end, "")
            return

        def entered(start: int, end: int, why: str) -> None:
            if why:
                self.here -= 1
            then(start, end, why)

        self._journal.event(events.entered(seat.nick, seat.where), entered)

    def resume(self, seat: Seat, nick: str, session: int, then: Then) -> None:
        people, guest = self._people, seat.nick if seat.state == HERE else ""
        earlier = people.by_session.get(session)
        if earlier is not None and earlier.number > seat.number:
            then(*NOWHERE, "you have come back in a later connection")
            return
        if self._is_somebody_elses(nick, seat, earlier):
            if earlier is not None:
                self.leave(earlier, events.NOT_BACK)
                self._cut(earlier)
            then(*NOWHERE, f"somebody else is {nick} now")
            return
        former = earlier.nick if earlier is not None else ""
        if earlier is not None:
            people.leave(earlier)
            self._cut(earlier)
        self.here += 1 - bool(earlier) - bool(guest)
        people.leave(seat)
        people.take(seat, nick)
        seat.session = session
        people.enter(seat)

        def back(start: int, end: int, why: str) -> None:
            if why:
                self.here -= 1
                seat.state = COMING  # it has to go, and nothing of it is recorded but this:
                if guest:
                    self._journal.owe(events.left(guest, events.ending(LEFT, "")))
                if former:
                    self._journal.owe(events.left(former, events.NOT_BACK))
            then(start, end, why)

        if guest:
            self._journal.event(events.left(guest, events.ending(LEFT, "")))
        self._journal.event(events.back(nick, seat.where), back)

    def _is_somebody_elses(self, nick: str, *own: Seat | None) -> bool:
        """Whether it, or one that looks like it, is."""
        others = (self._people.by_nick.get(same_nick(nick)), self._people.by_look.get(look(nick)))
        return any(other not in (None, *own) for other in others)

    def rename(self, seat: Seat, wanted: str, seek: bool, then: Then) -> None:
        former = seat.nick
        try:
            if seek:
                self._take_or_number(seat, wanted)
            else:
                self._people.take(seat, wanted)
        except Taken as error:
            then(*NOWHERE, str(error))
            return

        def renamed(start: int, end: int, why: str) -> None:
            if why:
                nick, why = seat.nick, messages.not_recorded(why)
                self._people.take(seat, former)  # which is still its own
                self._people.free(seat, nick)
            else:
                self._people.free(seat, former)
            then(start, end, why)

        if seat.nick == former:
            then(*NOWHERE, "")
        else:
            event = record.event(events.renamed(former, seat.nick), self._journal.now())
            self._journal.add(event, renamed)

    def _take_or_number(self, seat: Seat, wanted: str) -> None:
        number = 1
        while True:
            try:
                self._people.take(seat, numbered(wanted, number))
            except Taken as error:
                seat.why_not = str(error) if number == 1 else seat.why_not
                number += 1
            else:
                return

    def takes(self, _seat: Seat, lines: bytes) -> int:
        return len(lines)

    def say(self, seat: Seat, lines: bytes, _number: int, then: Then) -> None:
        self._journal.add(record.said(seat.nick, lines, self._journal.now()), then)

    def post(self, seat: Seat, nick: str, text: str, then: Callable[[str], None]) -> None:
        try:
            reader = self._people.reader(nick)
        except Undeliverable as error:
            then(str(error))
        else:
            then("")  # before what it may have told itself
            reader.tell(messages.private(seat.nick, text))

    def kick(self, nick: str, why: str, then: Callable[[str], None]) -> None:
        try:
            seat = self._people.find(nick)
        except Undeliverable as error:
            then(str(error))
            return
        self._end(seat, KICKED, why)
        then("")

    def who(self, then: Callable[[list[str], str], None]) -> None:
        then([seat.nick for seat in self._people.by_nick.values() if seat.state == HERE], "")

    def leave(self, seat: Seat, how: str) -> None:
        """Its nick is free once it is recorded: who comes with it is recorded after."""
        if seat.state == HERE:
            self.here -= 1
        if seat.state != HERE or seat.operator or self._journal.closed:
            self._people.leave(seat)
            return
        self._journal.owe(events.left(seat.nick, how), lambda *_: self._people.leave(seat))

    def reach(self, _offset: int, then: Callable[[], None]) -> None:
        then()

    def all_dropped(self, how: str) -> None:
        self._journal.owe(events.all_dropped(how))

    def close(self, event: str) -> None:
        def recorded(*_: object) -> None:
            self._journal.closed = True

        self._journal.owe(event, recorded)

    def retire(self, then: Callable[[], None]) -> None:
        then()
