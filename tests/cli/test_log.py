"""`duplex log`, end to end: real files, real processes, a real pager on a real terminal."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from log_support import follow, out, run, texts
from support import DUPLEX, Terminal, needs, until

from duplex.transcript.record import event, said, stamp

NOW = time.time_ns()
MINUTE = 60 * 1_000_000_000


def at(minutes: float) -> bytes:
    """The stamp of that many minutes from now."""
    return stamp(NOW + int(minutes * MINUTE))


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two transcripts of one talk, with an event and a malformed line."""
    (tmp_path / "logs").mkdir()
    client = [
        event("connected from 127.0.0.1:1", at(-300)),
        said("client", b"coffee?\n", at(-200)),
        b"this is no record\n",
        said("client", "größer COFFEE 日本\n".encode(), at(-60)),
        event("client left", at(-30)),
    ]
    server = [
        said("server", b"tea\n", at(-250)),
        said("server", b"<client> forged\n", at(-100)),
        said("server", b"later\n", at(-10)),
    ]
    (tmp_path / "logs" / "client_input.log").write_bytes(b"".join(client))
    (tmp_path / "logs" / "server_input.log").write_bytes(b"".join(server))
    return tmp_path


def test_both_transcripts_are_merged_by_time(logs: Path) -> None:
    assert texts(out(logs)) == [
        "* connected from 127.0.0.1:1",
        "<server> tea",
        "<client> coffee?",
        "this is no record",
        "<server> <client> forged",
        "<client> größer COFFEE 日本",
        "* client left",
        "<server> later",
    ]


def test_one_file_is_shown_byte_for_byte(logs: Path) -> None:
    path = logs / "logs" / "client_input.log"
    path.write_bytes(path.read_bytes() + b"\xff\x1b[31m\nno newline at the end")
    assert b"".join(out(logs, str(path))) == path.read_bytes()


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (["--from", "CLIENT"], ["coffee?", "größer COFFEE 日本"]),
        (["--from", "clien"], []),
        (["--grep", "coffee"], ["coffee?"]),
        (["--grep", "(?i)coffee"], ["coffee?", "größer COFFEE 日本"]),
        (["--grep", "^client"], ["client left"]),
        (["--grep", "^this"], ["this is no record"]),
        (["--grep", "a$|日"], ["tea", "größer COFFEE 日本"]),
        (["--grep", "Z"], []),
        (["--grep", "client", "--from", "server"], ["<client> forged"]),
        (["--since", "90m"], ["größer COFFEE 日本", "client left", "later"]),
        (["--since", "110m", "--until", "40m"], ["<client> forged", "größer COFFEE 日本"]),
        (["--until", "3h", "--grep", "no record"], ["this is no record"]),
        (["--until", "210m"], ["connected from 127.0.0.1:1", "tea"]),
    ],
)  # fmt: skip
def test_what_is_wanted_is_selected(logs: Path, args: list[str], wanted: list[str]) -> None:
    found = [re.sub(r"^(<(client|server)> |\* )", "", text) for text in texts(out(logs, *args))]
    assert found == wanted


def test_times_are_iso_relative_or_words(logs: Path) -> None:
    local = datetime.now() - timedelta(minutes=90)
    utc = datetime.fromtimestamp(NOW / 1e9 - 90 * 60).astimezone().isoformat()
    for moment in ("90m", local.isoformat(), local.isoformat(" ", "seconds"), utc):
        assert len(out(logs, "--since", moment)) == 3, moment
    assert len(out(logs, "--since", "1w")) == 8
    assert len(out(logs, "--until", "now")) == 8
    assert out(logs, "--until", "2020-01-01") == []
    midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for word, day in (("today", midnight), ("yesterday", midnight - timedelta(days=1))):
        assert out(logs, "--since", word) == out(logs, "--since", day.isoformat())


def test_json_is_an_object_a_line_and_the_offset_finds_the_line(logs: Path) -> None:
    path = logs / "logs" / "client_input.log"
    path.write_bytes(path.read_bytes() + b'quote " \\ \xff\n')
    data = path.read_bytes()
    objects = [json.loads(line) for line in out(logs, "--json", "logs/client_input.log")]
    assert len(objects) == 6
    for found in objects:
        assert found["file"] == "logs/client_input.log"
        assert found["text"].encode()[:5] in data[found["offset"] :].splitlines()[0]
    assert set(objects[0]) == {"time", "event", "text", "file", "offset"}
    assert objects[0]["event"] == "connected from 127.0.0.1:1"
    assert set(objects[1]) == {"time", "nick", "text", "file", "offset"}
    assert (objects[1]["nick"], objects[1]["text"]) == ("client", "coffee?")
    assert objects[2] == {
        "time": None, "text": "this is no record", "file": "logs/client_input.log",
        "offset": data.index(b"this"),
    }  # fmt: skip
    assert objects[5]["text"] == 'quote " \\ \ufffd'
    grepped = [json.loads(line) for line in out(logs, "--json", "--grep", "left$|日")]
    assert [o["offset"] for o in grepped] == [objects[3]["offset"], objects[4]["offset"]]


