"""A terminal as a person has it: a tmux with a shell in it, by what it shows, and what is typed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import DUPLEX, children, needs, until

WIDTH, HEIGHT = 100, 24


class Tmux:
    """A terminal with a shell in it, by what it shows and what is typed into it."""

    def __init__(self, cwd: Path, **env: str) -> None:
        self.cwd = cwd
        self._tmux = [needs("tmux"), "-u", "-L", f"duplex-{os.getpid()}-{time.monotonic_ns()}"]
        (cwd / "duplex").write_text(f'#!/bin/sh\nexec {shlex.join(DUPLEX)} "$@"\n')
        (cwd / "duplex").chmod(0o700)
        (cwd / "tmux.conf").write_text(
            "set -g history-limit 20000\nset -g status off\nset -g escape-time 0\n"
        )
        variables = {
            name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ
        }
        variables |= {
            "LC_ALL": "C.UTF-8",
            "PS1": "$ ",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        shell = ["bash", "--norc", "--noprofile"]
        subprocess.run(
            [*self._tmux, "-f", str(cwd / "tmux.conf"), "new-session", "-d", *size, *shell],
            cwd=cwd,
            env={**variables, **env},
            check=True,
        )
        until(lambda: "$" in self.screen)

    def stop(self) -> None:
        pid = int(self.told("pane_pid"))
        below = [pid]
        for one in below:  # the shell, duplex, its receiver
            below += children(one)
        self.tmux("kill-server")
        for one in below:
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def tmux(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], stdout=subprocess.PIPE, check=True)
        return done.stdout.decode()

    def told(self, variable: str) -> str:
        return self.tmux("display-message", "-p", f"#{{{variable}}}").strip()

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", "--", text)

    def key(self, *names: str) -> None:
        self.tmux("send-keys", *names)

    def line(self, text: str) -> None:
        self.type(text)
        self.key("Enter")

    @property
    def screen(self) -> str:
        """What is to be seen just now."""
        return self.tmux("capture-pane", "-p").rstrip("\n")

    @property
    def painted(self) -> str:
        """The same with its colours."""
        return self.tmux("capture-pane", "-p", "-e")

    @property
    def all(self) -> str:
        """That and what has scrolled away, lines that wrap as one."""
        return self.tmux("capture-pane", "-p", "-J", "-S", "-")

    def sees(self, text: str) -> None:
        shown = ""

        def seen() -> bool:
            nonlocal shown
            shown = self.all
            return text in shown

        try:
            until(seen)
        except pytest.fail.Exception:
            pytest.fail(f"no {text!r} in:\n{shown}")

    def is_left(self) -> None:
        """Wait until nothing runs in the shell."""
        until(lambda: not children(int(self.told("pane_pid"))))

    def prompt_again(self) -> None:
        """Wait until the shell has carried its command out, and takes the next."""
        marker = f"marker{time.monotonic_ns()}"
        self.line(f'echo {marker[:9]}""{marker[9:]}')
        self.sees(f"\n{marker}")
