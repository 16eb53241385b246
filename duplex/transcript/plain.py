"""Records on a terminal without a screen: those that are too wide in rows of our own, too.

Pure computation but for the question how wide the terminal is. What is in no terminal stays as it
is. Without prompt_toolkit, and what measures text is loaded only for a line that may be too wide.
"""

from __future__ import annotations

import os
import re

# What stands before the text: a time in either form, and whose it is.
_HEAD = re.compile(
    rb"(?:\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{3}Z)? (?:<[^<> \n]+> |\* )?|-[^\n ]+- |! )?"
)
_INDENT = 2  # cells at least


def in_rows(lines: bytes, terminal: int) -> bytes:
    """Whole lines as rows of the terminal open as `terminal`; if it is none, as they are."""
    try:
        columns = os.get_terminal_size(terminal).columns
    except OSError:
        return lines
    if not columns or max(map(len, lines.split(b"\n"))) <= columns:  # a cell is a byte at least
        return lines
    return b"".join(_rows(line, columns) for line in lines.splitlines(keepends=True))


def _rows(line: bytes, columns: int) -> bytes:
    if len(line) <= columns:
        return line
    from duplex.transcript.wrap import rows, width_of

    head = _HEAD.match(line)
    assert head
    before = head[0].decode()
    text = before + line[head.end() :].decode("utf-8", "replace").expandtabs()
    ending = "\n" * text.endswith("\n")
    text = text.removesuffix("\n")
    indent = min(max(_INDENT, width_of(before)), columns // 2)
    found = rows(text, len(before), indent, columns)
    cut = f"\n{' ' * indent}".join(text[start:end] for start, end in found)
    return (cut + ending).encode("utf-8", "replace")
