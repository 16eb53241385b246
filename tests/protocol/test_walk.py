"""The whole protocol, both ways: what each maker makes, the reader beside it gives back.

The modules are walked, so that nothing is said in a room that has no reader and no line here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from duplex.protocol import commands, events, messages, refusals, requests
from duplex.protocol.requests import CLOSED, KICKED, LEFT, LOST, Malformed, Reply, Request
from duplex.transcript import record

MOST = 10**18 - 1  # what a number has at most
LONG = "\U0001f600" * 32  # a nick of as many bytes as one can have
KEY = "f" * 48
NICKS = ("ann", "a", "a-b-", "guest-1", "Zoë", "and", "everybody", LONG)
TEXTS = ("hello", "", " ", "a: b", "(x): y", "- ", "! no", "ж" * 30_000, "x; y, z (w) 1-2")


def line(made: str | bytes) -> bytes:
    """As it goes over the wire: of what stands behind `! `, or of a whole line."""
    return made if isinstance(made, bytes) else f"! {made}\n".encode()


def every(*columns: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Each value of each column once at least."""
    longest = max(map(len, columns))
    return [tuple(column[at % len(column)] for column in columns) for at in range(longest)]


COUNTS = (1, 0, 2, MOST)
MESSAGES: dict[str, list[tuple[Any, ...]]] = {
    "welcome": every(("5000", "a b", "x: you are y, 3 are here", "ж" * 200), NICKS, COUNTS),
    "joined": every(
        ("5000", "a b", "x as y", "x" * 1024), NICKS, (KEY, "k"), COUNTS, COUNTS[::-1], COUNTS
    ),
    "not_resumed": every(TEXTS),
    "so_you_are": every(("somebody else is ann now", "x, so you are y"), NICKS),
    "no_command": every(("numbers", "join", "resume", "")),
    "renamed": every(NICKS, (KEY, "", "k")),
    "not_recorded": every(TEXTS, (1, 2, MOST)),
    "not_done": every(TEXTS),
    "you_told": every(NICKS, TEXTS),
    "numbered_from": every(COUNTS),
    "at": [(0,), (MOST, MOST, 1), (5, 18, 3), (0, 1, 1), (9876, 0, 0)],
    "slowly": every(("10 lines a second", "", "a; b")),
    "lines_wait": [()],
    "lost": every(NICKS, ("bob has a full mailbox; try again later",), TEXTS),
    "not_kicked": every(NICKS, ("nobody here is called bob", "")),
    "kicked": every(("host", "host: why", "host: ")),
    "fallen_behind": every((64.0, 0.5, 1e-05, 1e6, 1e12)),
    "not_said": every(COUNTS, ("the room closed", "this host closes")),
}
DEFAULTS = {"at": (0, 0, 0)}
WHOLE_LINES = {"private": every(NICKS, TEXTS), "operator": every(TEXTS)}
MANY_LINES = {"here", "answer"}
# What no reader gives back: parts of other makers, and what looks at lines.
NO_MAKERS = {"are_here", "is_failure", "answers_nothing", "first", "parts"}


def functions(module: ModuleType) -> set[str]:
    """What the module offers that makes or reads."""
    found = inspect.getmembers(module, inspect.isfunction)
    return {name for name, _ in found if not name.startswith("_")}


def makers(module: ModuleType) -> set[str]:
    return {name for name in functions(module) if name.partition("_")[0] != "read"}


def samples(table: dict[str, list[tuple[Any, ...]]]) -> list[tuple[str, tuple[Any, ...]]]:
    return [(name, values) for name, rows in table.items() for values in rows]


def made_by(module: ModuleType, name: str) -> Callable[..., Any]:
    maker: Callable[..., Any] = getattr(module, name)
    return maker


def test_every_message_is_walked_and_has_its_reader() -> None:
    walked = {*MESSAGES, *WHOLE_LINES, *MANY_LINES}
    assert makers(messages) - NO_MAKERS == walked
    assert functions(messages) >= {f"read_{name}" for name in walked}


