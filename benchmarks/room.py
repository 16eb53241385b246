"""The benchmark of a room: one command, one table, beside ncat, ngircd and two baselines.

    python benchmarks/room.py [--runs 5] [--members 2 10 100 900 1000] [--only duplex ...] [--quick]
                              [--earlier COMMAND] [--joins 4000]
    python benchmarks/room.py --crowd 10000 [--runs 1]     one very large room, and nothing else

It owns which turns there are, and in which order. In each round every contender has its turn, with
all members in one other process that drains every socket; the figures are medians. Deliveries are
lines times those who got them, from the first one said to the last one delivered. Exit status 1
only if something could not be measured; a program that is missing is left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from programs import Bench, missing
from room_contenders import CONTENDERS, earlier
from room_figures import (
    DUPLEX,
    EARLIER,
    MEMBERS,
    TO_JOIN,
    Figures,
    crowd_rows,
    print_notes,
    rows,
)
from room_load import NoCompiler, build
from room_turns import CROWD_LINES, CROWDED, QUICK, THOROUGH, Turns
from table import print_table

MOST = 19_990  # members, as room_load.c has room for
Turn = tuple[str, Callable[[], None]]


def main() -> int:
    options = _options()
    if options.earlier:
        CONTENDERS[EARLIER] = earlier(options.earlier)
        options.only.append(EARLIER)
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
        turns = Turns(bench, load, QUICK if options.quick else THOROUGH, figures)
        started = time.monotonic()
        for done in range(options.runs):
            for what, measure in _turns(turns, names, options, done):
                turns.attempt(what, measure)
                past = time.monotonic() - started
                print(f"  {past:4.0f} s: round {done + 1}, {what}", file=sys.stderr)
    if figures.crowds:
        print_table(list(crowd_rows(figures.crowds, options.crowd, CROWD_LINES)))
    elif not options.crowd:
        print_table(list(rows(figures, names, options.members)), "of all")
        print_notes(figures, names)
    for failure in figures.failed:
        print(failure, file=sys.stderr)
    return 1 if figures.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure a room, side by side with its peers.")
    add = parser.add_argument
    add("--runs", type=int, help="rounds (5; of a crowd 1)")
    add("--members", type=int, nargs="+", help="in the room (2 10 100 900 1000)")
    add("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), help="only these")
    add("--earlier", metavar="COMMAND", help="an earlier duplex, to be beside it")
    add("--joins", type=int, help=f"how many join at once ({TO_JOIN}; 0: that is left out)")
    add("--crowd", type=int, help=f"members of one room, who get {CROWD_LINES} lines each")
    add("--quick", action="store_true", help="one short round with 2, 10 and 100, no joins")
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick or options.crowd else 5)
    options.members = options.members or (MEMBERS[:3] if options.quick else MEMBERS)
    if options.joins is None:
        options.joins = 0 if options.quick else TO_JOIN
    sizes = [*options.members, *filter(None, (options.joins, options.crowd))]
    if options.runs < 1 or min(sizes) < 2 or max(sizes) > MOST:
        parser.error(f"--runs takes numbers from 1, and a room has from 2 to {MOST} members")
    return options


def _is_there(name: str) -> bool:
    lacks = missing(*CONTENDERS[name].needs)
    if lacks:
        print(f"{' and '.join(lacks)} missing: {name} is left out")
    return not lacks


def _turns(
    turns: Turns, names: list[str], options: argparse.Namespace, done: int
) -> Iterator[Turn]:
    """One round. Who begins changes from round to round."""
    if options.crowd:
        yield f"{options.crowd:,} members", partial(turns.crowd, options.crowd)
        return
    first = done % len(names) if names else 0
    order = names[first:] + names[:first]
    for members in options.members:
        for name in order:
            if members <= CONTENDERS[name].most:
                yield f"{members:,} members: {name}", partial(turns.talk, name, members)
    if DUPLEX in names and CROWDED in options.members:
        yield "one who never reads", turns.stopped
        yield "memory with --code", turns.code_memory
    for name in order:
        if options.joins and name in (DUPLEX, EARLIER):
            yield f"{options.joins:,} join: {name}", partial(turns.joins, name, options.joins)


if __name__ == "__main__":
    sys.exit(main())
