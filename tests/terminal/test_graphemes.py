"""Emoji and letters that are made of many characters, in the line that is being typed."""

from __future__ import annotations

import random

import pytest
from screen_support import Talk
from support import until

from duplex.terminal.draft import Draft, Plainer
from duplex.transcript.width import on_terminal

COMPUTING = "👩\u200d💻"  # two emoji that are joined
# How each is drawn: in a form that tmux, xterm and all others agree on.
DRAWN = {
    COMPUTING: "👩💻",
    "👨\u200d👩\u200d👧\u200d👦": "👨👩👧👦",
    "👍🏽": "👍",
    "👩🏽\u200d🚀": "👩🚀",
    "❤\ufe0f": "❤",
    "❤\ufe0f\u200d🔥": "❤🔥",
    "🇩🇪": "DE",
    "1\ufe0f\u20e3": "1\u20e3",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f": "🏴",
    "e\u0301": "e\u0301",
    "क\u094dषि": "क\u094dषि",
    "한": "한",
    "日": "日",
}


def cells(text: str) -> int:
    return sum(map(on_terminal, text))


def shows(talk: Talk, before: str, after: str = "") -> None:
    """The draft is drawn so, and the cursor stands between."""
    talk.shows_input(before + after)
    until(lambda: int(talk.at.told("cursor_x")) == 2 + cells(before))


@pytest.mark.parametrize("typed", DRAWN, ids=range(len(DRAWN)))
def test_cursor_and_deletion_go_by_grapheme(talk: Talk, typed: str) -> None:
    at, drawn = talk.at, DRAWN[typed]
    at.type(f"a{typed}b{typed}")
    shows(talk, f"a{drawn}b{drawn}")
    at.key("Left")
    shows(talk, f"a{drawn}b", drawn)
    at.key("Left", "Left")
    shows(talk, "a", f"{drawn}b{drawn}")
    at.key("Right")
    shows(talk, f"a{drawn}", f"b{drawn}")
    at.type("X")
    shows(talk, f"a{drawn}X", f"b{drawn}")
    at.key("BSpace", "BSpace")
    shows(talk, "a", f"b{drawn}")
    at.key("Right", "DC")
    shows(talk, "ab")
    at.type(typed)
    at.key("Home", "Right", "C-t", "End")
    at.type(typed)
    at.key("Enter")
    assert talk.hears() == f"ba{typed}{typed}"
    at.sees("me: ba")
    shows(talk, "")


def test_what_is_typed_is_never_left_behind(talk: Talk, rng: random.Random) -> None:
    """Any editing: the row is what was drawn, to the last cell, and the line is what it says."""
    plainer = Plainer()
    keys = ["Left", "Right", "BSpace", "DC", "Home", "End", "C-t", "C-w", "C-k", "M-b", "M-f"]
    for _ in range(4):
        for _ in range(12):
            if rng.random() < 0.5:
                talk.at.type(rng.choice(list(DRAWN)))
            else:
                talk.at.key(rng.choice(keys))
        talk.at.key("End")
        talk.at.type("|")
        shown = ""

        def settled(end: str = "|") -> bool:
            nonlocal shown
            shown = talk.input_line()
            return shown.endswith(end)

        until(settled)
        assert int(talk.at.told("cursor_x")) == cells(shown)
        talk.at.key("Enter")
        heard = talk.hears()
        assert shown == "> " + plainer.drawn(heard)


def test_a_grapheme_may_be_typed_in_parts_before_another_emoji() -> None:
    draft = Draft(multiline=False)
    draft.insert_text("😀")
    draft.cursor_position = 0
    for part in COMPUTING:
        draft.insert_text(part)
    assert draft.text == COMPUTING + "😀"


def test_a_character_that_the_terminal_does_not_know_is_drawn_as_one(talk: Talk) -> None:
    unknown = "\U000105ff"  # not assigned
    talk.at.type(f"a{unknown}b")
    shows(talk, "a\ufffdb")
    talk.at.key("Left", "BSpace")
    shows(talk, "a", "b")
    talk.at.type(unknown)
    talk.at.key("Enter")
    assert talk.hears() == f"a{unknown}b"
