"""The child of a talk: receives, appends to the transcript, then hands the line on to be shown.

Holds the socket for reading only, the channel's Receiver, a description of the transcript of its
own, standard output (without a screen), and the writing end of the report pipe. It never sends to
the peer and never reads the keyboard.

What it tells its parent through the report pipe, a line each:

    2026-… <client> hello      a record, to be shown on the screen (only with one)
    !not recorded: …           a warning for the user
    .stranger HEX WHY          it speaks something else; HEX is what it is to be told, in the clear
    .left  .bye                the peer shut its half in good order; said bye
    .asked                     it asks whether somebody is still here (system/halfclose.py)
    .answer HEX                bytes that the peer's program waits for: Receiver.take_answer
    .lost REASON               the connection broke, or was cut off without a proper end
    .tampered REASON           what came cannot be what the peer has sent
    .unshown REASON            standard output takes no more
    .stopped                   it was told to end (SIGTERM, or its parent is gone), and has

A record begins with a digit, so nothing a peer says can look like a report.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time

from duplex.channel.base import Tampered
from duplex.channel.sniff import Stranger
from duplex.system.errors import EXIT_OK, reason_of
from duplex.system.process import PIPE_BUF, Signals, seconds_left, wait
from duplex.system.tcp import unread
from duplex.talk import words
from duplex.transcript import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.channel.base import Receiver
    from duplex.transcript.recording import Recording

# s after a line `bye` in which nothing more comes, or the end: then it is the word that ends both
# sides. Between other lines it is text, of something that was pasted.
BYE_ALONE = 0.5
PART = 1.0  # s for who is turned away to read why
CHUNK = 64 * 1024  # bytes a read: larger ones leave the processor's cache
_TRY_EVERY = 0.01  # s between two tries of what polls writable and has no room for all of it
# glibc raises its mmap and trim thresholds to the largest block ever freed (mallopt(3)); without
# that, each read maps and unmaps its buffers, and page faults take a third of the time. The block
# is never touched, so it costs no memory.
KEPT_BY_MALLOC = 8 << 20


class Stopped(Exception):
    """This process was told to end while it waited for somebody to take its output."""


class Report:
    """The child's end of the report pipe, and the two ways in which it can be told to end."""

    def __init__(self, fd: int, signals: Signals) -> None:
        self.fd = fd
        self.signals = signals
        self.stops = {signals.fd: select.POLLIN, fd: 0}  # a signal; POLLERR: nobody reads this

    def tell(self, line: str) -> None:
        try:
            os.write(self.fd, line.encode() + b"\n")
        except BrokenPipeError:
            return  # the parent is gone, and `stops` says so

    def warn(self, text: str) -> None:
        self.tell(f"!{text}")


class Output:
    """Writes all it is given to a descriptor that may be slow, unless told to end meanwhile.

    Others have the descriptor too (a shell its terminal), so it is left blocking: it is polled, and
    then given no more than a pipe that polls writable takes at once.
    """

    def __init__(self, fd: int, report: Report) -> None:
        self._fd = fd
        self._report = report
        mode = os.fstat(fd).st_mode
        never_waits = stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(fd))
        self._at_once = None if never_waits else PIPE_BUF

    def write(self, data: bytes) -> None:
        """Raises Stopped, or an OSError."""
        view = memoryview(data)
        while view:
            if self._at_once:
                happened = wait({**self._report.stops, self._fd: select.POLLOUT})
                if not happened.get(self._fd, 0) & select.POLLOUT and happened.keys() - {self._fd}:
                    raise Stopped
            try:
                view = view[os.write(self._fd, view[: self._at_once]) :]
            except BlockingIOError:  # others write there, too, and have made it non-blocking
                if wait(self._report.stops, _TRY_EVERY):
                    raise Stopped from None


def shown_on_screen(report: Report) -> Callable[[bytes, bytes], None]:
    """How to show (lines, their records) where the parent has a screen: hand the records on."""
    output = Output(report.fd, report)

    def show(_lines: bytes, records: bytes) -> None:
        try:
            output.write(records)
        except BrokenPipeError:
            raise Stopped from None

    return show


def shown_on_stdout(report: Report, nick: str) -> Callable[[bytes, bytes], None]:
    """How to show them without: the text alone, so that pipes work; a terminal says who spoke."""
    output = Output(1, report)
    label = f"{nick}: ".encode() if os.isatty(1) else b""

    def show(lines: bytes, _records: bytes) -> None:
        if label:
            lines = label + lines[:-1].replace(b"\n", b"\n" + label) + b"\n"
        output.write(lines)

    return show


