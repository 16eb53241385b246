"""Points in time as people give them, turned into the stamp of a record. Pure computation."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from duplex.errors import UsageError
from duplex.record import STAMP_LENGTH, stamp

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str) -> bytes:
    """The stamp of `text`: an ISO date or time (local, unless it tells its zone), an age (90s,
    30m, 2h, 1d, 1w), now, today or yesterday (their beginning). Else a UsageError.
    """
    now = datetime.now().astimezone()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    words = {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    try:
        if text in words:
            moment = words[text]
        elif age := re.fullmatch(r"(\d+)([smhdw])", text):
            moment = now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        else:
            moment = datetime.fromisoformat(text).astimezone()
        made = stamp(int(moment.timestamp() * 1000) * 1_000_000)
        return made.rjust(STAMP_LENGTH, b"0")  # strftime gives the year 3 one digit
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{text!r} is no time: give 2026-11-23, 2026-11-23T18:30, 2h, 90s, today or yesterday"
        ) from None
