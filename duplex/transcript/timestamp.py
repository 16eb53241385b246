"""Points in time as people give them, turned into the stamp of a record. Pure computation.

Days are counted on the local calendar and only then made UTC: the day on which the clocks change
has 23 or 25 hours. Hours, minutes and seconds are what has passed.
"""

from __future__ import annotations

import re
import time
from datetime import datetime, time as time_of_day, timedelta

from duplex.system.errors import UsageError
from duplex.transcript.record import STAMP_LENGTH, stamp

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_DAYS = {"d": 1, "w": 7}


def parse_moment(text: str, now: float | None = None) -> bytes:
    """The stamp of `text`: an ISO date or time (local, unless it tells its zone), an age (90s,
    30m, 2h, 1d, 1w), now, today or yesterday (their beginning). Else a UsageError.

    `now` is in seconds since the epoch; by default what it is.
    """
    try:
        seconds = _seconds(text, time.time() if now is None else now)
        made = stamp(int(seconds * 1000) * 1_000_000)
        return made.rjust(STAMP_LENGTH, b"0")  # strftime gives the year 3 one digit
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"cannot read {text!r} as a time: "
            "use 2026-11-23, 2026-11-23T18:30, 2h, 90s, today or yesterday"
        ) from None


def _seconds(text: str, now: float) -> float:
    here = datetime.fromtimestamp(now)  # the local calendar's: its timestamp() knows the changes
    if text == "now":
        return now
    if text in ("today", "yesterday"):
        day = here.date() - timedelta(days=text == "yesterday")
        return datetime.combine(day, time_of_day.min).timestamp()
    if age := re.fullmatch(r"([0-9]+)([smhdw])", text):
        if age[2] in _SECONDS:
            return now - int(age[1]) * _SECONDS[age[2]]
        return (here - timedelta(days=int(age[1]) * _DAYS[age[2]])).timestamp()
    return datetime.fromisoformat(text).timestamp()
