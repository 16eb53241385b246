"""Lines for one client alone: how a reader takes one apart.

Pure computation on bytes; knows no message (messages.py, refusals.py).
"""

from __future__ import annotations

import re


def parts(pattern: bytes, line: bytes) -> list[str]:
    """What the groups of the pattern hold, if that is the whole line; else []."""
    found = re.fullmatch(pattern + rb"\n?", line)
    return [text(part) for part in found.groups(b"")] if found else []


def first(pattern: bytes, line: bytes) -> str | None:
    """What the first group holds, if the pattern is the whole line."""
    found = parts(pattern, line)
    return found[0] if found else None


def text(part: bytes) -> str:
    """Of a greeting, too, which has not come through the text boundary."""
    return part.decode("utf-8", "backslashreplace")
