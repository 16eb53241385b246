"""What the benchmarks of talks have as commands: their options, and one measure after another.

It knows neither what is measured nor between whom.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterable

from programs import Bench, NotMeasured
from table import Row, print_table


def options(what: str, measures: Iterable[str]) -> argparse.Namespace:
    """--megabytes, --runs and --only, checked."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--megabytes", type=int, default=100, help="of the file (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="rounds (%(default)s)")
    parser.add_argument(
        "--only", nargs="+", choices=[*measures], default=[*measures], help="measure only these"
    )
    given = parser.parse_args()
    if given.megabytes < 1 or given.runs < 1:
        parser.error("--megabytes and --runs take numbers from 1")
    return given


def print_machine() -> None:
    print(f"python {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} cores")


def measure(bench: Bench, measures: dict[str, Callable[[], list[Row]]]) -> int:
    """Print the table of all of them; the exit status. One that fails costs the others nothing."""
    rows: list[Row] = []
    failed = False
    for name, figures in measures.items():
        try:
            rows += figures()
        except (NotMeasured, OSError) as error:
            bench.end_all()
            failed = True
            rows.append(Row(name, "not measured", met=False))
            print(f"{name} could not be measured: {error}", file=sys.stderr)
    print_table(rows)
    return 1 if failed else 0
