"""A record: one line of a transcript. What it looks like stands here and nowhere else.

    2026-11-23T23:34:31.123Z <ann> hello
    2026-11-23T23:34:31.123Z * connected from 127.0.0.1:53124

UTC, milliseconds, a newline at the end. A nick can hold no `<`, `>`, space or control character,
so neither form can be forged by what somebody says. Pure functions, used by every process; this
file opens nothing and knows neither files nor sockets.
"""

from __future__ import annotations

import functools
import re
import time

from duplex.system.errors import UsageError

STAMP_LENGTH = 24  # bytes of "2026-11-23T23:34:31.123Z"
_TEMPLATE = b"0000-00-00T00:00:00.000Z"
NICK_LIMIT = 32  # characters
LINE_LIMIT = 64 * 1024  # bytes of text in a line, so that no line can fill the memory
_STAMP = re.compile(rb"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d\.\d{3}Z")
# A record's text can be as long as a line; before it stand the stamp, a nick and some brackets.
RECORD_LIMIT = LINE_LIMIT + STAMP_LENGTH + 4 * NICK_LIMIT + 8
# What stands before the text: the stamp, and the nick unless it is an event.
HEAD = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?:<([^<> \n]+)> |\* )")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


def stamp(nanoseconds: int | None = None) -> bytes:
    """The timestamp of a record, 24 bytes: `nanoseconds` since the epoch, by default now."""
    if nanoseconds is None:
        nanoseconds = time.time_ns()
    days, rest = divmod(nanoseconds // 1_000_000, 86_400_000)
    seconds, milliseconds = divmod(rest, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return b"%sT%02d:%02d:%02d.%03dZ" % (_date(days), hours, minutes, seconds, milliseconds)


@functools.lru_cache(1)
def _date(days: int) -> bytes:
    """That many days after the epoch. strftime(3) is the dearest part of a line in a quiet room."""
    return time.strftime("%Y-%m-%d", time.gmtime(days * 86_400)).encode()


def said(nick: str, lines: bytes, at: bytes | None = None) -> bytes:
    """The records for `lines`, one or many, each newline-ended, said by `nick` at the stamp `at`.

    Nothing is done per line in Python: this is the common path of the whole program.
    """
    prefix = b"%s <%s> " % (at or stamp(), nick.encode())
    return prefix + lines[:-1].replace(b"\n", b"\n" + prefix) + b"\n"


def restamped(records: bytes, at: bytes) -> bytes:
    """The same records at the stamp `at`."""
    return b"".join(at + line[STAMP_LENGTH:] for line in records.splitlines(keepends=True))


def event(text: str, at: bytes | None = None) -> bytes:
    """The record of something that happened: `text` is one line of safe text."""
    return b"%s * %s\n" % (at or stamp(), text.encode())


class Record:
    """One line of a transcript, taken apart; all parts are the file's bytes.

    `nick` is None for an event. `at` is the stamp, `text` what follows the nick or the star.
    """

    __slots__ = ("at", "nick", "text")

    def __init__(self, at: bytes, nick: bytes | None, text: bytes) -> None:
        self.at: Final = at
        self.nick: Final = nick
        self.text: Final = text


def parse(line: bytes) -> Record | None:
    """Take `line` (with or without its newline) apart; None if it is no record."""
    head = HEAD.match(line)
    return head and Record(head[1], head[2], line[head.end() :].removesuffix(b"\n"))


def is_stamp(text: bytes) -> bool:
    """Whether it is one, of a time that can be."""
    return _STAMP.fullmatch(text) is not None


def could_be_torn(tail: bytes) -> bool:
    """Whether `tail` can be the beginning of a record: what its writer's death leaves behind."""
    head = tail[:STAMP_LENGTH]
    return head.translate(bytes.maketrans(b"123456789", b"000000000")) == _TEMPLATE[: len(head)]


def check_nick(name: str) -> str:
    """`name`, if it can stand between `<` and `>` in a record; else a UsageError."""
    if not 1 <= len(name) <= NICK_LIMIT:
        raise UsageError(f"cannot use {name!r} as a name: it needs 1 to {NICK_LIMIT} characters")
    if not name.isprintable() or any(c.isspace() or c in "<>" for c in name):
        raise UsageError(
            f"cannot use {name!r} as a name: it can hold no <, >, space or control character"
        )
    return name
