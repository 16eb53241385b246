"""Service: what the hub does for one request of a member.

Each verb is one function here, and each has one reply; what its client is told of it, it is told
here. The room's order and people are the ledger's: whatever follows from those is done in a
callback, at once or later. Part of the hub.
"""

from __future__ import annotations

from duplex.protocol import messages, requests
from duplex.protocol.nick import HOST, NickError, free_nick
from duplex.protocol.requests import OK, SLOWLY, Malformed
from duplex.room.arrival import Arrival
from duplex.room.seat import COMING, HERE
from duplex.transcript.record import LINE_LIMIT
from duplex.transcript.sanitize import is_safe, too_long

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from duplex.protocol.requests import Request
    from duplex.room.ports import Hub
    from duplex.room.room import Room
    from duplex.room.seat import Seat

HISTORY_LIMIT = 500  # records of one /history
HISTORY_BYTES = 256 * 1024  # of them at most
_OF_BYTES = (requests.SAY, requests.ANSWER, requests.WIRE, requests.LAST)  # no words
LONGEST = max(requests.SAY_LIMIT, LINE_LIMIT + 1)  # bytes that a member says at once
_OWN_ENDINGS = (requests.LEFT, requests.LOST, requests.CLOSED, requests.UNSERVED)
_FREE = (requests.WIRE, requests.LAST, requests.LEAVE)  # whatever was said before
# What a command costs, in lines, for it makes the room do more than one line does:
BYTES_A_LINE = 1024  # of an answer
NICK_COST = 10.0  # Unicode's tables, a look at all nicks, and an event for all


