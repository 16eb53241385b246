"""The plain channel: the wire carries the lines themselves. For nc, telnet and duplex.

Lines go out as they are, newline-ended. What comes in may be anything: telnet commands, CRLF,
half characters, noise; the boundary in transcript/sanitize.py makes lines of it.
"""

from __future__ import annotations

from duplex.channel import base

NAME = "not encrypted"
# IAC WONT TIMING-MARK. After an interrupt (Ctrl-C) telnet asks for the mark, and shows nothing of
# what comes until it is answered: RFC 860.
_NO_TIMING_MARK = b"\xff\xfc\x06"


class Sender(base.Sender):
    """Lines to bytes: the same bytes."""

    def send(self, lines: bytes) -> bytes:
        return lines

    def end(self) -> bytes:
        return b""


class Receiver(base.Receiver):
    """Bytes to lines of safe text, each of `limit` bytes at most."""

    def take_answer(self) -> bytes:
        asked, self._text.timing_mark_asked = self._text.timing_mark_asked, False
        return _NO_TIMING_MARK if asked else b""


def channel() -> base.Channel:
    """There is nothing to agree on, so it needs no handshake."""
    return base.Channel(Sender(), Receiver(), NAME)
