"""The command: runs of one kind or all, one after another, until one fails or all are done."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # what the tests share, as in the tests

from . import driver
from .faults import WEIGHTS
from .rooms import KINDS


def main() -> int:
    """The exit status: 0 if no fault was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.linearizability", description=__doc__)
    add = parser.add_argument
    add("kinds", metavar="KIND", nargs="*", help=f"of {', '.join(KINDS)} (all)")
    add("--seed", type=int, help="of the first run (DUPLEX_TEST_SEED, or another each time)")
    add("--rounds", type=int, default=1, help="runs of each kind (%(default)s)")
    add("--seconds", type=float, default=20.0, help="of a run's storm (%(default)g)")
    add("--clients", type=int, default=6)
    add("--rate", type=float, default=12.0, help="lines a second and client (%(default)g)")
    add("--every", type=float, default=0.25, help="s between two faults (%(default)g)")
    add("--longest", type=float, default=4.0, help="s that one lasts (%(default)g)")
    add("--faults", default=",".join(WEIGHTS), help="which (%(default)s)")
    add("--mix", default=",".join(driver.MIX), help="what is said (%(default)s)")
    add("--known", default="", help="kinds of faults that are not told")
    add("--go-on", action="store_true", help="after a fault")
    options = parser.parse_args()
    seed = options.seed
    if seed is None:
        seed = int(os.environ.get("DUPLEX_TEST_SEED") or secrets.randbelow(1 << 31))
    failed = False
    for number in range(options.rounds):
        for kind in options.kinds or KINDS:
            one = driver.Options(
                kind,
                seed + number,
                options.seconds,
                options.clients,
                options.rate,
                options.every,
                options.longest,
                options.faults.split(","),
                options.mix.split(","),
                options.known.split(","),
            )
            begun = time.monotonic()
            faults, text = driver.run(one)
            took = f"{time.monotonic() - begun:.1f} s"
            print(f"{kind} DUPLEX_TEST_SEED={seed + number}: {len(faults)} faults, {took}")
            if faults:
                print(text, flush=True)
                failed = True
                if not options.go_on:
                    return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
