"""`duplex who`: who is in a room that runs on this machine, as its page has it.

The room's host hands the page out (room/sign.py), and this only reads it. For the user whose room
it is, and root.
"""

from __future__ import annotations

import argparse
import time
from datetime import datetime

from duplex.room.sign import rooms
from duplex.system import tcp
from duplex.system.errors import EXIT_FAILURE, EXIT_OK, DuplexError, say_status
from duplex.system.stdio import print_all
from duplex.transcript.sanitize import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.room.page import Page, Seat

EXAMPLE = """\
example:
  duplex who 5000            who, for how long, from where, and how far behind
  duplex who 5000 --json     one object a line
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("port", metavar="PORT", type=int, help="the port of a room on this machine")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def run(options: argparse.Namespace) -> int:
    """Print who is there; the exit status."""
    tcp.check_port(options.port)
    found, silent = rooms(options.port)
    if silent:
        say_status(
            f"duplex who: cannot ask a room at port {options.port}: "
            "its host is busy, or was stopped"
        )
    if not found:
        if silent:
            return EXIT_FAILURE
        raise DuplexError(
            f"cannot find the room {options.port}: none of yours runs at that port here"
        )
    people = [(page, seat) for page in found for seat in page.taken()]
    people.sort(key=lambda person: person[1].joined)
    print_all(_as_json(people) if options.json else _as_table(people))
    return EXIT_OK


def _lag(page: Page, seat: Seat) -> int:
    """Bytes of the transcript that were not given to the client's socket yet."""
    return max(0, page.watermark - int(seat.offset))


def _as_json(people: list[tuple[Page, Seat]]) -> str:
    import json

    lines = []
    for page, seat in people:
        joined = datetime.fromtimestamp(seat.joined).astimezone()
        person = {
            "nick": visible(seat.nick),
            "pid": seat.pid,
            "address": visible(seat.address),
            "joined": joined.isoformat(timespec="milliseconds"),
            "lag": _lag(page, seat),
        }
        lines.append(json.dumps(person, ensure_ascii=False) + "\n")
    return "".join(lines)


def _as_table(people: list[tuple[Page, Seat]]) -> str:
    rows = [("NICK", "PID", "ADDRESS", "SINCE", "LAG")]
    for page, seat in people:
        lag = _lag(page, seat)
        nick, address = visible(seat.nick), visible(seat.address)  # root sees everybody's rooms
        rows.append((nick, str(seat.pid), address, _since(seat.joined), f"{lag:,} B"))
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(
            text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True)
        ).rstrip()
        + "\n"
        for row in rows
    )


def _since(joined: float) -> str:
    moment = datetime.fromtimestamp(joined)
    today = time.time() - joined < 12 * 3600
    return moment.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")


def _width(text: str) -> int:
    """Columns on a terminal."""
    from unicodedata import combining, east_asian_width

    return sum(1 + (east_asian_width(c) in "WF") for c in text if not combining(c))
