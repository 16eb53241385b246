"""The boundary: whatever comes in, however it is split, safe text comes out."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest
from hypothesis import given, settings, strategies as st

from duplex.transcript import telnet, unseen
from duplex.transcript.sanitize import LINE_LIMIT, Text, safe, visible

FLAG = "\U0001f3f4"


def tags(letters: str) -> str:
    return "".join(chr(0xE0000 + ord(letter)) for letter in letters)


CASES = [
    (b"", b""),
    (b"plain\n", b"plain\n"),
    (b"no newline", b"no newline\n"),
    (b"\n\n", b"\n\n"),
    (b"a\tb\n", b"a\tb\n"),
    (b"lf\ncrlf\r\ncr\rtelnet cr\r\0end\n", b"lf\ncrlf\ncr\ntelnet cr\nend\n"),
    (b"\r\r\n\n", b"\n\n\n"),
    ("größer 日本語 привет 😀 👨‍👩‍👧 🇩🇪 “—…”\n".encode(), None),
    (b"\x1b[31mred\x1b[0m \x07\x00\x7f\n", rb"\x1b[31mred\x1b[0m \x07\x00\x7f" + b"\n"),
    (b"\x1b]0;title\x07\n", rb"\x1b]0;title\x07" + b"\n"),
    (b"\x80\xfe\xc3(\xed\xa0\x80\xff\n", rb"\x80\xfe\xc3(\xed\xa0\x80\xff" + b"\n"),
    (b"\xc0\xaf overlong \xf4\x90\x80\x80\n", rb"\xc0\xaf overlong \xf4\x90\x80\x80" + b"\n"),
    ("\x85\x9b\u2028\u2029\n".encode(), rb"\u0085\u009b\u2028\u2029" + b"\n"),
    ("\u202eevil\u202c \u2066x\u2069\n".encode(), rb"\u202eevil\u202c \u2066x\u2069" + b"\n"),
    (
        "no\u00adthing \u200bis\u2060 here\ufeff\n",
        rb"no\u00adthing \u200bis\u2060 here\ufeff" + b"\n",
    ),
    (
        "\u061c\u200e\u200f \u206a\u206b\u206c\u206d\u206e\u206f\n",
        rb"\u061c\u200e\u200f \u206a\u206b\u206c\u206d\u206e\u206f" + b"\n",
    ),
    ("a\U000e0041\U000e007fb\U000e0001\n", rb"a\U000e0041\U000e007fb\U000e0001" + b"\n"),
    ("fillers \u3164\uffa0\u115f\u1160\n", rb"fillers \u3164\uffa0\u115f\u1160" + b"\n"),
    ("an\u200dn \u200can\u200dn\u200c\n", rb"an\u200dn \u200can\u200dn\u200c" + b"\n"),
    ("и\u200dван é\u200cé\n", r"и\u200dван é\u200cé" + "\n"),
    ("می\u200cخواهم क्\u200dष 👩\u200d❤\ufe0f\u200d👨 🏳️\u200d🌈 🧑🏽\u200d🚀\n", None),
    ("👩\u200d\u200d👨\n", r"👩\u200d\u200d👨" + "\n"),
    (f"{FLAG}{tags('gbsct')}\U000e007f {FLAG}\n", None),
    (f"{FLAG}{tags('hi')}\U000e007f\n", FLAG + r"\U000e0068\U000e0069\U000e007f" + "\n"),
    ("a" + "\u0301\u200d" * 12 + "\n", "a" + "\u0301\\u200d" * 8 + "\\u200d" * 4 + "\n"),
    (
        "क" + "\u0941\u200d" * 12 + "क\n",
        "क" + "\u0941\u200d" * 7 + "\u0941" + "\\u200d" * 5 + "क\n",
    ),
    ("a" + "\u0301" * 8 + "\u200b" + "\u0301" * 8 + "b\n", "a" + "\u0301" * 8 + "\\u200bb\n"),
    ("a" + "\u0301" * 8 + "b\n", None),
    ("a" + "\u0301" * 30 + "b\n", "a" + "\u0301" * 8 + "b\n"),
    ("\u0e01\u0e34\u0e48 नमस्ते שָׁלוֹם\n", None),
    (b"IAC IAC \xff\xff\n", rb"IAC IAC \xff\xff" + b"\n"),
    (b"\xff\xfd\x03IAC IAC \xff\xff\n", rb"IAC IAC \xff" + b"\n"),
    (
        "я\nмоя\nя\n".encode("cp1251"),
        rb"\xff" + b"\n" + rb"\xec\xee\xff" + b"\n" + rb"\xff" + b"\n",
    ),
    ("ясно\r\nя\r\n".encode("cp1251"), rb"\xff\xf1\xed\xee" + b"\n" + rb"\xff" + b"\n"),
    ("ямы, яр, яъ, яы\n".encode("cp1251"), rb"\xff\xec\xfb, \xff\xf0, \xff\xfa, \xff\xfb" + b"\n"),
    ("я сияю!\n".encode("cp1251"), rb"\xff \xf1\xe8\xff\xfe!" + b"\n"),
    ("ОБЪЯСНЮ\n".encode("koi8-r"), rb"\xef\xe2\xff\xf1\xf3\xee\xe0" + b"\n"),
    ("L'Haÿ\ny ÿ\n".encode("latin-1"), rb"L'Ha\xff" + b"\n" + rb"y \xff" + b"\n"),
    (b"\xff\xfatext\nand more\n", rb"\xff\xfatext" + b"\nand more\n"),
    (b"\xff\xfb\xff\xfb\n", rb"\xff\xfb\xff\xfb" + b"\n"),
    (b"interrupt\n\xff\xf4\xff\xfd\x06after\xff\xf1\n", b"interrupt\nafter\n"),
    (b"\xff\xf1" * 40 + b"\xff\xfd\x06x\n", rb"\xff\xf1" * 24 + b"x\n"),
    ("яцяс größe\r\n".encode("cp1251", "replace"), rb"\xff\xf6\xff\xf1 gr??e" + b"\n"),
    (b"\xff\xf6\xff\xf1" + "größe".encode() + b"\r\n\xff\xf6x\r\n", "größe\nx\n"),
    (b"\xff\xf6ascii\r\n", rb"\xff\xf6ascii" + b"\n"),
    (b"\xff\xf6" + "größe\n".encode(), rb"\xff\xf6" + "größe\n".encode()),
    (b"do \xff\xfd\x01x\xff\xfb\x0ay\xff\xf6z\n", b"do xyz\n"),
    (b"sb \xff\xfa\x1f\x00\x50\x00\x0a\xff\xff\xff\xf0.\n", b"sb .\n"),
    (b"lone \xffa\xff\n", rb"lone \xffa\xff" + b"\n"),
    (b"half a command \xff\xfd", rb"half a command \xff\xfd" + b"\n"),
    (b"\r\xff\xf1\nx\n", b"\n" + rb"\xff\xf1" + b"\nx\n"),
    (b"\xff\xfb\x1f\r\xff\xf1\nx\n", b"\nx\n"),
    (b"endless sb \xff\xfa" + b"x" * 2000 + b"\n", rb"endless sb \xff\xfa" + b"x" * 2000 + b"\n"),
    (b"x" * LINE_LIMIT + b"\n", None),
]


@pytest.mark.parametrize(("raw", "expected"), CASES)
def test_every_case_whole_split_everywhere_and_byte_by_byte(
    raw: bytes | str, expected: bytes | str | None
) -> None:
    data = raw.encode() if isinstance(raw, str) else raw
    wanted = data if expected is None else expected
    wanted = wanted.encode() if isinstance(wanted, str) else wanted
    assert safe(data) == wanted
    assert in_pieces(data, [1] * len(data)) == wanted
    for at in range(1, min(len(data), 200)):
        assert in_pieces(data, [at, len(data)]) == wanted
    assert safe(wanted) == wanted


@pytest.mark.parametrize("raw", [raw for raw, _ in CASES if isinstance(raw, str)])
def test_visible_shows_a_line_as_the_other_side_will_see_it(raw: str) -> None:
    assert visible(raw) == safe(raw.encode()).decode()
    assert visible("a\x1b]0;t\x07\rb\tc") == "a\\x1b]0;t\\x07\\x0db\tc"


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_value_at_every_position(byte: int) -> None:
    for around in (b"ab\n", "é😀\n".encode()):
        for at in range(len(around) + 1):
            data = around[:at] + bytes([byte]) + around[at:]
            assert_safe(safe(data))
            assert in_pieces(data, [1] * len(data)) == safe(data)


def test_no_character_that_could_lie_or_harm_passes() -> None:
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    for start in range(0, len(everything), 4096):
        part = everything[start : start + 4096]
        assert_safe(safe((" ".join(part) + "\n").encode()))


def test_every_combining_mark_python_knows_is_counted() -> None:
    marks = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)).startswith("M")]
    assert len(marks) > 2000
    for mark in marks:
        assert safe(f"a{mark * 9}\n".encode()).decode() == f"a{mark * 8}\n", ascii(mark)


def test_ten_megabytes_without_a_newline_become_pieces() -> None:
    raw = "日本語é".encode() * (10_000_000 // 11)
    lines = in_pieces(raw, [65536] * 200).split(b"\n")[:-1]
    assert len(lines) > 100
    assert all(len(line) <= LINE_LIMIT for line in lines)
    assert all(line.startswith("…".encode()) for line in lines[1:])
    assert all(line.endswith("…".encode()) for line in lines[:-1])
    assert b"".join(lines).replace("…".encode(), b"") == raw, "nothing is lost"


def test_a_line_that_grows_by_being_made_visible_is_cut_too() -> None:
    lines = safe(b"\x00" * LINE_LIMIT + b"\nnext\n").split(b"\n")[:-1]
    assert all(len(line) <= LINE_LIMIT for line in lines)
    assert lines[-1] == b"next"
    assert b"".join(lines[:-1]).replace("…".encode(), b"") == rb"\x00" * LINE_LIMIT


def test_what_is_kept_between_two_reads_is_bounded() -> None:
    reader = Text()
    for chunk in (b"x" * 50_000, b"\xff\xfa" + b"y" * 50_000, b"\x80" * 50_000):
        for _ in range(20):
            reader.feed(chunk)
            assert len(reader._tail) + len(reader._held) <= LINE_LIMIT + telnet.LIMIT


pieces = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.text(max_size=8).map(str.encode),
        st.sampled_from(
            [
                *(b"\r", b"\n", b"\r\n", b"\0", b"\xff", b"\xff\xfa", b"\xff\xf0", b"\xff\xfd"),
                *(b"\xff\xf1", b"\xff\xfd\x06", b"\x1f", "é\r".encode(), b"\xff\xf4\xff\xf6"),
                *(b"\xe2\x80", "\u202e".encode(), "\u0301".encode() * 5, b"x" * 40_000),
            ]
        ),
    ),
    max_size=12,
).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(pieces, st.randoms(use_true_random=False))
def test_any_bytes_split_anyhow_give_the_same_safe_text(data: bytes, rng: random.Random) -> None:
    whole = safe(data)
    assert_safe(whole)
    assert safe(whole) == whole
    sizes = [rng.choice((1, 2, 3, 7, 1000, 65536)) for _ in range(len(data))]
    assert in_pieces(data, sizes) == whole


LETTERS = {  # the last of each is 0xFF, and stands there often
    "cp1251": "абвгдежзийклмнопрстуфхцчшщъыьэюя" + "я" * 9,
    "koi8-r": "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЫЬЭЮЯъ" + "Ъ" * 9,
    "latin-1": "àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþ" + "ÿ" * 9,
}


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(sorted(LETTERS)), st.sampled_from(["\n", "\r\n"]))
def test_nothing_said_in_another_encoding_is_taken_for_a_command(
    data: st.DataObject, encoding: str, newline: str
) -> None:
    words = st.text(
        alphabet=LETTERS[encoding] + "яÿЪ"[["cp1251", "latin-1", "koi8-r"].index(encoding)]
    )
    lines = data.draw(st.lists(st.lists(words.filter(bool) | st.sampled_from("a !,"), min_size=1)))
    raw = "".join("".join(parts) + newline for parts in lines).encode(encoding)
    expected = raw.replace(b"\r\n", b"\n").decode("utf-8", "backslashreplace")
    assert safe(raw).decode() == visible_lines(expected)
    assert in_pieces(raw, [1] * len(raw)) == safe(raw)


def visible_lines(text: str) -> str:
    return "".join(visible(line) + "\n" for line in text.split("\n")[:-1])


def test_urgent_data_shows_a_telnet() -> None:
    reader = Text()
    assert reader.feed(b"before\xff") == b""
    reader.telnet = True
    assert reader.feed(b"\xf2after\n") == b"beforeafter\n"


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "M"))))
def test_harmless_text_passes_as_it_is(line: str) -> None:
    clean = re.sub(f"[\u2028\u2029{unseen.CLASS}]", "", line)
    assert safe(f"{clean}\n".encode()) == f"{clean}\n".encode()


def in_pieces(data: bytes, sizes: list[int]) -> bytes:
    """`data` fed in pieces of these sizes."""
    reader, lines, start = Text(), b"", 0
    for size in sizes:
        if start >= len(data):
            break
        lines += reader.feed(data[start : start + size])
        start += size
    return lines + reader.feed(data[start:]) + reader.end()


JOINERS = "\u200c\u200d"
FILLERS = "\u115f\u1160\u3164\uffa0"
# Cf, but seen: signs of numbers and verses, and what joins hieroglyphs into groups.
VISIBLE = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
VISIBLE += "".join(map(chr, range(0x13430, 0x13440))) + JOINERS


def assert_safe(data: bytes) -> None:
    """What DESIGN promises of a transcript's text, said again by other means than sanitize.py's."""
    assert data == b"" or data.endswith(b"\n")
    for line in data.decode().split("\n")[:-1]:
        assert len(line.encode()) <= LINE_LIMIT
        run = 0
        for character in line:
            category = unicodedata.category(character)
            assert category not in ("Cc", "Zl", "Zp", "Cs") or character == "\t", ascii(character)
            assert unicodedata.bidirectional(character) not in (
                "LRE",
                "RLE",
                "LRO",
                "RLO",
                "PDF",
                "LRI",
                "RLI",
                "FSI",
                "PDI",
            ), ascii(character)
            assert category != "Cf" or character in VISIBLE or character in JOINERS, ascii(
                character
            )
            assert character not in FILLERS
            if character not in JOINERS:
                run = run + 1 if category.startswith("M") else 0
            assert run <= 8