@pytest.mark.parametrize(("name", "values"), samples(MESSAGES))
def test_a_message_is_read_as_it_was_made(name: str, values: tuple[Any, ...]) -> None:
    made = line(made_by(messages, name)(*values))
    read = made_by(messages, f"read_{name}")
    expected: Any = (*values, *DEFAULTS.get(name, ())[len(values) :])
    expected = True if not expected else expected[0] if len(expected) == 1 else expected
    assert made.count(b"\n") == 1
    assert read(made) == read(made[:-1]) == expected


@pytest.mark.parametrize(("name", "values"), samples(WHOLE_LINES))
def test_a_whole_line_is_read_as_it_was_made(name: str, values: tuple[str, ...]) -> None:
    made = made_by(messages, name)(*values).encode() + b"\n"
    read = made_by(messages, f"read_{name}")
    assert read(made) == read(made[:-1]) == (values if len(values) > 1 else values[0])


@pytest.mark.parametrize("count", [0, 1, 2, 50, 51, 120])
def test_who_is_here_is_read_from_all_its_lines(count: int) -> None:
    nicks = [f"n{number}," for number in range(count)]
    read = [messages.read_here(line(text)) for text in messages.here(nicks)]
    assert all(read)
    found = [part for part in read if part]
    assert [part[0] for part in found] == [count] + [None] * (len(found) - 1)
    assert [nick for part in found for nick in part[1]] == nicks


@pytest.mark.parametrize("number", [0, 1, 17, MOST])
@pytest.mark.parametrize("texts", [["one"], ["a", "b", ""], ["[3] no", "! x"]])
def test_an_answer_is_read_with_its_number_and_whether_more_comes(
    number: int, texts: list[str]
) -> None:
    read = [messages.read_answer(f"{one}\n".encode()) for one in messages.answer(texts, number)]
    is_last = [at == len(texts) - 1 for at in range(len(texts))]
    if number:
        assert read == [
            (number, not last, line(text)) for text, last in zip(texts, is_last, strict=True)
        ]
    elif not texts[0].startswith("["):
        assert read == [(0, False, line(text)) for text in texts]


def test_no_message_is_read_as_another() -> None:
    for name, values in samples(MESSAGES):
        if any(isinstance(value, str) and ("so you are" in value) for value in values):
            continue
        made = line(made_by(messages, name)(*values))
        for other in MESSAGES:
            if other != name:
                read = made_by(messages, f"read_{other}")(made)
                assert read in (None, False), (name, other, made[:200])
        assert refusals.read(made) is None


def test_numbers_that_no_room_says_are_not_heeded() -> None:
    more = b"9" * 19
    for made, read in (
        (b"! at %b\n", messages.read_at),
        (b"! numbered from line %b\n", messages.read_numbered_from),
        (b"! %b are here: ann\n", messages.read_here),
        (b"! welcome to room 1: you are a, %b are here; x\n", messages.read_welcome),
    ):
        assert read(made % b"9" * 1) is not None  # type: ignore[operator]
        assert read(made % more) is None  # type: ignore[operator]
    assert messages.read_answer(b"! [%b] x\n" % more)[0] == 0


def test_what_was_not_done_is_told_from_what_was() -> None:
    failures = {"not_resumed", "not_recorded", "not_done"}
    for name, values in samples(MESSAGES):
        made = line(made_by(messages, name)(*values))
        assert messages.is_failure(made) == (name in failures and not made[2:3].isdigit())


def test_what_answers_nothing_is_told_from_answers() -> None:
    unasked = {"renamed", "slowly", "lines_wait", "lost", "not_kicked", "so_you_are"}
    for name, values in samples(MESSAGES):
        made = line(made_by(messages, name)(*values))
        assert messages.answers_nothing(made) == (name in unasked) or "so you are" in str(values)


# Refusals:

REFUSALS: dict[str, list[tuple[Any, ...]]] = {
    "wrong_codes": every(COUNTS),
    "full": every(COUNTS),
    "crowded": every(COUNTS),
    "unserved": [("Cannot allocate memory",), ("x; y: z",)],
    "no_process": [("Resource temporarily unavailable",)],
    "no_transcript": [("No space left on device",), ("x: y; come back later",)],
    "not_let_in": [("OOM command not allowed",)],
    "code_wanted": [("duplex code 1",), ("duplex code 12",)],
    "speaks_no": [("TLS",), ("SSH",)],
}


