"""A pen: how a member, or the host, asks the writer of its host for changes in the store.

One request is under way at a time, the others wait in their order; what is said meanwhile joins the
last one that waits, so that a fast speaker's lines become few requests. If the writer is killed the
pen calls the next one and asks again: what was said is numbered, and done once (script.py).

The request of a connection that the store has dropped (its host was taken for dead) is answered
"gone": then the pen waits until whoever holds it has come in again and calls `go_on`.

Non-blocking but for `call`. Knows the writer's socket; no store, no transcript, no client.
"""

from __future__ import annotations

import os
import select
from collections import deque

from duplex.store.entry import BODY_LIMIT, length, pieces
from duplex.store.writer import MESSAGE_LIMIT, SEPARATOR
from duplex.system import local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FULL = 256 * 1024  # bytes said that wait: then the client is not read for a while
_ADD = b"add"


class Request:
    """`at` is the watermark when it was first asked for: what is said stands behind that."""

    __slots__ = ("at", "body", "first", "number", "of", "operation", "sent", "words")

    def __init__(self, operation: bytes, number: int, words: list[bytes], body: bytes, at: int):
        self.operation = operation
        self.number = number
        self.words = words
        self.body = body
        self.at = at
        self.of = b""
        self.first = 0  # of the client's lines that are said: the number of the first
        self.sent = False  # its length is no longer free

    @property
    def lines(self) -> int:
        """How many are said."""
        return self.body.count(b"\n")

    def message(self, connection: bytes, session: bytes) -> bytes:
        head = [self.operation, self.of or connection, session]
        if self.operation == _ADD:
            head += [b"%d" % self.number, b"%d" % length(self.body), self.body]
        elif self.operation == b"post":
            head += [b"%d" % self.number]
        return SEPARATOR.join(head + self.words)


class Heard:
    """An answer, or what the writer tells everybody (`request` is None): a word, and what follows.

    ok       done; of what was said the rest is the offset of its first record
    taken, later, nobody, gone, moved, refused    script.py, writer.py
    !out, !back, !swept                           the store is out of reach, is back, or has dropped
                                                  this host's people
    """

    __slots__ = ("request", "rest", "word")

    def __init__(self, request: Request | None, message: bytes) -> None:
        self.request = request
        word, *self.rest = message.split(SEPARATOR)
        self.word = word.decode()

    @property
    def stretch(self) -> tuple[int, int] | None:
        """(start, end) in the transcript of what was said."""
        if self.word != "ok" or not self.rest or not self.request or not self.request.body:
            return None
        start = int(self.rest[0])
        return start, start + length(self.request.body)


class Pen:
    """Made after the fork. `fd` is readable when `take` has something."""

    def __init__(self, address: str, connection: str, session: str) -> None:
        self._address = address
        self.connection = connection.encode()
        self.session = session.encode()
        self.waits = False  # for `go_on`
        self._number = 0
        self._urgent: deque[Request] = deque()
        self._queue: deque[Request] = deque()
        self._asked: Request | None = None
        self._heard: list[Heard] = []  # by `call`, for `take`
        self._epoll = select.epoll()
        self.fd = self._epoll.fileno()
        self._dial()

    def close(self) -> None:
        self._sock.close()
        self._epoll.close()

    @property
    def waiting(self) -> int:
        """Bytes said and not answered."""
        return sum(len(request.body) for request in self._unanswered())

    @property
    def full(self) -> bool:
        return self.waiting > FULL

    @property
    def idle(self) -> bool:
        return not (self._asked or self._urgent or self._queue)

    @property
    def hold(self) -> int | None:
        """The offset before which none of what is said and not answered can stand.

        A client that is to be spared its own records is sent nothing beyond it.
        """
        return next((request.at for request in self._unanswered() if request.body), None)

    def say(self, body: bytes, at: int, first: int = 0) -> None:
        """Lines without stamps (entry.said); `at` is the watermark, `first` the first one's number
        among all that the client has said."""
        last = self._queue[-1] if self._queue else None
        fits = last and last.body and not last.sent and len(last.body) + len(body) <= BODY_LIMIT
        if last and fits and (last.first + last.lines == first or not first):
            last.body += body
            return
        for piece in pieces(body):
            self._number += 1
            self._queue.append(Request(_ADD, self._number, [], piece, at))
            self._queue[-1].first = first
            first += self._queue[-1].lines if first else 0
        self._send_next()

    def ask(self, operation: str, *words: str, urgent: bool = False, of: str = "") -> Request:
        """Anything else that script.py takes after connection and session, in its order.

        `of` is another's connection: the host asks for those that have ended.
        """
        self._number += operation == "post"
        request = Request(
            operation.encode(), self._number, [word.encode() for word in words], b"", 0
        )
        request.of = of.encode()
        (self._urgent if urgent else self._queue).append(request)
        self._send_next()
        return request

    def call(
        self, operation: str, *words: str, urgent: bool = False, patience: Callable[[], bool]
    ) -> Heard | None:
        """Ask, and wait for the answer; None when `patience`, asked each 0.1 s, is over."""
        request = self.ask(operation, *words, urgent=urgent)
        kept: list[Heard] = []
        try:
            while True:
                for heard in self.take():
                    if heard.request is request:
                        return heard
                    kept.append(heard)
                if not self._epoll.poll(0.1) and not patience():
                    return None
        finally:
            self._heard = kept + self._heard

    def go_on(self) -> None:
        """It is here again: what was answered "gone" is asked once more."""
        self.waits = False
        self._send_next()

    def drop(self) -> int:
        """Forget what has not been sent; how many lines that were."""
        lines = sum(request.body.count(b"\n") for request in self._queue)
        self._queue.clear()
        return lines

    def take(self) -> list[Heard]:
        """What has been answered and told, in its order."""
        heard, self._heard = self._heard, []
        while True:
            try:
                message = self._sock.recv(MESSAGE_LIMIT)
            except BlockingIOError:
                return heard
            except OSError:
                message = b""
            if not message:  # killed, or it has hung up
                self._sock.close()
                self._dial()
            elif message.startswith(b"!"):
                heard.append(Heard(None, message))
            elif self._asked:
                heard.append(Heard(self._asked, message))
                self._answered(heard[-1])

    def _unanswered(self) -> list[Request]:
        asked = [self._asked] if self._asked else []
        return [*asked, *self._queue]

    def _answered(self, heard: Heard) -> None:
        if heard.word == "gone" and self._asked and self._asked.operation in (_ADD, b"post"):
            self._queue.appendleft(self._asked)
            self.waits = True
        self._asked = None
        self._send_next()

    def _send_next(self) -> None:
        if self._asked:
            return
        if self._urgent:
            self._asked = self._urgent.popleft()
        elif self._queue and not self.waits:
            self._asked = self._queue.popleft()
        else:
            return
        self._send()

    def _send(self) -> None:
        """Into an empty buffer, which takes it: nothing else is under way."""
        assert self._asked
        self._asked.sent = True
        try:
            self._sock.send(self._asked.message(self.connection, self.session))
        except OSError:
            return  # the writer is gone: that will be read, and then it is asked again

    def _dial(self) -> None:
        """The host holds the listening socket, so somebody will answer."""
        self._sock = local.dial(self._address, None)
        self._sock.setblocking(False)
        self._epoll.register(self._sock.fileno(), select.EPOLLIN)
        if self._asked:
            self._send()


def new_connection() -> str:
    """What tells a member's connection from all others, on all hosts."""
    return os.urandom(8).hex()
