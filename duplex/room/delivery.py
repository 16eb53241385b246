"""What one client is sent: the records from its offset on, and lines for it alone between them.

Runs in the member. Who is slow is only at an earlier offset of the transcript: nothing is kept for
it but the few lines that are for it alone. Knows nothing of what is said, nor of when to wait.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque

from duplex.protocol import messages
from duplex.room.bell import SAVED, WAKE_UPS
from duplex.room.page import CLOSING, MEMBERS, WATERMARK
from duplex.system.errors import TranscriptError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from duplex.room.bell import Budget
    from duplex.room.page import Page, Seat
    from duplex.transcript.file import Transcript

PRIVATE_LIMIT = 64 * 1024  # bytes for it alone that wait; more is not made until some have gone
SOON = 64 * 1024  # bytes of records that a line for it alone lets go first
OWN_LIMIT = 10_000  # stretches of its own records ahead of its offset; it may say more after that
SAID_EVERY = 16 * 1024  # bytes of records after which a client that numbers is told where it is
LOOK_AFTER = 2.0  # s from sending to looking whether it has been acknowledged
_NEVER = 1 << 63  # bytes
_LOOK_AHEAD = 4096  # bytes read at a time to find a record's end


class Delivery:
    """One client's part. `go_on` sends what there is; `offset` is where it has got to."""

    _sendfile: Callable[[int, int, int, int], int] = staticmethod(os.sendfile)
    _sealed = b""  # taken, and not sent yet: a plain delivery takes no more than what it sends

    def __init__(self, sock: socket.socket, transcript: Transcript, page: Page, seat: Seat) -> None:
        self.offset = 0
        self.echo = False  # it is sent its own records, too
        self.numbered = False  # it is told which of its lines they are, and where it is
        self.look_at = 0.0  # monotonic, when to look after what was sent; 0: nothing was, since
        self._sock = sock
        self._transcript = transcript
        self._page = page
        self._seat = seat
        self._following = False
        self._private = b""
        self._after = 0  # the offset after which it is to go out
        self._in_private = False  # a part of it has gone out: the rest has to be next
        # (start, end, first line, lines) of its own records that are ahead of it
        self._own: deque[tuple[int, int, int, int]] = deque()
        self._mark = b""  # what tells whose the next record is, or where: nothing goes before it
        self._marked = 0  # the offset that it was told last
        # Where it goes on once it has been told what waits, if that is somewhere else.
        self._restart: tuple[int] | None = None

    def follow(self, offset: int, echo: bool) -> None:
        """Send the records from `offset` on, which is the start of one."""
        self.offset = self._seat.offset = self._marked = offset
        self.echo = echo
        self._following = True

    def begin_again(self, offset: int) -> None:
        """With its own records, from `offset` on, as soon as it has been told what waits now."""
        self.echo = True
        self._own.clear()
        self._restart = (offset,)

    def tell(self, *lines: str) -> None:
        """Lines for this client alone, without their newlines."""
        self._tell("".join(line + "\n" for line in lines).encode("utf-8", "replace"))

    def answer(self, data: bytes) -> None:
        """What another program than a person reads: bytes for the wire as they are."""
        self._tell(data)

    def answer_at_once(self, data: bytes) -> None:
        """What a program reads that knows nothing of records: nothing else goes out after it."""
        self._following = False
        self._private = (self._private if self._in_private else b"") + data
        self._after = 0

    def _tell(self, data: bytes) -> None:
        """They come after the records that there were before them, if those are soon sent."""
        if not self._private:
            self._after = self._end if self._following else 0
        self._private += data

    def leave_out(self, start: int, end: int, first: int = 0, count: int = 0) -> None:
        """These are the client's own records, and so many of its lines from `first` on.

        It gets them only if it asked for its echo, and is told of them only if it numbers.
        """
        if self.echo and not self.numbered:
            return
        if self._own:
            earlier, until, former, many = self._own[-1]
            if until == start and (former + many == first or not self.numbered):
                self._own.pop()
                start, first, count = earlier, former, many + count
        self._own.append((start, end, first, count))

    def mark(self, start: int, end: int, number: int) -> None:
        """The event that its late `/join` has come to: no answer is sure to be in that order."""
        if self.echo:
            self.leave_out(start, end, number, 1)

    @property
    def crowded(self) -> bool:
        """Whether the client has to take some of what waits, before more is made for it."""
        return len(self._private) > PRIVATE_LIMIT or len(self._own) > OWN_LIMIT

    @property
    def lag(self) -> int:
        """Bytes of the transcript that the client has not been sent."""
        return self._page.watermark - self.offset if self._following else 0

    def go_on(self) -> bool:
        """Send until there is nothing left (True) or the socket takes no more (False).

        Raises OSError when the connection is lost.
        """
        try:
            while True:
                self._flush()
                if (self._own or self.numbered) and not (self._in_private or self._restart):
                    self._reach_own()
                if self._mark:
                    self._mark = self._mark[self._send(self._mark) :]
                    self.look_at = self.look_at or time.monotonic() + LOOK_AFTER
                    continue
                if self._restart is not None and not self._private:
                    self.follow(*self._restart, echo=True)
                    self._restart = None
                if self._private_is_next():
                    self._in_private = True
                    self._private = self._private[self._send(self._private) :]
                    self.look_at = self.look_at or time.monotonic() + LOOK_AFTER
                    self._in_private = bool(self._private)
                    continue
                count = self._next_stretch()
                if count == 0:
                    return True
                self.offset += self._send_records(count) or self._no_more()
                self.look_at = self.look_at or time.monotonic() + LOOK_AFTER
                self._seat.offset = self.offset
        except BlockingIOError:
            self.look_at = self.look_at or time.monotonic() + LOOK_AFTER
            return False

    @property
    def only_follows(self) -> bool:
        """Whether there is nothing but records to be sent, and none of them to be left out."""
        idle = self._following and not self._private and not self._own
        return idle and not self._mark and self._restart is None

    def tail(self, every: select.epoll, mine: select.epoll, bell: int, budget: Budget) -> bool:
        """The common case: while nothing but rings happens, send what each of them announces.

        `every` has the `bell` and `mine`, what else its member waits for. Returns when something
        else has happened, or at `look_at`; False if the socket takes no more. Raises OSError when
        the connection is lost.

        One function with local names only: a hundred members run it for each line that is said,
        each with the processor's caches cold, and so this is what the room's latency is made of.
        """
        listen, pause, clock = every.poll, mine.poll, time.monotonic
        send, out, source = self._sendfile, self._sock.fileno(), self._transcript.fd
        head, seat, ring = self._page.head, self._seat, [(bell, select.EPOLLIN)]
        offset, look_at, paid_until = self.offset, self.look_at, budget.paid_until
        mark_at = self._mark_at
        seconds = max(0.0, look_at - clock()) if look_at else -1
        try:
            while listen(seconds, 2) == ring and not head[CLOSING]:
                while count := head[WATERMARK] - offset:
                    sent = send(out, source, offset, count)
                    offset += sent or self._no_more()
                    seat.offset = offset
                if self._sealed:
                    raise BlockingIOError
                now = clock()
                look_at = (look_at or now + LOOK_AFTER) if offset < mark_at else now
                price = head[MEMBERS] / WAKE_UPS  # as Budget.spend
                paid_until = max(paid_until, now - SAVED * price) + price
                if now >= look_at or (paid_until > now and pause(paid_until - now, 1)):
                    break
                seconds = max(0.0, look_at - now)
        except BlockingIOError:
            look_at = look_at or clock() + LOOK_AFTER  # it may never take any more
            return False
        finally:
            self.offset, self.look_at, budget.paid_until = offset, look_at, paid_until
        return True

    def finish(self) -> None:
        """Mark the end of all that is sent, where the channel does. Waits; raises OSError."""

    @property
    def _end(self) -> int:
        """How far records may be sent."""
        return self._page.watermark

    @property
    def _mark_at(self) -> int:
        """The offset from which on it is to be told where it is."""
        return self._marked + SAID_EVERY if self.numbered else _NEVER

    def _reach_own(self) -> None:
        """Tell of its own records that come next, or where it is; and go past what it is spared."""
        while self._own and self._own[0][0] <= self.offset and not self._mark:
            start, end, first, count = self._own.popleft()
            if self.numbered and first:
                self._tell_where(start, first, count)
            if not self.echo and not self._go_past(start, end):
                return
        due = self.offset >= self._mark_at and self._following and not self._mark
        if due and self._transcript.is_start(self.offset):
            self._tell_where(self.offset)

    def _go_past(self, _start: int, end: int) -> bool:
        """Whether it has got to that end."""
        self.offset = max(self.offset, end)
        return True

    def _tell_where(self, offset: int, first: int = 0, count: int = 0) -> None:
        self._mark += messages.at(offset, first, count)
        self._marked = offset

    def _flush(self) -> None:
        """Send what was taken before, where that can be more than what the socket takes."""

    def _send(self, data: bytes) -> int:
        """How many of the bytes were taken."""
        return self._sock.send(data)

    def _send_records(self, count: int) -> int:
        """How many of the bytes from the offset on were taken."""
        return os.sendfile(self._sock.fileno(), self._transcript.fd, self.offset, count)

    def _private_is_next(self) -> bool:
        if not self._private:
            return False
        if self._in_private or not self._following:
            return True
        is_due = not 0 < self._after - self.offset <= SOON
        return is_due and self._transcript.is_start(self.offset)

    def _next_stretch(self) -> int:
        """How many bytes from the offset on can go out at once."""
        if not self._following:
            return 0
        end = min(self._own[0][0], self._end) if self._own else self._end
        if self.offset >= self._mark_at and end > self.offset:
            return self._rest_of_record()
        end = min(end, max(self._mark_at, self.offset))
        if not self._private:
            return end - self.offset
        if 0 < self._after - self.offset <= SOON:
            return min(end, self._after) - self.offset
        return self._rest_of_record()  # not the whole rest, or the private line would wait for it

    def _no_more(self) -> int:
        """We never cut the file below the watermark: somebody else has, or it was made anew.

        It is as long as it was after this, so that 0 more bytes were sent this time.
        """
        try:
            self._transcript.look()
        except TranscriptError as error:
            raise OSError("the transcript has become shorter") from error
        return 0

    def _rest_of_record(self) -> int:
        length = 0
        while True:
            block = os.pread(self._transcript.fd, _LOOK_AHEAD, self.offset + length)
            newline = block.find(b"\n")
            if newline >= 0:
                return length + newline + 1
            length += len(block) or self._no_more()
