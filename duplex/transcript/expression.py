"""An expression of `duplex log --grep`, and what it may cost: time that grows with the text alone.

A stranger can say a line on which a backtracking search takes minutes. So RE2, which is linear by
construction, does the searching; and where it cannot mean what Python's `re` means (look-around,
back-references, possessive repeats, and on lines beyond ASCII word boundaries and ignored case),
`re` does it, for at most two TICKs a line; what takes longer is left out and counted.

Pure computation, but for the clock's signal. Knows nothing of records and files.
"""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager

# What `re` makes of a pattern, exactly, is told by its parser alone, which has no public name. If
# a later Python changes it, tests/transcript/test_expression.py says so.
from re import _constants as op, _parser as parser  # type: ignore[attr-defined]

import re2

from duplex.system.errors import DuplexError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

TICK = 0.1  # s: a search that one tick and then another finds at work is given up
MOST_GIVEN_UP = 20  # lines, 4 s: then the expression is not worth going on with
_MEMORY = 64 << 20  # bytes of RE2's automata; beyond it RE2 is slower, and as right
_WORD, _DIGIT, _SPACE = r"\p{L}\p{N}_", r"\p{Nd}", r"\t-\r\x{1c}-\x{20}\x{85}\p{Zs}\x{2028}\x{2029}"
# What stands in brackets for a category, and whether it is the complement of that.
_CATEGORIES = {
    op.CATEGORY_WORD: (_WORD, False),
    op.CATEGORY_DIGIT: (_DIGIT, False),
    op.CATEGORY_SPACE: (_SPACE, False),
    op.CATEGORY_NOT_WORD: (_WORD, True),
    op.CATEGORY_NOT_DIGIT: (_DIGIT, True),
    op.CATEGORY_NOT_SPACE: (_SPACE, True),
}
_SURROGATES = range(0xD800, 0xE000)  # bytes that are no UTF-8, in the command line's text


