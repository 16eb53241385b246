"""What `listen` and `connect` share: options, and a screen for who sits at a terminal."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from duplex.talk import ui


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
    # What others have of this: `listen` keeps on, and who keeps a room stays when no more is typed.
    parser.set_defaults(keep=False, stays=False)


def open_screen(talk: ui.Talk) -> ui.Screen:
    from duplex.terminal.screen import Screen  # heavy: only for a terminal, after the fork

    return Screen(talk)
