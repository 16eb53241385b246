"""Letters: what members write to one alone, and how those of this host are brought theirs.

A client that takes nothing is tried again for a while; what is for it afterwards waits behind, and
what is for others does not. What cannot be delivered is told to its sender, on whatever host. A
letter stays in the store until one of the two is done, so it also outlives the replicator; if the
hub is killed right then it may come twice. Part of the hub; knows no transcript.
"""

from __future__ import annotations

import os
import time
from collections import deque

from duplex.protocol import messages
from duplex.protocol.nick import HOST, NickError, same_nick
from duplex.protocol.requests import KICKED
from duplex.room.people import Undeliverable
from duplex.room.seat import HERE
from duplex.store.entry import ANSWER, KICK, PRIVATE, TAKE_OVER
from duplex.store.presence import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.room.ports import Hub
    from duplex.room.seat import Seat
    from duplex.store.calls import Calls
    from duplex.store.entry import Letter
    from duplex.store.presence import Presence

    Then = Callable[[str], None]  # "", or why not

PATIENCE = 5.0  # s that a client that takes nothing is tried for
AGAIN = 0.02  # s between two times
KEPT = 1 << 20  # bytes of letters that wait; beyond, such a client is tried once
REMEMBERED = 1000  # letters that are done with: a replicator that begins may bring them again


class Full(Undeliverable):
    """Its reader does not take what there is already."""


class Letters:
    """Of one hub."""

    def __init__(self, hub: Hub, calls: Calls, presence: Presence) -> None:
        self._hub = hub
        self._calls = calls
        self._presence = presence
        self._waiting: dict[str, deque[tuple[float, Letter]]] = {}  # by reader; until when
        self._kept = 0  # bytes of them
        self._connection, self._number = os.urandom(8).hex(), 0  # of a kick that nobody asks for
        self._known: dict[str, None] = {}  # letters that were here, the latest last

    def post(self, seat: Seat, nick: str, text: str, then: Then) -> None:
        """To who has the nick in the store: on this host it may be somebody's who has another."""
        line = messages.private(seat.nick, text)
        host = self._operator()
        try:
            if same_nick(nick) != HOST:  # each host has one of its own
                self._send(seat, nick, PRIVATE + line.encode(), then)
            elif host is None or host.state != HERE:
                then(_nobody(HOST))
            else:
                then("")
                host.tell(line)
        except NickError as error:
            then(str(error))

    def kick(self, nick: str, why: str, then: Then) -> None:
        """By who keeps the room; if nobody is there for that, nobody is told that it was late."""
        letter, host = KICK + why.encode(), self._operator()
        try:
            if host:
                self._send(host, nick, letter, then)
            else:
                self._number += 1
                words = self._connection, "0", self._number, same_nick(nick), letter
                self._calls.ask("post", *words, then=_posted(nick, then))
        except NickError as error:
            then(str(error))

    def _operator(self) -> Seat | None:
        return next((seat for seat in self._hub.seats if seat.operator), None)

    def _send(self, seat: Seat, nick: str, letter: bytes, then: Then) -> None:
        key, person = same_nick(nick), self._presence.of(seat)
        person.number += 1
        self._presence.ask(seat, "post", person.number, key, letter, then=_posted(nick, then))

    # Those that the replicator brings:

    def deliver(self, letter: Letter) -> None:
        """It, after those that wait for the same reader."""
        if letter.id in self._known:
            return
        self._known[letter.id] = None
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        has_room = self._kept + len(letter.text) <= KEPT
        queue = self._waiting.get(letter.reader)
        if (queue is None or not has_room) and self._is_done(letter, patient=has_room):
            return
        if not self._waiting:
            self._hub.loop.after(AGAIN, self._go_on)
        self._kept += len(letter.text)
        until = time.monotonic() + PATIENCE
        self._waiting.setdefault(letter.reader, deque()).append((until, letter))

    def _go_on(self) -> None:
        now = time.monotonic()
        for reader, queue in list(self._waiting.items()):
            while queue and self._is_done(queue[0][1], patient=now < queue[0][0]):
                self._kept -= len(queue.popleft()[1].text)
            if not queue:
                del self._waiting[reader]
        if self._waiting:
            self._hub.loop.after(AGAIN, self._go_on)

    def _is_done(self, letter: Letter, *, patient: bool) -> bool:
        """Whether it is delivered, or its sender told that it cannot be."""
        told = ""
        try:
            self._open(letter)
        except Undeliverable as error:
            if patient and isinstance(error, Full):
                return False
            told = _why_not(letter, error)
        words = (letter.sender, ANSWER + f"! {told}".encode()) if told else ("", "")
        self._calls.ask("taken", letter.id, *words, then=lambda _: None)
        return True

    def _open(self, letter: Letter) -> None:
        """Raises Undeliverable."""
        seat = self._presence.find(letter.reader)
        kind, text = letter.text[:1], letter.text[1:].decode(errors="replace")
        if seat is None or seat.state != HERE or seat.client is None:
            raise Undeliverable(_nobody(letter.nick))
        if kind in (PRIVATE, ANSWER):
            if seat.crowded:
                raise Full(f"{letter.nick} has a full mailbox; try again later")
            seat.tell(text)
        elif kind == KICK:
            self._hub.seats.end(seat, KICKED, text)
        elif kind == TAKE_OVER and text in ("", letter.reader):
            self._presence.moved(seat)


def _posted(nick: str, then: Then) -> Callable[[list[bytes]], None]:
    """What is done with the store's answer."""

    def answered(answer: list[bytes]) -> None:
        if answer[0] == b"nobody":
            then(_nobody(nick))
        else:
            then("" if answer[0] == b"ok" else messages.not_done(reason(answer)))

    return answered


def _nobody(nick: str) -> str:
    return f"nobody here is called {nick}"


def _why_not(letter: Letter, error: Undeliverable) -> str:
    """What its sender is told; of a letter that nobody has written it is ""."""
    kind, said = letter.text[:1], letter.text.partition(b"- ")[2].decode(errors="replace")
    if kind == PRIVATE:
        return messages.lost(letter.nick, str(error), said)
    return messages.not_kicked(letter.nick, str(error)) if kind == KICK else ""
