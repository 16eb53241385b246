"""The two words that end a talk, each alone on a line: `quit` and `bye`.

`quit` ends this side and is not sent; `bye` is sent, and both sides end. Pure computation.
"""

from __future__ import annotations

from duplex.record import LINE_LIMIT

QUIT, BYE = b"quit", b"bye"


def find(lines: bytes, word: bytes, newline: bytes = b"\n") -> tuple[int, int]:
    """Where the first line that is `word` alone starts and ends, its newline included; (-1, -1).

    `lines` are whole lines, and `newline` is what ends them.
    """
    line = word + newline
    if lines.startswith(line):
        return 0, len(line)
    start = lines.find(b"\n" + line) + 1
    return (start, start + len(line)) if start else (-1, -1)


class Typed:
    """What this side says: bytes from stdin in, bytes to send out, until a word ends it.

    `word` is QUIT or BYE once that has been said, else None; CRLF ends a line, too. With `verbatim`
    everything is passed on at once and as it is, for files; otherwise whole lines are, and the last
    one gets a newline.
    """

    def __init__(self, verbatim: bool) -> None:
        self.word: bytes | None = None
        self.rest = b""  # what followed it
        self._verbatim = verbatim
        self._tail = b""  # an unfinished line, of LINE_LIMIT bytes at most
        self._inside = False  # its beginning has been passed on already

    def feed(self, data: bytes) -> bytes:
        """What of `data`, and of what was kept, is to be sent now."""
        if self._verbatim:
            return data
        data = self._tail + data
        end = data.rfind(b"\n") + 1
        lines, self._tail = data[:end], data[end:]
        if lines:
            lines = self._until_word(lines)
            self._inside = False
        if len(self._tail) > LINE_LIMIT:
            lines, self._tail, self._inside = lines + self._tail, b"", True
        return lines

    def end(self) -> bytes:
        """What is to be sent when there is no more to come."""
        return self.feed(b"\n") if self._tail or self._inside else b""

    def take_tail(self) -> bytes:
        """The unfinished line: somebody else has it from now on."""
        tail, self._tail = self._tail, b""
        return tail

    def _until_word(self, lines: bytes) -> bytes:
        first = lines.find(b"\n") + 1 if self._inside else 0
        rest = lines[first:] if first else lines
        newlines = (b"\n", b"\r\n") if b"\r" in rest else (b"\n",)
        found = [(*find(rest, word, newline), word) for word in (QUIT, BYE) for newline in newlines]
        start, end, word = min((f for f in found if f[0] >= 0), default=(-1, -1, None))
        if word is None:
            return lines
        self.word = word
        self.rest, self._tail = lines[first + end :] + self._tail, b""
        return lines[: first + (start if word == QUIT else end)]
