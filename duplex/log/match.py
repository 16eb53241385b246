"""Which lines of a block are wanted: by time, by nick, by a regular expression.

Pure computation on blocks of whole lines. The speed comes from not taking lines apart: a search
over the whole block finds the lines that may match, and only those are looked at exactly.
"""

from __future__ import annotations

import re

from duplex.errors import UsageError
from duplex.record import HEAD, STAMP_LENGTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# An expression that matches within a line's text matches within the line, too, unless it looks at
# what is around it: ^ (but not in [^…]) and \A \Z, lookaround, atomic and possessive groups, flags.
_LOOKS_AROUND = re.compile(r"(?<!\[)\^ | \\[AZ] | \(\?(?!:|P<|P=) | [*+?}]\+", re.VERBOSE)
# And it can be searched for in a whole block, unless it could go on into the next line: then a
# search could take the square of the block's length. What is not known not to, might.
_STAYS_IN_LINE = re.compile(
    r"(?: [^\\\[\x00-\x1f] | \[(?!\^) | \\[wdSbB] | \\[!-/:-@\[-`{-~] )*", re.VERBOSE
)
# What must stand in each match is easily seen in an expression without groups: its tokens are
# those that stand for no known character, those that make the one before optional, |, and plain
# text. Where case is ignored, K ſ İ ı match ASCII letters: these are not plain text then.
_TOKEN = re.compile(
    r"""(?P<some> \\[wWdDsSbB] | \\[^\w] | \[\^?\]?(?:\\.|[^\]\\])*\] | [.^$+] )
      | (?P<optional> [*?] | \{[\d,]*\} ) | (?P<or> \| )
      | (?P<plain> [^][\\(){}*?+.^$|\x00-\x1f]+ )""",
    re.VERBOSE,
)
_KEEPS_CASE = re.compile("[^iksIKS\x80-\U0010ffff]+")


