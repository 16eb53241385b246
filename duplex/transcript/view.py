"""How lines of transcripts are shown: as they are, as JSON, or counted. Writes to what it is given.

Each shower takes (file, offset, line) and owns nothing else: neither files nor the pager.
"""

from __future__ import annotations

import calendar
import os
import re
import sys
import time

from duplex.transcript.plain import in_rows
from duplex.transcript.record import Record, parse
from duplex.transcript.sanitize import UNSAFE, safe, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[bytes], object]

_STDOUT = 1
_BAR = 40  # characters of the longest bar
STAMPS = re.compile(rb"^(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)\.\d{3}Z(?= (?:<|\* ))", re.MULTILINE)
MINUTES_KEPT = 10_000  # a week of talking; more are worked out again


class Plain:
    """The lines as people read them: in local time, without what could harm a terminal.

    With `utc` they are the file's own bytes, but for a terminal's safety. What follows from
    another talk or room than the line before stands under a heading, if there is one.
    """

    def __init__(self, write: Write, terminal: bool, utc: bool = False) -> None:
        self._write = write
        self._terminal = terminal
        self._utc = utc
        self._local: dict[bytes, bytes] = {}  # minutes, as stamps begin: in local time
        self._shown = ""

    def head(self, heading: str) -> None:
        """Say whose lines follow, as tail(1) and head(1) do."""
        if heading != self._shown:
            gap = "\n" if self._shown else ""
            self._write(f"{gap}==> {visible(heading)} <==\n".encode("utf-8", "replace"))
            self._shown = heading

    def show(self, _path: str, _offset: int, lines: bytes) -> None:
        if b"\r\n" in lines and not self._utc:  # an editor's
            lines = lines.replace(b"\r\n", b"\n")
        if self._terminal:
            lines = safe(lines)
        if not self._utc:
            lines = STAMPS.sub(self._in_local_time, lines)
        self._write(in_rows(lines, _STDOUT) if self._terminal else lines)

    def _in_local_time(self, stamp: re.Match[bytes]) -> bytes:
        minute = stamp[1]
        if (local := self._local.get(minute)) is None:
            if len(self._local) >= MINUTES_KEPT:
                self._local.clear()
            local = self._local[minute] = _local_minute(minute)
        return local + stamp[2]

    def end(self) -> None:
        pass


class Json:
    """An object a line: time, nick and text, or time, event and text; file and offset.

    A malformed line has no time (null), and no nick or event. What could harm a terminal, in a file
    that no duplex has written, is escaped: that is the same text to whoever reads the JSON.
    """

    def __init__(self, write: Write) -> None:
        import json

        self._string = json.JSONEncoder(ensure_ascii=False).encode
        self._write = write

    def head(self, heading: str) -> None:
        """Each object names its file."""

    def show(self, path: str, offset: int, line: bytes) -> None:
        # Put together by hand: a third of the time that encoding a dict takes.
        string, record = self._string, parse(line)
        said = record.text if record else line.removesuffix(b"\n")
        text = string(said.removesuffix(b"\r").decode("utf-8", "replace"))
        if record is None:
            what = f'"time": null, "text": {text}'
        elif record.nick is None:
            what = f'"time": "{record.at.decode()}", "event": {text}, "text": {text}'
        else:
            nick = string(record.nick.decode("utf-8", "replace"))
            what = f'"time": "{record.at.decode()}", "nick": {nick}, "text": {text}'
        shown = f'{{{what}, "file": {string(path)}, "offset": {offset}}}'
        if not shown.isprintable():  # rare, and this look is quicker than the search
            shown = UNSAFE.sub(_as_json, shown)
        self._write(shown.encode("utf-8", "replace") + b"\n")

    def end(self) -> None:
        pass


class Stats:
    """Who said how much, and at which hours of the day, in local time."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._lines: dict[bytes, int] = {}
        self._characters: dict[bytes, int] = {}
        self._minutes: dict[bytes, int] = {}  # lines for each minute that has any
        self._events = self._malformed = 0
        self._first, self._last = b"\xff", b""

    def head(self, heading: str) -> None:
        """All is counted together."""

    def show(self, _path: str, _offset: int, line: bytes) -> None:
        record = parse(line)
        if record is None:
            self._malformed += 1
            return
        self._first, self._last = min(self._first, record.at), max(self._last, record.at)
        if record.nick is None:
            self._events += 1
            return
        self._count(record, record.nick)

    def _count(self, record: Record, nick: bytes) -> None:
        self._lines[nick] = self._lines.get(nick, 0) + 1
        characters = len(record.text.decode("utf-8", "replace"))
        self._characters[nick] = self._characters.get(nick, 0) + characters
        minute = record.at[:16]
        self._minutes[minute] = self._minutes.get(minute, 0) + 1

    def end(self) -> None:
        """Write the tables."""
        total = sum(self._lines.values())
        rows = [f"{total} lines said, {self._events} events, {self._malformed} malformed lines"]
        if self._last:
            rows.append(f"from {self._first.decode()} to {self._last.decode()}")
        if total:
            rows += ["", *self._who(total), "", *self._when()]
        self._write("".join(f"{row}\n" for row in rows).encode("utf-8", "backslashreplace"))

    def _who(self, total: int) -> list[str]:
        names = {nick: visible(nick.decode("utf-8", "replace")) for nick in self._lines}
        width = max(4, *map(len, names.values()))
        rows = [f"{'who':{width}} {'lines':>9} {'share':>6} {'characters':>11}"]
        for nick, lines in sorted(self._lines.items(), key=lambda item: (-item[1], item[0])):
            share = f"{100 * lines / total:.0f} %"
            rows.append(f"{names[nick]:{width}} {lines:9} {share:>6} {self._characters[nick]:11}")
        return rows

    def _when(self) -> list[str]:
        hours = [0] * 24
        for minute, lines in self._minutes.items():
            hours[_local_hour(minute)] += lines
        block = "█" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"
        most = max(hours)
        width = min(_BAR, max(10, _columns() - 20))
        return [
            f"{hour:02} {lines:9} {block * round(lines * width / most)}".rstrip()
            for hour, lines in enumerate(hours)
        ]


def _as_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _local_time(minute: bytes) -> time.struct_time | None:
    """`2026-11-23T23:34` in UTC, as it was here; None for digits that are no date.

    Parsed by hand: the fields are fixed, and strptime would cost a hundred times as much.
    """
    year, month, day, hour, at = (
        int(minute[start : start + length])
        for start, length in ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2))
    )
    try:
        return time.localtime(calendar.timegm((year, month, day, hour, at, 0)))
    except (ValueError, OverflowError):
        return None


def _local_minute(minute: bytes) -> bytes:
    """`2026-11-23 23:34` here; digits that are no date stay what they are."""
    local = _local_time(minute)
    return time.strftime("%Y-%m-%d %H:%M", local).encode() if local else minute


def _local_hour(minute: bytes) -> int:
    local = _local_time(minute)
    return local.tm_hour if local else int(minute[11:13]) % 24


def _columns() -> int:
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 80
