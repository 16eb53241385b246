"""Nicks that look like others: what two of them have in common, and what none may be made of.

By UTS 39: a skeleton is what a text looks like, each character replaced by the plainest that looks
like it (confusables.txt); scripts may be mixed as browsers let them be in an address ("highly
restrictive"). Pure computation. The table is loaded when the first nick asks for it that is not
ASCII, in a room before the first fork.
"""

from __future__ import annotations

import functools
import os
import unicodedata

from duplex.transcript.unseen import BLANKS

_TABLE = os.path.join(os.path.dirname(__file__), "confusables.txt")
# What the table has for ASCII: most nicks need no more.
_ASCII = str.maketrans({"0": "O", "1": "l", "I": "l", "|": "l", "m": "rn", "`": "'", '"': "''"})
# A character's name begins with its script, nearly: these do not, or have another name for it.
_SCRIPTS = {"CJK": "HAN", "HANGZHOU": "HAN", "HENTAIGANA": "HIRAGANA", "TURNED": "LATIN"}
_HAN = "々〇〻"
_COMMON = {
    *("COMBINING", "MODIFIER", "IDEOGRAPHIC", "KATAKANA-HIRAGANA", "VERTICAL", "MASU", "VARIATION"),
    *("DIGIT", "CARON", "VEDIC", "DINGBAT", "NEGATIVE", "DOUBLE", "CIRCLED", "COUNTING"),
}
_TOGETHER = (
    {"LATIN", "HAN", "HIRAGANA", "KATAKANA"},
    {"LATIN", "HAN", "BOPOMOFO"},
    {"LATIN", "HAN", "HANGUL"},
)


@functools.cache
def table() -> dict[int, str]:
    """What each character looks like, for str.translate."""
    found: dict[int, str] = {}
    with open(_TABLE, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                looks, _, characters = line.rstrip("\n").partition("\t")
                found |= dict.fromkeys(map(ord, characters), looks)
    return found


def look(nick: str) -> str:
    """What two nicks have in common that look alike, whatever the case of their letters."""
    if nick.isascii():
        return nick.translate(_ASCII).lower()
    skeleton = unicodedata.normalize("NFD", nick).translate(table())
    return unicodedata.normalize("NFD", skeleton).lower()


def why_not(nick: str) -> str:
    """What is wrong with it, for a nick; "" if nothing is."""
    if nick.isascii():
        return ""
    if any(character in BLANKS for character in nick):
        return "a character in it is not seen"
    if unicodedata.category(nick[0]).startswith("M"):
        return "it begins with a mark that stands on a letter"
    scripts = {script for script in map(_script, nick) if script}
    if len(scripts) > 1 and not any(scripts <= some for some in _TOGETHER):
        mixed = " and ".join(sorted(script.capitalize() for script in scripts))
        return f"it mixes letters that look alike: {mixed}"
    return ""


def _script(character: str) -> str:
    """Its script; "" for what stands among all of them."""
    if unicodedata.category(character)[0] not in "LM":
        return ""
    if character in _HAN:
        return "HAN"
    name = unicodedata.name(character, "").partition(" ")[0]
    return "" if name in _COMMON else _SCRIPTS.get(name, name)
