"""Terminals of many sizes, one after another: one prompt, one bar, and every line once."""

from __future__ import annotations

import random
import re

import pytest
from screen_support import Talk
from support import until

from duplex.transcript.wrap import width_of

DRAFTS = {
    "short": "half a line",
    "wraps": "words_that_wrap_" * 16,
    "wide": "長い行" * 40,
}


def is_whole(talk: Talk, draft: str) -> None:
    """Wait for the draft at a prompt, and the bar below it, and see that there are no others."""
    at = talk.at
    rows = [""]

    def drawn() -> bool:
        nonlocal rows
        rows = at.tmux("capture-pane", "-p", "-S", "-").rstrip("\n").split("\n")
        prompt = max((number for number, row in enumerate(rows) if row.startswith(">")), default=0)
        full = int(at.told("pane_width")) - 1  # cells; the last one is too little for a wide letter
        is_for_this_width = all(width_of(row) >= full for row in rows[prompt:-2])
        is_there = "".join(rows[prompt:-1]) == f"> {draft}" and rows[-1].startswith(" client 127.")
        return is_there and is_for_this_width

    until(drawn)
    assert len([row for row in rows if row.startswith(">")]) == 1, "\n".join(rows)
    assert len([row for row in rows if row.startswith(" client 127.")]) == 1, "\n".join(rows)


@pytest.mark.parametrize("draft", DRAFTS.values(), ids=DRAFTS)
@pytest.mark.parametrize("clears", [False, True], ids=["", "Ctrl-L"])
def test_whatever_sizes_it_had_there_is_one_prompt_and_one_bar(
    talk: Talk, rng: random.Random, draft: str, clears: bool
) -> None:
    at = talk.at
    at.type(draft)
    talk.shows_input(draft)
    said = []
    for turn in range(10):
        for _ in range(rng.choice([1, 1, 2, 4])):
            if clears and rng.random() < 0.4:
                at.key("C-l")
            width, height = rng.randrange(40, 180), rng.randrange(16, 50)
            at.tmux("resize-window", "-x", str(width), "-y", str(height))
            if rng.random() < 0.3:
                at.key(rng.choice(["Home", "End", "Left", "Right"]))
        if rng.random() < 0.6:
            talk.says(f"line {turn}")
            said.append(str(turn))
        is_whole(talk, draft)
    talk.says("the end")
    at.sees("client: the end")
    is_whole(talk, draft)
    assert re.findall(r"client: line (\d+)", at.all) == said, "each once"
    at.key("End", "Enter")
    assert talk.hears() == draft


def test_what_is_typed_while_the_size_changes_is_there(talk: Talk) -> None:
    for number, character in enumerate("typed letter by letter"):
        size = (60 + number * 3, 40 - number)
        talk.at.tmux("resize-window", "-x", str(size[0]), "-y", str(size[1]))
        talk.at.type(character)
    is_whole(talk, "typed letter by letter")


def test_wide_characters_are_all_seen_at_any_width(talk: Talk) -> None:
    """Where one cell is left at the end of each row."""
    draft = DRAFTS["wide"]
    talk.at.type(draft)
    for width in (49, 61, 83):
        talk.at.tmux("resize-window", "-x", str(width), "-y", "20")
        is_whole(talk, draft)
