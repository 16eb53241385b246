"""The command line: finds the subcommand, prints errors, chooses the exit status.

Start-up time counts, so a subcommand's file is imported only when it is the one asked for. This
file knows the subcommands' names, and nothing of what they do.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys

from duplex import __version__
from duplex.system.errors import (
    EXIT_OK,
    EXIT_SIGNAL,
    DuplexError,
    UsageError,
    in_form,
    say_status,
    speak_for,
)
from duplex.system.stdio import print_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import NoReturn

COMMANDS = {
    "listen": ("duplex.cli.listen", "wait for the other side, and talk"),
    "connect": ("duplex.cli.connect", "connect to a listener or a room, and talk"),
    "room": ("duplex.cli.room", "keep a room; people join it with connect, nc or telnet"),
    "who": ("duplex.cli.who", "list who is in a room on this machine"),
    "log": ("duplex.cli.log", "show transcripts"),
}
HELP = """\
usage: duplex COMMAND [options]

Two people, or a room full of them, talk over one TCP port. The other side needs nothing but nc.

{commands}

duplex help COMMAND shows the options of a command; duplex --version shows the version.

example:
  duplex listen 8000               in one terminal
  duplex connect 127.0.0.1 8000    in another
  duplex room 5000                 or for many: connect, nc and telnet join it
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: this process's); the exit status."""
    _fill_standard_descriptors()
    try:
        return _run(sys.argv[1:] if argv is None else list(argv))
    except DuplexError as error:
        if str(error):
            say_status(in_form(error))
        return error.exit_status
    except KeyboardInterrupt:  # before a command has taken the signals over
        return EXIT_SIGNAL + signal.SIGINT


def _run(argv: list[str]) -> int:
    name = argv[0] if argv else ""
    if name in ("--version", "-V"):
        print_all(f"duplex {__version__}\n")
        return EXIT_OK
    if name == "help" and len(argv) > 1:
        name, argv = argv[1], [argv[1], "--help"]
    elif name in ("--help", "-h", "help"):
        width = max(map(len, COMMANDS))
        lines = (f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items())
        print_all(HELP.format(commands="\n".join(lines)))
        return EXIT_OK
    if name not in COMMANDS:
        what = f"cannot run {name!r}" if name else "cannot run without a command"
        raise UsageError(f"{what}: it can be {', '.join(COMMANDS)} (duplex --help tells more)")
    speak_for(name)
    command = importlib.import_module(COMMANDS[name][0])
    parser = _parser(name)
    command.add_arguments(parser)
    return int(command.run(parser.parse_args(argv[1:])))


def _parser(name: str) -> argparse.ArgumentParser:
    import argparse

    class Parser(argparse.ArgumentParser):
        """Says what is wrong in one line, like every other error here."""

        def error(self, message: str) -> NoReturn:
            what = "cannot read the command line"
            raise UsageError(f"{what}: {message} ({self.prog} --help tells more)")

        def print_help(self, _file: object = None) -> None:
            print_all(self.format_help())

    module, text = COMMANDS[name]
    return Parser(
        prog=f"duplex {name}",
        description=text,
        epilog=sys.modules[module].EXAMPLE,
        # with a width, because to find one out costs as much again as all of argparse
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=80),
        allow_abbrev=False,
    )


def _fill_standard_descriptors() -> None:
    """Make sure 0, 1 and 2 are open, or a socket could become somebody's standard output."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        if fd == 1:
            sys.stdout = open(fd, "w", closefd=False)  # noqa: SIM115 - lives as long as we do
    os.close(fd)
