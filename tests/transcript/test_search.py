"""The fast ways to find lines find what looking at each line one by one finds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings, strategies as st

from duplex.protocol.nick import compared
from duplex.system.errors import UsageError
from duplex.transcript.record import event, parse, said
from duplex.transcript.search import Matcher

PATTERNS = [
    "a", "ab", "ab|ba", "^ab", "ab$", "^ab$", "^", "$", ".", "a.b", "a+b?", "(?i)AB", "(?i)kS",
    r"\bab\b", r"\s", r"a\s*b", "[^a]*b", "[^a]", r"\W", r"\D+a", "(a)(b)?", r"(.)\1", "(?=a)b*",
    "(?<=a)b", "(?<! )a", "(?!a)b", r"\Aab", r"ab\Z", "a{2}", "ab{0,1}a", "é", "é|ab", "(?i)É",
    "[a|b]b", "[]a]b", r"[\]]", r"\[", r"\.", "a*", "b?a", "(?s)a.b", "(?m)^a", "Z <", "<ann>",
    "20", "ann> ", r"\* ", "ſ", "(?i)s", "a++b", "^a|b$", "x|", r"\x61b", r"\141", r"ab\+?", "{",
    "a{,2}b",
]  # fmt: skip
words = st.sampled_from(
    [
        "a",
        "b",
        "ab",
        "ba",
        "aab",
        " ",
        "é",
        "É",
        "K",
        "ks",
        "ſ",
        "]b",
        "[",
        ".",
        "x",
        "<ann> ",
        "* ",
    ]
)
line_texts = st.lists(words, max_size=6).map("".join)
stamps = st.integers(0, 5).map(lambda n: b"2026-01-01T00:00:0%d.000Z" % n)
lines = st.one_of(
    st.tuples(st.sampled_from(["ann", "Ann", "bob", "é"]), line_texts, stamps).map(
        lambda t: said(t[0], t[1].encode() + b"\n", t[2])
    ),
    st.tuples(line_texts, stamps).map(lambda t: event(*t)),
    line_texts.map(lambda t: t.encode() + b"\n"),
    st.sampled_from([b"\xff ab\n", b"2026-01-01T00:00:01.000Z <ann>\n", b"\n"]),
)
blocks = st.lists(st.lists(lines, min_size=1, max_size=12).map(b"".join), max_size=4)


def one_by_one(
    block_list: list[bytes], since: bytes, until: bytes, nick: str | None, pattern: str | None
) -> list[bytes]:
    """The reference: every line taken apart by itself."""
    found, at = [], b""
    for line in b"".join(block_list).splitlines(keepends=True):
        record = parse(line)
        at = record.at if record else at
        text = (record.text if record else line[:-1]).decode("utf-8", "surrogateescape")
        said_by = record.nick.decode().casefold() if record and record.nick else None
        if (
            since <= at
            and (not until or at < until)
            and (nick is None or said_by == nick.casefold())
            and (pattern is None or re.search(pattern, text))
        ):
            found.append(line)
    return found


@settings(max_examples=1500, deadline=None)
@given(
    blocks,
    st.one_of(st.just(b""), stamps),
    st.one_of(st.just(b""), stamps),
    st.sampled_from([None, "ann", "ANN", "É", "k"]),
    st.sampled_from([None, *PATTERNS]),
)
def test_the_fast_ways_agree_with_looking_at_each_line(
    block_list: list[bytes], since: bytes, until: bytes, nick: str | None, pattern: str | None
) -> None:
    matcher = Matcher(since, until, nick, pattern, compared)
    found = [(block, at, line) for block in block_list for at, _, line in matcher.select(block)]
    assert [line for _, _, line in found] == one_by_one(block_list, since, until, nick, pattern)
    assert all(block[at:].startswith(line) for block, at, line in found), "the position is right"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_agrees_on_one_and_the_same_transcript(pattern: str) -> None:
    texts = ["ab", "a b", "ba", "aa", "", "x", "é", "K s", "]b", "a\tb", "aab ab", "* ab", "[a|b]b"]
    data = b"".join(said("ann", f"{t}\n".encode()) + event(t) + f"{t}\n".encode() for t in texts)
    found = [line for _, _, line in Matcher(pattern=pattern).select(data)]
    assert found == one_by_one([data], b"", b"", None, pattern)


@pytest.mark.parametrize("pattern", ["(", "[", "*", "a**", "(?P<a>x)(?P<a>y)", "\\"])
def test_a_bad_pattern_is_told(pattern: str) -> None:
    with pytest.raises(UsageError, match="is no regular expression"):
        Matcher(pattern=pattern)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["[^x]*y", r"\s*\S*y", r"\W*y", r"a.*b.*c.*y", "(a|b)*y"])
def test_no_pattern_takes_the_square_of_the_blocks_length(pattern: str) -> None:
    block = said("ann", b"a b c d e\n" * 20_000)
    assert list(Matcher(pattern=pattern).select(block)) == []
