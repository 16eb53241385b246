"""The arrival of a client in a room in a store: its nick and its entry are the store's to give.

Runs in the member. The store is asked first, and then the nick is taken on this host. What is
asked here is waited for: the client has nothing else to be served with.
"""

from __future__ import annotations

import time

from duplex.protocol import events, refusals
from duplex.protocol.nick import HOST, Taken, refusal
from duplex.room import page
from duplex.room.join import LOOK_EVERY, TAKING_OVER, Arrival, NotResumed
from duplex.room.roster import Roster, claimed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.room.page import Seat
    from duplex.store.member import SharedMember
    from duplex.store.pen import Heard
    from duplex.store.room import SharedRoom

FREED = 2.0  # s for a nick that the store has given to be free on this host, too
REACHED = 4.0  # s for the store to answer who comes: less than who asks with --nick waits


class OutOfReach(Exception):
    """The store does not answer; the text is for the client."""


class SharedArrival(Arrival):
    """What a member does while it is COMING."""

    _member: SharedMember
    _room: SharedRoom

    def welcome(self) -> None:
        self._here = 0
        self._entry: int | None = None  # the offset of its record
        self._patient_until = time.monotonic() + REACHED
        try:
            super().welcome()
        except OutOfReach as error:
            self._member.notice(str(error))
            self._member.leave(page.LEFT, "", 1)

    def go_on(self) -> None:
        self._patient_until = float("inf")  # it has been welcomed, and what it says is kept
        try:
            super().go_on()
        except OutOfReach as error:
            self._member.notice(str(error))
            self._member.leave(page.LEFT, "", 1)

    def _count(self) -> int:
        return self._here

    def _take_guest_nick(self) -> None:
        if self._member.operator:
            self._claim(HOST, f"{HOST}:{self._room.host_id}", "")
            self._be_called(HOST)
            return
        nick = self._claim("", "", "")
        self._be_called(nick)

    def _take(self, nick: str) -> None:
        self._be_called(self._claim(*claimed(nick, "")))

    def _claim(self, nick: str, *how: str) -> str:
        """The nick that was given. Raises Taken."""
        heard = self._call("claim", nick, *how)
        if heard.word in ("taken", "alike"):
            raise refused(nick, heard)
        self._look_at(heard)
        self._here = int(heard.rest[1])
        return heard.rest[0].decode()

    def _take_here(self, nick: str) -> None:
        take_given(self._room.roster, self._member.seat, nick)

    def _is_there(self, offset: int) -> bool:
        """This host may be behind the one where the client was."""
        self._wait_for(offset, TAKING_OVER)
        return self._room.transcript.first <= offset <= self._room.page.watermark

    def _take_back(self, nick: str, session: int) -> None:
        """Take the nick, and record that it is back: one step, after which nothing more is said in
        the earlier connection, on whatever host that is."""
        member = self._member
        member.seat.session, own = session, f"{self.session:016x}"
        member.pen.session = f"{session:016x}".encode()
        text = events.back(nick, member.seat.address)
        heard = self._call("resume", *claimed(nick, text))
        if heard.word in ("taken", "later"):
            member.seat.session, member.pen.session = self.session, own.encode()
        if heard.word == "taken":
            raise NotResumed(f"somebody else is {nick} now")
        if heard.word == "later":
            raise NotResumed("you have come back in a later connection")
        self._look_at(heard)
        self._has_entered(heard, text)
        self._be_called(nick)

    def _record(self, text: str) -> int | None:
        """The entry's offset, once the transcript up to it is here."""
        member = self._member
        member.seat.session = self.session
        if member.operator:
            member.seat.state = page.HERE
            return self._room.page.watermark
        if self._entry is None:
            member.seat.state = page.HERE  # so that the host asks whether it was seen
            heard = self._call("enter", text)
            self._look_at(heard)
            self._has_entered(heard, text)
        assert self._entry is not None
        self._wait_for(self._entry)
        return self._entry

    def _has_entered(self, heard: Heard, text: str) -> None:
        self._entry, self._here = int(heard.rest[0]), int(heard.rest[1])
        self._member.seat.state = page.HERE
        self._room.tell_log(text)

    def _look_at(self, heard: Heard) -> None:
        """Whatever else the store answers, the client has to go."""
        if heard.word != "ok":
            reason = b" ".join(heard.rest).decode(errors="replace") or heard.word
            raise OutOfReach(refusals.not_let_in(reason))

    def _call(self, operation: str, *words: str) -> Heard:
        heard = self._member.pen.call(operation, *words, patience=self._is_patient)
        if heard is None:
            raise OutOfReach(refusals.OUT_OF_REACH)
        return heard

    def _is_patient(self) -> bool:
        return not self._room.page.closing and time.monotonic() < self._patient_until

    def _wait_for(self, offset: int, seconds: float = float("inf")) -> None:
        """For the mirror to bring the transcript up to there."""
        deadline = time.monotonic() + seconds
        while self._room.page.watermark < offset and not self._room.page.closing:
            if time.monotonic() >= deadline:
                return
            time.sleep(LOOK_EVERY)


def refused(nick: str, heard: Heard) -> Taken:
    """Why the store does not give a nick: it has answered "taken", or "alike"."""
    return refusal(nick, heard.rest[0].decode() if heard.rest else "")


def take_given(roster: Roster, seat: Seat, nick: str) -> None:
    """Take a nick that the store has given: whoever had it here frees it any moment."""
    deadline = time.monotonic() + FREED
    while True:
        try:
            roster.take(seat, nick)
            return
        except Taken:
            if time.monotonic() >= deadline:
                raise
            time.sleep(LOOK_EVERY)