class Receiving:
    """The receiving half of a talk. `run` is all that its process does."""

    def __init__(
        self,
        sock: socket.socket,
        receiver: Receiver,
        nick: str,
        recording: Recording,
        show: Callable[[bytes, bytes], None],
        report: Report,
        *,
        verbatim: bool,
    ) -> None:
        self._sock = sock
        self._receiver = receiver
        self._nick = nick
        self._recording = recording
        self._show = show
        self._report = report
        self._verbatim = verbatim
        self._showing = True
        self._urgent = select.POLLPRI  # what to wait for besides what can be read
        self._bye_at = 0.0  # when the last line, `bye`, ends the talk if nothing comes; monotonic

    def run(self) -> int:
        """Receive until the peer ends or this process is told to; its exit status."""
        bytes(KEPT_BY_MALLOC)  # made and freed at once
        try:
            ending = self._until_end()
        except OSError as error:  # of the output: the socket's are met where it is read
            ending = f".unshown {reason_of(error)}"
        if ending:
            self._report.tell(ending)
        return EXIT_OK

    def _until_end(self) -> str:
        if ending := self._take_or_refuse(b""):  # what came with the end of the handshake
            return ending
        stops = self._report.stops
        while True:
            events = {**stops, self._sock.fileno(): select.POLLIN | self._urgent}
            happened = wait(events | self._also_waited_for(), self._seconds())
            if happened.keys() & stops.keys():
                return self._drain()
            on_socket = happened.get(self._sock.fileno(), 0)
            if on_socket & self._urgent:
                self._on_urgent()
            # Where nothing is there, no attempt to read: it would pass over what is urgent.
            if ending := self._one_read() if on_socket & ~select.POLLPRI else self._on_time():
                return ending

    def _on_urgent(self) -> None:
        """In the stream it is telnet's; where we have shut our half, a question (halfclose.py)."""
        self._urgent = 0  # until something is read: it would be told again and again
        if self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE):
            self._receiver.urgent()
        else:
            self._report.tell(".asked")

    def _seconds(self) -> float | None:
        """How long to wait for the peer before a look at the clock."""
        return seconds_left(self._bye_at) if self._bye_at else None

    def _also_waited_for(self) -> dict[int, int]:
        """Descriptors, and what of poll(2) is a reason to look at what `_one_read` looks at."""
        return {}

    def _drain(self) -> str:
        """Deliver what is already here, and not what may still come."""
        here = unread(self._sock)
        while here > 0 and wait({self._sock.fileno(): select.POLLIN}, 0):
            here -= CHUNK
            if ending := self._one_read():
                return ending
        self._end(cut_off=True)
        return ".stopped"

    def _on_time(self) -> str:
        """Nothing has come for as long as `_seconds` said; the report of how it ended, or ""."""
        return ".bye" if self._bye_at and not seconds_left(self._bye_at) else ""

    def _one_read(self) -> str:
        """Read once and deliver; the report of how it ended, or "" to go on."""
        try:
            data = self._sock.recv(CHUNK)
        except BlockingIOError:
            return ""
        except OSError as error:
            self._end(cut_off=True)
            if self._bye_at:
                return ".bye"
            return f".lost {reason_of(error)}"
        self._urgent = select.POLLPRI
        if not data and self._bye_at:
            return ".bye"
        if not data and not self._receiver.ended:
            self._end(cut_off=True)
            return ".lost cut off: the other side has not said that this is the end"
        if not data:
            self._end(cut_off=False)
            return ".left"
        return self._take_or_refuse(data)

    def _take_or_refuse(self, data: bytes) -> str:
        try:
            ending = self._take(data)
            if not ending:
                self._receiver.decode(b"")  # what it has kept, so that what came before is taken
            return ending
        except Tampered as error:
            self._end(cut_off=True)
            return f".tampered {error}"
        except Stranger as error:
            self._report.tell(f".stranger {error.reply.hex()} {error}")
            self._hear_out()
            return ".left"

    def _hear_out(self) -> None:
        """Let it read what it is told: a close with bytes unread would be a reset."""
        deadline = time.monotonic() + PART
        events = {**self._report.stops, self._sock.fileno(): select.POLLIN}
        while (seconds := deadline - time.monotonic()) > 0:
            if wait(events, seconds).keys() != {self._sock.fileno()}:
                return
            try:
                if not self._sock.recv(CHUNK):
                    return
            except OSError:
                return

    def _take(self, data: bytes) -> str:
        """Deliver what was read; the report of how it ended, or "" to go on. Raises Tampered."""
        return self._take_said(self._receiver.decode(data))

    def _take_said(self, said: bytes) -> str:
        """The same for what the peer has said, as the channel gives it."""
        if said:
            self._bye_at = 0.0
        lines = self._receiver.lines(said)
        self._deliver(lines)
        if words.ends_with(lines, words.BYE) and not self._verbatim and not self._receiver.midline:
            self._bye_at = time.monotonic() + BYE_ALONE
        if (answer := self._receiver.take_answer()) and not self._verbatim:
            self._report.tell(f".answer {answer.hex()}")
        return ""

    def _end(self, cut_off: bool) -> None:
        """Nothing more comes: deliver what is left."""
        self._deliver(self._receiver.end(cut_off))

    def _deliver(self, lines: bytes) -> None:
        """Record, then show."""
        if not lines:
            return
        records = self._recording.record_now(lambda at: record.said(self._nick, lines, at))
        if self._showing:
            try:
                self._show(lines, records)
            except Stopped:
                self._showing = False  # nobody takes it: record what is here, and go
