"""What targets promise: the words they share. Says again by other means what sanitize.py does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
# Cc, Zl and Zp but for the tab and the newline, and what turns text around.
_HARMS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

Check = Callable[[bytes], None]
Unit = bytes
Seed = list[Unit]  # what is swapped, doubled and left out as a whole: lines, frames, numbers


class Target(NamedTuple):
    """`make` is called once, in the process that runs it, with a directory for what it needs."""

    name: str
    make: Callable[[Path], Check]
    seeds: list[Seed]
    tokens: list[bytes]  # what means something to the reader, to be put anywhere
    share: int  # of a million executions of all targets
    longest: int = 100_000  # bytes of an input, about


def is_safe_line(text: str) -> None:
    """One line that can be shown: no newline in it, and nothing that lies or harms."""
    assert "\n" not in text, f"more than one line: {text!r}"
    assert not _HARMS.search(text), f"not safe to show: {text!r}"


def are_safe_lines(data: bytes, limit: int) -> list[bytes]:
    """The lines without their newlines; `limit` is the most bytes that one may have."""
    assert not data or data.endswith(b"\n"), f"not whole lines: {data!r}"
    text = data.decode()
    assert not _HARMS.search(text), f"not safe to show: {text!r}"
    lines = data.split(b"\n")[:-1]
    assert max(map(len, lines), default=0) <= limit, "a line is too long"
    return lines


def pieces(data: bytes, sizes: bytes) -> Iterator[bytes]:
    """`data` cut into pieces of these sizes, again and again; at most some hundred pieces."""
    shortest = len(data) // 300 + 1
    at = turn = 0
    while at < len(data):
        size = max(shortest, sizes[turn % len(sizes)] if sizes else len(data))
        yield data[at : at + size]
        at, turn = at + size, turn + 1


def numbers(data: bytes, count: int) -> tuple[bytes, bytes]:
    """The first `count` bytes, 0 where there are none, and the rest."""
    return data[:count].ljust(count, b"\0"), data[count:]