@pytest.mark.parametrize("shown", ["--json", "--stats"])
def test_what_could_harm_a_terminal_is_escaped_in_any_file(tmp_path: Path, shown: str) -> None:
    path = tmp_path / "t.log"
    harmful = "\x1b[31m\x7f\x9b2J\u202e\u2028"
    path.write_bytes(said(f"a{harmful}", f"b{harmful}\n".encode(), at(0)) + harmful.encode())
    text = b"".join(out(tmp_path, shown, str(path))).decode()
    assert not set(harmful) - set("[31m2J") & set(text)
    if shown == "--json":
        found = [json.loads(line) for line in text.splitlines()]
        assert [line["text"] for line in found] == [f"b{harmful}", harmful], "the same text"
        assert found[0]["nick"] == f"a{harmful}"
    else:
        assert "a\\x1b[31m\\x7f\\u009b2J\\u202e\\u2028 " in text


def test_a_time_in_the_first_centuries_is_before_all_records(logs: Path) -> None:
    for moment in ("0003-01-01", "0999-12-31T23:59"):
        assert len(out(logs, "--since", moment)) == 8
        assert out(logs, "--until", moment) == []


def test_stats_count_who_said_how_much_and_when(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    ann = said("ann", b"hello\n", b"2026-01-01T23:30:00.000Z")
    bob = said("bob", "größer\n".encode() * 3, b"2026-01-02T10:00:00.000Z")
    path.write_bytes(ann + bob + event("bob left", b"2026-01-02T11:00:00.000Z") + b"?\n")
    text = b"".join(out(tmp_path, "--stats", str(path), TZ="Asia/Kolkata")).decode()
    assert text.startswith("4 lines said, 1 events, 1 malformed lines\n")
    assert "from 2026-01-01T23:30:00.000Z to 2026-01-02T11:00:00.000Z" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["ann", "1", "25", "%", "5"] in rows
    assert ["bob", "3", "75", "%", "18"] in rows
    hours = {row[0]: row[1:] for row in rows if len(row[0:1]) and row[0].isdigit() and len(row) < 4}
    assert hours["05"][0] == "1", "23:30 UTC is 05:00 in India"
    assert hours["15"] == ["3", "█" * 40]
    assert hours["00"] == ["0"]


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["--grep", "("], 2, "is no regular expression"),
        (["--since", "never"], 2, "cannot read 'never' as a time"),
        (["--until", "99999999999w"], 2, "as a time"),
        (["--stats", "--follow"], 2, "--stats"),
        (["--stats", "--json"], 2, "not allowed with"),
        (["missing.log"], 1, "cannot read missing.log: No such file or directory"),
        (["."], 1, "cannot read .: Is a directory"),
        ([], 1, "there is no transcript here"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    tmp_path: Path, args: list[str], status: int, message: str
) -> None:
    done = run(tmp_path, *args)
    assert done.returncode == status
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_a_reader_that_has_seen_enough_ends_it_quietly(logs: Path) -> None:
    path = logs / "big.log"
    path.write_bytes(said("ann", b"x\n" * 200_000))
    command = " ".join([*DUPLEX, "log", "big.log", "--grep", "x"])
    done = subprocess.run(
        f"{command} | head -n 1", shell=True, cwd=logs, capture_output=True, timeout=60, check=False
    )
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""


def test_a_pager_shows_it_on_a_terminal(terminal: Callable[..., Terminal], logs: Path) -> None:
    path = logs / "logs" / "client_input.log"
    path.write_bytes(path.read_bytes() + b"\x1b[31mred\n")
    screen = terminal(*DUPLEX, "log", cwd=logs, PAGER="sed s/^/paged:/")
    screen.sees("paged:")
    screen.sees(r"\x1b[31mred")
    assert screen.status() == 0


def test_without_a_pager_it_is_shown_all_the_same(
    terminal: Callable[..., Terminal], logs: Path
) -> None:
    screen = terminal(*DUPLEX, "log", cwd=logs, PAGER="")
    screen.sees("<client> coffee?")
    assert screen.status() == 0
    quick = terminal(*DUPLEX, "log", cwd=logs, PAGER="true")
    assert quick.status() == 0


