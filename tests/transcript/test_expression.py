"""An expression means what it means in Python, and costs no more than linear time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings, strategies as st

from duplex.system.errors import DuplexError, UsageError
from duplex.transcript.expression import MOST_GIVEN_UP, Expression

PATTERNS = [
    "a", "ab|ba", "^ab", "ab$", "^$", ".", "a.b", "a+b?", "(?i)AB", "(?i)kS", "(?i)i", "(?i)É",
    r"\bab\b", r"\Bb", r"\bкот\b", r"\s", r"\S+", r"\w+@\w+", r"\W", r"\D+a", r"[\w.]+@", r"[^\W]b",
    r"[\W\d]", r"[^\Wx]", r"[^\D]", r"[^\s]+", r"[\s\S]", "[^a]*b", "(a)(b)?", r"(.)\1", "(?=a)b*",
    "(?<=a)b", r"\Aab", r"ab\Z", "a{2}", "ab{0,1}a", "a{1001}", "é|ab", "[a|b]b", "[]a]b", r"[\]]",
    "(?s)a.b", "(?m)^a", "(?x) a b", "(?i:a)b", "(?P<n>a)b", "a++b", "x|", r"\x61b", "{", "x??a",
    "[а-я]+", "(?i)[a-z]{2}", r"(?i)(?:a|B){1,3}$", "[^ab]$", "\udcff", "[é-\U0001f600]", "",
]  # fmt: skip
texts = st.lists(
    st.sampled_from(
        ["a", "b", "ab", " ", "\t", "é", "É", "K", "s", "ſ", "İ", "ı", "i", "I", "кот", "ß", "]",
         "[", "@", ".", "3", "٣", "\u2028", "\x1c", "\x85", "😀", "e\u0301", "\udcff", "\udc80"]
    ),
    max_size=7,
).map("".join)  # fmt: skip


@settings(max_examples=3000)
@given(st.sampled_from(PATTERNS), texts)
def test_it_matches_what_pythons_own_would(pattern: str, text: str) -> None:
    found = Expression(pattern).matches(text.encode("utf-8", "surrogateescape"))
    assert found == (re.search(pattern, text) is not None)


@settings(max_examples=1000)
@given(st.sampled_from(PATTERNS), st.lists(texts, min_size=1, max_size=5))
def test_a_search_of_the_block_misses_no_line(pattern: str, lines: list[str]) -> None:
    block = "".join(f"2026-01-01T00:00:00.000Z <ann> {line}\n" for line in lines)
    data = block.encode("utf-8", "surrogateescape")
    finds = Expression(pattern).finds(data)
    for line in data.splitlines(keepends=True) if finds else ():
        text = line[31:-1].decode("utf-8", "surrogateescape")
        if re.search(pattern, text):
            assert finds.search(line), line


@pytest.mark.parametrize(
    "pattern", [r"\w+@\w+", r"(a+)+$", r"(a|a)*b", r"[^x]*[^x]*[^x]*y", r"\b\w+@"]
)
def test_a_line_of_64_000_letters_costs_no_more_than_its_length(pattern: str) -> None:
    """As a ratio: eight times the length takes about eight times as long, not its square."""
    expression = Expression(pattern)

    def seconds(line: bytes) -> float:
        best = float("inf")
        for _ in range(5):
            begun = time.perf_counter()
            expression.matches(line)
            best = min(best, time.perf_counter() - begun)
        return best

    assert seconds(b"a" * 64_000) < 32 * max(seconds(b"a" * 8_000), 20e-6)
    assert not expression.given_up


@pytest.mark.parametrize("pattern", [r"(\w+)@\1", r"(?<!x)(a+)+$", r"(?i)(é|a+)+$"])
def test_what_takes_too_long_otherwise_is_given_up_and_counted(pattern: str) -> None:
    expression = Expression(pattern)
    with expression.limited():
        assert not expression.matches(b"a" * 64_000 + b"!")
        assert expression.given_up == 1
        assert not expression.matches(b"bcd!"), "and it goes on"
    assert expression.given_up == 1


def test_an_expression_that_always_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duplex.transcript.expression.TICK", 0.005)
    expression = Expression(r"(\w+)@\1")
    with expression.limited():
        assert not any(expression.matches(b"a" * 64_000) for _ in range(MOST_GIVEN_UP - 1))
        with pytest.raises(DuplexError, match="simpler"):
            expression.matches(b"a" * 64_000)


@pytest.mark.parametrize("pattern", ["(", "[", "*", "a**", "(?P<a>x)(?P<a>y)", "\\", "(?a)("])
def test_a_bad_expression_is_told(pattern: str) -> None:
    with pytest.raises(UsageError, match="is no regular expression"):
        Expression(pattern)
