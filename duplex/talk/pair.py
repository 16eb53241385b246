"""The policy of a talk between two: what is said as lines, and every reason for it to end.

    child   .left, .bye, .lost …   ─►  ways                        ─┐
    here    quit, bye, signals     ─►  Session.leave                ├─►  Session.end: the first one
    time    a reset, a dead peer   ─►  look, Session._look: lost   ─┘    counts

Runs in the parent. docs/architecture.md has the table. Knows no terminal and no child's process.
"""

from __future__ import annotations

import errno
import os

from duplex.channel import plain
from duplex.system.errors import EXIT_FAILURE, EXIT_OK
from duplex.system.halfclose import HalfClosed
from duplex.system.tcp import is_closed
from duplex.talk import words
from duplex.talk.policy import Ending, Policy
from duplex.talk.stdin import tell_not_sent
from duplex.transcript import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from duplex.talk.session import Session

_STDOUT = 1
_ME = "me"


class Pair(Policy):
    """See there for what is called when."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.typed = words.Typed(session.options.verbatim, session.by_hand)
        self.ways = {
            "answer": self._on_answer,
            "stranger": self._on_stranger,
            "left": lambda _: self._peer_left(said_bye=False),
            "bye": lambda _: self._peer_left(said_bye=True),
            "lost": self._on_lost,
            "tampered": self._on_tampered,
        }
        self._own = plain.Receiver() if session.options.both else None  # as a record has it
        self._half: HalfClosed | None = None  # once the peer says no more, where a person sits
        self._has_said = False  # something was typed, or read

    def receiving(self, *parts: Any) -> Callable[[], int]:
        """Only the child runs this."""
        from duplex.talk.receiver import Receiving

        return Receiving(*parts, verbatim=self.session.options.verbatim).run

    # What is typed:

    def say(self, data: bytes) -> None:
        """Send it, as far as the words that mean something let it."""
        self._has_said = self._has_said or bool(data)
        said = self.typed.feed(data)
        if self.typed.take_help():
            for line in words.HELP:
                self.session.tell(line)
        if self.session.sending:
            self.echo(said)
            self.send(said)
        elif self.typed.word:
            self.session.leave(EXIT_OK)
        else:
            tell_not_sent(said, self.session.tell)

    def say_text(self, lines: bytes) -> None:
        if words.ends_with(lines, words.BYE):
            lines = lines[:-1] + b" \n"  # or the other side would end, as nothing follows
        if self.session.sending:
            self.echo(lines)
            self.send(lines)
        else:
            tell_not_sent(lines, self.session.tell)

    def stop_saying(self) -> None:
        """The peer is told by shutting our half, once all is sent."""
        session = self.session
        self.send(self.typed.end())
        if self._own is not None:
            self.record_own(self._own.end(cut_off=False))
        session.sending = False
        self.pump()
        if session.by_hand and not self._half and not session.ending:
            session.tell(f"you say no more; {session.peer} still can (quit ends)")

    def takes_input(self) -> bool:
        """Who sits here can end it when all is said, too."""
        session = self.session
        wanted = session.sending or (session.by_hand and not session.ending)
        return wanted and not session.connection.broken

    def unsaid(self) -> bytes:
        return self.typed.take_tail()

    def echo(self, lines: bytes) -> None:
        """What is said here is shown, where the terminal does not do that."""
        if self.session.screen and lines:
            self.session.screen.echo(lines)

    def send(self, data: bytes) -> None:
        if self._own is not None:
            self.record_own(self._own.receive(data))
        self.session.connection.give(data)
        self.pump()
        if word := self.typed.word:
            self.session.leave(EXIT_OK, word=word, unsaid=self.typed.rest)

    def record_own(self, lines: bytes) -> None:
        if lines:
            self.session.recording.record_now(lambda at: record.said(_ME, lines, at))

    def pump(self) -> None:
        connection = self.session.connection
        try:
            connection.flush()
            if not self.session.sending and self.may_shut():
                connection.end()
        except OSError as error:
            self.session.unsendable(error)

    def may_shut(self) -> bool:
        """Whether the end of what is typed is the end of what is sent."""
        return True

    # What becomes of the peer:

    def on_line(self, line: bytes) -> bytes:
        return line + b"\n" if line[:1].isdigit() else b""

    def due(self) -> float | None:
        return self._half.seconds if self._half else None

    def look(self) -> None:
        session, connection = self.session, self.session.connection
        if session.ending:
            return
        if self._half:
            self._look_at_half(self._half)
        elif session.hearing:
            return
        # It has said its last: is all of ours there, or can it not get there any more?
        elif is_closed(connection.sock) and connection.under_way():
            self.lost(os.strerror(errno.ECONNRESET))
        elif is_closed(connection.sock) or (connection.shut and not connection.under_way()):
            session.end(Ending(EXIT_OK, "", told=False))  # that it left has been told

    def _look_at_half(self, half: HalfClosed) -> None:
        """The peer says no more: has it left altogether, has this side, too, said its last?"""
        session, connection = self.session, self.session.connection
        if half.left:
            text, count = f"{session.peer} left", half.lost(connection.under_way())
            if count:
                text += f"; {count} bytes were not acknowledged"
            session.end(Ending(EXIT_FAILURE if count else EXIT_OK, text))
        elif connection.shut and not connection.under_way():
            session.end(Ending(EXIT_OK, f"{session.peer} left"))
        elif half.seconds == 0:
            half.told = True
            text = f"{session.peer} says no more"
            session.recording.record_now(lambda at: record.event(text, at))
            session.tell(f"{text} (you still can)" if session.sending else text)

    def _peer_left(self, *, said_bye: bool) -> None:
        """It has no more to say. Who sits here may have, a pipe goes on; who serves others ends."""
        session = self.session
        ending = Ending(EXIT_OK, f"{session.peer} left")
        if said_bye:
            session.end(ending)
        elif session.by_hand and os.isatty(_STDOUT) and not session.ending:
            self._half = HalfClosed(session.connection.sock)
        elif session.by_hand or session.options.keep:
            session.end(ending)
        elif session.ending is None:
            self.announce(ending)
        session.hearing = False

    def unsendable(self) -> None:
        self.session.connection.broken = True
        if self._half:
            self._look_at_half(self._half)
        elif not self.session.hearing:
            self.lost(os.strerror(errno.ECONNRESET))

    def lost(self, reason: str) -> None:
        session, connection = self.session, self.session.connection
        if self._half and self._half.left and reason == os.strerror(errno.ECONNRESET):
            connection.broken = True
            self._look_at_half(self._half)
            return
        count = connection.under_way()
        connection.give_up()
        if not session.hearing and count <= connection.end_length:
            # It has left, and all that was said is there; only that this is the end is not.
            session.end(Ending(EXIT_OK, "", told=False))
            return
        text = f"connection lost: {reason}; {count} bytes were not acknowledged"
        session.end(Ending(EXIT_FAILURE, text))

    def _on_lost(self, reason: str) -> None:
        self.lost(reason)
        self.session.hearing = False

    def _on_tampered(self, reason: str) -> None:
        self.session.end(Ending(EXIT_FAILURE, f"connection closed: {reason}"))
        self.session.hearing = False

    def _on_answer(self, data: str) -> None:
        self.session.connection.answer(bytes.fromhex(data))
        self.pump()

    def _on_stranger(self, told: str) -> None:
        """Who had come speaks something else: what it has said is nowhere, and we wait on.

        The child hears it out, so that it reads the answer.
        """
        reply, why = told.split(" ", 1)
        stranger = self.session.by_hand or not self._has_said
        text = f"{self.session.address} was refused: {why}"
        if not stranger:  # the next peer would get the rest, and not the beginning
            text += "; it has got the beginning of what was to be said"
        self.session.connection.give(bytes.fromhex(reply))
        self.session.end(Ending(EXIT_FAILURE, text, stranger=stranger))

    def announce(self, ending: Ending) -> None:
        if ending.told:
            self.session.tell(ending.text)
        if ending.text:
            self.session.recording.record_now(lambda at: record.event(ending.text, at))
