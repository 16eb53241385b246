"""The code as people say it, type it, and give it in scripts."""

from __future__ import annotations

import argparse
import os
import re
import signal
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import example, given, strategies as st

from duplex.channel import passphrase
from duplex.channel.passphrase import make, normal
from duplex.cli import protection
from duplex.system.errors import UsageError
from duplex.system.process import Interrupted, Signals

LISTED = sorted(passphrase.words().values())
CODE = "walrus-dexterity-zookeeper-kangaroo"
SEPARATOR = st.text(" -_,\t\n\u2013\u00a0", min_size=1, max_size=3)


def test_the_list_is_what_it_is_said_to_be() -> None:
    text = (Path(passphrase.__file__).parent / "wordlist.txt").read_text("ascii")
    first, *lines = text.splitlines()
    assert "CC BY 3.0" in first
    assert first.startswith("#")
    assert len(lines) == len(set(lines)) == len(LISTED) == 1296
    assert all(re.fullmatch("[a-z]{3,}", word) for word in lines)
    assert len({word[:3] for word in lines}) == 1296


def test_a_code_is_four_listed_words_and_never_the_same() -> None:
    codes = {make() for _ in range(1000)}
    assert len(codes) == 1000
    for code in codes:
        words = code.split("-")
        assert len(words) == 4
        assert set(words) <= set(LISTED)
        assert normal(code) == code.encode()
    assert len({word for code in codes for word in code.split("-")}) > 1100  # of 1,296 expected


@given(st.lists(st.sampled_from(LISTED), min_size=1, max_size=6), st.data())
def test_a_code_is_the_same_however_it_is_typed(words: list[str], data: st.DataObject) -> None:
    typed = data.draw(SEPARATOR | st.just(""))
    for word in words:
        letters = data.draw(st.integers(3, len(word)))
        part = word[:letters]
        typed += part.upper() if data.draw(st.booleans()) else part
        typed += data.draw(SEPARATOR)
    assert normal(typed) == "-".join(words).encode()


@given(st.text() | st.text(st.characters(exclude_categories=())))
@example("¨ǰ\u0345ΐ-ǅ")
@example("yo-yo-yo-yo")
@example("\udc80-\ud800")
@example("İ ﬃ ℌ\u0301")
def test_normal_is_idempotent(text: str) -> None:
    once = normal(text)
    assert normal(once.decode("utf-8", "surrogatepass")) == once


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("  Walrus_DEX, zoo--kan ", CODE),
        ("\uff37alrus\u2014dex\u2010zoo\u00a0kan", CODE),  # full-width, and other dashes
        ("wal-yo-yo-dex", "walrus-yoyo-dexterity"),
        ("wal-yoy-dex", "walrus-yoyo-dexterity"),
        ("wal-dx-zoo", "wal-dx-zoo"),  # one is not listed: a code of one's own, all of it
        ("wal-de-zoo", "wal-de-zoo"),
        ("walruss-dex", "walruss-dex"),
        ("Größe 12!", "grösse-12!"),
        ("12\u00bd", "121\u20442"),
        ("--- ,", ""),
        ("", ""),
    ],
)
def test_what_typed_text_is_taken_for(typed: str, meant: str) -> None:
    assert normal(typed).decode() == meant


@pytest.mark.parametrize(
    "code", ["", "1234567", "- - -", "a-------b", "zookeeper", "abandoned-abd"]
)
def test_a_code_that_is_soon_guessed_is_refused(code: str) -> None:
    with pytest.raises(UsageError, match="too easily guessed") as caught:
        passphrase.check(code)
    assert "\n" not in str(caught.value)
    assert not code.strip("- ") or code not in str(caught.value)


@pytest.mark.parametrize("code", ["12345678", "wal-dex-zoo", CODE, "tr0ub4dor"])
def test_a_longer_code_is_taken(code: str) -> None:
    assert passphrase.check(code) == code


