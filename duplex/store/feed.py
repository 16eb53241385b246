"""The feed: how the replicator hands what is in the store to the hub, a datagram at a time.

    hub ─► replicator   where the hub is: host, entry, offset
    replicator ─► hub   e entry, start, records      k, once they stand in the transcript; ! why not
                        r start, end                 d and what stands there; ! why not
                        l a letter's parts           nothing
                        t a line for the operator    nothing

The hub alone appends, and moves the position before anybody is sent anything. The replicator waits
for each answer, so the hub never has more of it than one piece; while the disk is full there is no
answer, and the room goes on in the store. Both ends stand here.
"""

from __future__ import annotations

import heapq
import select

from duplex.store.entry import Letter
from duplex.store.errors import StoreError
from duplex.store.line import LIMIT, Line
from duplex.system import local
from duplex.system.errors import DuplexError, reason_of, say_status
from duplex.system.process import wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from duplex.room.journal import Journal
    from duplex.room.ports import Hub
    from duplex.store.copy import Copy

AGAIN = 0.2  # s until a full disk is tried again
_NUL = b"\0"
_ENTRY, _READ, _LETTER, _TELL = b"e", b"r", b"l", b"t"
_OK, _DATA, _ERROR = b"k", b"d", b"!"


class Feed:
    """The hub's end. `letter` is called for each."""

    def __init__(
        self,
        hub: Hub,
        journal: Journal,
        address: str,
        host: str,
        copy: Copy,
        letter: Callable[[Letter], None],
    ) -> None:
        self._hub = hub
        self._journal = journal
        self._copy = copy
        self._host = host
        self._letter = letter
        self._new: tuple[str, bytes] | None = None  # an entry, and what is to be added of it
        self._awaited: list[tuple[int, int, Callable[[], None]]] = []  # a heap, by offset
        self._made = 0
        self._line = Line(hub, address, begun=self._begun, heard=self._heard, go_on=_nothing)
        self._line.dial()

    def hear(self) -> None:
        """Take what the replicator has said by now."""
        self._line.hear()

    def when_here(self, offset: int, call: Callable[[], None]) -> None:
        """Call it when the transcript goes that far: at once, or before that is sent to anybody."""
        self._made += 1
        heapq.heappush(self._awaited, (offset, self._made, call))
        self._go_on()

    def _go_on(self) -> None:
        while self._awaited and self._awaited[0][0] <= self._hub.transcript.end:
            heapq.heappop(self._awaited)[2]()

    def _begun(self) -> None:
        self._new = None
        entry, offset = self._copy.where()
        words = self._host, entry, str(offset)
        self._line.send(_NUL.join(word.encode() for word in words))

    def _heard(self, message: bytes) -> None:
        kind, body = message[:1], message[1:]
        if kind == _LETTER:
            self._letter(Letter.unpacked(body.split(_NUL)))
        elif kind == _TELL:
            self._hub.tell_operator(body.decode(errors="replace"))
        else:
            try:
                self._carry_out(kind, body)
            except DuplexError as error:
                self._line.send(_ERROR + str(error).encode())
            except OSError as error:
                self._line.send(_ERROR + reason_of(error).encode())

    def _carry_out(self, kind: bytes, body: bytes) -> None:
        if kind == _READ:
            start, end = body.split(_NUL)
            self._line.send(_DATA + self._copy.read(int(start), int(end)))
            return
        entry, start, data = body.split(_NUL, 2)
        new = self._copy.new_part(int(start), data)
        if new:
            self._new = entry.decode(), new
            self._append()
        else:
            self._line.send(_OK)

    def _append(self) -> None:
        if new := self._new:

            def tried(_start: int, _end: int, why: str) -> None:
                if why:
                    self._hub.loop.after(
                        AGAIN, lambda: self._append() if self._new is new else None
                    )
                    return
                self._copy.added(*new)
                if self._new is new:
                    self._new = None
                    self._line.send(_OK)
                self._go_on()

            self._journal.add(new[1], tried)


def _nothing() -> None:
    """An answer always has room: nothing else is under way."""


class HubGone(Exception):
    """There will be another."""


class Handing:
    """The replicator's end, which waits for the hub."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._hub: socket.socket | None = None
        self._entry, self._offset = "", 0
        self.host = ""  # the hub's, in the store

    def has_begun(self) -> bool:
        """Wait for a hub, if there is none; whether it is another than before."""
        if self._hub and not wait({self._hub.fileno(): select.POLLIN}, 0):
            return False  # it says nothing unasked: that would be its end
        if self._hub:
            self._hub.close()
        self._hub = None
        while self._hub is None:
            wait({self._listener.fileno(): select.POLLIN}, None)
            self._hub = local.accept(self._listener)
        self._hub.setblocking(True)
        host, entry, offset = self._answer().split(_NUL)
        self.host, self._entry, self._offset = host.decode(), entry.decode(), int(offset)
        return True

    def where(self) -> tuple[str, int]:
        return self._entry, self._offset

    def take(self, entry: str, start: int, data: bytes) -> None:
        self._send(_ENTRY, entry.encode(), b"%d" % start, data)
        self._answer()
        if start + len(data) > self._offset:
            self._entry, self._offset = entry, start + len(data)

    def read(self, start: int, end: int) -> bytes:
        self._send(_READ, b"%d" % start, b"%d" % end)
        return self._answer()[1:]

    def deliver(self, letters: list[Letter]) -> None:
        for letter in letters:
            self._send(_LETTER, *letter.packed())

    def tell(self, text: str) -> None:
        """The operator, through the hub, or on standard error."""
        try:
            self._send(_TELL, text.encode())
        except HubGone:
            say_status(text)

    def _send(self, kind: bytes, *words: bytes) -> None:
        if self._hub is None:
            raise HubGone
        try:
            self._hub.send(kind + _NUL.join(words))
        except OSError:
            raise HubGone from None

    def _answer(self) -> bytes:
        """Raises HubGone, and StoreError in the hub's words."""
        assert self._hub
        try:
            answer = self._hub.recv(LIMIT)
        except OSError:
            answer = b""
        if not answer:
            raise HubGone
        if answer.startswith(_ERROR):
            raise StoreError(answer[1:].decode(errors="replace"))
        return answer
