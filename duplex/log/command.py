"""`duplex log`: reads transcripts, selects, merges by time, and shows, through a pager if need be.

One process, besides the pager. Owns the options and the way from files to output.
"""

from __future__ import annotations

import argparse
import heapq
import os
import time

from duplex.environment import for_others
from duplex.errors import EXIT_OK, EXIT_SIGNAL, DuplexError, UsageError
from duplex.log.match import Matcher
from duplex.log.moment import parse_moment
from duplex.log.show import Json, Plain, Stats
from duplex.log.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from typing import IO

    Shower = Plain | Json | Stats

DEFAULTS = ("logs/client_input.log", "logs/server_input.log")
EXAMPLE = """\
example:
  duplex log                            what was said here, merged by time
  duplex log --since 2h --from client
  duplex log --grep 'coffee|tea' --json logs/client_input.log
  duplex log --follow
"""
_BUFFER = 64 * 1024  # bytes of output gathered, whatever PYTHONUNBUFFERED says
LOOK_EVERY = 0.2  # s between two looks at followed files: soon enough for a person who reads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="*", help=f"transcripts ({' and '.join(DEFAULTS)})"
    )
    parser.add_argument("--follow", action="store_true", help="go on as they grow")
    parser.add_argument("--since", metavar="TIME", help="an ISO time, or 2h, today, yesterday")
    parser.add_argument("--until", metavar="TIME", help="the same; what is before it")
    parser.add_argument("--from", metavar="NICK", dest="nick", help="what NICK said")
    parser.add_argument("--grep", metavar="REGEX", help="what matches")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="one object a line")
    shown.add_argument("--stats", action="store_true", help="who said how much, and when")


def run(options: argparse.Namespace) -> int:
    """Show what is wanted; the exit status."""
    if options.stats and options.follow:
        raise UsageError("--stats counts what is there: it cannot --follow")
    since = parse_moment(options.since) if options.since else b""
    until = parse_moment(options.until) if options.until else b""
    wanted = (since, until, options.nick, options.grep)
    Matcher(*wanted)  # a bad pattern is told before a file is looked for
    log = Log([(Source(path, options.follow), Matcher(*wanted)) for path in _paths(options)])
    output = Output(pager=os.isatty(1) and not options.follow)
    shower = _shower(options, output)
    try:
        log.show_all(shower)
        while options.follow:
            output.flush()
            time.sleep(LOOK_EVERY)
            log.show_all(shower)
        shower.end()
        output.close()
    except BrokenPipeError:
        output.abandon()  # the reader has seen enough
    except KeyboardInterrupt:
        output.abandon()
        return EXIT_SIGNAL + 2
    return EXIT_OK


def _paths(options: argparse.Namespace) -> list[str]:
    if options.files or options.follow:
        return list(dict.fromkeys(options.files or DEFAULTS))
    paths = [path for path in DEFAULTS if os.path.exists(path)]
    if not paths:
        raise DuplexError(
            f"no transcripts here: neither {' nor '.join(DEFAULTS)}; duplex listen and "
            "duplex connect make them, or name a FILE"
        )
    return paths


def _shower(options: argparse.Namespace, output: Output) -> Shower:
    if options.json:
        return Json(output.write)
    return Stats(output.write) if options.stats else Plain(output.write, os.isatty(1))


class Log:
    """Several transcripts, each with what is wanted of it, as one."""

    def __init__(self, files: list[tuple[Source, Matcher]]) -> None:
        self._files = files

    def show_all(self, shower: Shower) -> None:
        """Show what is wanted, from where the last call has stopped to the present end."""
        if len(self._files) > 1:
            merged = heapq.merge(*(self._lines(*file) for file in self._files), key=lambda x: x[0])
            for _at, path, offset, line in merged:
                shower.show(path, offset, line)
            return
        ((source, matcher),) = self._files
        if matcher.wants_all and isinstance(shower, Plain):
            for offset, block in source.blocks():
                shower.show(source.path, offset, block)
            return
        for _at, path, offset, line in self._lines(source, matcher):
            shower.show(path, offset, line)

    def _lines(self, source: Source, matcher: Matcher) -> Iterator[tuple[bytes, str, int, bytes]]:
        for offset, block in source.blocks():
            for position, at, line in matcher.select(block):
                if not line.endswith(b"\n"):  # the last of a file: others may come after it
                    line += b"\n"
                yield at, source.path, offset + position, line


class Output:
    """Standard output, or a pager before it. Raises BrokenPipeError when its reader has gone."""

    def __init__(self, pager: bool) -> None:
        self._pager: subprocess.Popen[bytes] | None = None
        self._file: IO[bytes] = open(1, "wb", buffering=_BUFFER, closefd=False)  # noqa: SIM115
        command = os.environ.get("PAGER", "less")
        if pager and command not in ("", "cat"):
            import subprocess

            environment = {"LESS": "FRX", **for_others()}
            self._pager = subprocess.Popen(
                command, shell=True, stdin=subprocess.PIPE, env=environment
            )
            assert self._pager.stdin
            self._file = self._pager.stdin
        self.write = self._file.write

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.flush()
        if self._pager:
            self._file.close()
            self._pager.wait()

    def abandon(self) -> None:
        """Let a pager end in peace, and leave nothing for the interpreter to flush at its exit."""
        if self._pager is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return
        _in_peace(self._file.close)
        while self._pager.poll() is None:
            _in_peace(self._pager.wait)


def _in_peace(action: Callable[[], object]) -> None:
    """Call it; that the pager reads no more, or that a Ctrl-C was meant for it, is no error."""
    try:
        action()
    except (BrokenPipeError, KeyboardInterrupt):
        return