class Expression:
    """A compiled `pattern`, in the syntax of `re`. Raises UsageError for a bad one.

    `finds(block)` tells where in a block of lines it may match, if that can be told; `matches`
    whether it matches in one line's text, given without its newline.
    """

    def __init__(self, pattern: str) -> None:
        try:
            self._slow = re.compile(pattern)
            tree = parser.parse(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise UsageError(
                f"cannot use --grep {pattern!r}: it is no regular expression: {error}"
            ) from None
        self.given_up = 0  # lines
        self._pattern = pattern
        self._beyond_ascii = True  # RE2 judges lines with other letters, too
        self._searching = self._was_searching = False
        self._fast, self._finds = self._translated(tree)

    def _translated(self, tree: Any) -> tuple[Any, Any]:
        """The expression for RE2, and one that finds at least its matches in a block; or Nones."""
        translation = _Translation(tree.state.flags)
        try:
            exact = translation.whole(tree, exact=True)
            finding = translation.whole(tree, exact=False)
            options = re2.Options()
            options.never_nl, options.log_errors, options.max_mem = True, False, _MEMORY
            compiled = tuple(re2.compile(one, options) for one in (exact, f"(?m){finding}"))
        except (_Untranslatable, RecursionError, re2.error):
            return None, None
        self._beyond_ascii = translation.beyond_ascii
        return compiled[0], compiled[1]

    def finds(self, block: bytes) -> Any:
        """A search over the whole block that finds at least what matches in it; None: none does."""
        if b"\r\n" in block:  # an editor's line ends: $ would not be found before them
            return None
        if self._finds and (block.isascii() or (self._beyond_ascii and _is_utf8(block))):
            return self._finds
        return None

    def matches(self, text: bytes) -> bool:
        """Whether it matches somewhere in `text`, one line. Raises DuplexError if that is vain."""
        if self._fast and (text.isascii() or (self._beyond_ascii and _is_utf8(text))):
            return self._fast.search(text) is not None
        line = text.decode("utf-8", "surrogateescape")
        try:
            try:
                self._searching = True
                return self._slow.search(line) is not None
            finally:
                self._searching = self._was_searching = False
        except _TooLong:
            self.given_up += 1
            if self.given_up >= MOST_GIVEN_UP:
                raise DuplexError(
                    f"cannot go on with --grep {self._pattern!r}: it takes more than "
                    f"{TICK:g} s a line on {self.given_up} lines; use a simpler expression"
                ) from None
            return False

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Around all searching: gives up a search of `re` that takes too long.

        `re` looks for signals while it searches. One timer for all lines, because one a line would
        cost more than most searches.
        """
        if self._fast and self._beyond_ascii:
            yield
            return
        former = signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former)

    def _tick(self, *_: object) -> None:
        if self._searching and self._was_searching:
            raise _TooLong
        self._was_searching = self._searching


class _TooLong(Exception):
    """A search of `re` has taken longer than a tick."""


class _Untranslatable(Exception):
    """RE2 has nothing that means the same."""


class _Translation:
    """What `re` has made of a pattern, as RE2's pattern. Raises _Untranslatable.

    With `exact` it is for one line's text; else for a block of lines, where what stands before the
    text, and so ^ and word boundaries, are not looked at: it finds more.
    """

    def __init__(self, flags: int) -> None:
        if flags & re.ASCII:  # the categories would be others
            raise _Untranslatable
        self._ignores_case = bool(flags & re.IGNORECASE)
        self.beyond_ascii = not self._ignores_case  # i, İ and ı are the same letter to `re` alone

    def whole(self, tree: Any, exact: bool) -> str:
        return ("(?i)" if self._ignores_case else "") + self._sequence(tree, exact)

    def _sequence(self, items: Any, exact: bool) -> str:
        return "".join(self._one(code, value, exact) for code, value in items)

    def _one(self, code: Any, value: Any, exact: bool) -> str:
        if code is op.LITERAL:
            return self._letter(value)
        if code is op.NOT_LITERAL:
            return f"[^{self._letter(value)}]"
        if code is op.ANY:
            return "."
        if code is op.IN:
            return self._set(value)
        if code is op.AT:
            return self._place(value, exact)
        if code is op.BRANCH:
            return "(?:{})".format("|".join(self._sequence(one, exact) for one in value[1]))
        if code is op.SUBPATTERN:
            _group, added, removed, content = value
            if added or removed:
                raise _Untranslatable
            return f"(?:{self._sequence(content, exact)})"
        if code in (op.MAX_REPEAT, op.MIN_REPEAT):
            low, high, content = value
            most = "" if high is op.MAXREPEAT else high
            return f"(?:{self._sequence(content, exact)}){{{low},{most}}}"
        raise _Untranslatable

    def _place(self, where: Any, exact: bool) -> str:
        if where in (op.AT_END, op.AT_END_STRING):
            return r"\z" if exact else "$"
        if where in (op.AT_BEGINNING, op.AT_BEGINNING_STRING):
            return r"\A" if exact else ""
        self.beyond_ascii = False  # only ASCII's letters have boundaries in RE2
        boundary = {op.AT_BOUNDARY: r"\b", op.AT_NON_BOUNDARY: r"\B"}[where]
        return boundary if exact else ""

    def _letter(self, code: int) -> str:
        if code in _SURROGATES or (self._ignores_case and code > 127):
            raise _Untranslatable
        return f"\\x{{{code:x}}}"

    def _set(self, items: Any) -> str:
        negated = items[0][0] is op.NEGATE
        inside, complements = "", []
        for code, value in items[negated:]:
            if code is op.LITERAL:
                inside += self._letter(value)
            elif code is op.RANGE:
                inside += "{}-{}".format(*map(self._letter, value))
            else:
                category, is_complement = _CATEGORIES[value]
                if is_complement:
                    complements.append(f"[^{category}]")
                else:
                    inside += category
        if not negated:
            return "(?:{})".format("|".join(([f"[{inside}]"] if inside else []) + complements))
        if not complements:
            return f"[^{inside}]"
        if inside or len(complements) > 1:
            raise _Untranslatable
        return complements[0].replace("[^", "[", 1)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
