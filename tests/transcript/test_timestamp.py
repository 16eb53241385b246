"""Times as people give them, on days on which the clocks change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from duplex.system.errors import UsageError
from duplex.transcript.timestamp import parse_moment


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


def utc(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("where", "now", "text", "wanted"),
    [
        # 2026-03-29 has 23 hours in Berlin, 2026-10-25 has 25
        ("Europe/Berlin", "2026-03-29T10:00:00Z", "today", "2026-03-28T23:00:00.000Z"),
        ("Europe/Berlin", "2026-03-30T10:00:00Z", "yesterday", "2026-03-28T23:00:00.000Z"),
        ("Europe/Berlin", "2026-03-30T10:00:00Z", "1d", "2026-03-29T10:00:00.000Z"),
        ("Europe/Berlin", "2026-03-29T10:00:00Z", "1d", "2026-03-28T11:00:00.000Z"),
        ("Europe/Berlin", "2026-03-29T10:00:00Z", "24h", "2026-03-28T10:00:00.000Z"),
        ("Europe/Berlin", "2026-03-29T01:30:00Z", "2h", "2026-03-28T23:30:00.000Z"),
        ("Europe/Berlin", "2026-10-25T10:00:00Z", "today", "2026-10-24T22:00:00.000Z"),
        ("Europe/Berlin", "2026-10-26T10:00:00Z", "yesterday", "2026-10-24T22:00:00.000Z"),
        ("Europe/Berlin", "2026-10-25T01:30:00Z", "2h", "2026-10-24T23:30:00.000Z"),
        ("Europe/Berlin", "2026-10-28T10:00:00Z", "1w", "2026-10-21T09:00:00.000Z"),
        ("Europe/Berlin", "2026-10-26T10:00:00Z", "2026-10-25", "2026-10-24T22:00:00.000Z"),
        ("Europe/Berlin", "2026-10-26T10:00:00Z", "2026-10-25T12:00", "2026-10-25T11:00:00.000Z"),
        ("Europe/Berlin", "2026-10-26T10:00:00Z", "2026-10-25T12:00Z", "2026-10-25T12:00:00.000Z"),
        ("America/New_York", "2026-11-01T12:00:00Z", "today", "2026-11-01T04:00:00.000Z"),
        ("America/New_York", "2026-11-02T12:00:00Z", "yesterday", "2026-11-01T04:00:00.000Z"),
        # a day that begins at one o'clock
        ("America/Sao_Paulo", "2018-11-04T12:00:00Z", "today", "2018-11-04T03:00:00.000Z"),
        ("UTC", "2026-10-25T10:00:00Z", "now", "2026-10-25T10:00:00.000Z"),
    ],
)
def test_days_are_the_local_calendars(
    zone: Callable[[str], None], where: str, now: str, text: str, wanted: str
) -> None:
    zone(where)
    assert parse_moment(text, utc(now)).decode() == wanted


@pytest.mark.parametrize("text", ["", " ", "never", "2x", "-2h", "٣h", "9" * 400 + "d", "12:00"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="as a time"):
        parse_moment(text)
