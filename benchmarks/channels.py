"""The benchmark of the channels: one command, one table; plain, --code, --tls, and ncat's --ssl.

    python benchmarks/channels.py [--megabytes 100] [--runs 5] [--only throughput ...]

It owns what is compared with what, and the table. In each round every channel has its turn, so that
whatever else the machine does is shared fairly; the figures are medians. Exit status 1 only if
something could not be measured; a program that is missing is left out.
"""

from __future__ import annotations

import argparse
import ssl
import sys
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import command
import handshakes
import pairs
import quick
import sample
import speed
from programs import Bench, Memory, NotMeasured, missing
from room_contenders import Room, start_duplex
from sealed_load import SealedLoad
from table import Row, measured

if TYPE_CHECKING:
    from collections.abc import Callable

PACES = 0.05, 0.005  # s between two lines: faster than anybody types, and ten times as fast
MEMORY_MEGABYTES = 20
MB = 1_000_000

MEMBERS, SPEAKERS = 100, (1, 10)  # in a room
LINES, GAP = 30, 0.05  # one by one, after so many s of silence
WARM_UP, TALK = 0.3, 1.5  # s
LAST, PRIVATE = "last member", "median private memory of a process"
UNITS = {LAST: "ms", PRIVATE: "MB"}

PLAIN, CODE, TLS, SSL = "plain", "--code", "--tls", "ncat --ssl"
BESIDE = {CODE: PLAIN, TLS: PLAIN, SSL: TLS}  # what a ratio is to


class Setting(NamedTuple):
    """What all of it is measured with."""

    bench: Bench
    options: argparse.Namespace
    pairs: dict[str, pairs.Pair]
    certificate: pairs.Certificate


def main() -> int:
    options = command.options("Measure a talk's channels, side by side.", MEASURES)
    command.print_machine()
    print(ssl.OPENSSL_VERSION)
    with Bench() as bench:
        try:
            setting = _setting(bench, options)
        except NotMeasured as error:
            print(error, file=sys.stderr)
            return 1
        return command.measure(
            bench, {name: partial(MEASURES[name], setting) for name in options.only}
        )


def _setting(bench: Bench, options: argparse.Namespace) -> Setting:
    made = pairs.certificate(bench)
    contenders = {
        PLAIN: pairs.DUPLEX,
        CODE: pairs.with_code(bench),
        TLS: pairs.with_tls(made),
        "ncat": pairs.NCAT,
        SSL: pairs.ncat_ssl(made),
    }
    if missing("ncat"):
        print("ncat missing: left out")
        del contenders["ncat"], contenders[SSL]
    for pair in contenders.values():
        quick.first_line_seconds(bench, pair)  # so that all bytecode is there
    return Setting(bench, options, contenders, made)


def throughput(setting: Setting) -> list[Row]:
    bench, options = setting.bench, setting.options
    file = sample.write(bench.path("sample"), options.megabytes * MB)
    print(f"file: {file.size / MB:.0f} MB in {file.lines:,} lines; {sample.DESCRIPTION}")
    lines = _rounds(setting, lambda pair: file.lines / 1e6 / speed.pair_seconds(bench, file, pair))
    a_line = file.size / file.lines
    return [
        row._replace(what=f"{row.what}, {median(lines[name]) * a_line:.0f} MB/s")
        for name, row in zip(lines, _compared("million lines a second", "M/s", lines), strict=True)
    ]


def latency(setting: Setting) -> list[Row]:
    rows = []
    for pace in PACES:
        times: dict[str, list[float]] = {}
        for _ in range(setting.options.runs):
            for name, value in quick.latencies(setting.bench, pace, setting.pairs).items():
                times.setdefault(name, []).append(value * 1e6)
        rows += _compared(f"latency, a line every {pace * 1000:g} ms", "us", times)
    return rows


def first_line(setting: Setting) -> list[Row]:
    times = _rounds(setting, lambda pair: quick.first_line_seconds(setting.bench, pair) * 1e3)
    return _compared("from the start to the first line", "ms", times)


def handshake(setting: Setting) -> list[Row]:
    makers = {CODE: handshakes.with_code, TLS: handshakes.with_tls(setting.certificate)}
    found: dict[str, dict[str, list[float]]] = {name: {} for name in makers}
    for _ in range(setting.options.runs):
        for name, make in makers.items():
            cost = handshakes.cost(make)
            for what, seconds in (
                ("processor time, who listens", cost.listener),
                ("processor time, who calls", cost.caller),
                ("from connect(2) to the caller's channel", handshakes.wall(make)),
            ):
                found[name].setdefault(what, []).append(seconds * 1e3)
    return [
        measured(f"handshake, {what}: {name}", "ms", values)
        for name in makers
        for what, values in found[name].items()
    ]


