"""The table in which a benchmark's figures are printed: medians, spreads, ratios, what is wanted.

It knows nothing of what is measured.
"""

from __future__ import annotations

from statistics import median
from typing import NamedTuple


class Row(NamedTuple):
    """A line of the table."""

    what: str
    figure: str
    spread: str = ""
    ratio: str = ""
    wanted: str = ""
    met: bool | None = None
    note: str = ""

    def compared(self, text: str, ratio: float, wanted: Wanted | None = None) -> Row:
        """The same with a ratio, as `text` has it, and whether it is what is wanted."""
        row = self._replace(ratio=text.format(ratio))
        return row._replace(wanted=wanted.text, met=wanted.met(ratio)) if wanted else row

    def limited(self, value: float, wanted: Wanted | None) -> Row:
        """The same with whether the figure itself is what is wanted, if anything is."""
        return self._replace(wanted=wanted.text, met=wanted.met(value)) if wanted else self


class Wanted(NamedTuple):
    """The limit of a ratio or a figure."""

    text: str
    limit: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


def measured(what: str, unit: str, values: list[float]) -> Row:
    """The median of what was found, its least and its most."""
    digits = 0 if min(values) >= 100 else 2 if max(map(abs, values)) < 10 else 1
    spread = f"{min(values):.{digits}f} to {max(values):.{digits}f}"
    return Row(what, f"{median(values):.{digits}f} {unit}", spread)


def print_table(rows: list[Row], note: str = "") -> None:
    """`note` is the head of the last column. What is empty in all rows is left out."""
    head = ("", "median", "spread", "ratio", "wanted", "met", note)
    verdict = {None: "", True: "yes", False: "NO"}
    cells = [(*row[:5], verdict[row.met], row.note) for row in rows]
    columns = [[name, *column] for name, *column in zip(head, *cells, strict=True) if any(column)]
    widths = [max(map(len, column)) for column in columns]
    print()
    for line in zip(*columns, strict=True):
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())
