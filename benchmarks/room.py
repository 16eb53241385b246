"""The benchmark of a room: one command, one table, beside ncat, ngircd and two baselines.

    python benchmarks/room.py [--runs 5] [--members 10 100 900 1000] [--only duplex ...] [--quick]

It owns what is compared with what, what is wanted, and the table. In each round every contender
has its turn, with all members in one other process that drains every socket; the figures are
medians. Deliveries are lines times those who got them, from the first one said to the last one
delivered. Exit status 1 only if something could not be measured; a program that is missing is left
out.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from statistics import mean, median
from typing import NamedTuple

from programs import Bench, NotMeasured, missing
from room_contenders import CONTENDERS, Memory, room as open_room
from room_load import Load, NoCompiler, Talk, build
from table import Row, Wanted, measured, print_table

MEMBERS = (10, 100, 900, 1000)
LAST_ONLY = 900  # where only the last member is looked at: ncat's largest room, near enough
SPEAKERS = (1, 10)
STOPPED_MEMBERS = 100
WARM_UP = 0.3  # s
MB = 1_000_000
DUPLEX = "duplex"
LAST = "last member"


class Effort(NamedTuple):
    """How long each figure is looked at."""

    talk: float  # s
    lines: int  # one by one
    gap: float  # s of silence before each


THOROUGH = Effort(1.5, 30, 0.05)
QUICK = Effort(0.5, 10, 0.05)


WANTED = {
    (100, LAST, "ngircd"): Wanted("at most 1.0 x", 1.0),
    (900, LAST, "ngircd"): Wanted("at most 1.5 x", 1.5),
    (100, 1, "ncat --chat"): Wanted("at least 1.3 x", 1.3, at_least=True),
    (100, 10, "ncat --chat"): Wanted("at least 1.3 x", 1.3, at_least=True),
    (100, 1, "ngircd"): Wanted("at least 8 x", 8, at_least=True),
    (100, 10, "ngircd"): Wanted("at least 8 x", 8, at_least=True),
}
AS_FAST = Wanted("at least 0.95 x", 0.95, at_least=True)
NO_MEMORY = Wanted("at most 1 MB", 1)

Key = tuple[int, str | int, str]  # members; LAST or how many speakers; contender


class Stopped(NamedTuple):
    """A room with one member more, who never reads, and the same room before and after him."""

    without: float  # deliveries a second
    beside: float
    load: float
    before: Memory
    after: Memory
    unread: int  # bytes of the transcript


class Figures:
    """What was found, of all rounds."""

    def __init__(self) -> None:
        self.values: dict[Key, list[float]] = defaultdict(list)  # ms, or million deliveries/s
        self.load: dict[Key, list[float]] = defaultdict(list)  # the generator's share of a core
        self.faults: dict[Key, list[str]] = defaultdict(list)
        self.width: dict[str, float] = {}  # by contender: bytes of a line when it is delivered
        self.stopped: list[Stopped] = []
        self.failed: list[str] = []

    def add_talk(self, key: Key, talk: Talk) -> None:
        self.values[key].append(talk.rate / 1e6)
        self.load[key].append(talk.cpu)
        self.width[key[2]] = talk.bytes / max(1, talk.deliveries)
        self.add_faults(key, talk.faults)

    def add_faults(self, key: Key, faults: list[str]) -> None:
        if faults:
            self.faults[key].append(", ".join(faults))


def main() -> int:
    options = _options()
    print(f"python {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} cores")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    figures = Figures()
    with Bench() as bench:
        try:
            load = build(bench)
        except NoCompiler as error:
            print(error, file=sys.stderr)
            return 1
        names = [name for name in CONTENDERS if name in options.only and _is_there(name)]
        effort = QUICK if options.quick else THOROUGH
        started = time.monotonic()
        for done in range(options.runs):
            for turn in _turns(bench, load, names, options.members, effort, done, figures):
                past = time.monotonic() - started
                print(f"  {past:4.0f} s: round {done + 1}, {turn}", file=sys.stderr)
    print_table(list(_rows(figures, names, options.members)), "generator")
    _print_notes(figures, names)
    return 1 if figures.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure a room, side by side with its peers.")
    parser.add_argument("--runs", type=int, help="rounds (5)")
    parser.add_argument("--members", type=int, nargs="+", help="in the room (10 100 900 1000)")
    parser.add_argument(
        "--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), help="only these"
    )
    parser.add_argument("--quick", action="store_true", help="one short round with 10 and 100")
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick else 5)
    options.members = options.members or (MEMBERS[:2] if options.quick else MEMBERS)
    if options.runs < 1 or min(options.members) < max(SPEAKERS) or max(options.members) > 5990:
        parser.error("--runs takes numbers from 1, --members from 10 to 5990")
    return options


def _is_there(name: str) -> bool:
    lacks = missing(*CONTENDERS[name].needs)
    if lacks:
        print(f"{' and '.join(lacks)} missing: {name} is left out")
    return not lacks


def _turns(
    bench: Bench,
    load: str,
    names: list[str],
    sizes: list[int],
    effort: Effort,
    done: int,
    figures: Figures,
) -> Iterator[str]:
    """One round. Who begins changes from round to round; says what was done."""
    first = done % len(names) if names else 0
    order = names[first:] + names[:first]
    for members in sizes:
        for name in order:
            if members > CONTENDERS[name].most:
                continue
            try:
                _measure(bench, load, name, members, effort, figures)
            except (NotMeasured, OSError) as error:
                bench.end_all()
                figures.failed.append(f"{members:,} members: {name} could not be measured: {error}")
            yield f"{members:,} members: {name}"
    if DUPLEX in names and STOPPED_MEMBERS in sizes:
        try:
            figures.stopped.append(_measure_stopped(bench, load, effort))
        except (NotMeasured, OSError) as error:
            bench.end_all()
            figures.failed.append(f"a reader who has stopped could not be measured: {error}")
        yield "one who never reads"


def _measure(
    bench: Bench, load: str, name: str, members: int, effort: Effort, figures: Figures
) -> None:
    contender = CONTENDERS[name]
    with open_room(bench, load, name) as room:
        crowd = Load(bench, load, room.port, contender.protocol)
        crowd.join(members)
        one = crowd.single(effort.lines, effort.gap)
        key = (members, LAST, name)
        figures.values[key].append(median(one.times) * 1e3)
        figures.add_faults(key, one.faults)
        if members == LAST_ONLY:
            return
        for speakers in SPEAKERS:
            crowd.talk(speakers, WARM_UP, contender.window)
            talk = crowd.talk(speakers, effort.talk, contender.window)
            figures.add_talk((members, speakers, name), talk)


def _measure_stopped(bench: Bench, load: str, effort: Effort) -> Stopped:
    contender = CONTENDERS[DUPLEX]
    speakers = max(SPEAKERS)
    with open_room(bench, load, DUPLEX) as room:
        crowd = Load(bench, load, room.port, contender.protocol)
        crowd.join(STOPPED_MEMBERS)
        crowd.talk(speakers, WARM_UP, contender.window)
        without = [crowd.talk(speakers, effort.talk, contender.window)]
        crowd.stop_reading()
        before, unread = room.memory(), -room.kept()
        beside = crowd.talk(speakers, effort.talk, contender.window)
        after, unread = room.memory(), unread + room.kept()
        if after.processes != before.processes:
            raise NotMeasured(f"of {before.processes} processes {after.processes} are left")
        crowd.go_away()
        without.append(crowd.talk(speakers, effort.talk, contender.window))
        if faults := [fault for talk in (*without, beside) for fault in talk.faults]:
            raise NotMeasured(", ".join(faults))
        both = mean(talk.rate for talk in without) / 1e6
        return Stopped(both, beside.rate / 1e6, beside.cpu, before, after, unread)


def _rows(figures: Figures, names: list[str], sizes: list[int]) -> Iterator[Row]:
    for members in sizes:
        for what in (LAST, *SPEAKERS):
            if members == LAST_ONLY and what != LAST:
                continue
            for name in names:
                if members <= CONTENDERS[name].most:
                    yield _row(figures, (members, what, name))
    if figures.stopped:
        yield from _stopped_rows(figures.stopped)


def _row(figures: Figures, key: Key) -> Row:
    members, what, name = key
    values, load = figures.values[key], figures.load[key]
    if not values:
        return Row(_title(key), "not measured", met=False)
    row = measured(_title(key), "ms" if what == LAST else "M/s", values)
    if load:
        row = row._replace(note=f"{median(load):.0%}")
    ours = figures.values[members, what, DUPLEX]
    if name == DUPLEX or not ours:
        return row
    return row.compared("duplex is {:.2f} x", median(ours) / median(values), WANTED.get(key))


def _title(key: Key) -> str:
    members, what, name = key
    if what != LAST:
        what = f"{what} speaker{'s' if what != 1 else ''}"
    return f"{members:,} members, {what}: {name}"


def _stopped_rows(stopped: list[Stopped]) -> Iterator[Row]:
    about = f"{STOPPED_MEMBERS} members, {max(SPEAKERS)} speakers, duplex:"
    yield measured(f"{about} all read", "M/s", [one.without for one in stopped])
    ratio = median(one.beside / one.without for one in stopped)
    row = measured(f"{about} one more never reads", "M/s", [one.beside for one in stopped])
    row = row.compared("{:.2f} x", ratio, AS_FAST)
    yield row._replace(note=f"{median(one.load for one in stopped):.0%}")
    processes = stopped[0].before.processes
    before = [one.before.private / MB for one in stopped]
    shared = median(one.before.pss for one in stopped) / MB
    row = measured(f"  private memory of {processes} processes before", "MB", before)
    yield row._replace(ratio=f"PSS {shared:.1f} MB")
    grown = [(one.after.private - one.before.private) / MB for one in stopped]
    more = median(one.after.pss - one.before.pss for one in stopped) / MB
    row = measured("  and more while he does not read", "MB", grown)
    yield row._replace(
        ratio=f"PSS {more:+.1f} MB", wanted=NO_MEMORY.text, met=NO_MEMORY.met(median(grown))
    )
    yield measured("  of the transcript, unread", "MB", [one.unread / MB for one in stopped])


def _print_notes(figures: Figures, names: list[str]) -> None:
    print("\nms: until the last member has a line said in a quiet room; M/s: million deliveries")
    print("generator: its processor time, of one core, while it measured")
    print("a line has 60 bytes when it is said; when it is delivered:")
    for name in names:
        bytes_ = f"{figures.width[name]:.0f} bytes" if name in figures.width else "not measured"
        contender = CONTENDERS[name]
        print(f"  {name}: {bytes_}; {contender.note}; {contender.window:,} lines under way")
    for key, faults in figures.faults.items():
        if faults:
            print(f"{_title(key)}: in {len(faults)} of {len(figures.values[key])}: {faults[0]}")
    for failure in figures.failed:
        print(failure, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
