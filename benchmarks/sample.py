"""The sample: a file of short UTF-8 lines, the same bytes on every machine and in every run.

Lines have 3 to 12 words, and one word in ten is not ASCII: German, French, Japanese, Russian,
emoji, typographic quotes and dashes. It knows nothing of what reads the file.
"""

from __future__ import annotations

import random
from typing import NamedTuple

SEED = 20261123
POOL = 20_000  # different lines; the file has them in random order
OTHERS = 0.1  # of the words are not ASCII
BLOCK = 10_000  # lines written at a time; the last one of each is a sample
DESCRIPTION = "3 to 12 words a line, one word in ten not ASCII"

_WORDS = """
    the and you that was for are with they have this from one had word but not what all were when
    your can said there use each which she how their will other about out many then them these some
    her would make like him into time has look two more write see number way could people than
    first water been call who its now find long down day did get come made may part over new take
    only little work know place year live back give most very after thing our just name good
    man think say great where help through much before line right too mean old any same tell follow
    came want show also around form three small set put end does another well large must big even
    such because turn here why ask went men read need land different home move try kind hand picture
    again change off play spell air away animal house point page letter mother answer found study
    still learn should world tomorrow yesterday meeting please thanks really maybe coffee something
"""
_OTHER_WORDS = """
    schön grüße für können straße müde déjà façade naïve élève garçon où привет спасибо мир завтра
    работа хорошо 日本語 こんにちは ありがとう 会議 明日 😀 🎉 👍🏽 ☕ „gut“ “quoted” ’tis — … «oui»
"""


class Line(NamedTuple):
    """One line of the file, by which a copy of it can be checked."""

    index: int
    offset: int  # bytes
    text: bytes  # newline-ended


class Sample(NamedTuple):
    """A file on the disk, and what is known of it."""

    path: str
    size: int  # bytes
    lines: int
    checks: list[Line]  # some of its lines, the last one among them


def write(path: str, size: int) -> Sample:
    """Make the file `path` of `size` bytes or up to a block more."""
    generator = random.Random(SEED)
    words, other = _WORDS.split(), _OTHER_WORDS.split()
    pool = [_line(generator, words, other) for _ in range(POOL)]
    offset, index, checks = 0, 0, []
    with open(path, "wb") as file:
        while offset < size:
            lines = generator.choices(pool, k=BLOCK)
            block = b"".join(lines)
            file.write(block)
            offset += len(block)
            index += BLOCK
            checks.append(Line(index - 1, offset - len(lines[-1]), lines[-1]))
    return Sample(path, offset, index, checks)


def _line(generator: random.Random, words: list[str], other: list[str]) -> bytes:
    line = (
        generator.choice(other if generator.random() < OTHERS else words)
        for _ in range(generator.randint(3, 12))
    )
    return " ".join(line).encode() + b"\n"
