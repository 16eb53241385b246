"""Presence: the members of this host as the store knows them, and how they come again.

A person in the store is a connection, which is in the seat, too. If the store has taken this host
for dead its people were announced as dropped: then each is claimed again, comes back, and what it
had asked meanwhile is asked after that. Part of the hub; knows what is asked, not why.
"""

from __future__ import annotations

import os

from duplex.protocol import events, messages, requests
from duplex.protocol.lookalikes import look
from duplex.protocol.nick import HOST, numbered, refusal, same_nick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.room.ports import Hub
    from duplex.room.seat import Seat
    from duplex.store.calls import Calls

    Word = bytes | str | int
    Then = Callable[[list[bytes]], None]

AGAIN = 1.0  # s until the store is asked again for what it has refused, and has to be


class Person:
    """One seat. `held` is what it has asked while it comes again, or None."""

    __slots__ = ("connection", "entered", "held", "number", "seat")

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.connection = seat.connection = os.urandom(8).hex()
        self.entered = False
        self.number = 0  # of what it has said and written so far
        self.held: list[Callable[[], None]] | None = None


class Presence:
    """Of one hub, whom the store knows by the id `host`."""

    def __init__(self, hub: Hub, calls: Calls, host: str) -> None:
        self._hub = hub
        self._calls = calls
        self._host = host
        self._people: dict[Seat, Person] = {}
        self._by_connection: dict[str, Seat] = {}
        self.by_session: dict[int, Seat] = {}

    def add(self, seat: Seat) -> None:
        person = self._people[seat] = Person(seat)
        self._by_connection[person.connection] = seat

    def of(self, seat: Seat) -> Person:
        return self._people[seat]

    def find(self, connection: str) -> Seat | None:
        return self._by_connection.get(connection)

    def has_entered(self, seat: Seat, session: int) -> None:
        """The store has it here, in that session."""
        if self.by_session.get(seat.session) is seat:
            del self.by_session[seat.session]
        seat.session = session
        self.by_session[session] = seat
        self._people[seat].entered = True

    def forget(self, seat: Seat) -> Person | None:
        """Nothing that it has asked is answered any more."""
        person = self._people.pop(seat, None)
        if person:
            del self._by_connection[person.connection]
        if self.by_session.get(seat.session) is seat:
            del self.by_session[seat.session]
        return person

    # Asking:

    def ask(
        self,
        seat: Seat,
        operation: str,
        *words: Word,
        then: Then,
        session: int = 0,
        at_once: bool = False,
    ) -> None:
        """For it, if it is still here when the answer is; `session` if it is not its own.

        `at_once` is for who comes again, until that is done.
        """
        person = self._people[seat]

        def send() -> None:
            if self._people.get(seat) is person:
                of = f"{session or seat.session:016x}"
                self._calls.ask(operation, person.connection, of, *words, then=answered)

        def answered(answer: list[bytes]) -> None:
            if self._people.get(seat) is not person:
                return
            if answer[0] == b"moved":
                self.moved(seat)
            elif answer[0] == b"gone":
                if at_once or person.held is None:
                    self._come_again(person)
                if person.held is not None and not at_once:
                    person.held.append(send)
            elif answer[0] == b"refused" and at_once:
                self._hub.loop.after(AGAIN, send)
            else:
                then(answer)

        if person.held is None or at_once:
            send()
        else:
            person.held.append(send)

    def guest(self, seat: Seat, then: Then, *, at_once: bool = False) -> None:
        """Claim a guest's nick, or who keeps the room."""
        words = [HOST, f"{HOST}:{self._host}", ""]  # each host has one of its own
        self.ask(
            seat, "claim", *(words if seat.operator else ["", "", ""]), then=then, at_once=at_once
        )

    def resume(self, seat: Seat, nick: str, text: str, session: int, then: Then) -> None:
        """It is to be who had that session; the event is `text`."""
        self.ask(seat, "resume", *_claimed(nick, text), then=then, session=session)

    def claim(
        self,
        seat: Seat,
        wanted: str,
        then: Callable[[int, str], None],
        *,
        seek: bool,
        number: int = 1,
        at_once: bool = False,
    ) -> None:
        """Have it called so; if that is taken and we `seek`, with a number behind.

        `then` gets where that is recorded, or -1, and why it is not called so, if it is not.
        """
        nick = numbered(wanted, number)

        def answered(answer: list[bytes]) -> None:
            if answer[0] == b"ok":
                self.be_called(seat, answer[1].decode())
                then(int(answer[3]), "")
                return
            if answer[0] not in (b"taken", b"alike"):
                then(-1, messages.not_recorded(reason(answer)))
                return
            why = str(refusal(nick, answer[1].decode() if len(answer) > 1 else ""))
            seat.why_not = why if number == 1 else seat.why_not
            if seek:
                self.claim(seat, wanted, then, seek=True, number=number + 1, at_once=at_once)
            else:
                then(-1, why)

        words = _claimed(nick, events.renamed(seat.nick, nick))
        self.ask(seat, "claim", *words, then=answered, at_once=at_once)

    def be_called(self, seat: Seat, nick: str) -> None:
        """The store has given it that nick."""
        key = same_nick(nick)
        if key != seat.key:
            seat.rate.be_called(key)
        seat.nick, seat.key, seat.look = nick, key, look(nick)

    # Leaving:

    def leave(self, seat: Seat, how: str) -> None:
        """It is not here any more: asked until that is in the store."""
        if person := self.forget(seat):
            if person.entered:
                self._hub.log(events.left(seat.nick, how))
            self._leave(person.connection, seat.session, how)

    def _leave(self, connection: str, session: int, how: str) -> None:
        def answered(answer: list[bytes]) -> None:
            if answer[0] == b"refused":
                self._hub.loop.after(AGAIN, lambda: self._leave(connection, session, how))

        self._calls.ask("leave", connection, f"{session:016x}", how, then=answered)

    def moved(self, seat: Seat) -> None:
        """Its client is at another host by now, or in a later connection."""
        self.forget(seat)
        self._hub.seats.cut(seat)

    # Coming again:

    def swept(self) -> None:
        """This host was taken for dead, and its people were announced as dropped."""
        for person in list(self._people.values()):
            if person.seat.nick and person.held is None:
                self._come_again(person)

    def _come_again(self, person: Person) -> None:
        seat, former = person.seat, person.seat.nick
        person.held = person.held or []
        resumes = seat.client is not None and seat.client.echo  # and is told all

        def is_back(*_: object) -> None:
            if seat.nick != former:
                seat.notice(messages.renamed(seat.nick, ""))
            held, person.held = person.held or [], None
            for send in held:
                send()

        def claimed(_start: int, why: str) -> None:
            if why:
                self._hub.seats.end(seat, requests.LOST, f"{former} is somebody else now")
            elif person.entered:
                back = events.back(seat.nick, seat.where)
                self.ask(seat, "enter", back, then=is_back, at_once=True)
            else:
                is_back()

        if seat.operator:
            self.guest(seat, is_back, at_once=True)
        else:
            self.claim(seat, former, claimed, seek=not resumes, at_once=True)


def _claimed(nick: str, text: str) -> list[str]:
    """What `claim` and `resume` take in the store."""
    return [nick, same_nick(nick), text, look(nick)]


def reason(answer: list[bytes]) -> str:
    """Why the store has not done it, in its words."""
    return b" ".join(answer[1:]).decode(errors="replace") or answer[0].decode()
