"""The code as people say it: made of listed words, and typed in many ways.

The list is the EFF's second short wordlist (eff.org/dice: 1,296 words, Electronic Frontier
Foundation, CC BY 3.0 US), no two of whose words begin with the same three letters, and which are
at least three typing errors apart. One is changed: "yo-yo" is "yoyo", so that a hyphen stands only
between words. Four words drawn from it are worth 41.4 bits: far more than can be tried, for the
key exchange allows one guess a connection.

Runs before the first fork. Knows nothing of where a code comes from (cli/protection.py,
terminal/code_prompt.py), nor of what is done with it (code.py).
"""

from __future__ import annotations

import functools
import os
import re
import unicodedata

from duplex.system.errors import UsageError

WORDS = 4  # of a code that is made here
ENOUGH = 3  # letters that tell a listed word from all others
SHORTEST = 8  # characters of a code that was chosen
# Word processors and messengers make other dashes of a hyphen: U+2010 to U+2015, U+2212.
_SEPARATORS = re.compile(r"[\s\-_,\u2010-\u2015\u2212]+")
_LIST = os.path.join(os.path.dirname(__file__), "wordlist.txt")


@functools.cache
def words() -> dict[str, str]:
    """The listed words by their first three letters."""
    with open(_LIST, encoding="ascii") as file:
        return {line[:ENOUGH]: line.strip() for line in file if not line.startswith("#")}


def candidates(start: str) -> list[str]:
    """The listed words that begin so."""
    return [word for word in words().values() if word.startswith(start)]


def listed(word: str) -> str:
    """The listed word that these letters stand for, or ""."""
    found = words().get(word[:ENOUGH], "")
    return found if len(word) >= ENOUGH and found.startswith(word) else ""


def split(text: str) -> list[str]:
    """The words typed, in lower case; the last is "" after a separator."""
    return _SEPARATORS.split(re.sub(r"\byo-yo\b", "yoyo", text.casefold()))


def make() -> str:
    """A new code, as it is shown and said: `walrus-dexterity-zookeeper-kangaroo`."""
    import secrets  # and with it OpenSSL's library: only for this

    chosen_from = list(words().values())
    return "-".join(secrets.choice(chosen_from) for _ in range(WORDS))


def normal(text: str) -> bytes:
    """What both sides feed to the key exchange, however the code was typed.

    Compatible and upper-case letters become plain ones (NFKC_Casefold but for what it ignores:
    Unicode, D146), whatever stands between words becomes one hyphen, and three letters and more of
    a listed word become that word, if all words of the code are such. Idempotent.
    """
    text = _tidy(text)
    known = [listed(word) for word in split(text)]
    if all(known):
        text = "-".join(known)
    return text.encode("utf-8", "surrogatepass")  # what is no Unicode must not be a traceback


def check(text: str) -> str:
    """Raise UsageError unless this chosen code is long enough; the code itself.

    A listed word counts as the three letters that stand for it: "abdomen" is no more than "abd".
    """
    parts = normal(text).decode("utf-8", "surrogatepass").split("-")
    if all(map(listed, parts)):
        parts = [word[:ENOUGH] for word in parts]
    if len("-".join(parts)) < SHORTEST:
        raise UsageError(
            "cannot use this code: it is too easily guessed; take 3 listed words or more, or "
            f"{SHORTEST} characters of your own, or let `duplex listen --code` make one"
        )
    return text


def _tidy(text: str) -> str:
    text = unicodedata.normalize("NFD", text)
    for _ in range(2):
        text = unicodedata.normalize("NFKC", text.casefold())
    return _SEPARATORS.sub("-", text).strip("-")
