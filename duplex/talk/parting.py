"""How a talk ends: every reason for it, what is told of it, and what is done for the last lines.

    child   .left, .bye, .lost …   ─►  _peer_left, _lost          ─┐
    here    quit, bye, signals     ─►  _leave                      ├─►  _end: the first one counts
    time    a reset, a dead peer   ─►  look, check_pulse: _lost   ─┘
                                                                        then _finish, _tell_unsent

Runs in the parent. docs/architecture.md has the table. Knows nothing of what is typed or shown.
"""

from __future__ import annotations

import errno
import os
import socket
import time

from duplex.system.errors import EXIT_FAILURE, EXIT_OK
from duplex.system.halfclose import HalfClosed, abort
from duplex.system.tcp import is_closed
from duplex.talk import leftover, words
from duplex.talk.ending import Ending
from duplex.talk.sending import Sending
from duplex.transcript import record
from duplex.transcript.recording import Recording

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from duplex.channel.base import Sender
    from duplex.system.process import Child, Signals
    from duplex.terminal.screen import Screen
    from duplex.transcript.file import Transcript

FLUSH = 2.0  # s to get rid of what is still to be sent, once this side ends
LINGER = 0.5  # s for the peer to end, too, once all is sent: what it says meanwhile is recorded
STOP = 1.0  # s for the child to end when it is told to, before it is killed
ACK_EVERY = 0.01  # s between two looks whether the last bytes are acknowledged

_STDIN, _STDOUT = 0, 1


