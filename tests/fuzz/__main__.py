"""The command: which targets, how many executions, and what came of them."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # what the tests share, as in the tests

from . import channels, client, engine, hub, log, member, texts

TARGETS = {
    target.name: target
    for module in (texts, channels, member, hub, client, log)
    for target in module.TARGETS
}


def main() -> int:
    """The exit status: 0 if every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    add = parser.add_argument
    add("targets", metavar="TARGET", nargs="*", help=f"of {', '.join(TARGETS)} (all)")
    add("--runs", type=int, default=1_000_000, help="in all, shared out (%(default)s)")
    add("--seconds", type=float, default=3600, help="a target at most (%(default)g)")
    add("--seed", type=int, help="as it was printed (DUPLEX_TEST_SEED, or another each time)")
    add("--input", metavar="FILE", type=Path, help="once, TARGET on what was kept of it")
    add("--keep", metavar="DIRECTORY", type=Path, default=Path(), help="for failing inputs (.)")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    targets = [TARGETS[name] for name in options.targets or TARGETS]
    if options.input:
        if len(options.targets) != 1:
            parser.error("--input takes one TARGET")
        engine.repeat(targets[0], options.input.read_bytes())
        return 0
    seed = options.seed
    if seed is None:
        seed = int(os.environ.get("DUPLEX_TEST_SEED") or secrets.randbelow(1 << 31))
    print(f"seed: DUPLEX_TEST_SEED={seed}")
    print(f"{'target':14} {'executions':>10} {'seconds':>8} {'a second':>9} {'grew by':>9}")
    shares = sum(target.share for target in targets)
    total, failed = 0, False
    for target in targets:
        runs = max(1, options.runs * target.share // shares)
        result = engine.run(target, runs, seed, options.seconds, options.keep)
        total += result.executions
        rate = result.executions / max(result.seconds, 1e-9)
        print(
            f"{target.name:14} {result.executions:10} {result.seconds:8.1f} {rate:9.0f} "
            f"{result.growth / 1024:5.1f} MiB",
            flush=True,
        )
        if result.failure:
            failed = True
            print(f"FAILED: {result.failure}; the input is in {result.kept}; to repeat it:")
            print(f"  python -m tests.fuzz {target.name} --input {result.kept}", flush=True)
    print(f"{'all':14} {total:10}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