def options(*args: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    protection.add_code_arguments(parser)
    return parser.parse_args(args)


def test_a_code_is_wanted_with_either_option() -> None:
    assert not protection.wants_code(options())
    assert protection.wants_code(options("--code"))
    assert protection.wants_code(options("--code-file", "x"))
    assert not protection.wants_code(options("--no-code"))


@pytest.mark.parametrize("value", [CODE, "", " "])
def test_a_variable_that_is_set_means_a_code_unless_none_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("DUPLEX_CODE", value)
    assert protection.wants_code(options())
    assert not protection.wants_code(options("--no-code"))


@pytest.mark.parametrize("args", [("--code",), ("--code-file", "x")])
def test_a_code_and_none_exclude_each_other(args: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="cannot use --code with --no-code"):
        protection.wants_code(options(*args, "--no-code"))


def test_a_variable_that_is_set_aside_is_not_handed_on_and_told_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DUPLEX_CODE", CODE)
    protection.set_code_aside(options())
    assert "DUPLEX_CODE" not in os.environ
    protection.set_code_aside(options())
    assert capfd.readouterr().err.count("DUPLEX_CODE is not used") == 1


def test_the_variable_is_taken_and_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUPLEX_CODE", CODE)
    assert protection.given_code(options("--code")) == CODE
    assert "DUPLEX_CODE" not in os.environ
    assert os.popen("echo $DUPLEX_CODE").read() == "\n"
    assert protection.given_code(options("--code")) is None


@pytest.mark.parametrize(
    ("value", "told"), [("", "empty"), (" ", "empty"), ("12345678\udcff", "not UTF-8")]
)
def test_a_variable_without_a_code_is_an_error(
    monkeypatch: pytest.MonkeyPatch, value: str, told: str
) -> None:
    monkeypatch.setenv("DUPLEX_CODE", value)
    with pytest.raises(UsageError, match=f"cannot use DUPLEX_CODE: it is {told}"):
        protection.given_code(options("--code"))


def test_the_file_comes_first_and_its_first_line_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "code"
    file.touch(0o600)
    file.write_bytes(f"\ufeff {CODE}\r\nsomething else\n".encode() + b"\xff" * 9000)
    monkeypatch.setenv("DUPLEX_CODE", "another-code-altogether")
    assert protection.given_code(options("--code-file", str(file))) == CODE
    assert "DUPLEX_CODE" not in os.environ
    assert capfd.readouterr().err == ""
    monkeypatch.chdir(tmp_path)
    file.rename("-")
    assert protection.given_code(options("--code-file", "-")) == CODE, "a name like any other"


def test_a_file_that_others_can_read_is_warned_of(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "code"
    file.write_text(CODE)
    file.chmod(0o640)
    assert protection.given_code(options("--code-file", str(file))) == CODE
    err = capfd.readouterr().err
    assert err == f"other users can read the code in {file}: chmod 600 makes it yours alone\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "cannot read the code from .*: No such file or directory"),
        (b"", "its first line is empty"),
        (b"\n" + CODE.encode(), "its first line is empty"),
        (b"\x7fELF\0\0\0\0\0", "its first line is not text"),
        (b"12345678\xff", "its first line is not text"),
        (b"a" * 5000, "its first line is not text"),
        (b"short", "too easily guessed"),
    ],
)
def test_a_file_without_a_code_is_one_line(tmp_path: Path, data: bytes | None, told: str) -> None:
    file = tmp_path / "code"
    if data is not None:
        file.touch(0o600)
        file.write_bytes(data)
    with pytest.raises(UsageError, match=told) as caught:
        protection.given_code(options("--code-file", str(file)))
    assert "\n" not in str(caught.value)


def test_a_directory_is_no_code_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Is a directory"):
        protection.given_code(options("--code-file", str(tmp_path)))


def test_a_pipe_is_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        fd = os.open(pipe, os.O_WRONLY)  # returns when the other end is open
        os.write(fd, CODE[:9].encode())
        os.write(fd, CODE[9:].encode() + b"\n")
        os.close(fd)

    writer = Thread(target=write)
    writer.start()
    assert protection.given_code(options("--code-file", str(pipe))) == CODE
    writer.join()


def test_a_signal_ends_the_waiting_for_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    before = [(n, signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    signals = Signals()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted) as caught:
            protection.given_code(options("--code-file", str(pipe)), signals)
        assert caught.value.exit_status == 143
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before:
            signal.signal(number, handler)