def test_following_shows_what_is_there_and_what_comes(logs: Path) -> None:
    path = logs / "logs" / "client_input.log"
    program = follow(logs, "--grep", "new|coffee")
    until(lambda: program.out.count(b"\n") == 1)
    with path.open("ab") as file:
        file.write(said("client", b"new one\nold\nnew two\n")[:-2])
        file.flush()
        until(lambda: b"new one" in program.out)
        assert b"new tw" not in program.out, "no torn line is shown"
        file.write(b"o\n")
    with (logs / "logs" / "server_input.log").open("ab") as file:
        file.write(said("server", b"new three\n"))
    until(lambda: b"new three" in program.out)
    until(lambda: b"new two" in program.out)
    os.kill(program.pid, signal.SIGINT)
    assert program.status() == 130
    assert program.err == ""


def test_a_file_made_later_is_followed(tmp_path: Path) -> None:
    (tmp_path / "here.log").write_bytes(said("ann", b"already here\n"))
    program = follow(tmp_path, "later.log", "here.log")
    until(lambda: b"already here" in program.out)  # so it has looked for the other, too
    (tmp_path / "later.log").write_bytes(said("ann", b"here at last\n"))
    until(lambda: b"here at last" in program.out)
    program.stop()


def test_following_goes_on_across_a_file_that_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_bytes(said("ann", b"one\n"))
    program = follow(tmp_path, "t.log")
    until(lambda: b"one" in program.out)
    with path.open("ab") as old:
        path.rename(tmp_path / "t.log.1")
        old.write(said("ann", b"last of the old\n"))
    path.write_bytes(said("ann", b"first of the new\n"))
    until(lambda: b"first of the new" in program.out)
    path.write_bytes(b"")  # cut short, as `: > t.log` does
    until(lambda: os.stat(path).st_size == 0)
    time.sleep(0.5)  # two looks: a file that shrinks and grows between two looks cannot be told
    with path.open("ab") as file:
        file.write(said("ann", b"after the cut\n"))
    until(lambda: b"after the cut" in program.out)
    found = [line.split(b"> ")[1] for line in program.out.splitlines()]
    assert found == [b"one", b"last of the old", b"first of the new", b"after the cut"]
    program.stop()


def test_a_torn_tail_that_is_cut_back_is_never_seen(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_bytes(said("ann", b"whole\n") + said("ann", b"never finished\n")[:40])
    program = follow(tmp_path, "t.log")
    until(lambda: b"whole" in program.out)
    os.truncate(path, len(said("ann", b"whole\n")))
    with path.open("ab") as file:
        file.write(said("bob", b"next\n"))
    until(lambda: b"<bob> next" in program.out)
    assert program.out.count(b"\n") == 2
    assert b"never" not in program.out
    program.stop()


@pytest.mark.parametrize("args", [["--grep", "needle"], ["--grep", r"\d needle"], ["--json"], []])
def test_memory_is_constant_whatever_is_in_the_file(tmp_path: Path, args: list[str]) -> None:
    path = tmp_path / "big.log"
    with path.open("wb") as file:
        for number in range(60):
            file.write(said("ann", f"{number} some short line é\n".encode() * 10_000))
        file.write(b"x" * 60_000_000)  # and a line that never ends
        file.write(b"\n" + said("ann", b"1 needle\n"))
    with Path(os.devnull).open("wb") as null:
        subprocess.run(
            [*DUPLEX, "log", "big.log", *args], cwd=tmp_path, stdout=null, check=True, timeout=60,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (90 << 20, 90 << 20)),
        )  # fmt: skip
    path.unlink()


def test_times_are_local_as_on_the_screen_unless_utc_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    record = said("ann", b"2026-11-23T23:34:31.123Z * hello\n", b"2026-11-23T23:34:31.123Z")
    path.write_bytes(record + b"2026-11-23T23:34:31.123Z\n")
    shown = run(tmp_path, "t.log", TZ="Asia/Kolkata").stdout
    assert shown == (
        b"2026-11-24 05:04:31 <ann> 2026-11-23T23:34:31.123Z * hello\n2026-11-23T23:34:31.123Z\n"
    )
    assert run(tmp_path, "t.log", "--utc", TZ="Asia/Kolkata").stdout == path.read_bytes()
    assert b"2026-11-24 05:04" in run(tmp_path, "t.log", "--grep", "h", TZ="Asia/Kolkata").stdout


