"""The arrival of a client: the welcome, then for a moment the chance to be more than a guest.

Runs in the member, between the fork and the record of its entry. Who says nothing special in that
moment enters as a guest; `/join` and `/resume` (docs/protocol.md) take a nick before anybody sees
the guest's; who says them later is let in by late.py. Also the only place where a nick is taken
over from an earlier connection.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from duplex.channel.handshake import FIRST_LINE
from duplex.protocol import events, messages, refusals
from duplex.protocol.commands import NUMBERS, REQUESTS, read_resume
from duplex.protocol.nick import HOST, NickError, Taken, free_nick, guest, numbered, same_nick
from duplex.room import page
from duplex.room.roster import new_session
from duplex.system.errors import TranscriptError
from duplex.system.tcp import round_trip
from duplex.transcript import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.room.member import Member

# How long an answer to the welcome is waited for: a client far away needs its round trips, one on
# a busy machine some time to be woken.
MOMENT, ROUND_TRIPS = 0.5, 4  # s, and round trips besides
OPERATORS_MOMENT = 60.0  # s: it always asks, and has its screen to load before
ASKING = 1.0  # s for an earlier connection's member to end when it is told to, before it is killed
TAKING_OVER = 5.0  # s in all until its nick has to be free
VAIN_LIMIT = 20  # requests in vain: they cost nothing of the rate, and no client has so many keys
LOOK_EVERY = 0.005  # s between two looks whether it is


class NotResumed(Exception):
    """The text says why."""


class Arrival:
    """What a member does while it is COMING."""

    def __init__(self, member: Member, number: int) -> None:
        self._member = member
        self._room = member.room
        self.session = new_session()
        self._number = number
        self._request = b""
        self._heard = 0  # lines so far
        self._refused = 0  # requests
        self.deadline = 0.0
        self._moment = 0.0  # what it was before a line was waited for

    def welcome(self) -> None:
        """Take a guest's nick, and speak first."""
        self._take_guest_nick()
        here = self._count() + 1
        self._member.notice(messages.welcome(self._room.name, self._member.nick, here))
        self._begin_moment()

    def look_for_request(self, lines: bytes) -> None:
        """Find the request, if it is among the lines just heard. They are kept with the others."""
        numbers = range(self._heard + 1, self._heard + 1 + lines.count(b"\n"))
        self._heard = numbers.stop - 1
        if b"/" not in lines:
            return
        for number, line in zip(numbers, lines.split(b"\n"), strict=False):
            if line == NUMBERS.encode():
                self._member.number_answers()
            elif line.startswith(REQUESTS) and not self._request:
                self._request = line
            else:
                continue
            self._member.obeyed.add(number)

    def go_on(self) -> None:
        """Enter, if it is time to."""
        member = self._member
        if member.leaving or self._room.page.closing:
            return
        if self._request:
            request, self._request = self._request.decode(), b""
            self._carry_out(request)
        elif member.over and member.lines.count(b"\n") == len(member.obeyed):
            member.leave(page.LEFT, "", 0)  # it has only looked whether somebody is there
        elif member.over or time.monotonic() >= self.deadline:
            self._enter(echo=False)

    def wait_for_line(self, undecided: bool) -> None:
        """While what was said may be what no person says, nobody enters; but not for long."""
        if undecided and not self._moment:
            self._moment = self.deadline
            self.deadline = max(self.deadline, time.monotonic() + FIRST_LINE)
        elif self._moment and not undecided:
            self.deadline, self._moment = self._moment, 0.0

    def _begin_moment(self) -> None:
        if self._member.operator:
            moment = OPERATORS_MOMENT
        else:
            moment = MOMENT + ROUND_TRIPS * round_trip(self._member.sock)
        self.deadline = time.monotonic() + moment

    def _take_guest_nick(self) -> None:
        if self._member.operator:
            self._take(HOST)
            return
        while True:
            try:
                self._take(guest(self._number))
            except Taken:  # somebody has chosen to be called so
                self._number += 1
            else:
                return

    def _take(self, nick: str) -> None:
        """Raises Taken."""
        self._be_called(nick)

    def _be_called(self, nick: str) -> None:
        """Take it on this host. Raises Taken."""
        member, roster = self._member, self._room.roster
        former = member.nick
        self._take_here(nick)
        member.seat.nick = nick
        if former:
            roster.free(member.seat, former)
        member.called(nick)

    def _take_here(self, nick: str) -> None:
        seat, roster = self._member.seat, self._room.roster
        if seat.claims and seat.inherits:
            roster.inherit(seat, nick)
        else:
            roster.take(seat, nick)

    def _carry_out(self, request: str) -> None:
        command, _, rest = request[1:].partition(" ")
        try:
            if command == "join":
                self._join(rest.strip())
            else:
                self._resume(read_resume(rest))
        except NotResumed as error:
            self._member.seat.claims = 0
            self._member.notice(messages.not_resumed(error))
            self._refused += 1
            if self._refused == VAIN_LIMIT:
                self._member.notice(refusals.ASKED_TOO_OFTEN)
                self._member.leave(page.LEFT, "", 1)
            self._begin_moment()

    def _join(self, wanted: str) -> None:
        member = self._member
        if not member.operator:
            try:
                self._take_or_number(free_nick(wanted))
            except NickError as error:
                member.notice(str(error))
        self._enter(echo=True)

    def _take_or_number(self, nick: str) -> None:
        """`nick`, or with the first number behind it that is free."""
        if same_nick(nick) == same_nick(self._member.nick):
            return
        number, why = 1, ""
        while True:
            try:
                self._take(numbered(nick, number))
            except Taken as error:
                why = why or str(error)
                number += 1
            else:
                break
        if why:
            self._member.notice(messages.so_you_are(why, self._member.nick))

    def _enter(self, echo: bool) -> None:
        member = self._member
        offset = self._record(events.entered(member.nick, member.seat.address))
        if offset is not None:
            start = member.transcript.back(self._room.history, offset)
            self._begin(start, offset, echo)

    def _resume(self, words: tuple[str, str, int] | None) -> None:
        member, room = self._member, self._room
        if words is None:
            raise NotResumed("/resume takes NICK KEY OFFSET")
        nick, key, start = words
        try:
            session = room.keys.session(nick, key)
        except NickError:
            session = None
        if session is None:
            raise NotResumed("the key is not of this room")
        if not self._is_there(start) or not member.transcript.is_start(start):
            raise NotResumed(f"there is no offset {start}")
        self._take_over(nick, session)
        self._member.seat.claims = 0
        self.session = session
        offset = self._record(events.back(member.nick, member.seat.address))
        if offset is not None:
            self._begin(start, offset, echo=True)

    def _is_there(self, offset: int) -> bool:
        return offset <= self._room.page.watermark

    def _take_over(self, nick: str, session: int) -> None:
        """Take the nick, once no earlier connection of this client has a member any more.

        Such a member may have another nick by now. It has ended only when the host has reaped it
        and cleared its seat: nothing more is said by it then, and its nicks are free, or the one
        that is wanted here is kept for us (departures.py).
        """
        begun, wanted = time.monotonic(), same_nick(nick)
        self._room.roster.wants(self._member.seat, nick)
        self._member.seat.claims = session
        asked: dict[int, float] = {}  # when each of them was asked to make way
        while True:
            own = [(pid, name, at) for pid, of, name, at in self._seated() if of == session]
            if any(at > self._member.seat.number for _, _, at in own):
                raise NotResumed("you have come back in a later connection")
            earlier = [(pid, name) for pid, name, _ in own]
            if not earlier:
                try:
                    self._take_back(nick, session)
                except Taken:
                    holders = [of for _, of, name, _ in self._seated() if same_nick(name) == wanted]
                    if any(of != session for of in holders):  # one of ours may just have come
                        raise NotResumed(f"somebody else is {nick} now") from None
                else:
                    return
            now = time.monotonic()
            if now - begun > TAKING_OVER:
                raise NotResumed(f"the earlier connection of {nick} does not end")
            for pid, name in earlier:
                if pid not in asked:
                    self._room.ask_to_make_way(name)  # it may be too busy for that, or stopped
                    asked[pid] = now
                elif now - asked[pid] > ASKING:
                    with suppress(ProcessLookupError):  # it has just ended
                        os.kill(pid, signal.SIGKILL)
            time.sleep(LOOK_EVERY)

    def _take_back(self, nick: str, _session: int) -> None:
        """Raises Taken."""
        self._take(nick)

    def _seated(self) -> list[tuple[int, int, str, int]]:
        """(process id, session, nick, its number among all who came) of everybody who is here.

        The host may clear a seat at any instant, so what was read counts only if it still stands.
        """
        found = []
        for seat in self._room.page.taken():
            pid, session, nick, number = seat.pid, seat.session, seat.nick, seat.number
            if pid and seat.state == page.HERE and seat.pid == pid:
                found.append((pid, session, nick, number))
        return found

    def _record(self, text: str) -> int | None:
        """Record the entry, and count it, in one; its offset. Or the client has to go."""
        member, room = self._member, self._room
        member.seat.session = self.session
        if member.operator:
            with member.transcript:
                room.page.here += 1
                return room.page.watermark
        try:
            with member.transcript:
                offset = member.write(record.event(text, member.transcript.stamp()))
                member.seat.state = page.HERE
                room.page.here += 1
        except TranscriptError as error:
            member.notice(refusals.no_transcript(error.reason))
            member.leave(page.LEFT, "", 1)
            return None
        room.tell_log(text)
        return offset

    def _begin(self, start: int, offset: int, echo: bool) -> None:
        """Everything up to `offset` was there before."""
        member = self._member
        if echo:
            self._tell_joined(member.nick, start, offset)
        self._follow(start, echo)
        member.is_here(offset)

    def _tell_joined(self, nick: str, start: int, end: int) -> None:
        room, key = self._room, self._room.keys.key(nick, self.session)
        self._member.notice(messages.joined(room.name, nick, key, start, end, self._count()))

    def _follow(self, start: int, echo: bool) -> None:
        self._member.delivery.follow(start, echo)

    def _count(self) -> int:
        """How many are here."""
        return self._room.page.here
