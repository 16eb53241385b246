"""The writer: the one process of a host that changes the store, for all of the host's members.

Holds the socket that the pens call (the host made it, so that it stays when a writer is killed),
their connections, and one connection to the store. One turn: take what has been asked (at most one
thing from each pen), make one pipeline of it, send it, answer each. While a turn is under way the
next one's requests come in, so that the busier the room is the more goes into one call. Its beat
tells the store that this host lives, and announces those of a host that does not.

It holds what was asked until the store has answered, and asks again, in the same order and with the
same turn, for as long as it takes; meanwhile nothing more is taken from the pens, so that it keeps
no more than one request of each. It waits for no pen: who does not take its answers is hung up on,
and asks again. Knows no client, no record's text, and no transcript but how far it is a copy.
"""

from __future__ import annotations

import select
import time

from duplex.store.errors import OtherRoom, Refused, StoreError, Unreachable
from duplex.store.script import BEAT
from duplex.system import local

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import NoReturn

    from duplex.store.shared import Answer, Call, Shared

MESSAGE_LIMIT = 160 * 1024  # bytes from a pen: entry.BODY_LIMIT, a long line, and a head
GROUP_LIMIT = 256 * 1024  # bytes in one entry, so that no call keeps the store from the others long
GROUP_COUNT = 500  # requests in one call: Lua takes some thousand arguments
BACKLOG = 4096  # pens that wait to be taken
AGAIN, AGAIN_AT_MOST = 0.05, 1.0  # s before asking again, doubled each time
SEPARATOR = b"\0"  # cannot be in what passes the text boundary
OUT, BACK, SWEPT = b"!out", b"!back", b"!swept"  # to all pens
_NUMBERS = {b"-1": b"gone", b"-2": b"moved", b"-3": b"ok"}  # what an addition was answered with


class Writer:
    """`known()` is how far this host's transcript is a copy, in bytes."""

    def __init__(self, shared: Shared, listener: socket.socket, known: Callable[[], int]) -> None:
        self._shared = shared
        self._listener = listener
        self._known = known
        self._pens: dict[int, socket.socket] = {}
        self._asked: list[tuple[socket.socket, list[bytes]]] = []
        self._turn = 0
        self._beat_at = 0.0  # monotonic
        self._failed = 0  # times in a row
        self._all = select.epoll()
        self._calls = select.epoll()  # who wants to be taken, alone: for while the store is away
        self._calls.register(listener.fileno(), select.EPOLLIN)
        self._all.register(self._calls.fileno(), select.EPOLLIN)

    def run(self) -> NoReturn:
        """Serve until StoreError says why that cannot go on."""
        while True:
            self.go_on()

    def go_on(self) -> None:
        """One turn, or one failed attempt at it and the wait after that."""
        try:
            if not self._turn:
                self._turn = self._shared.begin()
            if not self._failed:
                self._gather()
            self._carry_out()
        except Unreachable as error:
            self._wait(error.reason)
            return
        if self._failed > 1:
            self._tell_all(BACK)
        self._failed = 0

    def _gather(self) -> None:
        for fd, _ in self._all.poll(max(0.0, self._beat_at - time.monotonic())):
            if fd == self._calls.fileno():
                self._accept()
            elif pen := self._pens.get(fd):
                self._take(pen)

    def _accept(self) -> None:
        while True:
            try:
                pen = local.accept(self._listener)
            except OSError:
                return  # no more, or no descriptor: it waits in the backlog
            if pen is None:
                continue  # somebody else's
            self._pens[pen.fileno()] = pen
            self._all.register(pen.fileno(), select.EPOLLIN)
            if self._failed > 1:
                self._send(pen, OUT)

    def _take(self, pen: socket.socket) -> None:
        try:
            message = pen.recv(MESSAGE_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message:
            self._asked.append((pen, message.split(SEPARATOR)))
        else:
            self._hang_up(pen)

    def _carry_out(self) -> None:
        """What was asked, and the beat if it is time. Raises Unreachable with all still asked."""
        calls, askers = _grouped(self._asked)
        beats = time.monotonic() >= self._beat_at
        if beats:
            calls.append(("beat",))
        if not calls:
            return
        answers = self._shared.calls(self._turn + 1, self._known(), calls)
        self._look_at([answer[0] for answer in answers if not isinstance(answer, Refused)])
        self._turn += 1
        self._asked = []
        for call, pens, answer in zip(calls, askers, answers, strict=False):
            with self._shared.understood("what it answers"):
                messages = _answers(call[0] == b"add", pens, answer)
            for pen, message in messages:
                self._send(pen, message)
        if beats:
            self._beat_at = time.monotonic() + BEAT

    def _look_at(self, words: list[bytes]) -> None:
        if b"swept" in words:
            self._turn = self._shared.begin()
            self._tell_all(SWEPT)
            raise Unreachable(self._shared.address.shown, "it took this host for dead")
        if b"behind" in words:
            raise Unreachable(self._shared.address.shown, "it has lost the end of the room")
        if b"other" in words:
            raise OtherRoom("this host's transcript", self._shared.name)
        if b"stale" in words:
            raise StoreError("another writer serves this host")

    def _wait(self, reason: str) -> None:
        """Out of reach: tell it at the second time, for a first may be an old connection's end."""
        self._failed += 1
        if self._failed == 2:
            self._tell_all(OUT + SEPARATOR + reason.encode())
        seconds = min(AGAIN_AT_MOST, AGAIN * 2 ** min(self._failed - 1, 10))
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._calls.poll(left):
                self._accept()

    def _tell_all(self, message: bytes) -> None:
        for pen in list(self._pens.values()):
            self._send(pen, message)

    def _send(self, pen: socket.socket, message: bytes) -> None:
        try:
            pen.send(message)
        except OSError:  # it is gone, or takes nothing: if it lives it calls again, and asks again
            self._hang_up(pen)

    def _hang_up(self, pen: socket.socket) -> None:
        self._pens.pop(pen.fileno(), None)
        pen.close()  # and so out of the epoll


def _grouped(
    asked: list[tuple[socket.socket, list[bytes]]],
) -> tuple[list[Call], list[list[socket.socket]]]:
    """One call for all additions that may stand in one entry; the others by themselves."""
    calls: list[Call] = []
    askers: list[list[socket.socket]] = []
    size, open_group = 0, False
    for pen, words in asked:
        if words[0] != b"add":
            calls.append(tuple(words))
            askers.append([pen])
            open_group = False
            continue
        if open_group and size + len(words[-1]) <= GROUP_LIMIT and len(askers[-1]) < GROUP_COUNT:
            calls[-1] += tuple(words[1:])
            askers[-1].append(pen)
            size += len(words[-1])
        else:
            calls.append(tuple(words))
            askers.append([pen])
            size, open_group = len(words[-1]), True
    return calls, askers


def _answers(
    said: bool, pens: list[socket.socket], answer: Answer | Refused
) -> list[tuple[socket.socket, bytes]]:
    if isinstance(answer, Refused):
        message = b"refused" + SEPARATOR + answer.reason.encode()
        return [(pen, message) for pen in pens]
    words = [word if isinstance(word, bytes) else b"%d" % word for word in answer]
    if sum(map(len, words)) + len(words) > MESSAGE_LIMIT:  # who is here, of more than some thousand
        words = [b"refused", b"the answer is too long"]
    if said:
        return [
            (pen, _NUMBERS.get(word, b"ok" + SEPARATOR + word))
            for pen, word in zip(pens, words[1:], strict=True)
        ]
    return [(pens[0], SEPARATOR.join(words))]
