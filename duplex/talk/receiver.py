"""The child of a talk: receives, appends to the transcript, then hands the line on to be shown.

Holds the socket for reading only, the channel's Receiver, a description of the transcript of its
own, standard output (without a screen), and its end of the pair of sockets through which it reports
to its parent (report.py). It never sends to the peer and never reads the keyboard.
"""

from __future__ import annotations

import select
import socket
import time

from duplex.channel.base import Tampered
from duplex.channel.sniff import Stranger
from duplex.system.errors import EXIT_OK, reason_of
from duplex.system.process import seconds_left, wait
from duplex.system.tcp import unread
from duplex.talk import words
from duplex.talk.report import Stopped
from duplex.transcript import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.channel.base import Receiver
    from duplex.talk.report import Report
    from duplex.transcript.recording import Recording

# s after a line `bye` in which nothing more comes, or the end: then it is the word that ends both
# sides. Between other lines it is text, of something that was pasted.
BYE_ALONE = 0.5
PART = 1.0  # s for who is turned away to read why
CHUNK = 64 * 1024  # bytes a read: larger ones leave the processor's cache
# glibc raises its mmap and trim thresholds to the largest block ever freed (mallopt(3)); without
# that, each read maps and unmaps its buffers, and page faults take a third of the time. The block
# is never touched, so it costs no memory.
KEPT_BY_MALLOC = 8 << 20


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
