"""Which lines of a block are wanted: by time, by nick, by a regular expression.

Pure computation on blocks of whole lines. The speed comes from not taking lines apart: a search
over the whole block finds the lines that may match, and only those are looked at exactly.
"""

from __future__ import annotations

from contextlib import nullcontext
from copy import copy

from duplex.system.errors import UsageError
from duplex.transcript.expression import Expression
from duplex.transcript.record import HEAD, STAMP_LENGTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any


class Matcher:
    """What is wanted of one file's lines; feed it the file's blocks in their order.

    `since` (inclusive) and `until` (exclusive) are stamps; `nick` is wanted, and whatever has in
    common with it what `same` tells of a nick; `pattern` is searched for in the text of a record,
    or in all of a malformed line. A malformed line has the time of the record before it. Raises
    UsageError for a bad pattern, or a nick that nobody can have.
    """

    def __init__(
        self,
        since: bytes = b"",
        until: bytes = b"",
        nick: str | None = None,
        pattern: str | None = None,
        same: Callable[[str], str] = str,
    ) -> None:
        if nick is not None and not nick.strip():
            raise UsageError("cannot use --from '': it needs a name")
        self.wants_all = not (since or until or nick or pattern)
        self._since, self._until = since, until
        self._same = same
        self._nick = same(nick) if nick else None
        self._is_nick: dict[bytes, bool] = {}  # of the nicks met so far
        self._at = b""  # the stamp of the last record before the line in hand
        self.expression = Expression(pattern) if pattern else None
        self._finds_nick: Any = None
        if nick and nick.isascii() and not pattern:
            import re

            self._finds_nick = re.compile(b"<%s> " % re.escape(nick.encode()), re.IGNORECASE)

    def again(self) -> Matcher:
        """The same is wanted of another file."""
        other = copy(self)
        other._at = b""
        return other

    def limited(self) -> AbstractContextManager[None]:
        """Around all that is selected: an expression may not search for long."""
        return self.expression.limited() if self.expression else nullcontext()

    def select(self, block: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """(position, stamp, line) of the lines wanted; each with its newline, if it has one."""
        done = 0  # up to here the time is known
        candidates = iter(()) if self._all_out_of_time(block) else self._candidates(block)
        for start, line in candidates:
            head = HEAD.match(line)
            if head:
                self._at = head[1]
            elif found := last_stamp(block[done:start]):
                self._at = found
            done = start + len(line)
            if self.wants_all or self._matches(line, head):
                yield start, self._at, line
        self._at = last_stamp(block[done:]) or self._at

    def _matches(self, line: bytes, head: re.Match[bytes] | None) -> bool:
        if self._at < self._since or (self._until and self._at >= self._until):
            return False
        if self._nick is not None:
            nick = head and head[2]
            if nick is None or not self._is_wanted(nick):
                return False
        if self.expression is None:
            return True
        text = line[head.end() :] if head else line
        return self.expression.matches(text.removesuffix(b"\n").removesuffix(b"\r"))

    def _is_wanted(self, nick: bytes) -> bool:
        known = self._is_nick.get(nick)
        if known is None:
            if len(self._is_nick) > 10_000:  # bounded, whatever is in the file
                self._is_nick.clear()
            known = self._is_nick[nick] = (
                self._same(nick.decode("utf-8", "surrogateescape")) == self._nick
            )
        return known

    def _all_out_of_time(self, block: bytes) -> bool:
        """Whether the whole block is too early or too late. May say no, where a closer look would
        say yes: a line that is no record has a beginning, too, and it is taken for a stamp."""
        if not (self._since or self._until) or not HEAD.match(block):
            return False
        stamps = [line[:STAMP_LENGTH] for line in block.removesuffix(b"\n").split(b"\n")]
        too_late = bool(self._until) and min(stamps) >= self._until
        return too_late or max(stamps) < self._since

    def _candidates(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        """(position, line) of at least all the lines that match, in order."""
        finds = self.expression.finds(block) if self.expression else None
        if finds is None and block.isascii():  # another letter could be the same in a nick
            finds = self._finds_nick
        return _found(finds, block) if finds else _all_lines(block)


def _found(finds: Any, block: bytes) -> Iterator[tuple[int, bytes]]:
    start, length = 0, len(block)
    while start < length and (match := finds.search(block, start)):
        at = match.start()
        end = block.find(b"\n", at) + 1 or length
        begin = block.rfind(b"\n", 0, at) + 1
        yield begin, block[begin:end]
        start = end


def _all_lines(block: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    for line in block.split(b"\n"):
        end = start + len(line) + 1
        if end <= len(block):
            yield start, line + b"\n"
        elif line:
            yield start, line
        start = end


def last_stamp(lines: bytes) -> bytes:
    """The stamp of the last record in `lines`, or b""."""
    end = len(lines)
    while end > 0:
        start = lines.rfind(b"\n", 0, end - 1) + 1
        if head := HEAD.match(lines, start, end):
            return head[1]
        end = start
    return b""
