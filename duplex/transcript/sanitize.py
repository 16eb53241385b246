"""The boundary: received bytes become safe text here, once, before the transcript and the screen.

Safe text is valid UTF-8 in which nothing lies or harms: invalid bytes, C0 and C1 controls (tab
apart), DEL, line and paragraph separators, bidirectional overrides and isolates, and what is not
seen (unseen.py) are made visible (`\\xff`, `\\x1b`, `\\u202e`, `\\U000e0041`); CR, LF, CRLF and
telnet's CR NUL end a line; of what a telnet says (telnet.py tells one) its commands are dropped; of
a run of combining marks the first 8 stay. A line is at most LINE_LIMIT bytes of safe text; a longer
one is cut into pieces, and `…` marks both sides of each cut.

Runs in the process that receives. Pure computation: knows neither sockets nor files. Clean text
(which is nearly all text) is only looked at, in a few passes that run in C, never built anew.
"""

from __future__ import annotations

import re
import unicodedata

from duplex.transcript import telnet, unseen
from duplex.transcript.record import LINE_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MARKS_LIMIT = 8  # combining marks in a row: no language needs more, a pile of them hides others

_CUT = "…".encode()

# Of clean ASCII text nothing is left without these; what is left of other text is worth a look.
_HARMLESS = bytes([*b"\t\n", *range(0x20, 0x7F)])
UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_NOT_SAFE = re.compile(f"{UNSAFE.pattern[:-1]}\n\udc80-\udcff]")
_SUSPICIOUS = re.compile(UNSAFE.pattern[:-1] + unseen.CLASS + unseen.JOINERS + "]")
# The blocks that hold combining marks, coarsely: a reason to look closer with unicodedata.
_MARKS_BLOCKS = (
    "[\u0300-\u036f\u0483-\u0489\u0591-\u1cff\u1dc0-\u1dff\u20d0-\u20ff\u2cef-\u2cf1\u2d7f"
    "\u2de0-\u2dff\u302a-\u302f\u3099\u309a\ua66f-\uabff\ufb1e\ufe00-\ufe2f"
    "\U000101fd-\U00016fff\U0001bc9d-\U0001e95f\U000e0100-\U000e01ef"
    f"{unseen.CLASS}{unseen.JOINERS}]"  # which end no run
)
_UNSEEN = re.compile(f"[{unseen.CLASS}{unseen.JOINERS}]")
_MANY_MARKS = re.compile(f"{_MARKS_BLOCKS}{_MARKS_BLOCKS}{{{MARKS_LIMIT},}}")


class Text:
    """Bytes in, whole lines of safe text out; what is unfinished is kept for the next call.

    However the bytes are split between calls, the lines are the same.
    """

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit  # bytes of a line
        self._room = limit - 2 * len(_CUT)  # what fits between two marks
        self.telnet = False  # it has been spoken; whoever knows it by other signs may say so, too
        self.timing_mark_asked = False  # a telnet has asked for one; whoever answers resets it
        self._held = b""  # the beginning of a telnet command
        self._after_cr = False  # a CR has ended the line; an LF or NUL right after it is its tail
        self._tail = b""  # raw bytes of the unfinished line, at most _limit
        self._going_on = False  # the unfinished line goes on from a piece already given out

    def feed(self, data: bytes) -> bytes:
        """The lines that `data` completes, each newline-ended: b"" or many."""
        if self._held or b"\xff" in data or self._tail.startswith(b"\xff"):
            return self._feed_with_commands(data)
        return self._feed(data)

    def _feed_with_commands(self, data: bytes) -> bytes:
        """The same where telnet commands may be among it, or what looks like them."""
        data, self._held, lines = self._held + data, b"", b""
        if not self.telnet:
            come = self._tail + data
            begins = telnet.begins(
                come, since=len(self._tail), at_start=not self._going_on, limit=self._room
            )
            if begins < 0:
                end = telnet.perhaps(data)
                self._held = data[end:]
                return self._feed(data[:end])
            self.telnet = True
            self._tail = b""
            lines, data = self._feed(come[:begins]), come[begins:]
        data, self._held, asked = telnet.without(data)
        self.timing_mark_asked |= asked
        return lines + self._feed(data)

    def _feed(self, data: bytes) -> bytes:
        if self._after_cr and data:
            self._after_cr = False
            if data[0] in b"\n\0":
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r\0", b"\n").replace(b"\r", b"\n")
        end = data.rfind(b"\n") + 1
        if not end:
            self._tail += data
            return self._overflow()
        whole = self._tail + data[:end]
        self._tail = b""
        lines = self._lines(whole)
        self._tail = data[end:]
        return lines + self._overflow() if len(self._tail) > self._limit else lines

    def end(self) -> bytes:
        """The last line, newline-ended, if the stream stopped in the middle of one; else b""."""
        self._tail += self._held
        self._held = b""
        lines = self._overflow()
        if self._tail:
            lines += self._piece(self._tail, more=False)
            self._tail = b""
        return lines

    def unfinished(self) -> bool:
        """Whether the stream stopped in the middle of a line."""
        return bool(self._tail or self._held)

    def _lines(self, whole: bytes) -> bytes:
        if not self._going_on and not too_long(whole, self._limit):
            safe = whole if _is_clean(whole) else _made_visible(whole)
            if safe is whole or not too_long(safe, self._limit):
                return safe
        return b"".join(map(self._line, whole[:-1].split(b"\n")))

    def _line(self, raw: bytes) -> bytes:
        self._tail = raw
        return self._overflow() + self._piece(self._tail, more=False)

    def _overflow(self) -> bytes:
        """The pieces of the unfinished line that no longer fit in one line, if any."""
        pieces = b""
        while len(self._tail) > self._limit - self._going_on * len(_CUT):
            at = _boundary(self._tail, self._room)
            pieces += self._piece(self._tail[:at], more=True)
            self._tail = self._tail[at:]
        return pieces

    def _piece(self, raw: bytes, more: bool) -> bytes:
        """`raw`, made safe, as one line, or as several where making it visible made it too long.

        Between two marks there is always room, so each line given out is within the limit.
        """
        safe = raw if _is_clean(raw) else _made_visible(raw)
        if len(safe) + (self._going_on + more) * len(_CUT) > self._limit:
            safe = unseen.all_shown(safe.decode()).encode()  # a cut would part what joins
        lines = b""
        while True:
            fits = len(safe) + (self._going_on + more) * len(_CUT) <= self._limit
            at = len(safe) if fits else _boundary(safe, self._room)
            lines += _CUT * self._going_on + safe[:at] + _CUT * (more or not fits) + b"\n"
            safe = safe[at:]
            self._going_on = more or not fits
            if fits:
                return lines