def wire(setting: Setting) -> list[Row]:
    """The same in every run, so once."""
    file = sample.write(setting.bench.path("wire"), MB)
    makers = {
        PLAIN: None,
        CODE: handshakes.with_code,
        TLS: handshakes.with_tls(setting.certificate),
    }
    rows = []
    for name, make in makers.items():
        found = handshakes.expansion(make, file)
        single = f"on the wire, a line of {found.text:.0f} bytes: {name}"
        rows.append(Row(single, f"{found.line:.0f} bytes").compared("{:.2f} x", found.single))
        rows.append(Row(f"on the wire, a file: {name}", "").compared("{:.4f} x", found.bulk))
    return rows


def memory(setting: Setting) -> list[Row]:
    megabytes = min(setting.options.megabytes, MEMORY_MEGABYTES)
    file = sample.write(setting.bench.path("memory"), megabytes * MB)
    rows = []
    for name, pair in setting.pairs.items():
        for side, found in zip(
            ("connect", "listen"), speed.memories(setting.bench, file, pair), strict=True
        ):
            rows.append(_memory_row(f"memory, {side}: {name}", found))
    return rows


def room(setting: Setting) -> list[Row]:
    """All with the same load, so that plain may be less than in room.py's."""
    rates: dict[str, dict[str, list[float]]] = {}
    loads: dict[str, list[float]] = {}
    makers = {
        PLAIN: ((), None),
        CODE: (pairs.CODE_ARGUMENTS, handshakes.with_code),
        TLS: (pairs.tls_arguments(setting.certificate), handshakes.with_tls(setting.certificate)),
    }
    for _ in range(setting.options.runs):
        for name, (protection, make) in makers.items():
            start = partial(start_duplex, setting.bench, protection=protection)
            with Room(setting.bench, start) as opened:
                found, cpu = _in_a_room(opened, make)
            for what, value in found.items():
                rates.setdefault(what, {}).setdefault(name, []).append(value)
            loads.setdefault(name, []).append(cpu)
    for name, values in loads.items():
        print(f"room, {name}: the members' process took {median(values):.0%} of a core")
    about = f"{MEMBERS} members"
    return [
        row
        for what, found in rates.items()
        for row in _compared(f"{about}, {what}", UNITS.get(what, "M/s"), found)
    ]


def _in_a_room(opened: Room, make: handshakes.Maker | None) -> tuple[dict[str, float], float]:
    """By what it is; and the share of a core that all members took."""
    with SealedLoad(opened.port, (lambda: make()[1]) if make else None) as load:
        load.join(MEMBERS)
        memory = opened.memory()
        found = {
            PRIVATE: memory.median / MB,
            LAST: median(load.single(LINES, GAP)) * 1e3,
        }
        for speakers in SPEAKERS:
            load.talk(speakers, WARM_UP)
            talk = load.talk(speakers, TALK)
            found[f"{speakers} speaker{'s' if speakers > 1 else ''}"] = talk.rate / 1e6
    return found, talk.cpu


def _memory_row(what: str, found: Memory) -> Row:
    return Row(what, f"{found.peak / MB:.1f} MB", ratio=f"PSS {found.share / MB:.1f} MB")


MEASURES: dict[str, Callable[[Setting], list[Row]]] = {
    "throughput": throughput,
    "latency": latency,
    "first-line": first_line,
    "handshake": handshake,
    "wire": wire,
    "memory": memory,
    "room": room,
}


def _rounds(setting: Setting, measure: Callable[[pairs.Pair], float]) -> dict[str, list[float]]:
    """Who begins changes from round to round."""
    found: dict[str, list[float]] = {name: [] for name in setting.pairs}
    names = list(found)
    for done in range(setting.options.runs):
        first = done % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(measure(setting.pairs[name]))
    return found


def _compared(what: str, unit: str, found: dict[str, list[float]]) -> list[Row]:
    rows = []
    for name, values in found.items():
        row = measured(f"{what}: {name}", unit, values)
        if other := BESIDE.get(name):
            ratio = median(values) / median(found[other])
            row = row.compared(f"{{:.2f}} x {other}", ratio)
        rows.append(row)
    return rows


if __name__ == "__main__":
    sys.exit(main())
