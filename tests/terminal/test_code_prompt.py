"""The code is asked for on real terminals, and leaves no trace of itself on them."""

from __future__ import annotations

import io
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import Terminal, alive, children, until
from tmux import Tmux

from duplex.terminal.code_line import hint_for, rest_of_word

Start = Callable[..., Terminal]
CODE = "walrus-dexterity-zookeeper-kangaroo"
LINE, PLAIN = "xterm", "dumb"  # the terminals that get the one and the other
ASKER = """
import sys
from duplex.terminal.code_prompt import ask
from duplex.system.errors import DuplexError, say_status
from duplex.system.process import Signals
from duplex.channel.passphrase import normal

try:
    code = ask(Signals())
except DuplexError as error:
    if str(error):
        say_status(str(error))
    sys.exit(error.exit_status)
with open("answer", "wb") as file:
    file.write(normal(code))
with open("modules", "w") as file:
    file.write(" ".join(sys.modules))
"""


def asker(cwd: Path) -> str:
    """The command that asks, for a shell."""
    (cwd / "asker.py").write_text(ASKER)
    return f"{shlex.quote(sys.executable)} asker.py"


class Asked:
    """A shell on a terminal in which the asker runs, and all that the terminal was sent."""

    def __init__(self, start: Start, tmp: Path, term: str = LINE, redirected: str = "") -> None:
        self.tmp = tmp
        self.shell = start("sh", cwd=tmp, PS1="$ ", ENV="", TERM=term, PYTHONPATH=str(Path.cwd()))
        self.shown = io.StringIO()
        self.shell.spawned.logfile_read = self.shown
        self.shell.line(f"stty -a | sed s/^/A:/ > before; {asker(tmp)} {redirected}; echo st=$?")
        self.shell.sees("code:")
        if term == LINE:
            self.shell.sees("gives up")  # all of it is drawn
        self.pid = children(self.shell.pid)[0]
        self.started = self.shown.tell()

    def type(self, text: str) -> None:
        self.shell.spawned.send(text)

    def ends(self, status: int) -> str:
        """Wait for its end, and that the terminal is as it was; what it was sent since the start.

        That is without what the shell wrote.
        """
        self.shell.sees(f"st={status}\r\n")
        shown = self.shown.getvalue()[self.started :].partition(f"st={status}")[0]
        self.shell.line('stty -a | sed s/^/A:/ > after; echo do""ne')
        self.shell.sees("done\r\n")
        assert (self.tmp / "before").read_text() == (self.tmp / "after").read_text()
        return shown

    @property
    def answer(self) -> str:
        return (self.tmp / "answer").read_text()


@pytest.fixture
def asked(terminal: Start, tmp_path: Path) -> Callable[..., Asked]:
    def start(*args: str, **options: str) -> Asked:
        return Asked(terminal, tmp_path, *args, **options)

    return start


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    made = Tmux(tmp_path, PYTHONPATH=str(Path.cwd()))
    yield made
    made.stop()


def test_nothing_of_the_code_is_shown_and_words_complete_themselves(
    asked: Callable[..., Asked],
) -> None:
    one = asked()
    one.type("wal")
    one.shell.sees("***")
    one.type("\tDEXTERITY zook\tkangar")
    one.shell.sees("*" * len("rus-DEXTERITY-zookeeper-kangar"))
    one.type("\t\r")
    shown = one.ends(0)
    assert one.answer == CODE
    for letters in ("wal", "rus", "dex", "DEX", "zoo", "kee", "kan", "roo"):
        assert letters not in shown


def test_three_letters_of_each_word_suffice(asked: Callable[..., Asked]) -> None:
    one = asked()
    one.type("wal dex-zoo,kan\r")
    one.ends(0)
    assert one.answer == CODE


def test_a_code_of_ones_own_is_taken_as_it_is(asked: Callable[..., Asked]) -> None:
    one = asked()
    one.type("Größe 日本 12!\r")
    one.ends(0)
    assert one.answer == "grösse-日本-12!"


def test_a_pasted_code_waits_for_enter(asked: Callable[..., Asked]) -> None:
    one = asked()
    one.type("\x1b[200~wal \x03dex\r\nzoo\tkan\r\n\x1b[201~\r")
    one.ends(0)
    assert one.answer == CODE


def test_tab_rings_where_it_cannot_say_and_enter_where_nothing_is(
    asked: Callable[..., Asked],
) -> None:
    one = asked()
    for what in ("\t", "\r", "- \r", "wa\t", "\x7f\x7fxyz\t"):
        one.type(what)
        one.shell.sees("\a")
    one.type("\x15wal-dex-zoo-kan\r")  # Ctrl-U takes all of it away
    one.ends(0)
    assert one.answer == CODE


