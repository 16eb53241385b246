"""`duplex who`: who is in a room that runs on this machine, as its hub tells (room/control.py).

For the user whose room it is, and root.
"""

from __future__ import annotations

import argparse
import time
from datetime import datetime

from duplex.room import control
from duplex.system import tcp
from duplex.system.errors import EXIT_FAILURE, EXIT_OK, DuplexError, say_status
from duplex.system.stdio import print_all
from duplex.transcript.sanitize import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
    found, silent = control.ask(options.port)
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
    people = [person for room in found for person in room if person.pop("here")]
    people.sort(key=lambda person: person["joined"])
    print_all(_as_json(people) if options.json else _as_table(people))
    return EXIT_OK


def _as_json(people: list[dict[str, Any]]) -> str:
    import json

    lines = []
    for person in people:
        joined = datetime.fromtimestamp(person["joined"]).astimezone()
        shown = {
            **person,
            "nick": visible(person["nick"]),
            "address": visible(person["address"]),
            "joined": joined.isoformat(timespec="milliseconds"),
        }
        lines.append(json.dumps(shown, ensure_ascii=False) + "\n")
    return "".join(lines)


def _as_table(people: list[dict[str, Any]]) -> str:
    rows = [("NICK", "PID", "ADDRESS", "SINCE", "LAG")]
    for one in people:
        nick, address = visible(one["nick"]), visible(one["address"])  # root sees all users' rooms
        rows.append((nick, str(one["pid"]), address, _since(one["joined"]), f"{one['lag']:,} B"))
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
