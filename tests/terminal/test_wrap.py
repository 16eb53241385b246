"""Rows of a line: none wider than the terminal, none that looks like another line, words whole."""

from __future__ import annotations

import random
import re
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from duplex.terminal.paint import DIM, Painter
from duplex.transcript.wrap import rows, width_of

HEAD = "12:34:56 ann: "
PARTS = ["a", " ", "  ", "word ", "long" * 9, "日", "👩‍💻", "e\u0301", "🇩🇪", "❤️", "कि", "…"]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=60).map("".join)


def shown(text: str, columns: int, head: str = HEAD) -> list[str]:
    indent = min(width_of(head), columns // 2)
    line = head + text
    cuts = list(rows(line, len(head), indent, columns))
    return [" " * indent * bool(start) + line[start:end] for start, end in cuts]


@given(text=TEXTS, columns=st.integers(2, 90))
def test_no_row_is_wider_than_the_terminal_and_nothing_is_left_out(text: str, columns: int) -> None:
    found = shown(text, columns)
    assert found[0].startswith(HEAD[: columns // 2])
    for row in found:
        one_alone = len(row.strip()) <= 3  # a character that is wider than its row can be
        assert width_of(row) <= columns or one_alone
    for row in found[1:]:
        assert re.match(" " * min(width_of(HEAD), columns // 2) + "[^ ]", row)
    assert "".join(found).replace(" ", "") == (HEAD + text).replace(" ", "")


def test_words_are_not_cut_where_a_space_is_near() -> None:
    assert shown("this is said in more words than fit", 30) == [
        "12:34:56 ann: this is said in",
        "              more words than",
        "              fit",
    ]
    address = "https://example.org/" + "a" * 20
    assert shown(f"see {address}", 34) == [
        "12:34:56 ann: see https://example.",
        "              org/aaaaaaaaaaaaaaaa",
        "              aaaa",
    ], "the space is far away"


def test_what_belongs_together_is_not_divided() -> None:
    for whole in ("👩‍💻", "e\u0301\u0302", "🇩🇪", "👍🏽", "❤️"):
        for before in range(12):
            for row in shown("x" * before + whole * 12, 30):
                rest = row.removeprefix(HEAD).strip().lstrip("x")
                assert rest == whole * (len(rest) // len(whole)), f"{row!r} divides {whole!r}"


def test_a_nick_that_is_wider_than_the_terminal_leaves_room_for_the_text() -> None:
    found = shown("hello", 10, head="12:34:56 " + "n" * 32 + ": ")
    assert found == ["12:34:56 n", *["     nnnnn"] * 6, "     n: he", "     llo"]


def test_a_long_line_of_anything_takes_no_time() -> None:
    for part in ("a", " ", "日", "👩‍", "\u0301", "🇩", "a ", "\t", "\U000e0041"):
        text = part * (65536 // len(part.encode()))
        begun = time.process_time()
        shown(text, 80)
        assert time.process_time() - begun < 0.5, repr(part)


# Painted


def painter(columns: int = 40, day: str = "2026-11-26") -> Painter:
    made = Painter(lambda: columns, UTC)
    made._day = datetime.fromisoformat(day).date()
    return made


def test_a_row_that_goes_on_is_painted_as_what_it_goes_on_with() -> None:
    painted = painter(30).line(
        datetime(2026, 11, 26, 12, 34, 56), [("", "ann: ")], [("", "plain "), (DIM, "dim " * 8)]
    )
    assert painted.split("\n") == [
        "\x1b[2m12:34:56 \x1b[0mann: plain \x1b[2mdim dim\x1b[0m",
        "              \x1b[2mdim dim dim dim\x1b[0m",
        "              \x1b[2mdim dim \x1b[0m",
        "",
    ]


def test_a_tab_is_as_wide_as_for_who_typed_it() -> None:
    painted = painter().line(
        datetime(2026, 11, 26, 12, 34, 56), [("", "a: ")], [("", "1\t2"), ("", "34\t5")]
    )
    assert painted.endswith("a: 1       234     5\n")


def test_what_the_program_tells_goes_on_under_itself() -> None:
    assert painter(20).told("one two three four five six") == ("one two three four\n  five six\n")


def test_the_day_is_said_wherever_it_changes() -> None:
    to = painter()
    stamps = ["2026-11-19T23:59:59", "2026-11-20T00:00:00", "2026-11-20T23:00:00"]
    stamps += ["2026-11-26T12:34:56", "2026-11-26T12:34:57", "2026-11-26T25:34:58"]
    stamps += ["2026-11-27T00:00:00"]
    painted = "".join(to.record(f"{at}.123Z".encode(), [("", "ann:")], []) for at in stamps)
    assert re.sub(r"\x1b\[\d+m", "", painted).splitlines() == [
        "── Thursday, 19 November 2026 ──",
        "23:59:59 ann:",
        "── Friday, 20 November 2026 ──",
        "00:00:00 ann:",
        "23:00:00 ann:",
        "── Thursday, 26 November 2026 ──",
        "12:34:56 ann:",
        "12:34:57 ann:",
        "25:34:58 ann:",  # no time at all: a room may say so
        "── Friday, 27 November 2026 ──",
        "00:00:00 ann:",
    ]


def test_the_day_is_that_of_the_clock_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        to = Painter(lambda: 80)
        to._day = datetime(2026, 11, 26).date()
        painted = to.record(b"2026-11-26T15:00:00.000Z", [("", "ann: ")], [])
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "Friday, 27 November" in painted
    assert "00:00:00" in painted


def test_whatever_is_said_no_row_but_the_first_begins_at_the_edge(rng: random.Random) -> None:
    for _ in range(2000):
        columns = rng.randrange(2, 120)
        text = "".join(rng.choices([*PARTS, "\t", "12:00:01 bob: no"], k=rng.randrange(40)))
        painted = painter(columns).line(
            datetime(2026, 11, 26, 12, 34, 56), [("", "ann: ")], [("", text)]
        )
        first, *others = painted.removesuffix("\n").split("\n")
        assert first.startswith("\x1b[2m12")
        assert all(row.startswith(" ") for row in others), painted
