"""The benchmark of a talk: one command, one table, side by side with ncat, socat and ts.

    python benchmarks/talk.py [--megabytes 100] [--runs 5] [--only throughput ...]

It owns what is compared with what, what is wanted, and the table. In each round every contender
has its turn, so that whatever else the machine does is shared fairly; the figures are medians.
Exit status 1 only if something could not be measured; a program that is missing is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from statistics import median

import command
import quick
import sample
import speed
from pairs import DUPLEX, NCAT
from programs import Bench, missing
from table import Row, Wanted, measured

TS_PART = 10  # ts is given a tenth of the file: it is that slow
START_ROUNDS = 21
PACES = 0.05, 0.005  # s between two lines: faster than anybody types, and ten times as fast
MEMORY_MEGABYTES = 20
MB = 1_000_000
LATENCY = Wanted("at most 2 x", 2)


def main() -> int:
    options = command.options("Measure a talk, side by side with its peers.", MEASURES)
    command.print_machine()
    with Bench() as bench:

        def figures(name: str) -> list[Row]:
            quick.first_line_seconds(bench, DUPLEX)  # so that all bytecode is there
            return MEASURES[name](bench, options)

        return command.measure(bench, {name: partial(figures, name) for name in options.only})


def throughput(bench: Bench, options: argparse.Namespace) -> list[Row]:
    whole = sample.write(bench.path("sample"), options.megabytes * MB)
    part = sample.write(bench.path("part"), options.megabytes * MB // TS_PART)
    print(f"file: {_size(whole)}; for ts {_size(part)}; {sample.DESCRIPTION}")
    contenders: dict[str, tuple[Callable[[Bench, sample.Sample], float], sample.Sample]] = {
        "duplex": (partial(speed.pair_seconds, pair=DUPLEX), whole),
        "ncat -o": (partial(speed.pair_seconds, pair=NCAT), whole),
        "socat -r": (speed.socat_seconds, whole),
        "ncat | ts": (speed.ts_seconds, part),
    }
    for name in list(contenders):
        if lacks := _lacks(name):
            print(f"{' and '.join(lacks)} missing: {name} is left out")
            del contenders[name]
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.runs):
        for name, (measure, file) in contenders.items():
            speeds[name].append(file.size / MB / measure(bench, file))
    wanted = {
        "ncat -o": Wanted("at least 0.6 x", 0.6, at_least=True),
        "ncat | ts": Wanted("at least 20 x", 20, at_least=True),
    }
    rows = [measured("throughput: duplex", "MB/s", speeds["duplex"])]
    for name in list(speeds)[1:]:
        against = median(speeds["duplex"]) / median(speeds[name])
        row = measured(f"throughput: {name}", "MB/s", speeds[name])
        rows.append(row.compared("duplex is {:.2f} x", against, wanted.get(name)))
    return rows


def latency(bench: Bench, options: argparse.Namespace) -> list[Row]:
    pairs = {"duplex": DUPLEX, "ncat": NCAT}
    if lacks := _lacks("ncat"):
        print(f"{lacks[0]} missing: left out")
        del pairs["ncat"]
    rows = []
    for pace in PACES:
        times: dict[str, list[float]] = {}
        for _ in range(options.runs):
            for name, value in quick.latencies(bench, pace, pairs).items():
                times.setdefault(name, []).append(value * 1e6)
        what = f"latency, a line every {pace * 1000:g} ms"
        rows += [measured(f"{what}: {name}", "us", values) for name, values in times.items()]
        if not lacks:
            against = median(times["duplex"]) / median(times["ncat"])
            rows[-1] = rows[-1].compared("duplex is {:.2f} x", against, LATENCY)
    return rows


def start(bench: Bench, _options: argparse.Namespace) -> list[Row]:
    contenders: dict[str, tuple[Callable[[Bench], float], Wanted | None]] = {
        "python -c pass": (quick.python_seconds, None),
        "duplex --version": (quick.version_seconds, Wanted("at most 2.5 x", 2.5)),
        "echo hi | duplex connect": (_first_line, Wanted("at most 6 x", 6)),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(START_ROUNDS):
        for name, (measure, _) in contenders.items():
            times[name].append(measure(bench) * 1e3)
    python = median(times["python -c pass"])
    return [
        measured(f"start: {name}", "ms", times[name]).compared(
            "{:.2f} x", median(times[name]) / python, want
        )
        for name, (_, want) in contenders.items()
    ]


def memory(bench: Bench, options: argparse.Namespace) -> list[Row]:
    file = sample.write(bench.path("memory"), min(options.megabytes, MEMORY_MEGABYTES) * MB)
    rows = []
    for name, found in zip(("connect", "listen"), speed.memories(bench, file, DUPLEX), strict=True):
        peak, share = found.peak / MB, found.share / MB
        wanted = Wanted("below 30 MB", 30)
        text = f"{peak:.1f} MB"
        rows.append(
            Row(f"memory: {name}, peaks of both", text, "", "", wanted.text, wanted.met(peak))
        )
        rows.append(Row("  of which shared pages once (PSS)", f"{share:.1f} MB"))
    return rows


def _first_line(bench: Bench) -> float:
    return quick.first_line_seconds(bench, DUPLEX)


MEASURES: dict[str, Callable[[Bench, argparse.Namespace], list[Row]]] = {
    "throughput": throughput,
    "latency": latency,
    "start": start,
    "memory": memory,
}


def _lacks(contender: str) -> list[str]:
    """The programs that are missing for it."""
    return missing(*(word for word in contender.split() if word in ("ncat", "socat", "ts")))


def _size(file: sample.Sample) -> str:
    return f"{file.size / MB:.0f} MB in {file.lines:,} lines"


if __name__ == "__main__":
    sys.exit(main())