class Service:
    """`serve` carries out a request. Raises Malformed for what no member of ours asks."""

    def __init__(self, hub: Hub, room: Room) -> None:
        self._hub = hub
        self._ledger = hub.ledger
        self._transcript = hub.transcript
        self._room = room
        self._arrival = Arrival(hub, room)
        self._verbs = {
            requests.NUMBERS: self._numbers,
            requests.ENTER: self._arrival.enter,
            requests.JOIN: self._arrival.join,
            requests.RESUME: self._arrival.resume,
            requests.RENAME: self._rename,
            requests.POST: self._post,
            requests.WHO: self._who,
            requests.HISTORY: self._history,
            requests.ANSWER: self._answer,
            requests.WIRE: self._wire,
            requests.LAST: self._wire,
            requests.OPERATE: self._operate,
            requests.LEAVE: self._leave,
        }

    def serve(self, seat: Seat, request: Request) -> None:
        if request.verb not in _OF_BYTES and not _is_line(request.body):
            raise Malformed
        if request.verb == requests.SAY and seat.state == HERE:
            self._say(seat, request)
        elif (verb := self._verbs.get(request.verb)) and seat.state in (COMING, HERE):
            if request.verb in _FREE or seat.state == COMING or seat.rate.allowed(1):
                verb(seat, request)
            else:
                self._slow_down(seat, 0, 1)
        elif request.verb == requests.LEAVE:
            self._leave(seat, request)
        else:
            raise Malformed

    def hello(self, seat: Seat, sock: socket.socket) -> None:
        """Its client is there."""
        self._arrival.hello(seat, sock)

    def _numbers(self, seat: Seat, request: Request) -> None:
        if seat.client:
            seat.client.numbered = True
            seat.notice(messages.numbered_from(request.number))
        if seat.state == HERE:
            seat.rate.spend(1)
        seat.reply(OK)

    def _say(self, seat: Seat, request: Request) -> None:
        lines, first = request.body, request.number
        if not lines.endswith(b"\n") or len(lines) > LONGEST or not is_safe(lines):
            raise Malformed
        if too_long(lines, LINE_LIMIT):
            raise Malformed
        wanted = lines.count(b"\n")
        count = seat.rate.allowed(wanted)
        if count == 0:
            self._slow_down(seat, 0, wanted)
            return
        count = min(count, self._ledger.takes(seat, lines))
        if count < wanted:
            at = 0
            for _ in range(count):
                at = lines.index(b"\n", at) + 1
            lines = lines[:at]
        seat.rate.spend(count)
        if seat.slowed and seat.rate.allowed(1):  # not still in the same debt
            seat.slowed = False
        client = seat.client

        def said(start: int, end: int, why: str) -> None:
            if why:
                self._not_recorded(seat, first, count, why)
            elif client and not (client.echo and not client.numbered):
                self._hub.clients.wake(client)
                client.leave_out(start, end, first, count)
            if count < wanted:
                self._slow_down(seat, count, wanted - count)
            else:
                self._hub.reply_soon(seat)

        self._ledger.say(seat, lines, first, said)

    def _slow_down(self, seat: Seat, count: int, waiting: int) -> None:
        if not seat.slowed and (why := seat.rate.why_slowly(waiting)):
            seat.notice(messages.slowly(why))
            seat.slowed = True
        seat.reply(SLOWLY, "", count, seat.rate.seconds_to_wait())

    def _not_recorded(self, seat: Seat, first: int, count: int, reason: str) -> None:
        """Answer that so many lines from `first` on were not."""
        text, client = messages.not_recorded(reason), seat.client
        if client and client.numbered:
            for number in range(first, first + count):
                seat.answer(number, text)
        elif client and client.echo:  # whoever waits for each record gets an answer for each
            seat.tell(*[f"! {text}"] * count)
        else:
            seat.notice(messages.not_recorded(reason, count))

    def _rename(self, seat: Seat, request: Request) -> None:
        (wanted,) = request.words()
        if seat.operator:
            seat.refuse(request.number, f"you keep this room: you stay {HOST}")
            return
        seat.rate.spend(NICK_COST)
        try:
            nick = free_nick(wanted)
        except NickError as error:
            seat.refuse(request.number, str(error))
            return
        if nick == seat.nick:
            seat.refuse(request.number, f"you are {nick}")
            return

        def renamed(_start: int, _end: int, why: str) -> None:
            echo = seat.client is not None and seat.client.echo
            key = self._hub.keys.key(seat.nick, seat.session) if echo else ""
            self._done(seat, request.number, why or messages.renamed(seat.nick, key))

        self._ledger.rename(seat, nick, False, renamed)

    def _done(self, seat: Seat, number: int, *texts: str) -> None:
        """A command is carried out."""
        seat.answer(number, *texts)
        seat.reply(OK, seat.nick)

    def _post(self, seat: Seat, request: Request) -> None:
        nick, text = request.words()
        seat.rate.spend(1)

        def posted(why: str) -> None:
            self._done(seat, request.number, why or messages.you_told(nick, text))

        self._ledger.post(seat, nick, text, posted)

    def _who(self, seat: Seat, request: Request) -> None:
        seat.rate.spend(1)

        def found(nicks: list[str], why: str) -> None:
            lines = messages.here(sorted(nicks, key=str.casefold))
            self._tell(seat, request.number, [messages.not_done(why)] if why else lines)

        self._ledger.who(found)

    def _tell(self, seat: Seat, number: int, lines: list[str]) -> None:
        """An answer that may be long, which costs as much as saying it would."""
        seat.rate.spend(sum(map(len, lines)) / BYTES_A_LINE)
        self._done(seat, number, *lines)

    def _history(self, seat: Seat, request: Request) -> None:
        (typed,) = request.words()
        seat.rate.spend(1)
        count = typed or str(self._room.history)
        # the length first: of a number of thousands of digits Python makes none
        if not count.isdecimal() or len(count) > 9 or not 0 < int(count) <= HISTORY_LIMIT:
            usage = f"/history takes a number from 1 to {HISTORY_LIMIT}"
            self._done(seat, request.number, usage)
            return
        end = self._transcript.end
        start = self._transcript.back(int(count), end)
        records = self._transcript.read(max(start, end - HISTORY_BYTES), end)
        if start < end - HISTORY_BYTES:
            records = records[records.find(b"\n") + 1 :]
        lines = records.decode(errors="replace").split("\n")[:-1]
        self._tell(seat, request.number, lines or ["nothing is recorded yet"])

    def _answer(self, seat: Seat, request: Request) -> None:
        """What the member itself has to say about a line: its usage, the help."""
        lines = request.body.decode(errors="replace").split("\n")
        seat.rate.spend(1 + len(request.body) / BYTES_A_LINE)
        self._done(seat, request.number, *lines)

    def _wire(self, seat: Seat, request: Request) -> None:
        """What another program than a person reads: bytes for the wire as they are."""
        if seat.client:
            if request.verb == requests.LAST:
                seat.client.end_with(request.body)
            else:
                seat.client.tell(request.body)
            self._hub.clients.wake(seat.client)
        seat.reply(OK)

    def _operate(self, seat: Seat, request: Request) -> None:
        word, argument = request.words()
        if not seat.operator:
            raise Malformed
        seat.rate.spend(1)
        self._hub.operate(word, argument, lambda *texts: self._done(seat, request.number, *texts))

    def _leave(self, seat: Seat, request: Request) -> None:
        kind, reason = request.words()
        if kind not in _OWN_ENDINGS:
            raise Malformed
        if kind == requests.UNSERVED:
            text = f"could not serve {'you' if seat.operator else seat.ip}: {reason}"
            self._hub.server.tell(requests.NOTICE, 0, "unserved", text)
        if request.number:
            seat.notice(messages.not_said(request.number))
        self._hub.seats.leave(seat, kind, reason)


def _is_line(body: bytes) -> bool:
    """Whether words are such that no line with them becomes two, or harms who reads it."""
    return b"\n" not in body and is_safe(body.replace(b"\0", b" "))
