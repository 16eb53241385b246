"""Characters that are not seen: which they are, and where one of them has a use.

They hide words from a reader and a search, make one nick look like another, or carry a text of
their own (tags). Those that join are needed where letters or emoji join: in Arabic, Persian, Indic
writing, and in sequences of emoji. Variation selectors are combining marks, and limited as such
(sanitize.py).

Sources: Default_Ignorable_Code_Point (DerivedCoreProperties.txt), Bidi_Control, UTS 51.
"""

from __future__ import annotations

import re
import unicodedata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Nothing is seen of these: what formats (soft hyphen, ALM, zero-width space, LRM, RLM, word joiner,
# U+206A to 206F, BOM, annotations, shorthand, music), fillers of Hangul, tags.
CLASS = (
    "\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
JOINERS = "\u200c\u200d"
# Blank, as a space is, but no space; as a nick, or in one, nobody sees them.
BLANKS = "\u034f\u17b4\u17b5\u2800\U00013441\U00013442\U00016fe4\U0001d159"

_FLAG = "\U0001f3f4"  # followed by a region's name in tags: the three that are flags (UTS 51)
_FLAGS = "|".join(
    _FLAG + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
_ALL = re.compile(f"[{CLASS}{JOINERS}]")
_UNSEEN = re.compile(f"{_FLAGS}|[{CLASS}{JOINERS}]")


def escaped(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"  # \x80 would be an invalid byte


def shown(text: str, by: Callable[[str], str] = escaped) -> str:
    """`text` with those made visible that have no use where they are: `\\u200b`, `\\U000e0041`."""
    return _UNSEEN.sub(lambda match: match[0] if _has_a_use(match) else by(match[0]), text)


def all_shown(text: str) -> str:
    """The same for all of them, wherever they are."""
    return _ALL.sub(lambda match: escaped(match[0]), text)


def _has_a_use(match: re.Match[str]) -> bool:
    found, text = match[0], match.string
    if found not in JOINERS:
        return found.startswith(_FLAG)
    if not match.start() > 0 or match.end() == len(text):
        return False
    return _joins(text[match.start() - 1]) and _joins(text[match.end()])


def _joins(character: str) -> bool:
    """Letters without case, their marks, emoji and their skin tones; not Latin, Greek, Cyrillic."""
    if character < "\u0370":  # nor the accents that these have
        return False
    category = unicodedata.category(character)
    return category[0] == "M" or category in ("Lo", "So", "Sk")
