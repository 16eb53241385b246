"""A seat: one member as the hub knows it, from the arrival of its client to its end.

    NEW       its client is in a handshake, or has not been heard of yet
    COMING    welcomed, with a guest's nick; nothing of it is recorded
    HERE      its entry is recorded, and it may speak
    GOING     its leaving is recorded; what its client was not sent yet is still sent
    GONE      nothing is left of it

A member is believed as far as its requests go (protocol/requests.py). It has one request under way
at a time, so that a reply never waits for room, and what one member can make the hub keep is
bounded. Part of the hub.
"""

from __future__ import annotations

import time

from duplex.protocol import messages, requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from duplex.room.client import Client
    from duplex.room.rate import Rate
    from duplex.system.tcp import Pulse

NEW, COMING, HERE, GOING, GONE = range(5)


class Seat:
    """`number` counts all who have come; `pair` is the hub's end, and does not block."""

    def __init__(
        self, pair: socket.socket, number: int, ip: str, where: str, pid: int, rate: Rate
    ) -> None:
        self.pair = pair
        self.number = number
        self.ip = ip
        self.where = where
        self.pid = pid
        self.rate = rate
        self.operator = False
        self.state = NEW
        self.came = time.time()
        self.nick = ""
        self.key = ""  # what two nicks have in common that are the same
        self.look = ""  # and that look alike
        self.session = 0
        self.connection = ""  # what tells it from all others, on all hosts (store/)
        self.client: Client | None = None
        self.entry = 0  # the offset of its entry
        self.entered_as = ""
        self.why_not = ""  # it has not got the nick that it wanted
        self.refused = 0  # requests to join or resume in vain
        self.slowed = False  # and it is told so
        self.ended = False  # its member is not there any more
        self.pulse: Pulse | None = None  # of its connection, once something is under way
        self._owed: bytes | None = None  # the reply to what it has asked
        self._asked = False

    @property
    def heeds(self) -> bool:
        """Whether its requests are still carried out."""
        return self.state < GOING

    @property
    def crowded(self) -> bool:
        return self.client is not None and self.client.crowded

    def asks(self) -> bool:
        """A request has come; whether it may: one is under way at a time."""
        if self._asked:
            return False
        self._asked = True
        return True

    def reply(self, word: bytes, text: str = "", count: int = 0, seconds: float = 0.0) -> None:
        """To what is under way: at once, or when its client has taken some of what waits."""
        self._owed = requests.reply(word, text, count, seconds)
        self.pay()

    def pay(self) -> None:
        """Send the reply that is owed, if it can be."""
        if self._owed is None or self.crowded:
            return
        owed, self._owed, self._asked = self._owed, None, False
        self.send(owed)

    @property
    def owes(self) -> bool:
        return self._owed is not None

    def send(self, data: bytes) -> None:
        """Into a buffer that is empty, but for CLOSING."""
        try:
            self.pair.send(data)
        except OSError:
            return  # it is gone, which is told by its end of file

    def tell(self, *lines: str) -> None:
        """Whole lines for its client alone, as they are."""
        if self.client:
            data = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
            self.client.tell(data)
            self.wake(self.client)

    wake: Callable[[Client], None]  # set by the hub: there is something for it

    def answer(self, number: int, *texts: str) -> None:
        """What its line with that number comes to."""
        numbered = self.client is not None and self.client.numbered
        self.tell(*messages.answer(texts, number if numbered else 0))

    def refuse(self, number: int, why: str) -> None:
        """Its line with that number comes to nothing."""
        self.answer(number, why)
        self.reply(requests.OK)

    def notice(self, text: str) -> None:
        """What answers no line."""
        self.tell(f"! {text}")
