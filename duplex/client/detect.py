"""Detecting whether a person or a room answers `duplex connect`; after that, the policy is chosen.

A person is talked to at once, as in any talk. A room greets first (docs/protocol.md), and the child
tells of it (follower.py); so for a moment nothing is said that could not be said in a room, too,
and stdin's end is not passed on.

    Undecided ─► a welcome: Participant, from there on the session's policy; or a guest of a room,
       │         if the welcome came too late for more
       ├───────► the peer says something else: it stays what it is, a Pair
       └───────► it says nothing: taken for a person, and then one of the above, or `refused`

Runs in the parent. Knows what is sent before, and nothing of what is said in a room.
"""

from __future__ import annotations

import select
import time

from duplex.client.holdback import Holdback
from duplex.client.participant import Participant
from duplex.system.errors import EXIT_FAILURE, EXIT_OK, DuplexError, TranscriptError
from duplex.system.process import wait
from duplex.system.tcp import acknowledged, round_trip
from duplex.talk.pair import Pair
from duplex.talk.policy import Ending
from duplex.transcript import record
from duplex.transcript.file import Transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from duplex.client.reconnect import Reconnect
    from duplex.talk.session import Session
    from duplex.transcript.keeping import Pending

HOLD, ROUND_TRIPS = 0.15, 4  # s, and round trips besides, that a room has for its welcome
HOLD_EXPLICIT = 5.0  # s, where --nick says that a room is expected
CONFIRM = 1.5  # s, and round trips besides, in which what was said first may be refused
HOLD_SCREEN = 0.5  # s at most, that a screen waits for it
_GREETED = b".welcome "


