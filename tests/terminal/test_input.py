"""What keys do at the prompt: an empty line is none, and what was typed is found again."""

from __future__ import annotations

from screen_support import Talk
from support import until


def test_enter_on_an_empty_line_says_nothing(talk: Talk) -> None:
    talk.at.key("Enter", "Enter", "Enter")
    talk.at.line("something")
    assert talk.hears() == "something"
    talk.at.sees("me: something")
    assert talk.at.all.count("me:") == 1


def test_ctrl_r_searches_what_was_typed(talk: Talk) -> None:
    at = talk.at
    for text in ("one Apple", "two pears", "three apples"):
        at.line(text)
        assert talk.hears() == text
    at.type("a draft")
    talk.shows_input("a draft")
    at.key("C-r")
    at.type("apple")
    at.sees("search: apple")
    talk.shows_input("three apples")
    at.key("C-r")
    talk.shows_input("one Apple")
    at.key("Enter")
    until(lambda: "search:" not in at.screen)
    talk.shows_input("one Apple")
    at.key("End")
    at.line(", too")
    assert talk.hears() == "one Apple, too"


def test_ctrl_c_ends_a_search_and_nothing_else(talk: Talk) -> None:
    at = talk.at
    at.line("said before")
    assert talk.hears() == "said before"
    at.type("a draft")
    at.key("C-r")
    at.type("said")
    talk.shows_input("said before")
    at.key("C-c")
    talk.shows_input("a draft")
    at.key("Enter")
    assert talk.hears() == "a draft"