def safe(data: bytes) -> bytes:
    """All of `data` as safe text, every line newline-ended. safe(safe(x)) == safe(x)."""
    text = Text()
    return text.feed(data) + text.end()


def is_safe(lines: bytes) -> bool:
    """Whether whole lines are safe text already."""
    return _is_clean(lines) or _without_change(lines)


def masked(line: bytes) -> bytes:
    """A line, without its newline, as safe text of the same length: `?` stands for what is not."""
    text = line.decode("utf-8", "surrogateescape")
    text = unseen.shown(_MANY_MARKS.sub(_masked_marks, _NOT_SAFE.sub(_masked, text)), _mask)
    return text.encode("utf-8", "surrogateescape")


def visible(text: str) -> str:
    """A line's text with what could lie or harm in it made visible, however long it is."""
    return unseen.shown(UNSAFE.sub(_escaped, _MANY_MARKS.sub(_fewer_marks, text)))


def _is_clean(raw: bytes) -> bool:
    """Whether whole lines are safe as they are. May say no to clean ones, never yes to others."""
    rest = raw.translate(None, _HARMLESS)
    if not rest:
        return True
    if rest.isascii():
        return False
    try:
        raw.decode()  # strict; leaving out whole ASCII characters below keeps valid text valid
    except UnicodeDecodeError:
        return False
    others = rest.decode()
    return not _SUSPICIOUS.search(others) and not _MANY_MARKS.search(others)


def _made_visible(raw: bytes) -> bytes:
    return visible(raw.decode("utf-8", "backslashreplace")).encode()


def _escaped(match: re.Match[str]) -> str:
    return unseen.escaped(match[0])


def _without_change(lines: bytes) -> bool:
    try:
        text = lines.decode()
    except UnicodeDecodeError:
        return False
    return visible(text) == text


def _masked(match: re.Match[str]) -> str:
    return _mask(match[0])


def _mask(text: str) -> str:
    return "?" * len(text.encode("utf-8", "surrogateescape"))


def _masked_marks(match: re.Match[str]) -> str:
    return _limited_marks(match[0], _mask)


def _fewer_marks(match: re.Match[str]) -> str:
    return _limited_marks(match[0], lambda _: "")


def _limited_marks(text: str, instead: Callable[[str], str]) -> str:
    kept, run = [], 0
    for character in text:
        if unicodedata.category(character).startswith("M"):
            run += 1
            if run > MARKS_LIMIT:
                kept.append(instead(character))
                continue
        elif not _UNSEEN.match(character):
            run = 0
        kept.append(character)
    return "".join(kept)


def too_long(lines: bytes, limit: int) -> bool:
    """Whether any line of `lines` is over `limit`: looks once in each stretch of that length."""
    start, end = 0, len(lines)
    while end - start > limit + 1:
        newline = lines.rfind(b"\n", start, start + limit + 1)
        if newline < 0:
            return True
        start = newline + 1
    return False


def _boundary(raw: bytes, limit: int) -> int:
    """The last place at or before `limit` that does not divide a UTF-8 character."""
    at = limit
    while at > limit - 3 and raw[at] & 0xC0 == 0x80:
        at -= 1
    return at
