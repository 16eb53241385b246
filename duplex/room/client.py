"""One client as the hub has it: a descriptor, an offset, and lines for it alone between records.

Who is slow is only at an earlier offset of the transcript: nothing is kept for it but the few lines
that are for it alone. What is sent to all at once is clients.py's; here is what one client is sent
that is behind, or is to be told something. Part of the hub; never waits.
"""

from __future__ import annotations

import socket
from collections import deque

from duplex.protocol import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.transcript.segments import Segments

PRIVATE_LIMIT = 64 * 1024  # bytes for it alone that wait; more is not made until some have gone
SOON = 64 * 1024  # bytes of records that a line for it alone lets go first
OWN_LIMIT = 10_000  # stretches of its own records ahead of its offset; it may say more after that
SAID_EVERY = 16 * 1024  # bytes of records after which a client that numbers is told where it is
STRETCH = 1 << 20  # bytes sent to one client before others have their turn
# Whatever the member does to the open file, which it shares: our own sends do not wait.
AT_ONCE = socket.MSG_DONTWAIT
NEVER = 1 << 62  # an offset


class Client:
    """`go_on` sends what there is; `offset` is where it has got to."""

    __slots__ = (
        "_after",
        "_in_private",
        "_mark",
        "_marked",
        "_own",
        "_restart",
        "_transcript",
        "blocked",
        "echo",
        "ended",
        "fd",
        "following",
        "held",
        "level",
        "numbered",
        "offset",
        "private",
        "relieved",
        "send",
        "sent",
        "sock",
        "until",
    )

    def __init__(self, sock: socket.socket, transcript: Segments) -> None:
        """`sock` does not block: the client's, or a stream to the member that encodes."""
        self.sock = sock
        self.fd = sock.fileno()
        self.send: Callable[[bytes | memoryview, int], int] = sock.send
        self.offset = 0
        self.echo = False  # it is sent its own records, too
        self.numbered = False  # it is told which of its lines they are, and where it is
        self.following = False
        self.level = False  # it has been sent all there is (clients.py)
        self.blocked = False  # the socket takes no more
        self.sent = False  # anything, since it was looked after
        self.private = b""
        self.held: int | None = None  # the offset beyond which nothing is sent yet (store/)
        self.until: int | None = None  # it leaves when all up to there is sent
        self.ended: Callable[[], None] | None = None  # called then
        self.relieved: Callable[[], None] | None = None  # called when it is not crowded
        self._transcript = transcript
        self._after = 0  # the offset after which `private` is to go out
        self._in_private = False  # a part of it has gone out: the rest has to be next
        # (start, end, first line, lines) of its own records that are ahead of it
        self._own: deque[tuple[int, int, int, int]] = deque()
        self._mark = b""  # what tells whose the next record is, or where: nothing goes before it
        self._marked = 0  # the offset that it was told last
        # Where it goes on once it has been told what waits, if that is somewhere else.
        self._restart: int | None = None

    def follow(self, offset: int, *, echo: bool) -> None:
        """Send the records from `offset` on, which is the start of one."""
        self.offset = self._marked = offset
        self.echo = echo
        self.following = True

    def begin_again(self, offset: int) -> None:
        """With its own records, from `offset` on, as soon as it has been told what waits now."""
        self.echo = True
        self._own.clear()
        self._restart = offset

    @property
    def goes_on_at(self) -> int:
        """The lowest offset that it may still be sent something from."""
        if not self.following:
            return NEVER
        return self.offset if self._restart is None else min(self.offset, self._restart)

    def tell(self, data: bytes) -> None:
        """Whole lines for it alone: after the records that there are, if those are soon sent."""
        if not self.private:
            self._after = self._transcript.end if self.following else 0
        self.private += data

    def end_with(self, data: bytes) -> None:
        """What a program reads that knows nothing of records: nothing else goes out after it."""
        self.following = False
        self.private = (self.private if self._in_private else b"") + data
        self._after = 0

    def leave_out(self, start: int, end: int, first: int, count: int) -> None:
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

    @property
    def only_follows(self) -> bool:
        """Whether there is nothing but records to be sent, and none of them to be left out."""
        return (
            self.following
            and not self.private
            and not self._own
            and not self._mark
            and self._restart is None
            and self.until is None
            and self.held is None
        )

    @property
    def crowded(self) -> bool:
        """Whether the client has to take some of what waits, before more is made for it."""
        return len(self.private) > PRIVATE_LIMIT or len(self._own) > OWN_LIMIT

    @property
    def mark_at(self) -> int:
        """The offset from which on it is to be told where it is."""
        return self._marked + SAID_EVERY if self.numbered else NEVER

    def go_on(self, start: int, recent: memoryview) -> bool:
        """Send until nothing is left (True), or it takes no more, or others have their turn.

        `recent` are the transcript's last bytes, from `start` on. Raises OSError when the
        connection is lost.
        """
        self.sent = True
        budget = STRETCH
        try:
            while budget > 0:
                if (self._own or self.numbered) and not self._in_private and self._restart is None:
                    self._reach_own()
                if self._mark:
                    self._mark = self._mark[self.send(self._mark, AT_ONCE) :]
                    continue
                if self._restart is not None and not self.private:
                    self.follow(self._restart, echo=True)
                    self._restart = None
                if self._private_is_next():
                    self._in_private = True
                    self.private = self.private[self.send(self.private, AT_ONCE) :]
                    self._in_private = bool(self.private)
                    continue
                count = min(self._next_stretch(), budget)
                if count <= 0:
                    return True
                budget -= self._send_records(count, start, recent)
        except BlockingIOError:
            self.blocked = True
        return False

    def _send_records(self, count: int, start: int, recent: memoryview) -> int:
        at = self.offset - start
        if 0 <= at < len(recent):
            sent = self.send(recent[at : at + count], AT_ONCE)
        else:
            sent = self._transcript.sendfile(self.fd, self.offset, count)
        self.offset += sent
        return sent

    @property
    def _end(self) -> int:
        """How far records may be sent."""
        end = self._transcript.end if self.until is None else self.until
        if self.held is None or (self.echo and not self.numbered):
            return end
        return min(end, max(self.held, self.offset))

    def _reach_own(self) -> None:
        """Tell of its own records that come next, or where it is; and go past what it is spared."""
        while self._own and self._own[0][0] <= self.offset and not self._mark:
            start, end, first, count = self._own.popleft()
            if self.numbered and first:
                self._tell_where(start, first, count)
            if not self.echo:
                here = self._transcript.end
                self.offset = max(self.offset, min(end, here))
                if end > here:  # where they stand is known before they are here (store/)
                    self._own.appendleft((max(start, self.offset), end, 0, 0))
                    return
        due = self.offset >= self.mark_at and self.following and not self._mark
        if due and self.offset < self._end and self._transcript.is_start(self.offset):
            self._tell_where(self.offset)

    def _tell_where(self, offset: int, first: int = 0, count: int = 0) -> None:
        self._mark += messages.at(offset, first, count)
        self._marked = offset

    def _private_is_next(self) -> bool:
        if not self.private:
            return False
        if self._in_private or not self.following:
            return True
        is_due = not 0 < self._after - self.offset <= SOON
        return is_due and self._transcript.is_start(self.offset)

    def _next_stretch(self) -> int:
        """How many bytes from the offset on can go out at once."""
        if not self.following:
            return 0
        end = self._end
        if self._own:
            end = min(self._own[0][0], end)
        if self.offset >= self.mark_at and end > self.offset:
            return self._transcript.rest_of_record(self.offset)
        end = min(end, max(self.mark_at, self.offset))
        if not self.private:
            return end - self.offset
        if 0 < self._after - self.offset <= SOON:
            return min(end, self._after) - self.offset
        if end <= self.offset:
            return 0
        return self._transcript.rest_of_record(self.offset)  # or the private line would wait long
