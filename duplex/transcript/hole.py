"""The hole with which a transcript may begin: what stood before its first record is gone.

It reads as NULs and takes no room on the disk, and its last byte is a newline; or events fill it
(mending.py). There is one in a file that was cut while its room ran, and in copies that version
0.1.0 began in a store. Reads by a descriptor; writes nothing.
"""

from __future__ import annotations

import os

from duplex.transcript import mending, record

HOLES = (b"\0", b"\n")  # how one begins
_BLOCK = 64 * 1024  # bytes read at a time


def first_record(fd: int) -> int:
    """The offset of a transcript's first record, behind the hole with which it may begin, or what
    fills one (mending.py).

    A hole reads as NULs, and its line has nothing else: any other line is one that is malformed.
    """
    at = 0
    while True:
        if os.pread(fd, 1, at) in HOLES:
            end = _behind_hole(fd, at)
        elif mending.is_filling(line := _line_at(fd, at)):
            end = at + len(line)
        else:
            return at
        if end == at:
            return at
        at = end


def _line_at(fd: int, at: int) -> bytes:
    return os.pread(fd, record.RECORD_LIMIT, at).partition(b"\n")[0] + b"\n"


def _behind_hole(fd: int, start: int) -> int:
    """`start`, if there is none."""
    at = os.lseek(fd, start, os.SEEK_DATA)
    while block := os.pread(fd, _BLOCK, at):
        line, newline, _ = block.partition(b"\n")
        if line.strip(b"\0"):
            return start
        if newline:
            return at + len(line) + 1
        at += len(block)
    return start
