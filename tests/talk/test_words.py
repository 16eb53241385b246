"""The words that end a talk are seen wherever they stand alone on a line, and nowhere else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from duplex.talk.words import BYE, QUIT, Typed

lines = st.lists(
    st.sampled_from(
        [b"quit", b"bye", b"", b"quit ", b" quit", b"quits", b"bye\r", b"goodbye", b"x"]
    )
).map(lambda parts: b"".join(part + b"\n" for part in parts))


@given(lines, st.integers(1, 9))
def test_what_is_typed_is_sent_up_to_the_word_however_it_is_read(data: bytes, size: int) -> None:
    typed, sent = Typed(verbatim=False), b""
    for start in range(0, len(data), size):
        sent += typed.feed(data[start : start + size])
        if typed.word:
            break
    match = re.search(rb"(?m)^(quit|bye)(\r?\n)", data)
    if match is None:
        assert (typed.word, sent) == (None, data)
    else:
        assert typed.word == match[1]
        assert sent == data[: match.start() if match[1] == QUIT else match.end()]


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_a_word_at_the_end_of_a_line_longer_than_memory_allows_is_no_word(size: int) -> None:
    typed = Typed(verbatim=False)
    data = b"x" * 65537 + b"quit\nbye"
    sent = b"".join(typed.feed(data[i : i + size]) for i in range(0, len(data), size))
    assert typed.word is None
    assert sent + typed.end() == data + b"\n"
    assert typed.word == BYE


def test_the_last_line_gets_its_newline_and_verbatim_adds_nothing() -> None:
    typed, verbatim = Typed(verbatim=False), Typed(verbatim=True)
    assert typed.feed(b"half") + typed.end() == b"half\n"
    assert verbatim.feed(b"quit\nhalf") + verbatim.end() == b"quit\nhalf"
    assert verbatim.word is None


@pytest.mark.parametrize("line", [b"quit", b"/quit", b"/QUIT now", b"bye"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_who_types_ends_by_either_word_and_nothing_after_it_is_sent(
    line: bytes, newline: bytes
) -> None:
    typed = Typed(verbatim=False, by_hand=True)
    sent = typed.feed(b"one\n" + line + newline + b"two\nthr")
    assert typed.word == (BYE if line == b"bye" else QUIT)
    assert sent == (b"one\nbye" + newline if line == b"bye" else b"one\n")
    assert typed.rest == b"two\nthr"


def test_who_types_can_ask_for_help_and_say_the_words_for_it() -> None:
    typed = Typed(verbatim=False, by_hand=True)
    assert typed.feed(b"//help\n//quit\n// comment\n/who\n quit\n") == (
        b"/help\n/quit\n// comment\n/who\n quit\n"
    )
    assert not typed.take_help()
    assert typed.feed(b"/help\nsaid\n") == b"said\n"
    assert typed.take_help()
    assert not typed.take_help()
    assert typed.word is None


def test_in_a_pipe_a_slash_means_nothing() -> None:
    typed = Typed(verbatim=False)
    lines = b"/quit\n//quit\n/help\n"
    assert typed.feed(lines) == lines
    assert typed.word is None
    assert not typed.take_help()
