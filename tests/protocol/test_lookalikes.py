"""Which nicks look alike, and which none may have."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, strategies as st

from duplex.protocol import lookalikes
from duplex.protocol.lookalikes import look, table, why_not
from duplex.protocol.nick import NickError, free_nick, same_nick


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("host", "hоst"),
        ("host", "HОST"),
        ("host", "НОЅТ"),
        ("host", "h0st"),
        ("ann", "аnn"),
        ("bill", "bi11"),
        ("bill", "BiIl"),
        ("tom", "torn"),
        ("coco", "сосо"),
        ("Ann", "ann"),
        ("guest-1", "guest-l"),
        ("O'Neil", "0`Neil"),
        ("ρ", "p"),
    ],
)
def test_these_look_alike(one: str, other: str) -> None:
    assert look(one) == look(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ann", "anna"), ("neil", "nell"), ("ann", "änn"), ("guest-1", "guest-2"), ("иван", "ivan")],
)
def test_these_do_not(one: str, other: str) -> None:
    assert look(one) != look(other)


def test_a_nick_of_ascii_needs_no_table() -> None:
    for code in range(0x21, 0x7F):
        character = chr(code)
        assert look(character) == character.translate(table()).lower()
    assert {chr(code) for code in table() if code < 0x80} == set('01I|m`"')


def test_the_table_is_whole_and_its_own_end() -> None:
    assert len(table()) > 2500
    for code, looks in table().items():
        assert looks
        assert chr(code) != looks
        assert looks.translate(table()) == looks, f"{chr(code)!r} looks like {looks!r}"
        assert unicodedata.normalize("NFKD", chr(code)) == chr(code), "no nick holds it"


@given(st.text(max_size=32))
def test_any_text_has_a_look_that_stays(text: str) -> None:
    assert look(text) == look(unicodedata.normalize("NFC", text))
    assert not why_not(text) or text


@pytest.mark.parametrize(
    "nick",
    ["ann", "größe", "иван", "Ιωάννης", "山田tarō", "ヤマダ太郎のann", "김철수kim", "李ㄅㄆㄇlee",
     "שלום", "مرحبا", "नमस्ते", "ann😀", "ann-1", "日本語ー々", "Ωmega"[1:], "२ram"[1:]],
)  # fmt: skip
def test_these_are_nicks(nick: str) -> None:
    assert free_nick(nick) == nick


@pytest.mark.parametrize(
    ("nick", "why"),
    [
        ("аnn", "it mixes letters that look alike: Cyrillic and Latin"),
        ("ann\u03bf", "it mixes letters that look alike: Greek and Latin"),
        ("ивαн", "it mixes letters that look alike: Cyrillic and Greek"),
        ("ひ김", "it mixes letters that look alike: Hangul and Hiragana"),
        ("ㄅひ", "it mixes letters that look alike: Bopomofo and Hiragana"),
        ("山и", "it mixes letters that look alike: Cyrillic and Han"),
        ("\u2800", "a character in it is not seen"),
        ("an\u2800n", "a character in it is not seen"),
        ("\u0301ann", "it begins with a mark that stands on a letter"),
        ("an\u200bn", "a character in it is not allowed"),
        ("an\u200dn", "a character in it is not allowed"),
        ("an\u00adn", "a character in it is not allowed"),
        ("an\u061cn", "a character in it is not allowed"),
        ("a\U000e0041n", "a character in it is not allowed"),
        ("\u3164", "a character in it is not allowed"),
    ],
)
def test_these_are_not(nick: str, why: str) -> None:
    with pytest.raises(NickError) as told:
        free_nick(nick)
    assert str(told.value) == f"{nick!r} cannot be a nick: {why}"


@pytest.mark.parametrize("nick", ["hоst", "h0st", "НОЅТ", "ｈｏｓｔ", "HOST"])
def test_nobody_is_called_what_looks_like_the_host(nick: str) -> None:
    with pytest.raises(NickError) as told:
        free_nick(nick)
    assert "\n" not in str(told.value)
    if nick == "h0st":
        assert str(told.value) == "h0st looks like host, who keeps this room"


def test_scripts_are_told_by_the_names_of_characters() -> None:
    """Against a sample of Unicode's Scripts.txt."""
    sample = {"a": "LATIN", "ß": "LATIN", "ж": "CYRILLIC", "ω": "GREEK", "山": "HAN", "々": "HAN",
              "〇": "", "の": "HIRAGANA", "ヤ": "KATAKANA", "ー": "", "김": "HANGUL",
              "ㄅ": "BOPOMOFO",
              "1": "", "-": "", "😀": "", "\u0301": "", "ש": "HEBREW", "م": "ARABIC",
              "क": "DEVANAGARI", "ե": "ARMENIAN", "ა": "GEORGIAN", "Ꭰ": "CHEROKEE"}  # fmt: skip
    assert {c: lookalikes._script(c) for c in sample} == sample


def test_the_same_nick_looks_the_same_only_where_its_letters_do() -> None:
    assert same_nick("Neil") == same_nick("NEIL")
    assert look("NEIL") != look("neil"), "I is not i: so both are looked at"
