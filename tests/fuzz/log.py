"""Targets: `duplex log` on files that no duplex has written."""

from __future__ import annotations

import json
import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path

from duplex.cli.log import show
from duplex.protocol.nick import NickError, compared, same_nick
from duplex.system.errors import UsageError
from duplex.transcript import source
from duplex.transcript.file import Transcript
from duplex.transcript.mending import is_filling
from duplex.transcript.merge import Merge
from duplex.transcript.record import HEAD, could_be_torn, parse
from duplex.transcript.search import Matcher
from duplex.transcript.source import Source
from duplex.transcript.timestamp import parse_moment
from duplex.transcript.view import Json, Plain, Stats

from .promise import Check, Target, are_safe_lines, numbers
from .texts import TOKENS

BLOCKS = (1 << 20, 1 << 20, 4096, 97)  # bytes a read: of small ones a file has many
ANY_LENGTH = 1 << 30
NICKS = (None, None, "ann", "ANN", "Straße", "a[b", "\udcff")
# Expressions that are simple, that look around, that could match in the next line, and bad ones.
# None of them takes long on any text: that is the user's own affair.
PATTERNS = (
    *(None, None, None, "hello", "(?i)HELLO", "coffee|tea", "^a", "a$", "^$", ".", "x*", "[^a]"),
    *(
        r"\bé",
        r"\W\s",
        "(?i)k",
        "(?i)ſs",
        r"\Aann",
        r"lo\Z",
        "(?=l)l",
        "colou?r",
        "a{2,}",
        "[a-c]+",
    ),
    *(
        "((",
        "*",
        "(?i)",
        "^*",
        "\n",
        "a\nb",
        r"\n",
        "\x00",
        "\udcff",
        r"[\w.]+@",
        "日本|语",
        "a|^b",
    ),
)
_TIMES = (b"", b"", b"2026-11-23T23:34:31.123Z", b"2026-11-23", b"9", b"0000")
_KINDS = (Plain, Json, Stats)
_HOLE = re.compile(rb"\0*\n")  # first lines that `duplex log` passes over (transcript/hole.py)
_LINE = re.compile(rb"[^\n]+\n?")


