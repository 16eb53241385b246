"""`duplex log`: reads transcripts, selects, merges by time, and shows, through a pager if need be.

One process, besides the pager. Owns the options and the way from files to output.
"""

from __future__ import annotations

import argparse
import os
import time

from duplex.cli.pager import Output
from duplex.protocol.nick import compared
from duplex.system.errors import EXIT_OK, EXIT_SIGNAL, DuplexError, UsageError, say_status
from duplex.transcript import talks
from duplex.transcript.merge import Merge
from duplex.transcript.search import Matcher
from duplex.transcript.source import Source
from duplex.transcript.timestamp import parse_moment
from duplex.transcript.view import Json, Plain, Stats

TYPE_CHECKING = False
if TYPE_CHECKING:
    Shower = Plain | Json | Stats

DEFAULTS = ("logs/client_input.log", "logs/server_input.log")
EXAMPLE = """\
example:
  duplex log                            what was said here, talk by talk, room by room
  duplex log --since 2h --from client
  duplex log --grep 'coffee|tea' --json logs/client_input.log
  duplex log --follow
"""
LOOK_EVERY = 0.2  # s between two looks at followed files: soon enough for a person who reads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="transcripts to merge by time (all in logs/, one talk or room after the other)",
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="wait for new lines and show them"
    )
    parser.add_argument(
        "--since", metavar="TIME", help="show lines from TIME on: an ISO time, 2h, today, yesterday"
    )
    parser.add_argument("--until", metavar="TIME", help="show lines before TIME")
    parser.add_argument("--from", metavar="NICK", dest="nick", help="show what NICK said")
    parser.add_argument(
        "--grep", metavar="REGEX", help="show lines that match this regular expression"
    )
    parser.add_argument(
        "--utc", action="store_true", help="show the lines as they are in the file, times in UTC"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON object a line")
    shown.add_argument("--stats", action="store_true", help="show who said how much, and when")


def run(options: argparse.Namespace) -> int:
    """Show what is wanted; the exit status."""
    if options.stats and options.follow:
        raise UsageError("cannot use --follow with --stats: --stats counts what is there now")
    since = b"" if options.since is None else parse_moment(options.since)
    until = b"" if options.until is None else parse_moment(options.until)
    wanted = Matcher(since, until, options.nick, options.grep, compared)
    merges = _merges(options, wanted)
    output = Output(pager=os.isatty(1) and not options.follow)
    shower = _shower(options, output)
    try:
        with wanted.limited():
            for heading, merge in merges:
                show(merge, shower, heading)
            while options.follow:
                output.flush()
                time.sleep(LOOK_EVERY)
                for heading, merge in merges:
                    show(merge, shower, heading)
        shower.end()
        output.close()
    except BrokenPipeError:
        return output.abandon()  # the reader has seen enough
    except KeyboardInterrupt:
        output.abandon()
        return EXIT_SIGNAL + 2
    if wanted.expression and wanted.expression.given_up:
        say_status(
            f"duplex log: cannot search {wanted.expression.given_up} lines: --grep takes too long"
        )
    return EXIT_OK


def _merges(options: argparse.Namespace, wanted: Matcher) -> list[tuple[str, Merge]]:
    """What is read, by its heading: none where there is only one thing to show."""
    if options.files:
        paths = dict.fromkeys(options.files)
        files = [(Source(path, options.follow), wanted.again()) for path in paths]
        return [("", Merge(files))]
    if options.follow:
        return _followed(wanted)
    found = talks.conversations()
    if not found:
        raise DuplexError(
            f"cannot show anything: there is no transcript here, neither "
            f"{' nor '.join(DEFAULTS)} nor a room's; duplex listen, connect and room make them"
        )
    return [
        (
            one.heading if len(found) > 1 else "",
            Merge([(source, wanted.again()) for source in one.sources()]),
        )
        for one in found
    ]


def _followed(wanted: Matcher) -> list[tuple[str, Merge]]:
    """What is kept here now, and the talks' files even where they are not there yet."""
    files = dict(talks.transcripts())
    files.update({path: talks.TALKS for path in DEFAULTS if path not in files})
    groups: dict[str, list[str]] = {}
    for path, directory in files.items():
        groups.setdefault(directory, []).append(path)
    return [
        (
            directory if len(groups) > 1 else "",
            Merge([(Source(path, follow=True), wanted.again()) for path in paths]),
        )
        for directory, paths in groups.items()
    ]


def _shower(options: argparse.Namespace, output: Output) -> Shower:
    if options.json:
        return Json(output.write)
    if options.stats:
        return Stats(output.write)
    return Plain(output.write, os.isatty(1), options.utc)


def show(merge: Merge, shower: Shower, heading: str = "") -> None:
    """Show what is wanted, from where the last call has stopped to the present end."""
    source, matcher = merge.files[0]
    if len(merge.files) == 1 and matcher.wants_all and isinstance(shower, Plain):
        for offset, block in source.blocks():
            if heading:
                shower.head(heading)
            shower.show(source.path, offset, block)
        return
    for _at, path, offset, line in merge.lines():
        if heading:
            shower.head(heading)
        shower.show(path, offset, line)
