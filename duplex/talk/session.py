"""A session, and the parent's half of it: the fork, standard input, signals, and the end of it all.

    parent  stdin, socket (writes only), Sender, channel (reads), transcript (events, --both)
    child   socket (reads only), Receiver, channel (writes), transcript: see receiver.py

    Session ── Connection   the sending half; another one when it was lost and made again
       ├────── a policy     what differs between a talk of two and a room: policy.py
       └────── a screen     if there is one: ui.py

The parent never reads what the peer says from the socket; it learns from its child what it shows
on a screen, and how that ended. Its one loop is `turn`; a screen calls it, too. This file knows no
wire format and no socket option.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time

from duplex.system.errors import EXIT_FAILURE, EXIT_OK, EXIT_SIGNAL, reason_of, say_status
from duplex.system.halfclose import abort
from duplex.system.process import Signals, in_foreground, wait
from duplex.system.stdio import EXIT_PIPE
from duplex.system.tcp import CHECK_EVERY, is_closed
from duplex.talk import stdin
from duplex.talk.child import STOP, Child, settle
from duplex.talk.connection import Connection
from duplex.talk.policy import Ending, Policy
from duplex.talk.stdin import LOOK_EVERY, STDIN
from duplex.transcript.recording import Recording

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from duplex.channel.base import Channel
    from duplex.talk import ui
    from duplex.transcript.file import Transcript

FLUSH = 2.0  # s to get rid of what is still to be sent, once this side ends
LINGER = 0.5  # s for the peer to end, too, once all is sent: what it says meanwhile is recorded
ACK_EVERY = 0.01  # s between two looks whether the last bytes are acknowledged
_STDOUT = 1


class Session:
    """From the fork to the end of both processes. Make one, make its policy, and `run`."""

    policy: Policy
    child: Child

    def __init__(
        self,
        sock: socket.socket,
        channel: Channel,
        address: str,
        options: argparse.Namespace,
        signals: Signals,
        transcript: Transcript | None,
        open_screen: Callable[[ui.Talk], ui.Screen],
    ) -> None:
        self.connection = Connection(sock, channel.sender)
        self.channel_name = channel.name
        self.address = address  # the peer's, as people write it
        self.options = options
        self.peer: str = options.peer
        self.signals = signals
        self.recording = Recording(transcript, self.tell)
        self.kept_in: str | None = None  # the transcript that only the child writes
        self.started = time.monotonic()
        self.by_hand = os.isatty(STDIN)  # a person sits here
        self.on_screen = (
            self.by_hand
            and os.isatty(_STDOUT)
            and not options.plain
            and os.environ.get("TERM", "dumb") != "dumb"
        )
        self.screen: ui.Screen | None = None
        self.ending: Ending | None = None
        self.sending = True  # stdin, or the screen, may still bring something
        self.hearing = True  # the peer may still say something
        self.unconfirmed = b""  # lines said that may still be refused: they were not echoed yet
        self.ahead = b""  # what was typed while nobody was there
        self._asked = False  # our half is shut, and the peer wants to know whether we are here
        self._open_screen = open_screen
        self._receiver = channel.receiver  # the child's, and until the fork

    def run(self, policy: Policy) -> Ending:
        """Fork and talk until it ends; the child is reaped and the socket closed on return."""
        self.policy = policy
        self.child = Child(self._be_the_child)
        del self._receiver
        if self.on_screen:
            policy.before_screen()
            self.screen = self._open_screen(self)
            self.policy.appear(self.screen)
            self.screen.run()
            self.signals.arm()
        else:
            policy.say(self.ahead)
        while self.ending is None:
            self.turn(None)
        self._finish(self.ending)
        self._tell_unsent(self.ending)
        if self.screen:
            self.screen.close()
        return self.ending

    def _be_the_child(self, report_fd: int) -> int:
        """Only the child runs this: let go of the parent's half, then receive."""
        # Imported here, because a parent that has something to send need not wait for it.
        from duplex.talk.report import Report, shown_on_screen, shown_on_stdout

        transcript = self.recording.transcript
        own = transcript.reopen() if transcript else None
        sock = self.connection.sock
        kept = {_STDOUT, 2, report_fd, sock.fileno(), *([own.fd] if own else [])}
        del self.connection
        report = Report(report_fd, settle(kept))
        show = shown_on_screen(report) if self.on_screen else shown_on_stdout(report, self.peer)
        receiver = self._receiver
        receiver.parted = True
        recording = Recording(own, report.warn)
        return self.policy.receiving(sock, receiver, self.peer, recording, show, report)()

    # From here on, all is the parent's. These the screen calls, too (ui.Talk):

    @property
    def transcript_path(self) -> str | None:
        return self.recording.transcript.path if self.recording.transcript else self.kept_in

    def end_saying(self) -> None:
        if self.sending:
            self.policy.stop_saying()
        else:
            self.leave(EXIT_OK)

    def interrupted(self, number: int) -> None:
        self.leave(EXIT_SIGNAL + number, f" ({signal.Signals(number).name})")

    def wanted(self) -> dict[int, int]:
        """What a turn waits for; the keyboard is the screen's, if there is one."""
        connection = self.connection
        events = {} if self.ending else {self.signals.fd: select.POLLIN}
        if self.child.reports and not (self.screen and self.screen.busy):
            events[self.child.fileno()] = select.POLLIN
        if not (self.hearing or self.ending or connection.shut):
            events[connection.sock.fileno()] = 0  # only its end: is the peer gone altogether?
        if connection.outgoing and not connection.broken:
            events[connection.out.fileno()] = select.POLLOUT
        elif not (self.screen or self._waits_for_shell()) and self.policy.takes_input():
            events[STDIN] = select.POLLIN
        return events

    def due(self) -> float | None:
        dues = [self.policy.due()]
        if self.connection.under_way():
            dues.append(CHECK_EVERY if self.hearing or not self.connection.shut else ACK_EVERY)
        if self._waits_for_shell():
            dues.append(LOOK_EVERY)
        return min((due for due in dues if due is not None), default=None)

    def turn(self, seconds: float | None) -> None:
        """Wait for one round of events, `seconds` or as long as is `due`, and act on them."""
        happened = wait(self.wanted(), self.due() if seconds is None else seconds)
        if self.signals.received and not self.ending:
            self.interrupted(self.signals.received)
        connection = self.connection
        if self.child.fileno() in happened:
            self._read_reports()
        if happened.keys() & {connection.sock.fileno(), connection.out.fileno()}:
            self.policy.pump()
        if STDIN in happened and not self.ending:
            if happened[STDIN] & select.POLLHUP:
                self.by_hand = False  # a terminal that has hung up is one no more
            self._read_stdin()
        try:
            self.connection.check()
        except OSError as error:
            self.policy.lost(reason_of(error))
        self.policy.look()

    # And these the policy:

    def turn_while(self, condition: Callable[[], object], seconds: float) -> None:
        """Go on like that, `seconds` at most."""
        deadline = time.monotonic() + seconds
        while condition() and time.monotonic() < deadline:
            self.turn(ACK_EVERY)

    def tell(self, text: str) -> None:
        """Tell the user something, in one line, wherever he is looking."""
        if self.screen and self.screen.running:
            self.screen.tell(text)
        else:
            say_status(text)

    def unsendable(self, error: OSError) -> None:
        """What the connection has raised."""
        if error.errno in (errno.EPIPE, errno.ENOTCONN):
            self.policy.unsendable()
        else:
            self.policy.lost(reason_of(error))

    def leave(self, status: int, why: str = "", word: bytes = b"", unsaid: bytes = b"") -> None:
        """This side ends it; by a `word` among what was said, after which `unsaid` stood."""
        text = f"this side left{why}"
        self.end(Ending(status, text, ours=True, told=False, word=word, unsaid=unsaid))

    def end(self, ending: Ending) -> None:
        """The first reason to end is the one that counts."""
        self.ending = self.ending or ending

    # Here and now:

    def _waits_for_shell(self) -> bool:
        """Who stays in the background, where the terminal would stop who reads it."""
        return self.options.stays and self.by_hand and not self.screen and not in_foreground(STDIN)

    def _read_stdin(self) -> None:
        data = stdin.read(self.tell)
        if data:
            self.policy.say(data)
        elif data is not None:
            self.end_saying()

    def _read_reports(self) -> None:
        """What the child tells: act on it, and show what is to be shown."""
        shown = b"".join(map(self.on_report, self.child.read()))
        if shown and self.screen:
            self.screen.show(shown)
        if self.hearing and not self.child.reports:
            self.hearing = False
            text = f"the receiving process {self.child.how_it_ended()}"
            self.end(Ending(EXIT_FAILURE, f"connection closed: {text}"))

    def on_report(self, line: bytes) -> bytes:
        """One line of it: what of that is to be shown."""
        if line.startswith(b"!"):
            self.tell(line[1:].decode())
        elif line.startswith(b"."):
            word, _, rest = line[1:].decode().partition(" ")
            if word in self.policy.ways:
                self.policy.ways[word](rest)
            elif word == "asked":
                self._asked = True
            elif word in ("unshown", "stopped"):
                self._on_broken_child(word, rest)
        else:
            return self.policy.on_line(line)
        return b""

    def _on_broken_child(self, word: str, reason: str) -> None:
        """It cannot go on, and the peer has nothing to do with it."""
        self.hearing = False
        if word == "stopped":
            text = "connection closed: the receiving process was told to end"
            self.end(Ending(EXIT_FAILURE, text))
        elif reason == os.strerror(errno.EPIPE):
            self.leave(EXIT_PIPE)
        else:
            self.tell(f"cannot write to standard output: {reason}")
            self.leave(EXIT_FAILURE)

    def _finish(self, ending: Ending) -> None:
        """Send what is left, tell the peer by shutting our half, and let the child end."""
        self.policy.deliver(ending)
        connection = self.connection
        said_before = connection.shut  # the peer knows that we say no more, not that we leave
        self.sending = False
        self.policy.pump()
        self.turn_while(lambda: connection.under_way() and not is_closed(connection.sock), FLUSH)
        self.turn_while(lambda: self.hearing and not self._asked, LINGER)
        stays = self.hearing and ending.ours  # the peer has not ended
        self.child.ask_to_end()
        self.turn_while(lambda: self.child.reports, STOP)
        if self.child.reports:
            self.child.is_gone()
        self.policy.announce(ending)
        if stays and (self._asked or said_before) and not self.connection.under_way():
            abort(self.connection.sock)
        self.connection.close()

    def _tell_unsent(self, ending: Ending) -> None:
        """What was being typed, or is still in the pipe, when it ended."""
        if self.by_hand:
            draft = self.screen.take_draft() if self.screen else b""
            lines = self.policy.unsaid() + ending.unsaid + draft + stdin.typed()
            stdin.tell_not_sent(lines, self.tell)
        elif ending.word and (count := stdin.count_lines(ending.unsaid, self.signals)):
            word = ending.word.decode()
            self.tell(f"not sent: {count} after {word!r}; with --verbatim it is a word like others")
            ending.status = ending.status or EXIT_FAILURE