def refused() -> list[str]:
    """All refusals there are: the texts that stand there as they are, and made ones."""
    fixed = [text for name, text in vars(refusals).items() if re.fullmatch("[A-Z][A-Z_]+", name)]
    assert len(fixed) >= 9
    return [*fixed, *(made_by(refusals, name)(*values) for name, values in samples(REFUSALS))]


def test_every_refusal_is_walked() -> None:
    assert makers(refusals) - {"first"} == set(REFUSALS)


@pytest.mark.parametrize("text", refused())
def test_a_refusal_is_known_for_one(text: str) -> None:
    without_version = re.sub(r"^duplex code \d+: ", "", text)
    assert refusals.read(line(text)) == refusals.read(line(text)[:-1]) == without_version


def test_what_a_person_says_is_no_refusal() -> None:
    for said in ("! hello", "! the room is nice", "your address is banned", "! you are banned"):
        assert refusals.read(f"{said}\n".encode()) is None


def test_the_version_of_a_code_is_read_whatever_stands_behind_it() -> None:
    assert refusals.read_code_wanted(line(refusals.code_wanted("duplex code 7"))) == "duplex code 7"
    assert refusals.read_code_wanted(b"! duplex code 8\n") == "duplex code 8"
    assert refusals.read_code_wanted(b"! welcome\n") is None


# Events:

WHERE = ("127.0.0.1:53124", "[::1]:5", "this terminal", "x) (y", "")
ENDINGS = [
    (LEFT, ""),
    *every((LOST,), ("connection lost", "its process was killed by SIGKILL", "a) (b")),
    *every((KICKED,), ("host", "host: why (x)")),
]
EVENTS: dict[str, list[tuple[tuple[Any, ...], tuple[str, str, str]]]] = {
    "entered": [((n, w), (events.ENTERED, n, w)) for n, w in every(NICKS, WHERE)],
    "back": [((n, w), (events.BACK, n, w)) for n, w in every(NICKS, WHERE)],
    "renamed": [((n, to), (events.RENAMED, n, to)) for n, to in every(NICKS, NICKS[::-1])],
    "left": [
        ((n, events.ending(*how)), (how[0], n, how[1])) for n, how in every(NICKS, tuple(ENDINGS))
    ],
    "all_dropped": [
        ((how,), (events.ALL_DROPPED, "", how))
        for how in ("was killed by SIGKILL", "ended with status 1")
    ],
    "closed": [((why,), (events.CLOSED, "", why)) for why in ("", "good night", "x: y (z)")],
}


def test_every_event_is_walked() -> None:
    assert makers(events) - {"ending", "taking", "changing"} == set(EVENTS)


@pytest.mark.parametrize(
    ("name", "values", "expected"), [(n, *row) for n, rows in EVENTS.items() for row in rows]
)
def test_an_event_is_read_as_it_was_made(
    name: str, values: tuple[Any, ...], expected: tuple[str, str, str]
) -> None:
    parts = record.parse(record.event(made_by(events, name)(*values)))
    assert parts
    assert parts.nick is None
    assert events.read(parts.text) == expected


def test_an_ending_that_no_member_gives_is_a_loss() -> None:
    assert events.read(events.left("ann", events.ending(CLOSED, "x")).encode()) == (
        LOST,
        "ann",
        "x",
    )
    assert events.read(events.left("ann", events.NOT_BACK).encode()) == (
        LOST,
        "ann",
        "its client came back, and is somebody else",
    )


def test_what_is_no_event_of_a_room_is_read_as_none() -> None:
    for text in ("connected from 127.0.0.1:1", "ann waves", "ann left early", ""):
        assert events.read(text.encode()) is None


def test_the_patterns_of_one_nick_find_what_the_makers_make() -> None:
    for nick in (*NICKS, "a.b", "[x]"):
        taking, changing = events.taking(nick.encode()), events.changing(nick.encode())
        takes = [events.entered(nick, "x"), events.back(nick, "y"), events.renamed("bob", nick)]
        assert all(re.fullmatch(taking, text.encode()) for text in takes)
        changes = re.fullmatch(changing, events.renamed(nick, "bob").encode())
        assert changes
        assert changes["new"] == b"bob"
        others = [events.entered("bob", nick), events.left(nick, "left"), events.all_dropped("x")]
        assert not any(re.fullmatch(taking, text.encode()) for text in others)


