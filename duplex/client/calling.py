"""The parent of `duplex connect` until it is known whether a person or a room answers.

A person is talked to at once, as in any talk. A room greets first (docs/protocol.md), and the child
tells of it (follower.py); so for a moment nothing is said that could not be said in a room, too,
and stdin's end is not passed on. participant.py goes on from there.

    UNKNOWN ─► PAIR        the peer says something that is no welcome
       ├─────► GUESSED     it says nothing: a person, as far as one can tell; then PAIR, or a room
       └─────► ROOM                  GUEST: a room whose welcome came too late for us to be more

This file knows what is sent before, and nothing of what is said in a room.
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress

from duplex.client.detect import Opening
from duplex.system.errors import EXIT_FAILURE, EXIT_OK, DuplexError, TranscriptError
from duplex.system.process import wait
from duplex.system.tcp import acknowledged, round_trip
from duplex.talk.ending import Ending
from duplex.talk.session import CHUNK, Talk
from duplex.transcript import record
from duplex.transcript.file import Transcript

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from duplex.channel.base import Channel
    from duplex.client.reconnect import Again
    from duplex.system.process import Signals
    from duplex.talk.receiver import Receiving, Report
    from duplex.terminal.screen import Screen
    from duplex.transcript.keeping import Pending
    from duplex.transcript.recording import Recording

HOLD, ROUND_TRIPS = 0.15, 4  # s, and round trips besides, that a room has for its welcome
HOLD_EXPLICIT = 5.0  # s, where --nick says that a room is expected
CONFIRM = 1.5  # s, and round trips besides, in which what was said first may be refused
HOLD_SCREEN = 0.5  # s at most, that a screen waits for it

UNKNOWN, GUESSED, PAIR, GUEST, ROOM = "unknown", "guessed", "pair", "guest", "room"


class Calling(Talk):
    """What Joined is, as long as its connection is not to a room."""

    def __init__(
        self,
        sock: socket.socket,
        channel: Channel,
        address: str,
        options: argparse.Namespace,
        signals: Signals,
        transcript: Transcript | None,
        begun: bytes,
        again: Again | None = None,
        pending: Pending | None = None,
    ) -> None:
        super().__init__(sock, channel, address, options, signals, transcript)
        self.state = UNKNOWN
        self.opening = Opening(options.verbatim)
        self._begun = begun  # the record of the connection, until it is in the transcript
        self._own = b""  # the records of --both until then
        self._again = again
        self._pending = pending  # what the transcript will be, until the child has opened it
        self._kept_in: str | None = None  # the room's, which only the child writes
        hold = HOLD + ROUND_TRIPS * round_trip(sock)
        self._hold_until = time.monotonic() + (HOLD_EXPLICIT if options.explicit else hold)
        self._unsure = True  # whoever answers has taken nothing that was said so far
        self._acknowledged = 0  # bytes, before the first was said
        self._confirmed_at = 0.0  # when the first that was said is taken to be; monotonic
        self._pastes: list[tuple[bytes, bool]] = []  # what waits behind `opening`; is it text?
        self._channel: socket.socket  # to the child
        self._handed: list[int] = []  # descriptors that the child has handed over

    @property
    def in_room(self) -> bool:
        return self.state == ROOM

    # The child, and the channel to it:

    def _open_channel(self) -> tuple[int, int]:
        self._channel, theirs = socket.socketpair()
        return self._channel.fileno(), theirs.detach()

    def _read_channel(self) -> bytes:
        try:
            data, fds, _, _ = socket.recv_fds(self._channel, CHUNK, 4)
        except ConnectionResetError:  # the child died before it read what it was told
            return b""
        self._handed += fds
        return data

    def _child_ended(self) -> None:
        self._channel.detach()
        super()._child_ended()

    def _receiving(self, report: Report, recording: Recording) -> Receiving:
        """Only the child runs this."""
        from duplex.client.follower import Following

        following = Following(*self._for_receiving(report, recording), verbatim=self._verbatim)
        following.prepare(self._begun, self._again, self._pending, on_screen=self._on_screen)
        return following

    def _open_screen(self) -> Screen:
        """A room's greeting is answered first: it does not wait until a screen is loaded."""
        events = {self.report_fd: select.POLLIN, self.signals.fd: select.POLLIN}
        if self.report_fd in wait(events, min(self._hold_until - time.monotonic(), HOLD_SCREEN)):
            greeted = b".welcome "
            if self._channel.recv(len(greeted), socket.MSG_PEEK) == greeted:
                self.read_report()
        return super()._open_screen()

    # What is typed:

    def say(self, data: bytes) -> None:
        if self.state != UNKNOWN or not self.sending:
            super().say(data)
        elif self._pastes:
            self._pastes.append((data, False))
        else:
            lines = self.opening.feed(data)
            self._echo(lines)
            self._send(lines)

    def say_text(self, lines: bytes) -> None:
        if self.state != UNKNOWN or not self.sending:
            super().say_text(lines)
        else:  # a line of it could mean one thing to a person, and another in a room
            self._pastes.append((lines, True))

    def stop_saying(self) -> None:
        if self.state == UNKNOWN:
            self.sending = False
        else:
            super().stop_saying()

    def _takes_input(self) -> bool:
        return super()._takes_input() and not (self.state == UNKNOWN and self.opening.holds)

    def _may_shut(self) -> bool:
        return self.state != UNKNOWN or self.ending is not None

    def _send(self, data: bytes) -> None:
        if self.state in (UNKNOWN, GUESSED):
            self.opening.went_out(data)
        super()._send(data)

    # Time, and what the child finds out:

    def due(self) -> float | None:
        moments = [self._hold_until] if self.state == UNKNOWN else []
        if self._unsure and self._confirmed_at > time.monotonic():
            moments.append(self._confirmed_at)
        dues = [max(0.0, moment - time.monotonic()) for moment in moments]
        if (due := super().due()) is not None:
            dues.append(due)
        return min(dues, default=None)

    def look(self) -> None:
        super().look()
        over = self._unsure and 0 < self._confirmed_at <= time.monotonic()
        # What a pipe says is more than can be kept.
        if over and (not self.by_hand or acknowledged(self.sock) > self._acknowledged):
            self._confirm()

    def _echo(self, lines: bytes) -> None:
        """A port that is protected refuses who is not, after the first that he has said."""
        if not self._unsure or self.in_room:
            super()._echo(lines)
        elif lines:
            self.unconfirmed += lines if self.by_hand else b""
            if not self._confirmed_at:
                wait = CONFIRM + ROUND_TRIPS * round_trip(self.sock)
                self._confirmed_at = time.monotonic() + wait
                self._acknowledged = acknowledged(self.sock)

    def _confirm(self) -> None:
        """What was said is taken by whoever is there."""
        said, self.unconfirmed, self._unsure = self.unconfirmed, b"", False
        super()._echo(said)
        if not self._begun:
            self._record_beginning(b"")

    def check_pulse(self) -> None:
        if self.state == UNKNOWN and time.monotonic() >= self._hold_until:
            self._guess()
        super().check_pulse()

    def _guess(self) -> None:
        """It says nothing: then it is not a room, unless it is a slow one."""
        self.state = GUESSED
        self._say_what_waits(self.opening.release())

    def _say_what_waits(self, data: bytes) -> None:
        """What was typed until it was known how to say it, its end included."""
        ended, self.sending = not self.sending, True
        self.say(data)
        pastes, self._pastes = self._pastes, []
        for waiting, is_text in pastes:
            (self.say_text if is_text else self.say)(waiting)
        if ended:
            self.stop_saying()

    def _on_report(self, word: str, reason: str) -> None:
        if word == "kept":
            self._is_kept(reason)
        elif word == "begun":
            self._begun = b""
            if not self._unsure:
                self._record_beginning(b"")
        elif word == "refused":
            self._hearing = False
            self._own = b""  # nothing of it was said to anybody
            self._end(Ending(EXIT_FAILURE, f"refused: {reason}"))
        elif word == "pair":
            if self.state == UNKNOWN:
                self._guess()
            self.state = PAIR
            self._confirm()
        elif word == "welcome" and (self._shut or not self.opening.is_whole):
            self.state = GUEST
            self._answer_child(GUEST)
            self.tell(
                "this is a room, and you are a guest in it; connect with --nick NAME to have a nick"
            )
        elif word == "welcome":
            self.state = ROOM
            self._answer_child(ROOM)
            self._begun = self._own = b""
            self._enter()
            self._on_report(word, reason)
        else:
            super()._on_report(word, reason)

    def _answer_child(self, what: str) -> None:
        """What this is, which the child has to know before it reads on."""
        with suppress(OSError):  # if it has ended, the end of its channel will tell
            self._channel.send(f"{what}\n".encode())

    def _enter(self) -> None:
        """It is a room: what has been said, and what waits, is to be said in it."""
        raise NotImplementedError

    # The transcript: that of a room is the room's, so the beginning of a talk waits for the answer,
    # and so does the file, where no --log names it.

    @property
    def transcript_path(self) -> str | None:
        waiting = "no transcript yet" if self._pending else None
        return super().transcript_path or self._kept_in or waiting

    def _is_kept(self, path: str) -> None:
        """The child has opened it, and has claimed it; "" if it could not."""
        self._pending = None
        if self.state in (GUEST, ROOM) or not path:
            self._recording.transcript, self._kept_in = None, path or None
            return
        try:
            self._recording.transcript = Transcript.open(path)
        except TranscriptError as error:
            self.tell(str(error))

    def _record_own(self, lines: bytes) -> None:
        if (self._begun or self._unsure) and lines:
            self._own += record.said("me", lines)
        else:
            super()._record_own(lines)

    def _announce(self, ending: Ending) -> None:
        if self.unconfirmed and ending.status == EXIT_OK:
            self._confirm()
        elif self.unconfirmed:
            self._own = b""  # it is told as not sent
        self._record_beginning(self._begun)
        super()._announce(ending)

    def _tell_unsent(self, ending: Ending) -> None:
        self._tell_not_sent(self.unconfirmed)
        super()._tell_unsent(ending)

    def _record_beginning(self, begun: bytes) -> None:
        """`begun` is b"" if the child has recorded it."""
        if self._pending and self.state not in (GUEST, ROOM):  # the child was killed before that
            self._keep_by_itself(self._pending)
        records, self._begun, self._own = begun + self._own, b"", b""
        if records:
            self._recording.record_now(lambda at: record.restamped(records, at))

    def _keep_by_itself(self, pending: Pending) -> None:
        self._pending = None
        try:
            self._recording.transcript, told = pending.of_talk()
        except DuplexError as error:
            told = str(error)
        if told:
            self.tell(told)
