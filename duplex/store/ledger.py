"""The ledger of a room on many hosts: what the store says is what is so (room/ledger.py).

Whatever is asked goes to the store through the writer (calls.py), and who asked is called back when
the answer is here, and the transcript up to what was recorded, too (feed.py). Meanwhile a client
that is spared its own records, or is told of each, is sent nothing that may be one of them. Each
member asks for one thing at a time, so that what waits while the store is away is bounded.

Part of the hub, whom the store knows by an id of its own, so that its people are not taken for
those of a hub that was killed.
"""

from __future__ import annotations

import time

from duplex.protocol import events, messages, refusals
from duplex.protocol.requests import LEFT
from duplex.room.ledger import NOWHERE
from duplex.room.seat import HERE
from duplex.store import calls
from duplex.store.copy import Copy, line_up
from duplex.store.entry import event, fitting, length, said
from duplex.store.feed import Feed
from duplex.store.letters import Letters
from duplex.store.presence import Presence, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.room.journal import Journal
    from duplex.room.ledger import Then
    from duplex.room.ports import Hub
    from duplex.room.seat import Seat
    from duplex.store.position import Position

    Answer = list[bytes]

REACHED = 4.0  # s for the store to answer who comes: less than who asks with --nick waits
CALLS = 1000  # besides those of each member; while the store is away, that keeps memory bounded
TAKING_OVER = 5.0  # s for this host to be where the one was from which a client comes
LOOK_EVERY = 0.02  # s between two looks whether it is
CLOSED = "its host has closed"
AWAY = "the room's store is out of reach"


