"""Calls: what the hub asks of the store, through the writer of its host (writer.py).

Many are under way at once, and the writer carries them out in their order. Those that are not
answered are asked again of the next writer if one was killed: the script does nothing twice. What
the writer does not take yet waits here; each member asks for one thing at a time, so that is
bounded. Part of the hub; knows no person.
"""

from __future__ import annotations

from collections import deque

from duplex.store.line import Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.room.ports import Hub

    Words = list[bytes]
    Then = Callable[[Words], None]

SEPARATOR = b"\0"  # cannot be in what passes the text boundary
# What the writer says unasked:
OUT, BACK, SWEPT, TELL = b"!out", b"!back", b"!swept", b"!tell"


class Calls:
    """`ask` calls back with the words of an answer: ok and what follows, or another word
    (script.py), or "refused" and why."""

    def __init__(
        self, hub: Hub, address: str, host: str, told: Callable[[bytes, str], None]
    ) -> None:
        """`host` is what the store knows this hub's people by; `told` takes what is unasked."""
        self._transcript = hub.transcript
        self._host = host
        self._told = told
        self._made = 0
        self._asked: dict[int, tuple[bytes, Then]] = {}  # and not answered, in their order
        self._unsent: deque[int] = deque()
        self._line = Line(hub, address, begun=self._begun, heard=self._heard, go_on=self._go_on)
        self._line.dial()

    def ask(self, *words: bytes | str | int, then: Then) -> None:
        """An operation, and what it takes (script.py)."""
        self._made += 1
        body = SEPARATOR.join(
            word if isinstance(word, bytes) else str(word).encode() for word in words
        )
        self._asked[self._made] = body, then
        self._unsent.append(self._made)
        if len(self._unsent) == 1:
            self._go_on()

    @property
    def waiting(self) -> int:
        """How many are not answered."""
        return len(self._asked)

    def hear(self) -> None:
        """Take what the writer has said by now."""
        self._line.hear()

    def _begun(self) -> None:
        self._unsent = deque(self._asked)
        if self._line.send(b"hello" + SEPARATOR + self._host.encode()):
            self._go_on()

    def _go_on(self) -> None:
        while self._unsent:
            number = self._unsent[0]
            head = b"%d\0%d\0" % (number, self._transcript.end)
            if not self._line.send(head + self._asked[number][0]):
                return
            self._unsent.popleft()

    def _heard(self, message: bytes) -> None:
        first, *words = message.split(SEPARATOR)
        if first.startswith(b"!"):
            self._told(first, b" ".join(words).decode(errors="replace"))
        elif asked := self._asked.pop(int(first), None):
            asked[1](words)
