"""The writer: the one process of a host that changes the store, for all of the host's members.

Holds a connection to the hub (calls.py), the socket that the hub dials, and one connection to the
store. One turn: take what has been asked, make one pipeline of it, send it, answer each. While a
turn is under way the next one's requests come in, so that the busier the room is the more goes into
one call. Its beat tells the store that this host lives, and announces the people of one that does
not.

It holds what was asked until the store has answered, and asks again, in the same order and with the
same turn, for as long as it takes; meanwhile nothing more is taken, so that it keeps little. When
there is another hub, the store knows that by another id: the people of the one before are dropped
before anything else is done (the script's `begin`). Knows no client, no record's text, and no
transcript but how far it is a copy, which the hub says with all that it asks.
"""

from __future__ import annotations

import select
import socket
import time

from duplex.store.calls import BACK, OUT, SEPARATOR, SWEPT, TELL
from duplex.store.errors import OtherRoom, Refused, StoreError, Unreachable
from duplex.store.line import LIMIT
from duplex.store.script import BEAT
from duplex.system import local
from duplex.system.errors import say_status
from duplex.system.process import wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.store.shared import Answer, Call, Shared

    Asked = list[tuple[bytes, list[bytes]]]  # its number, and its words

ANSWER_LIMIT = 160 * 1024  # bytes of an answer
GATHERED = 2 << 20  # bytes asked that are taken at once
GROUP_LIMIT = 256 * 1024  # bytes in one entry, so that no call keeps the store from the others long
GROUP_COUNT = 500  # requests in one call: Lua takes some thousand arguments
AGAIN, AGAIN_AT_MOST = 0.05, 1.0  # s before asking again, doubled each time
# What an addition comes to that was not made. The last cannot be: each member says one at a time.
_NUMBERS = {b"-1": [b"gone"], b"-2": [b"moved"], b"-3": [b"refused", b"more was said since"]}


class Writer:
    """`listener` is what the hub dials."""

    def __init__(self, shared: Shared, listener: socket.socket) -> None:
        self._shared = shared
        self._listener = listener
        self._hub: socket.socket | None = None
        self._asked: Asked = []
        self._known = 0  # how far this host's transcript is a copy, in bytes
        self._turn = 0
        self._beat_at = 0.0  # monotonic
        self._failed = 0  # times in a row
        self._back = True  # and the hub may not know it

    def go_on(self) -> None:
        """One turn, or one failed attempt at it and the wait after that.

        Raises StoreError if that cannot go on.
        """
        if not self._failed:
            self._gather()
        if not self._hub:
            return
        try:
            self._turn = self._turn or self._shared.begin()
            self._carry_out()
        except Unreachable as error:
            self._wait(error.reason)
            return
        if self._back:
            self._send(BACK)
        self._failed, self._back = 0, False

    # The hub:

    def tell(self, text: str) -> None:
        """The operator, through the hub, or on standard error."""
        if self._hub:
            self._send(TELL + SEPARATOR + text.encode())
        else:
            say_status(text)

    def _gather(self) -> None:
        wanted = {self._listener.fileno(): select.POLLIN}
        if self._hub:
            wanted[self._hub.fileno()] = select.POLLIN
        seconds = max(0.0, self._beat_at - time.monotonic()) if self._hub else None
        ready = wait(wanted, seconds)
        if self._hub and self._hub.fileno() in ready:
            self._take(self._hub)
        if self._listener.fileno() in ready:
            self._accept()

    def _accept(self) -> None:
        """The next hub: the one before is gone, and with it whoever asked."""
        try:
            hub = local.accept(self._listener)
        except OSError:
            return
        if hub is None:
            return  # somebody else's
        self._hang_up()
        hub.setblocking(True)
        self._hub = hub
        try:
            hello = hub.recv(LIMIT).split(SEPARATOR)
        except OSError:
            hello = []
        if len(hello) < 2:
            self._hang_up()
            return
        self._shared.be(hello[1].decode())

    def _take(self, hub: socket.socket) -> None:
        size = 0
        while size < GATHERED:
            try:
                message = hub.recv(LIMIT, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._hang_up()
                return
            size += len(message)
            number, known, *words = message.split(SEPARATOR)
            self._known = int(known)
            self._asked.append((number, words))

    def _send(self, message: bytes) -> None:
        """It reads, or stands still and is killed: that is waited for."""
        try:
            if self._hub:
                self._hub.send(message)
        except OSError:
            return  # it is gone, which is read soon

    def _hang_up(self) -> None:
        if self._hub:
            self._hub.close()
        self._hub, self._asked, self._turn, self._known = None, [], 0, 0

    # The store:

    def _carry_out(self) -> None:
        """What was asked, and the beat if it is time. Raises Unreachable with all still asked."""
        calls, askers = _grouped(self._asked)
        beats = time.monotonic() >= self._beat_at
        if beats:
            calls.append(("beat",))
        if not calls:
            return
        answers = self._shared.calls(self._turn + 1, self._known, calls)
        self._look_at([answer[0] for answer in answers if not isinstance(answer, Refused)])
        self._turn += 1
        self._asked = []
        if beats:
            self._beat_at = time.monotonic() + BEAT
        for call, numbers, answer in zip(calls, askers, answers, strict=False):
            with self._shared.understood("what it answers"):
                messages = _answers(call[0] == b"add", numbers, answer)
            for message in messages:
                self._send(message)

    def _look_at(self, words: list[bytes]) -> None:
        if b"swept" in words:
            self._turn = self._shared.begin()
            self._send(SWEPT)
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
        self._back = True
        if self._failed == 2:
            self._send(OUT + SEPARATOR + reason.encode())
        time.sleep(min(AGAIN_AT_MOST, AGAIN * 2 ** min(self._failed - 1, 10)))


def _grouped(asked: Asked) -> tuple[list[Call], list[list[bytes]]]:
    """One call for all additions that may stand in one entry; the others by themselves."""
    calls: list[Call] = []
    askers: list[list[bytes]] = []
    size, open_group = 0, False
    for number, words in asked:
        if words[0] != b"add":
            calls.append(tuple(words))
            askers.append([number])
            open_group = False
            continue
        if open_group and size + len(words[-1]) <= GROUP_LIMIT and len(askers[-1]) < GROUP_COUNT:
            calls[-1] += tuple(words[1:])
            askers[-1].append(number)
            size += len(words[-1])
        else:
            calls.append(tuple(words))
            askers.append([number])
            size, open_group = len(words[-1]), True
    return calls, askers


def _answers(said: bool, numbers: list[bytes], answer: Answer | Refused) -> list[bytes]:
    if isinstance(answer, Refused):
        refused = [b"refused", answer.reason.encode()]
        return [SEPARATOR.join([number, *refused]) for number in numbers]
    words = [word if isinstance(word, bytes) else b"%d" % word for word in answer]
    if sum(map(len, words)) + len(words) > ANSWER_LIMIT:  # who is here, of more than some thousand
        words = [b"refused", b"the answer is too long"]
    if said:
        return [
            SEPARATOR.join([number, *_NUMBERS.get(word, [b"ok", word])])
            for number, word in zip(numbers, words[1:], strict=True)
        ]
    return [SEPARATOR.join([numbers[0], *words])]