class Matcher:
    """What is wanted of one file's lines; feed it the file's blocks in their order.

    `since` (inclusive) and `until` (exclusive) are stamps; `nick` is compared without regard to
    case; `pattern` is searched for in the text of a record, or in all of a malformed line. A
    malformed line has the time of the record before it. Raises UsageError for a bad pattern.
    """

    def __init__(
        self,
        since: bytes = b"",
        until: bytes = b"",
        nick: str | None = None,
        pattern: str | None = None,
    ) -> None:
        self.wants_all = not (since or until or nick or pattern)
        self._since, self._until = since, until
        self._nick = nick.casefold() if nick else None
        self._at = b""  # the stamp of the last record before the line in hand
        self._pattern = _compiled(pattern) if pattern else None
        # How the lines that may match are found: each contains one of the literals,
        self._literals: list[bytes] = []
        self._lowered = False  # in lower case,
        self._finds: re.Pattern[str] | None = None  # or this matches in it,
        self._in_blocks = False  # and may be searched for in whole blocks.
        if pattern:
            self._find_by(pattern)
        if nick and nick.isascii() and not (self._literals or self._finds):
            self._literals, self._lowered = _literals_of(f"<{nick}> ", True), True

    def _find_by(self, pattern: str) -> None:
        flags = "(?i)" if pattern.startswith("(?i)") else ""
        rest = pattern.removeprefix(flags)
        self._lowered = flags != ""
        self._literals = _literals_of(rest, self._lowered)
        rest = rest.removeprefix("^")
        looks_around = rest.startswith(("*", "+", "?", "{")) or _LOOKS_AROUND.search(rest)
        if not self._literals and not looks_around:
            self._finds = re.compile(flags + rest, re.MULTILINE)
            self._in_blocks = _STAYS_IN_LINE.fullmatch(rest) is not None

    def select(self, block: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """(position, stamp, line) of the lines wanted; each with its newline, if it has one."""
        done = 0  # up to here the time is known
        candidates = iter(()) if self._all_out_of_time(block) else self._candidates(block)
        for start, line in candidates:
            head = HEAD.match(line)
            if head:
                self._at = head[1]
            elif found := _last_stamp(block[done:start]):
                self._at = found
            done = start + len(line)
            if self.wants_all or self._matches(line, head):
                yield start, self._at, line
        self._at = _last_stamp(block[done:]) or self._at

    def _matches(self, line: bytes, head: re.Match[bytes] | None) -> bool:
        if self._at < self._since or (self._until and self._at >= self._until):
            return False
        if self._nick is not None:
            nick = head and head[2]
            if nick is None or _decoded(nick).casefold() != self._nick:
                return False
        if self._pattern is None:
            return True
        text = line[head.end() :] if head else line
        return self._pattern.search(_decoded(text.removesuffix(b"\n"))) is not None

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
        if self._literals:
            return self._by_literals(block)
        return self._by_pattern(block) if self._finds else _all_lines(block)

    def _by_literals(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        find = (block.lower() if self._lowered else block).find
        none = len(block)
        next_ones = [(find(literal) + 1 or none + 1) - 1 for literal in self._literals]
        while (at := min(next_ones)) < none:
            end = block.find(b"\n", at) + 1 or none
            start = block.rfind(b"\n", 0, at) + 1
            yield start, block[start:end]
            for number, place in enumerate(next_ones):
                if place < end:
                    place = find(self._literals[number], end)
                    next_ones[number] = none if place < 0 else place

    def _by_pattern(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        text = _decoded(block)
        ascii_only = len(text) == len(block)
        at = position = 0  # a place in the text, and the same place in the block
        for start, end in self._spans(text):
            position = start if ascii_only else position + len(_encoded(text[at:start]))
            line = _encoded(text[start:end])
            yield position, line
            at, position = end, position + len(line)

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the lines that may match begin and end."""
        assert self._finds
        search, start = self._finds.search, 0
        if self._in_blocks:
            while start < len(text) and (match := search(text, start)):
                end = text.find("\n", match.start()) + 1 or len(text)
                yield text.rfind("\n", 0, match.start()) + 1, end
                start = end
            return
        for line in text.split("\n"):
            end = start + len(line) + 1
            if search(line) and start < len(text):
                yield start, min(end, len(text))
            start = end


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"--grep {pattern!r} is no regular expression: {error}") from None


def _literals_of(pattern: str, lowered: bool) -> list[bytes]:
    """One string for each alternative of a simple pattern, that every match contains; or none."""
    tokens = list(_TOKEN.finditer(pattern))
    if sum(len(token[0]) for token in tokens) != len(pattern):
        return []  # not simple
    alternatives: list[list[str]] = [[]]
    before = None
    for token in tokens:
        if token["or"]:
            alternatives.append([])
        elif token["plain"]:
            alternatives[-1].append(token[0])
        elif token["optional"] and before == "plain":
            alternatives[-1][-1] = alternatives[-1][-1][:-1]
        before = token.lastgroup
    literals = []
    for runs in alternatives:
        if lowered:
            runs = [part.lower() for run in runs for part in _KEEPS_CASE.findall(run)]
        longest = max(runs, key=len, default="")
        if len(longest) < 2:  # a single letter is found in every line
            return []
        literals.append(_encoded(longest))
    return literals


def _all_lines(block: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    for line in block.split(b"\n"):
        end = start + len(line) + 1
        if end <= len(block):
            yield start, line + b"\n"
        elif line:
            yield start, line
        start = end


def _last_stamp(lines: bytes) -> bytes:
    """The stamp of the last record in `lines`, or b""."""
    end = len(lines)
    while end > 0:
        start = lines.rfind(b"\n", 0, end - 1) + 1
        if head := HEAD.match(lines, start, end):
            return head[1]
        end = start
    return b""


def _decoded(data: bytes) -> str:
    """Whatever the bytes are; _encoded gives the same bytes back."""
    return data.decode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