class StoreLedger:
    """`writer` and `replicator` are what these listen at; the store knows this hub as `host`."""

    ends_room = False

    def __init__(
        self,
        hub: Hub,
        journal: Journal,
        position: Position,
        host: str,
        writer: str,
        replicator: str,
    ) -> None:
        self.here = 0
        self._hub = hub
        self._transcript = hub.transcript
        self._away = False  # the store is, and that is told
        self._closing = False
        position.read()  # the hub before this one has moved it
        line_up(self._transcript, position)
        self._calls = calls.Calls(hub, writer, host, self._told)
        self._presence = Presence(hub, self._calls, host)
        self._letters = Letters(hub, self._calls, self._presence)
        copy = Copy(self._transcript, position)
        self._feed = Feed(hub, journal, replicator, host, copy, self._letters.deliver)

    # Coming:

    def guest(self, seat: Seat, then: Callable[[str], None]) -> None:
        if self._away and self._calls.waiting > CALLS + len(self._hub.seats):
            then(refusals.OUT_OF_REACH)
            return
        self._presence.add(seat)
        asked = True

        def once(why: str) -> None:
            nonlocal asked
            if asked and seat.heeds:
                asked = False
                then(why)

        def answered(answer: Answer) -> None:
            if answer[0] != b"ok":
                once(refusals.not_let_in(reason(answer)))
                return
            self._presence.be_called(seat, answer[1].decode())
            self.here = int(answer[2])
            once("")

        self._presence.guest(seat, answered)
        self._hub.loop.after(REACHED, lambda: once(refusals.OUT_OF_REACH))

    def enter(self, seat: Seat, wanted: str, then: Then) -> None:
        if seat.operator:  # nobody is told that it comes, and it is not counted
            then(self._transcript.end, self._transcript.end, "")
        elif wanted:
            self._presence.claim(seat, wanted, lambda *_: self._enter(seat, then), seek=True)
        else:
            self._enter(seat, then)

    def _enter(self, seat: Seat, then: Then) -> None:
        text = events.entered(seat.nick, seat.where)

        def entered(answer: Answer) -> None:
            self._entered(seat, answer, seat.session, text, then)

        self._presence.ask(seat, "enter", text, then=entered)

    def _entered(self, seat: Seat, answer: Answer, session: int, text: str, then: Then) -> None:
        if answer[0] != b"ok":
            then(*NOWHERE, reason(answer))
            return
        start, here = int(answer[1]), int(answer[2])
        self._presence.has_entered(seat, session)
        self._hub.log(text)

        def is_here(start: int, end: int, why: str) -> None:
            self.here = here
            then(start, end, why)

        self._when_here(seat, start, event(text), is_here)

    def resume(self, seat: Seat, nick: str, session: int, then: Then) -> None:
        text, guest = events.back(nick, seat.where), seat.nick if seat.state == HERE else ""

        def resumed(answer: Answer) -> None:
            earlier = self._presence.by_session.get(session)
            earlier = earlier if earlier is not seat else None
            if answer[0] == b"taken":
                if earlier:
                    self._presence.leave(earlier, events.NOT_BACK)
                    self._hub.seats.cut(earlier)
                then(*NOWHERE, f"somebody else is {nick} now")
                return
            if answer[0] == b"later":
                then(*NOWHERE, "you have come back in a later connection")
                return
            if answer[0] == b"ok":
                if earlier:
                    self._presence.moved(earlier)
                if guest:
                    self._hub.log(events.left(guest, events.ending(LEFT, "")))
                self._presence.be_called(seat, nick)
            self._entered(seat, answer, session, text, then)

        self._presence.resume(seat, nick, text, session, resumed)

    def rename(self, seat: Seat, wanted: str, seek: bool, then: Then) -> None:
        if seat.nick == wanted:
            then(*NOWHERE, "")
            return
        former = seat.nick

        def claimed(start: int, why: str) -> None:
            if start < 0:
                then(*NOWHERE, why)
            else:
                self._when_here(seat, start, event(events.renamed(former, seat.nick)), then)

        self._presence.claim(seat, wanted, claimed, seek=seek)

    # Here:

    def takes(self, seat: Seat, lines: bytes) -> int:
        return fitting(seat.nick, lines)

    def say(self, seat: Seat, lines: bytes, _number: int, then: Then) -> None:
        body, client, person = said(seat.nick, lines), seat.client, self._presence.of(seat)
        if client and not (client.echo and not client.numbered):
            client.held = self._transcript.end  # whatever comes now may be its own
            self._hub.clients.wake(client)

        def let_go(start: int, end: int, why: str) -> None:
            if client:
                client.held = None
                self._hub.clients.wake(client)
            then(start, end, why)

        def answered(answer: Answer) -> None:
            if answer[0] == b"ok":
                self._when_here(seat, int(answer[1]), body, let_go)
            else:
                let_go(*NOWHERE, reason(answer))

        person.number += 1
        self._presence.ask(seat, "add", person.number, length(body), body, then=answered)

    def post(self, seat: Seat, nick: str, text: str, then: Callable[[str], None]) -> None:
        self._letters.post(seat, nick, text, then)

    def kick(self, nick: str, why: str, then: Callable[[str], None]) -> None:
        self._letters.kick(nick, why, then)

    def who(self, then: Callable[[list[str], str], None]) -> None:
        def answered(answer: Answer) -> None:
            if answer[0] == b"ok":
                then([nick.decode(errors="replace") for nick in answer[1:]], "")
            else:
                then([], reason(answer))

        self._calls.ask("who", then=answered)

    def reach(self, offset: int, then: Callable[[], None]) -> None:
        """This host may be behind the one where the client was."""
        deadline = time.monotonic() + TAKING_OVER

        def look() -> None:
            if self._transcript.end >= offset or time.monotonic() >= deadline:
                then()
            else:
                self._hub.loop.after(LOOK_EVERY, look)

        look()

    # Leaving:

    def leave(self, seat: Seat, how: str) -> None:
        if self._closing and how != events.ending(LEFT, ""):
            self._presence.forget(seat)  # perhaps it goes on at another host; or see `retire`
        else:
            self._presence.leave(seat, how)

    def all_dropped(self, _how: str) -> None:
        """The store sees to that when this hub begins (script.py)."""

    def close(self, event: str) -> None:
        """Only this host does, and the room ends for nobody."""
        self._feed.hear()  # perhaps why it does
        self._calls.hear()
        self._closing = True
        self._hub.log(event)
        for seat in self._hub.seats:
            if seat.state == HERE and seat.client and not seat.client.echo:
                seat.notice(refusals.HOST_CLOSES)

    def retire(self, then: Callable[[], None]) -> None:
        def answered(answer: Answer) -> None:
            if answer[0] == b"ok" and answer[1] != b"1":
                self.retire(then)
            else:
                then()

        self._calls.ask("retire", "", "", CLOSED, then=answered)

    # What the store says:

    def _told(self, word: bytes, text: str) -> None:
        if word == calls.TELL:
            self._hub.tell_operator(text)
        elif word == calls.SWEPT:
            self._presence.swept()
        elif word == calls.BACK and self._away:
            self._away = False
            self._hub.tell_operator("the room's store is back")
        elif word == calls.OUT and not self._away:
            self._away = True
            self._hub.tell_operator(f"{AWAY}: {text}")
            for seat in self._hub.seats:
                if seat.state == HERE:
                    seat.notice(messages.lines_wait())

    def _when_here(self, seat: Seat, start: int, body: bytes, then: Then) -> None:
        """Call it when the records made of `body` stand in the transcript here."""
        end = start + length(body)
        self._feed.when_here(end, lambda: then(start, end, "") if seat.heeds else None)