def _log(directory: Path) -> Check:
    path = directory / "any.log"

    def check(data: bytes) -> None:
        (how, which, when, size), written = numbers(data, 4)
        path.write_bytes(written)
        source.BLOCK = BLOCKS[size % len(BLOCKS)]
        pattern = PATTERNS[which % len(PATTERNS)]
        wanted = (_TIMES[when % 6], _TIMES[when // 6 % 6], NICKS[how // 4 % len(NICKS)], pattern)
        try:
            matcher = Matcher(*wanted, compared)
        except UsageError:
            return
        shown: list[bytes] = []
        whole = matcher.wants_all and how & 3 == 3
        shower: Plain | Json | Stats
        shower = Plain(shown.append, True) if whole else Json(shown.append)
        if how & 3 == 2:
            shower = Stats(shown.append)
        reading = Source(str(path))
        with matcher.limited():
            show(Merge([(reading, matcher)]), shower)
        os.close(reading._fd)  # a process has one, for as long as it lives
        shower.end()
        lines = are_safe_lines(b"".join(shown), ANY_LENGTH)
        if isinstance(shower, Json):
            expected = _expected(written, *wanted) if len(written) < source.BLOCK else None
            if expected:
                expected = [at for at in expected if at >= _behind_holes(written)]
            _are_objects(lines, written, expected, str(path))

    return check


def _behind_holes(written: bytes) -> int:
    """Where the first line is that counts: what stands in place of what is gone does not."""
    start = 0
    while line := _HOLE.match(written, start) or _LINE.match(written, start):
        if line.re is _LINE and not is_filling(line[0].removesuffix(b"\n") + b"\n"):
            break
        start = line.end()
    return start


def _are_objects(lines: list[bytes], written: bytes, expected: list[int] | None, path: str) -> None:
    """Each line is an object that tells where its text is; all that was wanted is among them."""
    offsets = []
    for line in lines:
        shown = json.loads(line)
        assert shown["file"] == path
        offsets.append(shown["offset"])
        at = written[shown["offset"] :].partition(b"\n")[0]
        if len(written) > source.BLOCK:
            continue  # a line longer than a block is shown in parts
        head = HEAD.match(at)
        text = (at[head.end() :] if head else at).removesuffix(b"\r")
        assert shown["text"] == text.decode("utf-8", "replace"), "another text than in the file"
        assert shown["time"] == (head[1].decode() if head else None)
    assert offsets == sorted(set(offsets)), "not in order, or twice"
    assert expected is None or offsets == expected, "not what was wanted"


def _expected(
    data: bytes, since: bytes, until: bytes, nick: str | None, pattern: str | None
) -> list[int]:
    """The offsets of what is wanted, found in the simplest way."""
    found, at = [], b""
    start = len(BOM_UTF8) if data.startswith(BOM_UTF8) else 0
    for offset, line in _lines(data[start:]):
        offset += start
        head = HEAD.match(line)
        at = head[1] if head else at
        who = head[2].decode("utf-8", "surrogateescape") if head and head[2] else None
        text = line[head.end() :] if head else line
        text = text.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        if (
            since <= at
            and (not until or at < until)
            and (nick is None or (who is not None and _same(who) == _same(nick)))
            and (pattern is None or re.search(pattern, text))
        ):
            found.append(offset)
    return found


def _same(nick: str) -> str:
    try:
        return same_nick(nick)
    except NickError:
        return nick


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    for line in data.split(b"\n"):
        if line or offset + 1 <= len(data):
            yield offset, line
        offset += len(line) + 1


def _merged(directory: Path) -> Check:
    """Several files, arguments as they are typed, and a writer that comes upon such a file."""
    paths = [directory / "one.log", directory / "two.log"]

    def check(data: bytes) -> None:
        (how, cut), rest = numbers(data, 2)
        argument, _, written = rest.partition(b"\n")
        try:
            since = parse_moment(argument.decode("utf-8", "surrogateescape"))
        except UsageError:
            since = b""
        source.BLOCK = BLOCKS[how % len(BLOCKS)]
        parts = written[: 7 * cut], written[7 * cut :]
        files = []
        for path, part in zip(paths, parts, strict=True):
            path.write_bytes(part)
            files.append((Source(str(path)), Matcher(since)))
        shown: list[bytes] = []
        shower = _KINDS[how // 4 % 3](shown.append, *([True] if how // 4 % 3 == 0 else []))
        show(Merge(files), shower)
        for reading, _ in files:
            os.close(reading._fd)
        shower.end()
        are_safe_lines(b"".join(shown), ANY_LENGTH)
        if how & 64:
            _is_gone_on_with(paths[0], parts[0])

    return check


def _is_gone_on_with(path: Path, before: bytes) -> None:
    """Appending leaves all that was there, but for the torn tail of a record."""
    transcript = Transcript.open(str(path))
    transcript.append(b"2026-11-23T23:34:31.123Z * more\n")
    transcript.close()
    after = path.read_bytes()
    end = before.rfind(b"\n") + 1
    tail = before[end:]
    kept = before if not tail else before[:end] if could_be_torn(tail) else before + b"\n"
    assert after == kept + b"2026-11-23T23:34:31.123Z * more\n"
    assert parse(after[len(kept) :])
    os.truncate(path, 0)


_AT = b"2026-11-23T23:34:31.123Z "
_FILES = [
    [_AT + b"<ann> hello\n", _AT + b"* ann left\n", b"malformed\n", _AT + b"<bob> a tea\n"],
    [_AT + b"<", "Straße".encode(), b"> coffee\n", b"2026-11-24T00:00:00.000Z <ann> \n", b"torn"],
    [b"9999-99-99T99:99:99.999Z <x> y\n", b"0000-00-00T00:00:00.000Z * z\n", _AT + b"* \n"],
    [_AT + b"<a\x1b[31mb> \x9b\x7f\n", _AT + b"<\xff> \xff\n", b"\xc2\x85\xe2\x80\xae\n", b"\n\n"],
    [_AT + b"<ann> Kk\n", "ſsıİ\n".encode(), b"a\r\nb\n", b"colour color aaa\n", b"ann lo"],
]
_HOWS = [bytes([how, which, 0, which]) for how in range(24) for which in (0, 3, how + 8)]
_LOGS = [[b"".join(how), *lines] for how, lines in zip(zip(_HOWS), _FILES * 15, strict=False)]
_ARGUMENTS = [b"", b"2h", b"today", b"2026-11-23", b"9" * 30 + b"d", b"0001-01-01"]
_MERGES = [
    [bytes([17 * number, 9]), argument, b"\n", *lines]
    for number, (argument, lines) in enumerate(zip(_ARGUMENTS, _FILES * 2, strict=False))
]
_MARKS = [_AT, b"<ann> ", b"* ", b"> ", b"<", b"hello", b"tea", b"2026-", b"Z <", b"\n", b"\n\n"]

TARGETS = [
    Target("log", _log, _LOGS, [*_MARKS, *TOKENS], 45_000),
    Target("log-files", _merged, _MERGES, [*_MARKS, *TOKENS], 20_000),
]
