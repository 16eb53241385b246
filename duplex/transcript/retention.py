"""When a room's newest segment is closed, and how long closed ones are kept: what the options say.

Computation alone; knows no file.
"""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta

from duplex.system.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SMALLEST = 64 * 1024  # bytes of a segment: a longest record is not much longer
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_DAYS = {"d": 1, "w": 7}
_DAY = 86_400.0  # s


class Rotation:
    """A segment is closed at so many bytes, or at the end of its `day` or `week`; or never."""

    def __init__(self, size: int = 0, period: str = "") -> None:
        self.size: Final = size
        self.period: Final = period

    def is_over(self, stamp: bytes, now: float) -> bool:
        """Whether the day or week of a first record with this stamp is, seconds since the epoch.

        By the local calendar, as people say day and week, which begins on Monday.
        """
        if not self.period:
            return False
        try:
            day = datetime.fromisoformat(stamp.decode("ascii")).astimezone().date()
        except ValueError:  # it has no record, or one of no time that can be
            return False
        days = 7 - day.weekday() if self.period == "week" else 1
        return now >= datetime.combine(day + timedelta(days=days), time.min).timestamp()


class Retention:
    """A closed segment is kept while any of it is among the last `size` bytes, or for `age`
    seconds since its last record; without either, for ever."""

    def __init__(self, size: int = 0, age: float = 0.0) -> None:
        self.size: Final = size
        self.age: Final = age

    def is_over(self, behind: int, seconds: float) -> bool:
        """For a segment that ends so many bytes and seconds before now."""
        if self.size:
            return behind >= self.size
        return bool(self.age) and seconds > self.age


def parse_rotate(text: str) -> Rotation:
    """`64M`, `1G`, bytes, `day` or `week`; else a UsageError."""
    if text in ("day", "week"):
        return Rotation(period=text)
    size = _size(text)
    if size < SMALLEST:
        raise UsageError(f"cannot use --rotate {text!r}: it needs day, week, or 64K or more")
    return Rotation(size)


def parse_retain(text: str) -> Retention:
    """`10G`, bytes, `30d` or `12w`; else a UsageError."""
    if age := re.fullmatch(r"([1-9][0-9]{0,5})([dw])", text):
        return Retention(age=int(age[1]) * _DAYS[age[2]] * _DAY)
    size = _size(text)
    if size < SMALLEST:
        raise UsageError(
            f"cannot use --retain {text!r}: it needs 64K or more, or an age as 30d, 12w"
        )
    return Retention(size)


def check(rotation: Rotation, retention: Retention) -> None:
    """Raises UsageError for what cannot be together."""
    if retention is not FOR_EVER and rotation is NEVER:
        raise UsageError("cannot use --retain without --rotate: nothing is closed without it")


def _size(text: str) -> int:
    """Bytes; 0 for what is no size."""
    found = re.fullmatch(r"([0-9]{1,18})([KMGT]?)", text.upper())
    return int(found[1]) * _UNITS[found[2]] if found else 0


NEVER, FOR_EVER = Rotation(), Retention()
