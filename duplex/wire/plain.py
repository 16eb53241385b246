"""The plain channel: the wire carries the lines themselves. For nc, telnet and duplex.

Lines go out as they are, newline-ended. What comes in may be anything: telnet commands, CRLF,
half characters, noise; the boundary in text.py makes lines of it.
"""

from __future__ import annotations

from duplex import wire
from duplex.record import LINE_LIMIT

# IAC WONT TIMING-MARK. After an interrupt (Ctrl-C) telnet asks for the mark, and shows nothing of
# what comes until it is answered: RFC 860.
_NO_TIMING_MARK = b"\xff\xfc\x06"


TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.text import Text

_boundary: list[type[Text]] = []  # the class, once it has been needed: see Receiver


class Sender(wire.Sender):
    """Lines to bytes: the same bytes."""

    def send(self, lines: bytes) -> bytes:
        return lines

    def end(self) -> bytes:
        return b""


class Receiver(wire.Receiver):
    """Bytes to lines of safe text, each of `limit` bytes at most."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        if not _boundary:  # only a process that receives loads it, and only once looks for it
            from duplex.text import Text

            _boundary.append(Text)
        self._text = _boundary[0](limit)

    def receive(self, data: bytes) -> bytes:
        return self._text.feed(data)

    def take_answer(self) -> bytes:
        asked, self._text.timing_mark_asked = self._text.timing_mark_asked, False
        return _NO_TIMING_MARK if asked else b""

    def end(self, cut_off: bool) -> bytes:
        if cut_off and self._text.unfinished():
            self._text.feed("…".encode())  # the same mark as for any line that was cut
        return self._text.end()
