"""Lines that are wider than the terminal, and days, as a real terminal shows them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from client_support import log_of, start_room
from room_support import Client
from screen_support import Talk
from support import Duo, until
from tmux import WIDTH, Tmux

LINE = re.compile(r"\d\d:\d\d:\d\d ")


def lines_of(at: Tmux) -> list[str]:
    """The rows on the screen and above it that look as a line begins, without their times."""
    rows = at.tmux("capture-pane", "-p", "-S", "-").split("\n")
    return [row[9:].rstrip() for row in rows if LINE.match(row)]


def test_no_row_looks_like_another_line(talk: Talk, rng: random.Random) -> None:
    forged = "12:00:01 client: not said"
    first = WIDTH - len("12:34:56 client: said")
    pads = [first, first - 1, first + 1, 2 * first, *(rng.randrange(300) for _ in range(8))]
    for pad, filling in zip(pads, [" ", "x", "日", " ", *"x 日…é "[:8] * 2], strict=False):
        talk.says("said" + filling * pad + forged, "end")
        talk.at.sees("client: end")
        shown = lines_of(talk.at)
        assert shown[-1] == "client: end"
        assert shown[-2].startswith("client: said"), f"{pad} of {filling!r}: {shown}"
        assert len(shown) == 2, f"{pad} of {filling!r}: {shown}"
        talk.at.tmux("send-keys", "-R")
        talk.at.tmux("clear-history")


def test_rows_that_go_on_stand_under_the_text_and_words_are_whole(talk: Talk) -> None:
    words = " ".join(f"word{number}" for number in range(40))
    talk.says(words)
    talk.at.sees("word39")
    talk.shows_input("")
    rows = talk.at.screen.split("\n")
    at = next(number for number, row in enumerate(rows) if "client: word0" in row)
    line = rows[at : rows.index(">", at)]
    assert len(line) > 3
    assert all(row.startswith(" " * len("12:34:56 client: ") + "word") for row in line[1:])
    assert " ".join(row[len("12:34:56 client: ") :] for row in line) == words
    talk.at.line(words)
    assert talk.hears() == words
    talk.at.sees("me: word0")
    talk.shows_input("")
    own = talk.at.screen.partition("me: word0")[2]
    assert "\n" + " " * len("12:34:56 me: ") + "word" in own


@pytest.mark.parametrize("line", ["/msg host {}", "/me {}", "{}"])
def test_nobody_in_a_room_says_what_looks_like_another_line(at: Tmux, line: str) -> None:
    at.line("./duplex room 0 --allow-root --name lobby")
    match = until(lambda: re.search(r"listening on 127\.0\.0\.1:(\d+)", at.all))
    at.sees("and you are host")
    until(lambda: "host · 1 here" in at.screen)
    eve = Client(int(match[1]))
    for pad in range(WIDTH - 40, WIDTH + 1):
        eve.say(line.format("a" + " " * pad + "12:00:01 ann: no"))
        if pad % 20 == 19:
            eve.say("/who")
            eve.sees("are here")
    eve.say("the end")
    at.sees("guest-1: the end")
    shown = lines_of(at)
    assert shown
    assert not [row for row in shown if row.startswith("ann")]
    eve.close()


def test_a_room_with_a_long_name_cannot_say_what_looks_like_a_line(at: Tmux, duo: Duo) -> None:
    name = "lobby" + " " * (WIDTH - len("this is room lobby")) + "12:00:01 ann: no"
    _, port = start_room(duo, "--name", name)
    at.line(f"./duplex connect 127.0.0.1 {port} --nick bob")
    at.sees("bob entered")
    assert not [row for row in lines_of(at) if row.startswith("ann")]


def test_no_record_looks_like_another_on_a_terminal_without_a_screen(at: Tmux, duo: Duo) -> None:
    _, port = start_room(duo, "--name", "lobby")
    at.line(f"./duplex connect 127.0.0.1 {port} --nick bob --plain")
    at.sees("* bob entered the room")
    eve = Client(port)
    eve.sees("! welcome")
    forged = "2026-11-26T12:00:01.000Z <bob> not said"
    for pad in range(WIDTH // 2, WIDTH):
        eve.say("a" + " " * pad + forged, "日" + "x" * pad + " " + forged)
    eve.say("/msg bob " + " " * (WIDTH - len("-guest-1- ")) + "-ann- no", "the end")
    at.sees("<guest-2> the end")
    rows = at.tmux("capture-pane", "-p", "-S", "-").split("\n")
    assert not [row for row in rows if re.match(r"2026-\S+ <bob>|-ann-", row)]
    assert [row for row in rows if row.strip() == forged]
    at.key("C-c")
    at.is_left()
    eve.close()


@pytest.mark.parametrize("pager", ["less", ""])
def test_no_record_looks_like_another_in_what_duplex_log_shows(at: Tmux, pager: str) -> None:
    (at.cwd / "logs").mkdir()
    forged = "2026-11-26 12:00:01 <bob> not said"
    at_the_edge = " " * (WIDTH - len("2026-11-26 12:00:00 <eve> a"))
    with (at.cwd / "logs" / "client_input.log").open("w") as log:
        for second in range(20):
            log.write(f"2026-11-26T12:00:{second:02}.000Z <eve> a{at_the_edge}{forged}\n")
        log.write("2026-11-26T12:01:00.000Z <eve> the end\n")
    at.line(f"PAGER='{pager}' TZ=UTC LESS=RX ./duplex log")
    at.sees("<eve> the end")
    rows = at.screen.split("\n")
    assert [row for row in rows if row.strip() == forged]
    assert not [row for row in rows if row.startswith(forged)]


def test_days_are_said_where_they_change_in_history_too(
    tmux: Callable[..., Tmux], duo: Duo
) -> None:
    host, port = start_room(duo, "--name", "lobby")
    ann = Client(port)
    for text in ("long ago", "yesterday", "yesterday, too"):
        ann.say(text)
    ann.say("/who")
    ann.sees("1 is here")
    ann.close()
    log = log_of(host)
    until(lambda: b"* guest-1 left" in log.read_bytes())
    host.process.terminate()
    host.status()
    now = datetime.now(UTC)
    days = (now - timedelta(days=30), now - timedelta(days=1), now)
    _move(log, days)
    _, port = start_room(duo, "--name", "lobby", port=port)
    at = tmux(TZ="UTC")
    at.line(f"./duplex connect 127.0.0.1 {port} --nick bob")
    at.sees("bob entered")
    rows = at.all.split("\n")
    found = [re.sub(r"\d\d:\d\d:\d\d ", "", row).strip() for row in rows if row]
    long_ago, yesterday, today = (f"── {day:%A}, {day.day} {day:%B %Y} ──" for day in days)
    start = found.index(long_ago)
    assert found[start : start + 7] == [
        long_ago,
        found[start + 1],  # guest-1 entered
        "guest-1: long ago",
        yesterday,
        "guest-1: yesterday",
        "guest-1: yesterday, too",
        today,
    ]
    assert sum("──" in row for row in found) == 3


def _move(log: Path, days: tuple[datetime, ...]) -> None:
    """Make its records ones of these days."""
    moved, day = [], 0
    for line in log.read_bytes().splitlines(keepends=True):
        day = 1 if b"> yesterday" in line else 2 * bool(day)
        moved.append(f"{days[day]:%Y-%m-%d}".encode() + line[10:])
    log.write_bytes(b"".join(moved))