# What clients say:


def test_every_command_that_a_client_makes_is_read_as_it_was_made() -> None:
    walked = {"join", "resume", "as_text", "split", "names", "read_resume"}
    assert functions(commands) == walked
    for nick in NICKS:
        made = commands.join(nick).encode()
        assert made.startswith(commands.REQUESTS)
        assert commands.split(made) == ("join", nick.encode())
    for nick, key, offset in every(NICKS, (KEY, "k"), (0, MOST)):
        made = commands.resume(nick, key, offset).encode()
        assert made.startswith(commands.REQUESTS)
        name, argument = commands.split(made)
        assert name == "resume"
        assert commands.read_resume(argument.decode()) == (nick, key, offset)
    assert commands.read_resume(f"ann k {MOST + 1}") is None
    assert commands.read_resume("ann k") is None
    assert commands.split(commands.NUMBERS.encode()) == ("numbers", b"")
    assert commands.split(commands.WHO.encode()) == ("who", b"")
    assert commands.split(f"/{commands.RENAME} bob".encode()) == (commands.RENAME, b"bob")


@pytest.mark.parametrize("text", [*TEXTS, "/who", "//", "/me x", "/"])
def test_a_text_that_is_to_be_said_as_it_stands_is(text: str) -> None:
    assert commands.split(commands.as_text(text.encode())) == ("", text.encode())


def test_all_commands_that_are_typed_have_a_name() -> None:
    assert commands.names(operator=False)[:2] == ["/who", "/nick"]
    assert set(commands.names(operator=True)) > set(commands.names(operator=False))


# Between members, hub and server:

WORDS = ("", "ann", "a b", "ж" * 1000, "\udcff")


def test_every_datagram_is_walked() -> None:
    assert functions(requests) == {"request", "said", "reply", "note", "read_note"}


@pytest.mark.parametrize("verb", sorted(requests._WORDS))
@pytest.mark.parametrize("number", [0, 1, 2**64 - 1])
def test_a_request_is_read_as_it_was_made(verb: bytes, number: int) -> None:
    count = requests._WORDS[verb]
    for values in every(*(WORDS[at:] + WORDS[:at] for at in range(count))):
        read = Request(requests.request(verb, number, *values))
        seen = [value.encode("utf-8", "backslashreplace").decode() for value in values]
        assert (read.verb, read.number, read.words()) == (verb, number, seen)


@pytest.mark.parametrize("lines", [b"", b"hello\n", b"a\nb\n", "ж\n".encode() * 30_000])
def test_lines_are_read_as_they_were_said(lines: bytes) -> None:
    read = Request(requests.said(lines, 7))
    assert (read.verb, read.number, read.body) == (requests.SAY, 7, lines)
    assert Request(requests.said(lines, 7, requests.ANSWER)).verb == requests.ANSWER


@pytest.mark.parametrize("values", every(("", "ann", LONG), (0, 1, 2**32 - 1), (0.0, 0.1, 1e9)))
def test_a_reply_is_read_as_it_was_made(values: tuple[str, int, float]) -> None:
    read = Reply(requests.reply(requests.SLOWLY, *values))
    assert (read.word, read.text, read.count, read.seconds) == (requests.SLOWLY, *values)


@pytest.mark.parametrize("words", [[""], ["127.0.0.1", "127.0.0.1:5", "77", ""], ["a", "ж" * 9]])
@pytest.mark.parametrize("seat", [0, 2**64 - 1])
def test_a_note_is_read_as_it_was_made(seat: int, words: list[str]) -> None:
    read = requests.read_note(requests.note(requests.ARRIVED, seat, *words))
    assert read == (requests.ARRIVED, seat, words)


def test_what_no_member_makes_is_malformed() -> None:
    for data in (b"", b"h", b"\0" * 8):
        with pytest.raises(Malformed):
            Request(data)
        with pytest.raises(Malformed):
            requests.read_note(data)
    for body in (b"ann", b"ann\0key", b"\xff\0\xff\0\xff"):
        with pytest.raises(Malformed):
            Request(requests.said(body, 0, requests.RESUME)).words()
