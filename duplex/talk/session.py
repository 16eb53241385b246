"""A talk between two, and the parent's half of it: sends what is typed, shows, and ends it all.

    parent  stdin, socket (writes only), Sender, report pipe (reads), transcript (events, --both)
    child   socket (reads only), Receiver, report pipe (writes), transcript: see receiver.py

The parent never reads what the peer says from the socket; it learns from the report pipe what it
shows on a screen, and how the child ended. This file knows no wire format and no socket option.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time

from duplex.channel import plain
from duplex.system.errors import EXIT_FAILURE, EXIT_OK, EXIT_SIGNAL, reason_of, say_status
from duplex.system.process import Signals, close_all_but, fork, unblock_signals, wait
from duplex.system.stdio import EXIT_PIPE
from duplex.system.tcp import CHECK_EVERY
from duplex.talk import words
from duplex.talk.ending import Ending
from duplex.talk.parting import ACK_EVERY, Parting
from duplex.transcript import record
from duplex.transcript.recording import Recording

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from duplex.channel.base import Channel
    from duplex.talk.receiver import Receiving, Report
    from duplex.terminal.screen import Screen
    from duplex.transcript.file import Transcript

CHUNK = 64 * 1024  # bytes a read

_STDIN, _STDOUT = 0, 1
_ME = "me"


def begin(text: str, channel: Channel, transcript: Transcript | None) -> None:
    """Tell and record that there is a connection; a TranscriptError ends the program here."""
    say_status(f"{text}, {channel.name}")
    if transcript:
        transcript.append_now(lambda at: record.event(text, at))


class Talk(Parting):
    """One connection, from the fork to the end of both processes."""

    def __init__(
        self,
        sock: socket.socket,
        channel: Channel,
        address: str,
        options: argparse.Namespace,
        signals: Signals,
        transcript: Transcript | None,
    ) -> None:
        super().__init__(sock, channel.sender, options, signals, transcript)
        self.channel_name = channel.name
        self.address = address  # the peer's, as people write it
        self.started = time.monotonic()
        self._verbatim: bool = options.verbatim
        self._receiver = channel.receiver  # the child's, and until the fork
        self._mine = plain.Receiver() if options.both else None  # what we say, as a record has it
        self._has_said = False  # something was read from stdin, or the screen
        self._unread_report = b""
        self.unconfirmed = b""  # lines said that may still be refused: they are not shown as said
        self._ahead = b""  # what was typed while nobody was there
        self._on_screen = (
            self.by_hand
            and os.isatty(_STDOUT)
            and not options.plain
            and os.environ.get("TERM", "dumb") != "dumb"
        )

    def begin_with(self, ahead: bytes) -> None:
        """Say these lines first, as if they were typed: they were, while nobody was there."""
        self._ahead = ahead

    def run(self) -> Ending:
        """Fork and talk until it ends; the child is reaped and the socket closed on return."""
        self.report_fd, child_end = self._open_channel()
        self._child = fork(lambda: self._be_the_child(child_end))
        os.close(child_end)
        del self._receiver
        if self._on_screen:
            self._screen = self._open_screen()
            self._screen.run()
            self.signals.arm()
        else:
            self.say(self.take_ahead())
        while self.ending is None:
            self._turn(None)
        self._finish(self.ending)
        self._tell_unsent(self.ending)
        if self._screen:
            self._screen.close()
        return self.ending

    def _open_channel(self) -> tuple[int, int]:
        """The parent's and the child's end of what the child reports through."""
        return os.pipe()

    def _open_screen(self) -> Screen:
        from duplex.terminal.screen import Screen  # heavy: only for a terminal, after the fork

        return Screen(self)

    def _be_the_child(self, report_fd: int) -> int:
        """Only the child runs this: let go of the parent's half, then receive."""
        from duplex.talk.receiver import Report

        transcript = self._recording.transcript
        mine = transcript.reopen() if transcript else None
        kept = {_STDOUT, 2, report_fd, self.sock.fileno(), *([mine.fd] if mine else [])}
        del self._sender, self._typed
        close_all_but(kept)
        os.open(os.devnull, os.O_RDONLY)  # the lowest free number: standard input
        signals = Signals(ignored=(signal.SIGINT, signal.SIGHUP))
        unblock_signals()
        report = Report(report_fd, signals)
        return self._receiving(report, Recording(mine, report.warn)).run()

    def _receiving(self, report: Report, recording: Recording) -> Receiving:
        """Only the child runs this: what all the rest of it is."""
        # Imported here, because a parent that has something to send need not wait for it.
        from duplex.talk.receiver import Receiving

        return Receiving(*self._for_receiving(report, recording), verbatim=self._verbatim)

    def _for_receiving(self, report: Report, recording: Recording) -> tuple[Any, ...]:
        from duplex.talk.receiver import shown_on_screen, shown_on_stdout

        show = shown_on_screen(report) if self._on_screen else shown_on_stdout(report, self.peer)
        receiver = self._receiver
        del self._receiver
        receiver.parted = True
        return self.sock, receiver, self.peer, recording, show, report

    # From here on, all is the parent's. These the screen calls, too:

    def say(self, data: bytes) -> None:
        """Send what was typed, as far as the words that mean something let it."""
        self._has_said = self._has_said or bool(data)
        said = self._typed.feed(data)
        if self._typed.take_help():
            for line in words.HELP:
                self.tell(line)
        if self.sending:
            self._echo(said)
            self._send(said)
            return
        if self._typed.word:
            self._leave(EXIT_OK)
        else:
            self._tell_not_sent(said)

    def say_text(self, lines: bytes) -> None:
        """Send whole lines as they are: what was pasted means nothing but itself."""
        if words.ends_with(lines, words.BYE):
            lines = lines[:-1] + b" \n"  # or the other side would end, as nothing follows
        if self.sending:
            self._echo(lines)
            self._send(lines)
        else:
            self._tell_not_sent(lines)

    def take_ahead(self) -> bytes:
        """What was typed before there was anybody to hear it."""
        ahead, self._ahead = self._ahead, b""
        return ahead

    def end_saying(self) -> None:
        """The end of what is typed: nothing more is said; once that is so, this side ends."""
        if self.sending:
            self.stop_saying()
        else:
            self._leave(EXIT_OK)

    def stop_saying(self) -> None:
        """Say no more: the peer is told by shutting our half, once all is sent."""
        self._send(self._typed.end())
        if self._mine is not None:
            self._record_own(self._mine.end(cut_off=False))
        self.sending = False
        self.pump()
        if self.by_hand and not self.half and not self.ending:
            self.tell(f"you say no more; {self.peer} still can (quit ends)")

    def interrupted(self, number: int) -> None:
        """A signal, or Ctrl-C, ends this side."""
        self._leave(EXIT_SIGNAL + number, f" ({signal.Signals(number).name})")

    def read_report(self) -> bytes:
        """What the child tells: acts on it, and returns the records that are to be shown."""
        data = self._read_channel()
        if not data:
            self._child_ended()
            return b""
        lines = (self._unread_report + data).split(b"\n")
        self._unread_report = lines.pop()
        return b"".join(map(self._on_line, lines))

    def tell(self, text: str) -> None:
        """Tell the user something, in one line, wherever he is looking."""
        if self._screen and self._screen.running:
            self._screen.tell(text)
        else:
            say_status(text)

    @property
    def reports(self) -> bool:
        """The child lives, and there may be more to `read_report`."""
        return self._reports

    @property
    def transcript_path(self) -> str | None:
        return self._recording.transcript.path if self._recording.transcript else None

    # And these only the loop without a screen:

    def _turn(self, seconds: float | None) -> None:
        """Wait for one round of events, `seconds` at most, and act on them."""
        events = {} if self.ending else {self.signals.fd: select.POLLIN}
        if self._reports:
            events[self.report_fd] = select.POLLIN
        if self.outgoing and not self._broken:
            events[self._out.fileno()] = select.POLLOUT
        elif self._takes_input():
            events[_STDIN] = select.POLLIN
            if not self._hearing:  # the socket, only for its end: is the peer gone altogether?
                events[self.sock.fileno()] = 0
        if self.half:
            events[self.half.fd] = select.POLLIN
        if seconds is None and self.under_way():
            seconds = CHECK_EVERY if self._hearing or not self._shut else ACK_EVERY
        if (due := self.due()) is not None:
            seconds = due if seconds is None else min(due, seconds)
        happened = wait(events, seconds)
        if self.signals.received and not self.ending:
            self.interrupted(self.signals.received)
        if self.report_fd in happened and (records := self.read_report()):
            self._print(records)
        if self.sock.fileno() in happened or self._out.fileno() in happened:
            self.pump()
        if _STDIN in happened and not self.ending:
            if happened[_STDIN] & select.POLLHUP:
                self.by_hand = False  # a terminal that has hung up is one no more
            self._read_stdin()
        self.look()

    def _echo(self, lines: bytes) -> None:
        """What is said here is shown, where the terminal does not do that."""
        if self._screen and lines:
            self._screen.echo(lines)

    def _read_stdin(self) -> None:
        try:
            data = os.read(_STDIN, CHUNK)
        except BlockingIOError:
            return  # others read it, too, and one of them was faster
        except OSError as error:  # a terminal that hung up, a directory
            self.tell(f"cannot read standard input: {reason_of(error)}")
            data = b""
        if data:
            self.say(data)
        else:
            self.end_saying()

    def _send(self, data: bytes) -> None:
        if self._mine is not None:
            self._record_own(self._mine.receive(data))
        self.give(data)
        if self._typed.word:
            self._leave_by(self._typed.word, self._typed.rest)

    def _takes_input(self) -> bool:
        """Whether stdin is to be read; who sits here can end it when all is said, too."""
        return (self.sending or (self.by_hand and not self.ending)) and not self._broken

    def _read_channel(self) -> bytes:
        return os.read(self.report_fd, CHUNK)

    def _on_line(self, line: bytes) -> bytes:
        """One line of a report: what of it is to be shown."""
        if line[:1].isdigit():
            return line + b"\n"
        if line.startswith(b"!"):
            self.tell(line[1:].decode())
        else:
            word, _, reason = line[1:].decode().partition(" ")
            self._on_report(word, reason)
        return b""

    def _record_own(self, lines: bytes) -> None:
        if lines:
            self._recording.record_now(lambda at: record.said(_ME, lines, at))

    def _on_report(self, word: str, reason: str) -> None:
        if word == "answer":  # one at a time: whoever asks and does not read fills nothing
            self._answer = bytes.fromhex(reason)
            self.pump()
            return
        if word == "stranger":
            self._turn_away(*reason.split(" ", 1))
            return  # the child hears it out, so that it reads the answer
        if word == "asked":
            self._asked = True
            return
        if word in ("left", "bye"):
            self._peer_left(said_bye=word == "bye")
        elif word == "lost":
            self._lost(reason)
        elif word == "tampered":
            self._end(Ending(EXIT_FAILURE, f"connection closed: {reason}"))
        elif word == "unshown" and reason == os.strerror(errno.EPIPE):
            self._leave(EXIT_PIPE)
        elif word == "unshown":
            self.tell(f"cannot write to standard output: {reason}")
            self._leave(EXIT_FAILURE)
        elif word == "stopped":
            text = "connection closed: the receiving process was told to end"
            self._end(Ending(EXIT_FAILURE, text))
        self._hearing = False

    def _turn_away(self, reply: str, why: str) -> None:
        """Who had come speaks something else: what it has said is nowhere, and we wait on."""
        ending = Ending(EXIT_FAILURE, f"{self.address} was refused: {why}")
        ending.stranger = self.by_hand or not self._has_said
        if not ending.stranger:  # the next peer would get the rest, and not the beginning
            ending.text += "; it has got the beginning of what was to be said"
        self.outgoing += self._sender.send(bytes.fromhex(reply))
        self._end(ending)

    def _print(self, records: bytes) -> None:
        """Show what comes once the screen has been closed."""
        assert self._screen
        self._screen.show_late(records)