def test_no_key_brings_back_what_was_typed_or_stops_it(asked: Callable[..., Asked]) -> None:
    one = asked()
    one.type("wal\x1a\x1c\x1b[A\x1b[B dex\x16\x11 zoo kan\r")
    one.ends(0)
    assert one.answer == CODE


def test_what_is_typed_before_the_line_is_there_is_hidden_and_kept(
    terminal: Start, tmp_path: Path
) -> None:
    shell = terminal("sh", cwd=tmp_path, PS1="$ ", ENV="", PYTHONPATH=str(Path.cwd()))
    shown = shell.spawned.logfile_read = io.StringIO()
    shell.line(f"{asker(tmp_path)}; echo st=$?")
    asking = until(lambda: children(shell.pid))[0]
    until(lambda: children(asking))  # long before it has loaded what draws a line
    shell.spawned.send("wal-dex-zoo-kan\r")
    shell.sees("st=0")
    assert (tmp_path / "answer").read_text() == CODE
    assert "wal" not in shown.getvalue()


def test_the_asking_process_loads_no_event_loop(asked: Callable[..., Asked]) -> None:
    one = asked()
    one.type("wal\r")
    one.ends(0)
    loaded = (one.tmp / "modules").read_text().split()
    assert not {"prompt_toolkit", "asyncio", "threading"} & set(loaded)


@pytest.mark.parametrize("term", [LINE, PLAIN])
@pytest.mark.parametrize("typed", ["", "wal"])
def test_ctrl_c_ends_it_with_the_terminal_as_it_was(
    asked: Callable[..., Asked], term: str, typed: str
) -> None:
    one = asked(term)
    one.type(typed + "\x03")
    assert "wal" not in one.ends(130)


@pytest.mark.parametrize("term", [LINE, PLAIN])
def test_ctrl_d_gives_up(asked: Callable[..., Asked], term: str) -> None:
    one = asked(term)
    one.type("\x04")
    assert "cannot get the code: none was typed\r\n" in one.ends(1)


@pytest.mark.parametrize("term", [LINE, PLAIN])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_the_terminal_as_it_was(
    asked: Callable[..., Asked], term: str, number: signal.Signals
) -> None:
    one = asked(term)
    one.type("wal")
    below = children(one.pid)
    assert len(below) == (1 if term == LINE else 0)
    os.kill(one.pid, number)
    assert "wal" not in one.ends(128 + number)
    assert not any(map(alive, below))


def test_a_line_whose_process_is_killed_is_told_in_one(asked: Callable[..., Asked]) -> None:
    one = asked()
    os.kill(children(one.pid)[0], signal.SIGKILL)
    shown = one.ends(1)
    assert "cannot get the code: the process that asks was killed by SIGKILL\r\n" in shown
    assert "\x1b[?2004l" in shown, "pasting is as it was, too"


def test_the_line_goes_when_who_asked_is_killed(asked: Callable[..., Asked]) -> None:
    one = asked()
    line = children(one.pid)[0]
    os.kill(one.pid, signal.SIGKILL)
    until(lambda: not alive(line))


def test_a_terminal_that_hangs_up_leaves_nobody_behind(terminal: Start, tmp_path: Path) -> None:
    asker(tmp_path)
    for term in (LINE, PLAIN):
        one = terminal(
            sys.executable, "asker.py", cwd=tmp_path, TERM=term, PYTHONPATH=str(Path.cwd())
        )
        one.sees("code:")
        pids = [one.pid, *children(one.pid)]
        one.spawned.ptyproc.fileobj.close()
        until(lambda pids=pids: not any(map(alive, pids)))


def test_a_terminal_that_can_do_nothing_hides_a_plain_line(asked: Callable[..., Asked]) -> None:
    one = asked(PLAIN)
    one.type("\r")
    one.shell.sees("code:")
    one.type(" , \r")
    one.shell.sees("code:")
    one.type("walx\x7f dex\x1a\x1c zoo\tkan\r")
    assert one.ends(0) == "\r\ncode: \r\ncode: \r\n"
    assert one.answer == "walrus-dexterity-zookeeper-kangaroo"


