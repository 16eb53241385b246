"""A room as a job of a shell: in the background, suspended, brought back, and its terminal lost."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from room_support import Client
from support import ROOM, Terminal, alive, children, events, room_log, until

COMMAND = shlex.join([*ROOM, "0", "--rate", "0"])


class Shell:
    """An interactive bash on a terminal, with job control, and the room that it starts."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        command = ["bash", "--norc", "--noprofile", "-i"]
        self.terminal = Terminal(command, cwd, PS1="$ ", PROMPT_COMMAND="", HISTFILE="")
        self.sees = self.terminal.sees
        self.port = 0
        self.pids: list[int] = []  # the shell's child, and the host
        self.mode = self.told("stty -g")

    def line(self, text: str) -> None:
        self.terminal.line(text)

    def told(self, command: str) -> str:
        """What a command prints, in one line."""
        mark = f"mark{time.monotonic_ns()}"
        self.line(f'echo "{mark[:6]}""{mark[6:]}<$({command})>"')
        self.terminal.spawned.expect(rf"{mark}<(.*?)>")
        return str(self.terminal.spawned.match[1])

    def starts(self, command: str) -> None:
        """Start a room, and wait until it listens."""
        self.line(command)
        self.terminal.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
        self.port = int(self.terminal.spawned.match[1])
        (front,) = children(self.terminal.pid)
        self.pids = [front, until(lambda: children(front))[0]]

    def enter(self, nick: str) -> Client:
        client = Client(self.port)
        client.say(f"/nick {nick}")
        client.sees(f"! you are {nick} now")
        return client

    def is_well(self, nick: str) -> None:
        """Somebody comes, is heard, and goes: host and members are at work."""
        one, other = self.enter(nick), self.enter(f"{nick}-too")
        one.say("hello")
        other.sees(f"<{nick}> hello")
        for client in (one, other):
            client.say("/quit")
            client.reads_to_the_end()

    def has_its_terminal_back(self) -> None:
        assert self.told("stty -g") == self.mode

    def has_ended(self) -> None:
        until(lambda: not any(map(alive, self.pids)))
        assert events(room_log(self.cwd))[-1] == "the room closed"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path / "room")
    yield made
    for pid in made.pids:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    made.terminal.stop()


@pytest.mark.parametrize("mode", ["", "stty tostop; "])
def test_in_the_background_a_room_serves_as_without_a_screen(shell: Shell, mode: str) -> None:
    shell.starts(f"{mode}{COMMAND} &")
    shell.is_well("ann")
    shell.is_well("bob")
    assert "Running" in shell.told("jobs")
    assert all(map(alive, shell.pids))
    shell.line("fg")
    shell.is_well("eve")
    shell.terminal.key("c")
    shell.has_ended()
    assert shell.told("echo $?") == "0"


def test_ctrl_z_suspends_the_screen_and_the_room_goes_on(shell: Shell) -> None:
    shell.starts(COMMAND)
    shell.sees("and you are host")
    ann = shell.enter("ann")
    shell.terminal.key("z")
    shell.sees("Stopped")
    shell.has_its_terminal_back()
    ann.say("said meanwhile")
    shell.is_well("bob")
    shell.line("bg")  # it needs the terminal, and stops again
    until(lambda: "Stopped" in shell.told("jobs"))
    shell.is_well("eve")
    shell.line("fg")
    shell.sees("said meanwhile")
    shell.line("/close until tomorrow")
    assert ann.reads_to_the_end()[-1].endswith("* the room closed: until tomorrow")
    until(lambda: not any(map(alive, shell.pids)))
    shell.has_its_terminal_back()


def test_a_suspended_room_that_is_told_to_end_does_and_leaves_the_terminal_alone(
    shell: Shell,
) -> None:
    shell.starts(COMMAND)
    shell.sees("and you are host")
    ann = shell.enter("ann")
    shell.terminal.key("z")
    shell.sees("Stopped")
    ann.say("one more")
    shell.line("kill %1")
    shell.has_ended()
    assert ann.reads_to_the_end()[-1].endswith("* the room closed")
    shell.has_its_terminal_back()
    assert shell.told("jobs") == ""