class Undecided(Pair):
    """A Pair that holds back what a room would take otherwise, and hands over to a Participant."""

    def __init__(
        self, session: Session, begun: bytes, reconnect: Reconnect | None, pending: Pending | None
    ) -> None:
        """`begun` is the record of the connection, `reconnect` the way back to the peer.

        `pending` is what the transcript is to be, unless there is one, or is to be none.
        """
        super().__init__(session)
        self.holdback = Holdback(session.options.verbatim)
        self.ways |= {
            "kept": self._on_kept,
            "begun": self._on_begun,
            "refused": self._on_refused,
            "pair": self._on_pair,
            "welcome": self._on_welcome,
        }
        self._begun = begun  # until it is in the transcript
        self._records = b""  # of --both, until then
        self._reconnect = reconnect
        self._pending = pending  # until the child has opened it
        self._is_guest = False
        sock = session.connection.sock
        hold = HOLD + ROUND_TRIPS * round_trip(sock)
        self._holds = True  # what could mean something else in a room
        self._hold_until = time.monotonic() + (HOLD_EXPLICIT if session.options.explicit else hold)
        self._pastes: list[tuple[bytes, bool]] = []  # what waits behind `holdback`; is it text?
        self._unsure = True  # whoever answers has taken nothing that was said so far
        self._acknowledged = 0  # bytes, before the first was said
        self._confirmed_at = 0.0  # when the first that was said is taken to be; monotonic
        if pending:
            session.kept_in = "no transcript yet"

    def receiving(self, *parts: Any) -> Callable[[], int]:
        """Only the child runs this."""
        from duplex.client.follower import Following

        return Following(
            *parts,
            begun=self._begun,
            reconnect=self._reconnect,
            pending=self._pending,
            on_screen=self.session.on_screen,
            verbatim=self.session.options.verbatim,
        ).run

    def before_screen(self) -> None:
        """A room's greeting is answered first: it does not wait until a screen is loaded."""
        session = self.session
        events = {session.child.fileno(): select.POLLIN, session.signals.fd: select.POLLIN}
        happened = wait(events, min(self._hold_until - time.monotonic(), HOLD_SCREEN))
        if session.child.fileno() in happened and session.child.reports_first(_GREETED):
            session.turn(0)

    # What is typed:

    def say(self, data: bytes) -> None:
        if not self._holds or not self.session.sending:
            super().say(data)
        elif self._pastes:
            self._pastes.append((data, False))
        else:
            lines = self.holdback.feed(data)
            self.echo(lines)
            self.send(lines)

    def say_text(self, lines: bytes) -> None:
        if not self._holds or not self.session.sending:
            super().say_text(lines)
        else:  # a line of it could mean one thing to a person, and another in a room
            self._pastes.append((lines, True))

    def stop_saying(self) -> None:
        if self._holds:
            self.session.sending = False
        else:
            super().stop_saying()

    def takes_input(self) -> bool:
        return super().takes_input() and not (self._holds and self.holdback.holds)

    def may_shut(self) -> bool:
        return not self._holds or self.session.ending is not None

    def send(self, data: bytes) -> None:
        self.holdback.went_out(data)
        super().send(data)

    def unsaid(self) -> bytes:
        return self.session.unconfirmed + super().unsaid()

    def _stop_holding(self) -> None:
        """It says nothing: then it is not a room, unless it is a slow one."""
        self._holds = False
        self._say_what_waits(self.holdback.release())

    def _say_what_waits(self, data: bytes) -> None:
        """What was typed until it was known how to say it, its end included."""
        session = self.session
        ended, session.sending = not session.sending, True
        session.policy.say(data)
        pastes, self._pastes = self._pastes, []
        for waiting, is_text in pastes:
            (session.policy.say_text if is_text else session.policy.say)(waiting)
        if ended:
            session.policy.stop_saying()

    # Whether it was taken by who is there: a port that is protected refuses who is not, after the
    # first that he has said.

    def echo(self, lines: bytes) -> None:
        if not self._unsure:
            super().echo(lines)
        elif lines:
            self.session.unconfirmed += lines if self.session.by_hand else b""
            if not self._confirmed_at:
                sock = self.session.connection.sock
                self._confirmed_at = time.monotonic() + CONFIRM + ROUND_TRIPS * round_trip(sock)
                self._acknowledged = acknowledged(sock)

    def _confirm(self) -> None:
        said, self.session.unconfirmed, self._unsure = self.session.unconfirmed, b"", False
        self.echo(said)
        if not self._begun:
            self._record_beginning()

    def due(self) -> float | None:
        now = time.monotonic()
        moments = [self._hold_until] if self._holds else []
        if self._unsure and self._confirmed_at > now:
            moments.append(self._confirmed_at)
        dues = [super().due(), *(max(0.0, moment - now) for moment in moments)]
        return min((due for due in dues if due is not None), default=None)

    def look(self) -> None:
        if self._holds and time.monotonic() >= self._hold_until:
            self._stop_holding()
        super().look()
        over = self._unsure and 0 < self._confirmed_at <= time.monotonic()
        # What a pipe says is more than can be kept.
        sock = self.session.connection.sock
        if over and (not self.session.by_hand or acknowledged(sock) > self._acknowledged):
            self._confirm()

    # What the child finds out:

    def _on_pair(self, _reason: str) -> None:
        if self._holds:
            self._stop_holding()
        self._confirm()

    def _on_refused(self, reason: str) -> None:
        self.session.hearing = False
        self._records = b""  # nothing of it was said to anybody
        self.session.end(Ending(EXIT_FAILURE, f"refused: {reason}"))

    def _on_welcome(self, greeting: str) -> None:
        session = self.session
        if session.connection.shut or not self.holdback.is_whole:
            self._is_guest = True
            session.child.tell("guest")
            session.tell(
                "this is a room, and you are a guest in it; connect with --nick NAME to have a nick"
            )
            return
        session.child.tell("room")
        session.unconfirmed = b""
        room = Participant(session, resumes=self._reconnect is not None)
        session.policy = room
        if session.screen:
            room.appear(session.screen)
        room.has_said(self.holdback.said)
        self._say_what_waits(self.holdback.release() + self.typed.take_tail())
        room.ways["welcome"](greeting)

    # The transcript: that of a room is the room's, so the beginning of a talk waits for the answer,
    # and so does the file, where no --log names it.

    def _on_kept(self, path: str) -> None:
        """The child has opened it, and has claimed it; "" if it could not."""
        session = self.session
        self._pending = session.kept_in = None
        if self._is_guest or not path:
            session.recording.transcript, session.kept_in = None, path or None
            return
        try:
            session.recording.transcript = Transcript.open(path)
        except TranscriptError as error:
            session.tell(str(error))

    def _on_begun(self, _reason: str) -> None:
        self._begun = b""
        if not self._unsure:
            self._record_beginning()

    def record_own(self, lines: bytes) -> None:
        if (self._begun or self._unsure) and lines:
            self._records += record.said("me", lines)
        else:
            super().record_own(lines)

    def announce(self, ending: Ending) -> None:
        if self.session.unconfirmed and ending.status == EXIT_OK:
            self._confirm()
        elif self.session.unconfirmed:
            self._records = b""  # it is told as not sent
        self._record_beginning()
        super().announce(ending)

    def _record_beginning(self) -> None:
        """With the connection itself, unless the child has recorded that."""
        if self._pending and not self._is_guest:  # the child was killed before it had opened it
            self._keep(self._pending)
        records, self._begun, self._records = self._begun + self._records, b"", b""
        if records:
            self.session.recording.record_now(lambda at: record.restamped(records, at))

    def _keep(self, pending: Pending) -> None:
        self._pending = self.session.kept_in = None
        try:
            self.session.recording.transcript, told = pending.of_talk()
        except DuplexError as error:
            told = str(error)
        if told:
            self.session.tell(told)
