"""Targets: the plain channel, whose bytes may be anything, and texts that people give."""

from __future__ import annotations

import re
from pathlib import Path

from duplex.channel import passphrase, plain
from duplex.channel.certificate import parse_pin
from duplex.system.errors import UsageError
from duplex.transcript.record import LINE_LIMIT
from duplex.transcript.sanitize import safe, visible
from duplex.transcript.telnet import LIMIT as TELNET_LIMIT
from duplex.transcript.timestamp import parse_moment

from .promise import STAMP, Check, Target, are_safe_lines, is_safe_line, numbers, pieces

SHORT = 64  # bytes of a line, so that most inputs are cut
CONTROLS = [b"\r", b"\n", b"\0", b"\t", b"\x1b[31m", b"\x1b]0;t\x07", b"\x7f", b"\xc2\x9b"]
TELNET = [b"\xff", b"\xff\xff", b"\xff\xfa", b"\xff\xf0", b"\xff\xfd\x06", b"\xff\xf1", b"\xff\xfb"]
LETTERS = ["é", "日本", "😀", "\u202e", "\u2066", "\u2028", "\u0301", "\u0301" * 9, "…", "\u00a0"]
TOKENS = [
    *(*CONTROLS, *TELNET, *(letter.encode() for letter in LETTERS)),
    *(b"\xe2\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"x" * 62, b"\x00" * 20),
]
_SEEDS = [
    [b"\0\0", b"hello\n", b"two\r\n", b"three\r", b"four\r\0", b"no newline"],
    [b"\1\3\1", "größer 日本語 привет\n".encode(), "👨‍👩‍👧 🇩🇪 “—…”\n".encode()],
    [b"\1\1", b"\x1b[31mred\x1b[0m\n", b"\x80\xfe\xc3(\n", "\u202eevil\u202c\n".encode()],
    [
        b"\0\2",
        b"do \xff\xfd\x01x\xff\xfb\x0ay\xff\xf6z",
        b"\xff\xfd\x06",
        b"sb \xff\xfa\x1f\0P\xff",
    ],
    [b"\1\7", b"x" * 70, b"y" * 60, b"\n", b"\xff\xfa" + b"z" * 1100],
    [b"\1\5", "a\u0301\u0302".encode() * 6, b"\n"],
]


def _plain(_directory: Path) -> Check:
    def check(data: bytes) -> None:
        (how, size), said = numbers(data, 2)
        limit = SHORT if how & 1 else LINE_LIMIT
        cut_off = bool(how & 2)
        whole = plain.Receiver(limit)
        lines = whole.receive(said)
        answer = whole.take_answer()
        lines += whole.end(cut_off)
        are_safe_lines(lines, limit)
        parted = plain.Receiver(limit)
        gathered, answers = b"", set()
        for piece in pieces(said, bytes([size, how])):
            gathered += parted.receive(piece)
            answers.add(parted.take_answer())
            assert _kept(parted) <= limit + TELNET_LIMIT, "too much is kept"
        assert gathered + parted.end(cut_off) == lines, "it matters how the bytes were split"
        assert (b"" if answers <= {b""} else b"\xff\xfc\x06") == answer
        again = plain.Receiver(limit)
        assert again.receive(lines) + again.end(cut_off) == lines, "safe text is not left alone"

    return check


def _kept(receiver: plain.Receiver) -> int:
    """Bytes between two calls, whatever they are called."""
    return sum(len(kept) for kept in vars(receiver._text).values() if isinstance(kept, bytes))


def _texts(_directory: Path) -> Check:
    def check(data: bytes) -> None:
        (how,), rest = numbers(data, 1)
        text = rest.decode("utf-8", "surrogateescape")
        try:
            _READERS[how % len(_READERS)](text)
        except UsageError as error:
            is_safe_line(str(error))

    return check


def _read_code(text: str) -> None:
    normal = passphrase.normal(text)
    again = normal.decode("utf-8", "surrogatepass")
    assert passphrase.normal(again) == normal, "a normal code is not left alone"
    assert passphrase.check(text) == text
    assert normal, "an empty code passed for one that is long enough"


def _read_pin(text: str) -> None:
    assert len(parse_pin(text)) == 32


def _read_moment(text: str) -> None:
    assert re.fullmatch(STAMP.encode(), parse_moment(text)), f"{text!r} made no stamp"


def _see(text: str) -> None:
    shown = visible(text).replace("\n", "\\x0a")
    is_safe_line(shown)
    sent = text.encode("utf-8", "surrogateescape")
    if text.isprintable() and len(sent) < SHORT:
        assert safe(sent) in (b"", shown.encode() + b"\n"), "what is shown is not what is sent"


_READERS = (_read_code, _read_pin, _read_moment, _see)
_PIN = b"sha256:" + b"0123456789abcdef" * 4
_GIVEN = [
    *([b"\0", b"walrus", b"-", b"dexterity", b" ", b"zookeeper", b"_kangaroo"], [b"\0yo-yo"]),
    *([b"\0", "Straße\u2013ǅ\u0345¨ΐ".encode(), b"\xed\xa0\x80"], [b"\0abd-abl-abo"]),
    *([b"\1", _PIN], [b"\1sha256:", b":".join([b"0f"] * 32)]),
    *([b"\2", b"2026-11-23", b"T", b"18:30", b":00.5", b"+02:00"], [b"\2", b"90", b"s"]),
    *([b"\2today"], [b"\2yesterday"], [b"\x029999-12-31"], [b"\x020001-01-01T00:00"]),
    [b"\3", "visible \u202e\x1b\x85".encode()],
]
_WORDS = [
    *(
        b"now",
        b"today",
        b"1w",
        b"9" * 5000,
        b"999999999d",
        b"Z",
        b"-24:00",
        b"W01",
        b"\xef\xbc\x91",
    ),
    *"ſ ı İ ẞ K ¨ \u0345 \u2212 ½ ﬃ ² \u0663".encode().split(),
    *(b"sha256:", b":", b"-", b"yo-yo"),
]

TARGETS = [
    Target("plain", _plain, _SEEDS, TOKENS, 150_000),
    Target("texts", _texts, _GIVEN, [*_WORDS, *TOKENS], 170_000),
]