def test_ctrl_z_without_a_screen_gives_the_shell_back_and_the_room_goes_on(shell: Shell) -> None:
    shell.starts(f"{COMMAND} --plain")
    ann = shell.enter("ann")
    shell.terminal.key("z")
    shell.sees("Stopped")
    shell.is_well("bob")
    shell.line("fg")
    shell.is_well("eve")
    shell.terminal.key("c")
    assert ann.reads_to_the_end()[-1].endswith("* the room closed")
    shell.has_ended()


def screen_of(host: int) -> int:
    """It is the one that has forked."""
    return until(lambda: [pid for pid in children(host) if children(pid)])[0]


def test_a_killed_screen_closes_the_room_with_a_status_and_the_terminal_is_as_it_was(
    shell: Shell,
) -> None:
    shell.starts(COMMAND)
    shell.sees("and you are host")
    ann = shell.enter("ann")
    os.kill(screen_of(shell.pids[1]), signal.SIGKILL)
    shell.sees("the screen was killed by SIGKILL: the room closes")
    assert ann.reads_to_the_end()[-1].endswith("* the room closed")
    shell.has_ended()
    assert shell.told("echo $?") == "1"
    shell.has_its_terminal_back()


@pytest.mark.parametrize("which", [0, 1])
def test_when_either_process_of_the_host_is_killed_nothing_is_left_behind(
    shell: Shell, which: int
) -> None:
    shell.starts(COMMAND)
    shell.sees("and you are host")
    ann = shell.enter("ann")
    family = [*shell.pids, *children(shell.pids[1])]
    os.kill(shell.pids[which], signal.SIGKILL)
    end = ann.reads_to_the_end()[-1]
    assert end.endswith("* the room closed") == (which == 0)  # who stands before it is missed
    until(lambda: not any(map(alive, family)))
    if which == 1:
        assert shell.told("echo $?") == "137"
    shell.has_its_terminal_back()


@pytest.mark.parametrize("more", [[], ["--plain"]])
def test_the_end_of_the_terminal_is_the_end_of_the_room(
    tmp_path: Path, terminal: Callable[..., Terminal], more: list[str]
) -> None:
    """The status is a hangup's: 128 and SIGHUP."""
    window = terminal(*ROOM, "0", *more, cwd=tmp_path)
    window.spawned.expect(r"listening on 127\.0\.0\.1:(\d+)")
    ann = Client(int(window.spawned.match[1]))
    ann.say("/nick ann")
    ann.sees("! you are ann now")
    if not more:
        window.sees("and you are host")
    window.hang_up()
    assert ann.reads_to_the_end()[-1].endswith("* the room closed")
    assert window.spawned.wait() == 129
    assert events(room_log(tmp_path))[-1] == "the room closed"


def test_a_terminal_that_ends_and_tells_nobody_is_the_end_of_the_room(
    tmp_path: Path, terminal: Callable[..., Terminal]
) -> None:
    """The signal is the session's first process's, which goes on here."""
    status = tmp_path / "status"
    room = f"trap : HUP; {COMMAND}; echo $? > {shlex.quote(str(status))}"
    window = terminal("bash", "-c", room, cwd=tmp_path)
    window.sees("and you are host")
    window.hang_up()
    until(status.exists)
    assert until(status.read_text) == "129\n"
    assert events(room_log(tmp_path))[-1] == "the room closed"


def test_a_room_of_a_shell_that_leaves_ends_with_it(shell: Shell) -> None:
    shell.starts(f"{COMMAND} &")
    ann = shell.enter("ann")
    shell.terminal.hang_up()
    assert ann.reads_to_the_end()[-1].endswith("* the room closed")
    shell.has_ended()