def test_the_pager_opens_at_the_end(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    needs("less")
    (tmp_path / "t.log").write_bytes(said("ann", b"".join(b"line %d\n" % n for n in range(500))))
    screen = terminal(*DUPLEX, "log", "t.log", cwd=tmp_path, PAGER="less", LESS="")
    screen.sees("line 499")
    assert "line 100" not in screen.spawned.before
    screen.spawned.send("q")
    assert screen.status() == 0


@pytest.mark.parametrize("pager", ["nosuch", "A=b nosuch -x", "/nowhere/less"])
def test_a_missing_pager_is_told_and_the_log_is_shown(
    terminal: Callable[..., Terminal], logs: Path, pager: str
) -> None:
    screen = terminal(*DUPLEX, "log", cwd=logs, PAGER=pager)
    screen.sees("duplex log: cannot start the pager")
    screen.sees("<client> coffee?")
    assert screen.status() == 0


def test_a_pager_is_told_neither_the_code_nor_the_stores_password(
    terminal: Callable[..., Terminal], logs: Path
) -> None:
    secret = {"DUPLEX_CODE": "walrus-abacus-zebra", "DUPLEX_REDIS": "redis://:walrus@127.0.0.1/0"}
    screen = terminal(*DUPLEX, "log", cwd=logs, PAGER="env >told; cat", **secret)
    assert screen.status() == 0
    told = (logs / "told").read_text()
    assert "LESS=FRX" in told
    assert "PATH=" in told
    assert "DUPLEX_" not in told
    assert "walrus" not in told


def test_an_editors_byte_order_mark_and_line_ends_are_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    record = said("ann", b"one\ntwo\n", at(-1))
    path.write_bytes(b"\xef\xbb\xbf" + record.replace(b"\n", b"\r\n"))
    assert run(tmp_path, "t.log").stdout.count(b"<ann> one\n") == 1
    assert b"\r" not in run(tmp_path, "t.log").stdout
    objects = [json.loads(line) for line in out(tmp_path, "--json", "--grep", "o$", "t.log")]
    assert [found["text"] for found in objects] == ["two"]
    assert objects[0]["time"] == at(-1).decode()
    assert path.read_bytes()[objects[0]["offset"] :].startswith(at(-1))
    assert len(out(tmp_path, "--since", "10m", "t.log")) == 2


def test_following_sees_a_file_that_was_cut_and_has_outgrown_its_length(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_bytes(said("ann", b"one\ntwo\n", at(-3)))
    program = follow(tmp_path, "t.log")
    until(lambda: b"two" in program.out)
    os.kill(program.pid, signal.SIGSTOP)  # so that all of it happens between two looks
    path.write_bytes(said("ann", b"three\nfour\nfive\nsix\n", at(-2)))
    os.kill(program.pid, signal.SIGCONT)
    until(lambda: b"six" in program.out)
    found = [line.split(b"> ")[1] for line in program.out.splitlines()]
    assert found == [b"one", b"two", b"three", b"four", b"five", b"six"]
    program.stop()


def test_a_torn_tail_cut_back_and_outgrown_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    whole = said("ann", b"whole\n", at(-3))
    path.write_bytes(whole + said("ann", b"never finished\n", at(-3))[:40])
    program = follow(tmp_path, "t.log")
    until(lambda: b"whole" in program.out)
    os.kill(program.pid, signal.SIGSTOP)
    path.write_bytes(whole + said("bob", b"a line that is longer than the torn one\n", at(-2)))
    os.kill(program.pid, signal.SIGCONT)
    until(lambda: b"torn one" in program.out)
    assert program.out.count(b"\n") == 2
    assert b"never" not in program.out
    program.stop()


def test_names_are_compared_as_a_room_compares_them(tmp_path: Path) -> None:
    nicks = ["straße", "strasse", "José", "Jose\u0301", "ANN", "ann", "a[b"]
    (tmp_path / "t.log").write_bytes(b"".join(said(nick, b"x\n", at(0)) for nick in nicks))

    def by(nick: str) -> list[str]:
        lines = out(tmp_path, "--from", nick, "t.log")
        return [text.partition(">")[0][1:] for text in texts(lines)]

    assert by("strasse") == ["strasse"]
    assert by("STRAßE") == ["straße"]
    assert by("Jose\u0301") == by("josé") == ["José", "Jose\u0301"]
    assert by("Ann") == ["ANN", "ann"]
    assert by("a[b") == ["a[b"]


@pytest.mark.parametrize("option", ["--from", "--since", "--until"])
def test_nothing_is_no_name_and_no_time(logs: Path, option: str) -> None:
    done = run(logs, option, "")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)


def test_the_disk_of_the_output_is_full(logs: Path) -> None:
    for args in (["log"], ["log", "--json"], ["log", "--stats"]):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*DUPLEX, *args],
                cwd=logs,
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=60,
                check=False,
            )
        assert done.returncode == 1
        assert done.stderr == b"duplex log: cannot write: No space left on device\n"


def test_a_pipe_that_nobody_reads_ends_it_as_any_other_tool(logs: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*DUPLEX, "log"], cwd=logs, stdout=writing, timeout=60, check=False)
    os.close(writing)
    assert done.returncode == 128 + signal.SIGPIPE


def test_a_pipe_that_does_not_block_gets_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "t.log").write_bytes(said("ann", b"a line\n" * 20_000, at(0)))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process = subprocess.Popen([*DUPLEX, "log", "--utc", "t.log"], cwd=tmp_path, stdout=writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read() == (tmp_path / "t.log").read_bytes()
    assert process.wait() == 0