class Parting(Sending):
    """What a Talk is, as far as its end is concerned."""

    _child: Child

    def __init__(
        self,
        sock: socket.socket,
        sender: Sender,
        options: argparse.Namespace,
        signals: Signals,
        transcript: Transcript | None,
    ) -> None:
        super().__init__(sock, sender)
        self.peer: str = options.peer
        self.signals = signals
        self.ending: Ending | None = None
        self.by_hand = os.isatty(_STDIN)  # a person sits here
        self.half: HalfClosed | None = None  # once the peer says no more, where a person sits
        self.report_fd = -1
        self._typed = words.Typed(options.verbatim, self.by_hand)
        self._screen: Screen | None = None
        self._recording = Recording(transcript, self.tell)
        self._keeps = getattr(options, "keep", False)
        self._hearing = True  # the peer may still say something
        self._asked = False  # our half is shut, and the peer wants to know whether we are here
        self._reports = True  # the report pipe is open: the child lives
        self._ended_by = b""  # the word that has ended it
        self._unsaid = b""  # what stood after that

    def tell(self, text: str) -> None:
        """Tell the user something, in one line, wherever he is looking."""
        raise NotImplementedError

    def _turn(self, seconds: float | None) -> None:
        """Wait for one round of events, `seconds` at most, and act on them."""
        raise NotImplementedError

    def due(self) -> float | None:
        """Seconds until `look` is to be called, if nothing else happens; None: whenever."""
        return self.half.seconds if self.half else None

    def look(self) -> None:
        """See what has come of the peer, and what time has brought."""
        self.check_pulse()
        if self.ending:
            return
        if self.half:
            self._look_at_half(self.half)
        elif not self._hearing:
            self._after_the_peer_left()

    def _look_at_half(self, half: HalfClosed) -> None:
        """The peer says no more: has it left altogether, has this side, too, said its last?"""
        if half.left:
            text, count = f"{self.peer} left", half.lost(self.under_way())
            if count:
                text += f"; {count} bytes were not acknowledged"
            self._end(Ending(EXIT_FAILURE if count else EXIT_OK, text))
        elif self._shut and not self.under_way():
            self._end(Ending(EXIT_OK, f"{self.peer} left"))
        elif half.seconds == 0:
            half.told = True
            text = f"{self.peer} says no more"
            self._recording.record_now(lambda at: record.event(text, at))
            self.tell(f"{text} (you still can)" if self.sending else text)

    def _after_the_peer_left(self) -> None:
        """It has said its last: is all of ours there, or can it not get there any more?"""
        if is_closed(self.sock) and self.under_way():
            self._lost(os.strerror(errno.ECONNRESET))
        elif is_closed(self.sock) or (self._shut and not self.under_way()):
            self._end(Ending(EXIT_OK, "", told=False))  # that it left has been told

    def _peer_left(self, said_bye: bool) -> None:
        """It has no more to say. Who sits here may have, a pipe goes on; who serves others ends."""
        ending = Ending(EXIT_OK, f"{self.peer} left")
        if said_bye:
            self._end(ending)
        elif self.by_hand and os.isatty(_STDOUT) and not self.ending:
            self.half = HalfClosed(self.sock)
        elif self.by_hand or self._keeps:
            self._end(ending)
        elif self.ending is None:
            self._announce(ending)

    def _child_ended(self) -> None:
        """The report pipe has ended, and with it the child: as reported, or it has died."""
        os.close(self.report_fd)
        self._reports = False
        if not self._child.ended(STOP):
            self._child.kill()
        if self._hearing:
            self._hearing = False
            text = f"the receiving process {self._child.how_it_ended()}"
            self._end(Ending(EXIT_FAILURE, f"connection closed: {text}"))

    def _on_broken(self) -> None:
        """Nothing more can be sent: the reason went to the child, whose report is on its way."""
        self._broken = True
        if self.half:
            self._look_at_half(self.half)
        elif not self._hearing:
            self._lost(os.strerror(errno.ECONNRESET))

    def _lost(self, reason: str) -> None:
        if self.half and self.half.left and reason == os.strerror(errno.ECONNRESET):
            self._broken = True
            self._look_at_half(self.half)
            return
        count = self.under_way()
        self.outgoing = b""
        self._broken = True
        if not self._hearing and self._said_end and count <= self._end_length:
            # It has left, and all that was said is there; only that this is the end is not.
            self._end(Ending(EXIT_OK, "", told=False))
            return
        text = f"connection lost: {reason}; {count} bytes were not acknowledged"
        self._end(Ending(EXIT_FAILURE, text))

    def _leave(self, status: int, why: str = "") -> None:
        self._end(Ending(status, f"this side left{why}", ours=True, told=False))

    def _leave_by(self, word: bytes, rest: bytes) -> None:
        """A word among what is said ends this side, and `rest` is not said."""
        if not self.ending:
            self._ended_by, self._unsaid = word, rest
            self._leave(EXIT_OK)

    def _end(self, ending: Ending) -> None:
        """The first reason to end is the one that counts."""
        self.ending = self.ending or ending

    def _tell_not_sent(self, lines: bytes) -> None:
        leftover.tell(lines, self.tell)

    def _tell_unsent(self, ending: Ending) -> None:
        """What was being typed, or is still in the pipe, when it ended."""
        if self.by_hand:
            draft = self._screen.take_draft() if self._screen else self._typed.take_tail()
            self._tell_not_sent(self._unsaid + draft + leftover.typed(_STDIN))
        elif self._ended_by and (count := leftover.count_lines(self._unsaid, _STDIN, self.signals)):
            word = self._ended_by.decode()
            self.tell(f"not sent: {count} after {word!r}; with --verbatim it is a word like others")
            ending.status = ending.status or EXIT_FAILURE

    def _announce(self, ending: Ending) -> None:
        if ending.told:
            self.tell(ending.text)
        if ending.text:
            self._recording.record_now(lambda at: record.event(ending.text, at))

    def _finish(self, ending: Ending) -> None:
        """Send what is left, tell the peer by shutting our half, and let the child end."""
        said_before = self._shut  # the peer knows that we say no more, not that we leave
        deadline = time.monotonic() + FLUSH
        self.sending = False
        self.pump()
        while self.under_way() and not is_closed(self.sock) and time.monotonic() < deadline:
            self._turn(ACK_EVERY)
        deadline = time.monotonic() + LINGER
        while self._hearing and not self._asked and time.monotonic() < deadline:
            self._turn(ACK_EVERY)
        stays = self._hearing and ending.ours  # the peer has not ended
        if self._reports:
            self._child.ask_to_end()
        deadline = time.monotonic() + STOP
        while self._reports and time.monotonic() < deadline:
            self._turn(ACK_EVERY)
        if self._reports:
            self._child_ended()
        self._announce(ending)
        if stays and (self._asked or said_before) and not self.under_way():
            abort(self.sock)
        self.sock.close()
        if self.half:
            self.half.close()
