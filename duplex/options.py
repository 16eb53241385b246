"""The options that `listen` and `connect` share. Knows their names, and nothing of what they do."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser, log: str, peer: str) -> None:
    """Add them; `log` says where the transcript is without --log, `peer` is a default."""
    parser.add_argument("--log", metavar="FILE", help=f"the transcript ({log})")
    parser.add_argument("--no-log", action="store_true", help="keep no transcript")
    parser.add_argument("--both", action="store_true", help="record what this side says, too")
    parser.add_argument(
        "--peer", metavar="NAME", default=peer, help="what to call the other side (%(default)s)"
    )
    parser.add_argument(
        "--verbatim",
        action="store_true",
        help="send stdin as it is: quit and bye are only words, and in a room nothing is a command",
    )
    parser.add_argument("--plain", action="store_true", help="no interactive screen")
