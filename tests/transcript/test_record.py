"""Records: what is written can be taken apart again, and cannot be forged."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from duplex.system.errors import UsageError
from duplex.transcript.record import (
    STAMP_LENGTH,
    check_nick,
    could_be_torn,
    event,
    parse,
    said,
    stamp,
)
from duplex.transcript.sanitize import safe


def test_a_stamp_is_utc_with_milliseconds() -> None:
    assert stamp(1_764_000_000_123_456_789) == b"2025-11-24T16:00:00.123Z"
    assert len(stamp()) == STAMP_LENGTH


def test_many_lines_get_the_same_stamp_and_nick() -> None:
    at = stamp(0)
    assert said("ann", b"one\n\ntwo\n", at) == b"%s <ann> one\n%s <ann> \n%s <ann> two\n" % (
        at,
        at,
        at,
    )
    assert event("ann left", at) == at + b" * ann left\n"


@given(st.binary(max_size=60))
def test_what_anybody_says_is_read_back_as_said_by_him(data: bytes) -> None:
    lines = safe(data)
    if lines:
        parsed = [parse(line) for line in said("eve", lines).splitlines()]
        assert all(record is not None and record.nick == b"eve" for record in parsed)
        assert b"\n".join(r.text for r in parsed if r) + b"\n" == lines


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"hello",
        b"2026-11-23T23:34:31.123Z",
        b"2026-11-23T23:34:31.123Z hello",
        b"2026-11-23T23:34:31.123Z <> x",
        b"2026-11-23T23:34:31.123Z <a b> x",
        b"2026-11-23T23:34:31.123Z <ann",
        b"2026-11-23 23:34:31.123Z <ann> x",
        b"x2026-11-23T23:34:31.123Z <ann> x",
        b"2026-11-23T23:34:31.123Z *x",
    ],
)
def test_what_is_no_record_is_not_taken_for_one(line: bytes) -> None:
    assert parse(line) is None


def test_every_beginning_of_a_record_could_be_torn_and_other_text_could_not() -> None:
    record = said("ann", b"hello\n")
    assert all(could_be_torn(record[:n]) for n in range(len(record)))
    assert not could_be_torn(b"hello")
    assert not could_be_torn(b"2026-11-23 ")


@pytest.mark.parametrize(
    "name", ["", "a b", "<a", "a>", "a\n", "\x1b", "x" * 33, "\u202ea", "a\u2028"]
)
def test_a_name_that_could_forge_a_record_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_nick(name)


@pytest.mark.parametrize("name", ["ann", "größe", "日本", "a-b_c.d", "x" * 32])
def test_other_names_are_taken(name: str) -> None:
    assert check_nick(name) == name
