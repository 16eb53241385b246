"""Arrival: how who has come is welcomed, enters, joins, or goes on from where it was.

A client says who it is in the moment after the welcome (join.py), or later: then a guest is let in
as what it says. Part of the hub's service (service.py); the nick, the entry and the coming back are
the ledger's.
"""

from __future__ import annotations

from duplex.protocol import messages, refusals, requests
from duplex.protocol.nick import NickError, free_nick, same_nick
from duplex.protocol.requests import ECHO, IN, OK, Malformed
from duplex.room.client import Client
from duplex.room.keys import new_session
from duplex.room.seat import COMING, HERE, NEW

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from duplex.protocol.requests import Request
    from duplex.room.ports import Hub
    from duplex.room.room import Room
    from duplex.room.seat import Seat

VAIN_LIMIT = 20  # requests in vain: they cost nothing of the rate, and no client has so many keys


class Arrival:
    """One function for each request. Raises Malformed for what no member of ours asks."""

    def __init__(self, hub: Hub, room: Room) -> None:
        self._hub = hub
        self._ledger = hub.ledger
        self._transcript = hub.transcript
        self._room = room

    def hello(self, seat: Seat, sock: socket.socket) -> None:
        """Its client is there: take a guest's nick, and speak first."""
        if seat.state != NEW:
            raise Malformed
        client = Client(sock, self._transcript)
        self._hub.seats.has_client(seat, client)
        seat.state, seat.session = COMING, new_session()
        self._hub.seated(seat)

        def welcome(why: str) -> None:
            if why:
                self._go_away(seat, why)
                return
            here = self._ledger.here + 1
            seat.notice(messages.welcome(self._room.name, seat.nick, here))
            seat.reply(OK, seat.nick)

        self._ledger.guest(seat, welcome)

    def enter(self, seat: Seat, _request: Request) -> None:
        self._come_in(seat, "", echo=False)

    def join(self, seat: Seat, request: Request) -> None:
        (wanted,) = request.words()
        if seat.state == HERE:
            self._join_late(seat, wanted, request.number)
            return
        nick = ""
        if not seat.operator:
            try:
                nick = free_nick(wanted)
            except NickError as error:
                seat.notice(str(error))
        self._come_in(seat, nick, echo=True)

    def _come_in(self, seat: Seat, nick: str, *, echo: bool) -> None:
        if seat.state != COMING:
            raise Malformed
        same = not nick or same_nick(nick) == seat.key

        def entered(start: int, _end: int, why: str) -> None:
            if why:
                self._go_away(seat, refusals.no_transcript(why))
                return
            if nick and not same and same_nick(seat.nick) != same_nick(nick):
                seat.notice(messages.so_you_are(seat.why_not, seat.nick))
            first = self._transcript.back(self._room.history, start)
            self._begin(seat, first, start, echo=echo)

        self._ledger.enter(seat, "" if same else nick, entered)

    def _begin(self, seat: Seat, first: int, start: int, *, echo: bool) -> None:
        """It is in; everything up to `start` was there before, and it is sent it from `first`."""
        if not seat.heeds or seat.client is None:
            return
        if echo:
            self._tell_joined(seat, seat.nick, first, start)
        late = seat.state == HERE
        seat.state = HERE
        seat.entry, seat.entered_as = start, seat.nick
        if late:
            seat.client.begin_again(first)
        else:
            seat.client.follow(first, echo=echo)
        self._hub.clients.wake(seat.client)
        if seat.operator:
            self._hub.has_operator(seat)
        seat.reply(ECHO if echo else IN, seat.nick)

    def _tell_joined(self, seat: Seat, nick: str, start: int, end: int) -> None:
        key = self._hub.keys.key(nick, seat.session)
        here = self._ledger.here
        seat.notice(messages.joined(self._room.name, nick, key, start, end, here))

    def _join_late(self, seat: Seat, wanted: str, number: int) -> None:
        """A guest that says only now that it is more keeps its entry, and what it has said."""
        seat.rate.spend(1)
        client = seat.client
        if client is None or client.echo:
            seat.refuse(number, "you have joined already")
            return
        first = self._transcript.back(self._room.history, seat.entry)
        self._tell_joined(seat, seat.entered_as, first, seat.entry)
        client.begin_again(first)
        self._hub.clients.wake(client)
        try:
            nick = seat.nick if seat.operator else free_nick(wanted)
        except NickError as error:
            seat.answer(number, str(error))
            seat.reply(ECHO, seat.nick)
            return

        def renamed(start: int, end: int, why: str) -> None:
            if why:
                seat.answer(number, why)
            elif not seat.operator:
                if end > start:  # no answer is sure to stand behind that record
                    client.leave_out(start, end, number, 1)
                    self._hub.clients.wake(client)
                key = self._hub.keys.key(seat.nick, seat.session)
                seat.answer(number, messages.renamed(seat.nick, key))
            seat.reply(ECHO, seat.nick)

        self._ledger.rename(seat, nick, True, renamed)

    def resume(self, seat: Seat, request: Request) -> None:
        nick, key, offset = request.words()
        if seat.state == HERE:
            seat.rate.spend(1)
            if seat.client is None or seat.client.echo:
                seat.refuse(request.number, "you have joined already")
                return
        if not offset.isdecimal() or len(offset) > 18:
            self._not_resumed(seat, "/resume takes NICK KEY OFFSET")
            return
        try:
            session = self._hub.keys.session(nick, key)
        except NickError:
            session = None
        if session is None:
            self._not_resumed(seat, "the key is not of this room")
            return
        self._ledger.reach(int(offset), lambda: self._resume_at(seat, nick, session, int(offset)))

    def _resume_at(self, seat: Seat, nick: str, session: int, offset: int) -> None:
        transcript = self._transcript
        if not seat.heeds:
            return
        if offset < transcript.first <= transcript.end:
            self._not_resumed(seat, f"what stood at offset {offset} is not kept any more")
            return
        if offset > transcript.end or not transcript.is_start(offset):
            self._not_resumed(seat, f"there is no offset {offset}")
            return

        def back(start: int, end: int, why: str) -> None:
            if not why:
                self._begin(seat, offset, start, echo=True)
            elif end > start:  # that is where it would have stood
                self._go_away(seat, refusals.no_transcript(why))
            else:
                self._not_resumed(seat, why)

        self._ledger.resume(seat, nick, session, back)

    def _not_resumed(self, seat: Seat, why: str) -> None:
        seat.notice(messages.not_resumed(why))
        seat.refused += 1
        if seat.refused < VAIN_LIMIT:
            seat.reply(OK)
        else:
            self._go_away(seat, refusals.ASKED_TOO_OFTEN)

    def _go_away(self, seat: Seat, why: str) -> None:
        seat.notice(why)
        self._hub.seats.end(seat, requests.LEFT, "")
