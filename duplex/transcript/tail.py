"""The end of a transcript's file: its last line and stamp, and what a dead writer left there.

Functions on a descriptor, for whoever may write it; they know no process and no lock.
"""

from __future__ import annotations

import os

from duplex.transcript import record

NO_STAMP = b"\0" * record.STAMP_LENGTH  # before any
_LOOK_BACK = 64 * 1024  # bytes read at a time to find the last newline


def start_of_line(fd: int, end: int) -> int:
    """Where the line begins that ends there."""
    start = end
    while start > 0:
        back = max(0, start - _LOOK_BACK)
        newline = os.pread(fd, start - back, back).rfind(b"\n")
        start = back + newline + 1
        if newline >= 0:
            break
    return start


def last_stamp(fd: int, end: int) -> bytes:
    """That of the last record before `end`; NO_STAMP if there is none."""
    start = start_of_line(fd, end - 1) if end else 0
    stamp = os.pread(fd, min(end, record.STAMP_LENGTH), start)
    return stamp if record.is_stamp(stamp) else NO_STAMP


def stamp_of_last(records: bytes) -> bytes:
    start = records.rfind(b"\n", 0, -1) + 1
    return records[start : start + record.STAMP_LENGTH]


def without_torn(fd: int, end: int) -> int:
    """Where the file ends, once the beginning of a record that stands last in it is cut off.

    Somebody else's file without a last newline keeps its line: it only gets the newline.
    """
    if end == 0 or os.pread(fd, 1, end - 1) == b"\n":
        return end
    start = start_of_line(fd, end)
    if record.could_be_torn(os.pread(fd, record.STAMP_LENGTH, start)):
        os.ftruncate(fd, start)
        return start
    return end + os.write(fd, b"\n")
