"""The options that `listen` and `connect` share. Knows their names, and nothing of what they do."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser, log: str, peer: str) -> None:
    """Add them; `log` says where the transcript is without --log, `peer` is a default."""
    parser.add_argument("--log", metavar="FILE", help=f"keep the transcript in FILE ({log})")
    parser.add_argument("--no-log", action="store_true", help="keep no transcript")
    parser.add_argument("--both", action="store_true", help="also record what this side says")
    parser.add_argument(
        "--peer", metavar="NAME", default=peer, help="call the other side NAME (%(default)s)"
    )
    parser.add_argument(
        "--verbatim",
        action="store_true",
        help="send standard input as it is: quit, bye and commands are text",
    )
    parser.add_argument("--plain", action="store_true", help="show no interactive screen")
