"""What room.py has found in a room, what is wanted of it, and the rows and notes of its table.

It knows the contenders by their names, and how none of it was measured.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from room_contenders import CONTENDERS, Memory
from room_load import Single, Talk
from table import Row, Wanted, measured

MEMBERS = (2, 10, 100, 900, 1000)
LAST_ONLY = 900  # where only the last member is looked at: ncat's largest room, near enough
SPEAKERS = (1, 10)
MB, MIB = 1_000_000, 1 << 20
DUPLEX = "duplex"
CODE = "duplex --code"  # where that is looked at beside it
EARLIER = "earlier"
LAST = "last member"

NO_MEMORY = Wanted("at most 1 MB", 1)
A_MEMBERS_MEMORY = Wanted("at most 1 MiB", 1)
TO_JOIN = 4000
JOINED_IN = Wanted("at most 10 s", 10)
AS_FAST = Wanted("at least 0.95 x", 0.95, at_least=True)

_SOONER = Wanted("at most 0.8 x", 0.8)
_GOAL = Wanted("goal: at most 1.2 x", 1.2)
WANTED = {
    (2, LAST, "ncat --chat"): Wanted("at most 1.5 x", 1.5),
    **{
        (members, LAST, name): wanted
        for members in (100, 900)
        for name, wanted in (("ngircd", _SOONER), ("ncat --chat", _SOONER), ("C loop", _GOAL))
    },
    **{
        (100, speakers, name): Wanted(f"at least {least:g} x{unit}", least, at_least=True)
        for speakers in SPEAKERS
        for name, least, unit in (
            (EARLIER, 1.0, ""),
            ("ngircd", 8.0, ""),
            ("ncat --chat", 1.3, " in bytes"),
            ("C loop", 0.8, " in bytes"),
        )
    },
    **{
        (1000, speakers, "select room"): Wanted("at least 0.9 x in bytes", 0.9, at_least=True)
        for speakers in SPEAKERS
    },
}

Key = tuple[int, str | int, str]  # members; LAST or how many speakers; contender


class Stopped(NamedTuple):
    """A room with one member more, who never reads, and the same room before and after him."""

    without: float  # million deliveries a second
    beside: float
    load: float
    before: Memory
    after: Memory
    unread: int  # bytes of the transcript


class Crowd(NamedTuple):
    """A very large room: of each member the same lines."""

    joined: float  # s
    lines: float  # s until the last one has them
    memory: Memory


class Figures:
    """What was found, of all rounds."""

    def __init__(self) -> None:
        self.values: dict[Key, list[float]] = defaultdict(list)  # ms, or million deliveries/s
        self.bytes: dict[Key, list[float]] = defaultdict(list)  # GB/s
        self.times: dict[Key, list[float]] = defaultdict(list)  # ms, of all lines of all rounds
        self.load: dict[Key, list[float]] = defaultdict(list)  # the generator's share of a core
        self.faults: dict[Key, list[str]] = defaultdict(list)
        self.width: dict[str, float] = {}  # by contender: bytes of a line when it is delivered
        self.private: dict[str, list[float]] = defaultdict(list)  # by contender: MiB of a member
        self.joins: dict[str, list[float]] = defaultdict(list)  # by contender: s
        self.crowds: list[Crowd] = []
        self.stopped: list[Stopped] = []
        self.failed: list[str] = []

    def add_single(self, key: Key, single: Single) -> None:
        times = [seconds * 1e3 for seconds in single.times]
        self.values[key].append(median(times))
        self.times[key] += times
        self.add_faults(key, single.faults)

    def add_talk(self, key: Key, talk: Talk) -> None:
        self.values[key].append(talk.rate / 1e6)
        self.bytes[key].append(talk.byte_rate / 1e9)
        self.load[key].append(talk.cpu)
        self.width[key[2]] = talk.bytes / max(1, talk.deliveries)
        self.add_faults(key, talk.faults)

    def add_faults(self, key: Key, faults: list[str]) -> None:
        if faults:
            self.faults[key].append(", ".join(faults))


def rows(figures: Figures, names: list[str], sizes: list[int]) -> Iterator[Row]:
    for members in sizes:
        for what in (LAST, *SPEAKERS):
            if what != LAST and (members == LAST_ONLY or int(what) >= members):
                continue
            for name in names:
                if members <= CONTENDERS[name].most:
                    yield _row(figures, (members, what, name))
    for name, private in figures.private.items():
        row = measured(f"private memory of a member (median): {name}", "MiB", private)
        wanted = A_MEMBERS_MEMORY if name == DUPLEX else None
        yield row.limited(median(private), wanted)
    for name, seconds in figures.joins.items():
        row = measured(f"so many more have joined: {name}", "s", seconds)
        yield row.limited(median(seconds), JOINED_IN if name.startswith(f"{DUPLEX}, ") else None)
    if figures.stopped:
        yield from _stopped_rows(figures.stopped)


def crowd_rows(crowds: list[Crowd], members: int, lines: int) -> Iterator[Row]:
    about = f"{members:,} members, duplex:"
    yield measured(f"{about} all have joined", "s", [one.joined for one in crowds])
    yield measured(f"  each has {lines} lines", "s", [one.lines for one in crowds])
    private = [one.memory.private / MB for one in crowds]
    shared = median(one.memory.pss for one in crowds) / MB
    row = measured(f"  private memory of {crowds[0].memory.processes} processes", "MB", private)
    yield row._replace(ratio=f"PSS {shared:,.0f} MB")
    yield measured("  of a member (median)", "MiB", [one.memory.median / MIB for one in crowds])


def _row(figures: Figures, key: Key) -> Row:
    members, what, name = key
    values, load, sizes = figures.values[key], figures.load[key], figures.bytes[key]
    if not values:
        return Row(title(key), "not measured", met=False)
    row = measured(title(key), "ms" if what == LAST else "M/s", values)
    if what == LAST:
        row = row._replace(note=_tail(figures.times[key]))
    else:
        row = row._replace(figure=f"{row.figure}, {median(sizes):.2f} GB/s")
        row = row._replace(note=f"generator {median(load):.0%}")
    own = members, what, DUPLEX
    if name == DUPLEX or not figures.values[own]:
        return row
    ratio = median(figures.values[own]) / median(values)
    if what == LAST:
        return row.compared("duplex is {:.2f} x", ratio, WANTED.get(key))
    in_bytes = median(figures.bytes[own]) / median(sizes)
    wanted = WANTED.get(key)
    judged = in_bytes if wanted and "in bytes" in wanted.text else ratio
    row = row.compared("", judged, wanted)
    return row._replace(ratio=f"duplex is {ratio:.2f} x, in bytes {in_bytes:.2f} x")


def _tail(times: list[float]) -> str:
    """Of all lines of all rounds."""
    found = ", ".join(f"p{at:g} {_percentile(times, at):.2f}" for at in (50, 99, 99.9))
    return f"{found} ms of {len(times):,}"


def _percentile(values: list[float], at: float) -> float:
    """The nearest rank: of fewer than 1,000 lines the last thousandth is the worst one."""
    return sorted(values)[max(0, math.ceil(len(values) * at / 100) - 1)]


def title(key: Key) -> str:
    members, what, name = key
    if what != LAST:
        what = f"{what} speaker{'s' if what != 1 else ''}"
    return f"{members:,} members, {what}: {name}"


def _stopped_rows(stopped: list[Stopped]) -> Iterator[Row]:
    about = f"{max(SPEAKERS)} speakers, duplex:"
    yield measured(f"{about} all read", "M/s", [one.without for one in stopped])
    ratio = median(one.beside / one.without for one in stopped)
    row = measured(f"{about} one more never reads", "M/s", [one.beside for one in stopped])
    row = row.compared("{:.2f} x", ratio, AS_FAST)
    yield row._replace(note=f"generator {median(one.load for one in stopped):.0%}")
    processes = stopped[0].before.processes
    before = [one.before.private / MB for one in stopped]
    shared = median(one.before.pss for one in stopped) / MB
    row = measured(f"  private memory of {processes} processes before", "MB", before)
    yield row._replace(ratio=f"PSS {shared:.1f} MB")
    grown = [(one.after.private - one.before.private) / MB for one in stopped]
    more = median(one.after.pss - one.before.pss for one in stopped) / MB
    row = measured("  and more while he does not read", "MB", grown)
    yield row.limited(median(grown), NO_MEMORY)._replace(ratio=f"PSS {more:+.1f} MB")
    yield measured("  of the transcript, unread", "MB", [one.unread / MB for one in stopped])


def print_notes(figures: Figures, names: list[str]) -> None:
    print("\nms: until the last member has a line said in a quiet room: the median of the rounds'")
    print("medians; at the right percentiles of all lines of all rounds, and how many these are")
    print(
        "M/s: million deliveries, GB/s: bytes that members got. Both are of batches: speakers say"
    )
    print("as much as the room takes, hundreds of lines in one write; nobody types like that")
    print("generator: its processor time, of one core, while it measured")
    print("a line has 60 bytes when it is said; when it is delivered:")
    for name in names:
        bytes_ = f"{figures.width[name]:.0f} bytes" if name in figures.width else "not measured"
        contender = CONTENDERS[name]
        print(f"  {name}: {bytes_}; {contender.note}; {contender.window:,} lines under way")
    for key, faults in figures.faults.items():
        print(f"{title(key)}: in {len(faults)} of {len(figures.values[key])}: {faults[0]}")