def test_with_other_input_it_is_asked_on_the_terminal(terminal: Start, tmp_path: Path) -> None:
    (tmp_path / "input").write_text("not the code\n")
    one = Asked(terminal, tmp_path, PLAIN, "< input")
    one.type("wal dex zoo kan\r")
    assert one.ends(0) == "\r\n"
    assert one.answer == CODE
    again = Asked(terminal, tmp_path, PLAIN, "< /dev/null > out 2> err")
    again.type("\x04")
    again.ends(1)
    assert (tmp_path / "out").read_text() == ""
    assert (tmp_path / "err").read_text() == "cannot get the code: none was typed\n"


def test_standard_output_may_be_a_file(terminal: Start, tmp_path: Path) -> None:
    one = Asked(terminal, tmp_path, LINE, "> out")
    one.type("wal dex zoo kan\r")
    one.ends(0)
    assert one.answer == CODE
    assert (tmp_path / "out").read_bytes() == b""


def test_without_a_terminal_it_says_how_scripts_give_it(tmp_path: Path) -> None:
    asker(tmp_path)
    done = subprocess.run(
        [sys.executable, "asker.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that there is no /dev/tty either
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.decode() == (
        "cannot ask for the code: there is no terminal; set DUPLEX_CODE, or use --code-file\n"
    )


def test_it_is_as_a_person_sees_it_and_then_gone(tmux: Tmux) -> None:
    tmux.line(f"clear; {asker(tmux.cwd)}")
    tmux.sees("code:\n4 words, or 3 letters of each; Tab completes a word, Ctrl-C gives up")
    tmux.type("wal")
    tmux.sees("code: ***\n1 of 4 words")
    tmux.key("Tab")
    tmux.sees("code: *******\n1 of 4 words")
    tmux.type("xx")
    tmux.sees("code: *********\n1 of 4 words; no listed word begins so")
    assert "\x1b[2m1 of 4" in tmux.painted
    tmux.type(" zoo kan")
    tmux.sees("code: *****************\n4 of 4 words; word 2 is not a listed one")
    tmux.key("Enter")
    tmux.is_left()  # what is typed before that is its own
    tmux.prompt_again()
    assert "*" not in tmux.all
    assert "code:" not in tmux.all
    assert "of 4" not in tmux.all


def test_it_leaves_nothing_at_the_bottom_of_the_screen_either(tmux: Tmux) -> None:
    tmux.line(f"seq 100; {asker(tmux.cwd)}")
    tmux.sees("100\ncode:\n4 words")
    tmux.type("wal dex " + "zoo " * 40)
    tmux.sees("42 words")
    tmux.key("Enter")
    tmux.is_left()  # what is typed before that is its own
    tmux.prompt_again()
    assert "*" not in tmux.all
    assert "\n100\n$ echo" in tmux.all
    assert "code:" not in tmux.all


def test_it_leaves_nothing_however_the_window_was_resized(tmux: Tmux) -> None:
    tmux.line(f"seq 100; {asker(tmux.cwd)}")
    tmux.sees("100\ncode:\n4 words")
    tmux.type("wal dex " + "zoo " * 60)
    tmux.sees("62 words")
    for width in (70, 50, 120, 60):
        tmux.tmux("resize-window", "-x", str(width), "-y", "24")
    until(lambda: tmux.screen.count("code:") == 1 and tmux.screen.count("62 words") == 1)
    tmux.key("Enter")
    tmux.is_left()  # what is typed before that is its own
    tmux.prompt_again()
    assert "*" not in tmux.all
    assert "code:" not in tmux.all


def test_no_color_is_heeded(tmux: Tmux) -> None:
    tmux.line(f"clear; NO_COLOR=1 {asker(tmux.cwd)}")
    tmux.sees("code:\n4 words")
    assert "\x1b[2m" not in tmux.painted


@pytest.mark.parametrize(
    ("typed", "rest"),
    [
        ("", None),
        ("w", None),
        ("wal", "rus-"),
        ("WALR", "us-"),
        ("walrus", "-"),
        ("walrus-", None),
        ("xyz", None),
        ("a b c,kan", "garoo"),  # the last word needs no hyphen
        ("a-b-c-kangaroo", ""),
    ],
)
def test_what_tab_adds(typed: str, rest: str | None) -> None:
    assert rest_of_word(typed) == rest


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("w", "0 of 4 words"),
        ("wal ", "1 of 4 words"),
        ("qq", "0 of 4 words; no listed word begins so"),
        ("wal qq de", "2 of 4 words; word 2 is not a listed one"),
        ("wal-yo-yo-dex", "3 of 4 words"),
        ("wal dex zoo kan", "4 of 4 words; Enter"),
        ("wal dex zoo kan-wal", "5 words"),
    ],
)
def test_hints_tell_how_far_one_is(typed: str, hint: str) -> None:
    assert hint_for(typed) == hint
