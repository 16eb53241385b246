"""What the tests of a talk's screen share: a listener in a tmux, and a bare socket for its peer."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

import pytest
from support import DEADLINE, children, until
from tmux import Tmux

BAR = "· not encrypted ·"


class Talk:
    """A `duplex listen` in a terminal, and the peer's bare socket."""

    def __init__(self, at: Tmux, *options: str, variables: str = "") -> None:
        self.at = at
        at.line(f"{variables} ./duplex listen 0 {' '.join(options)}")
        match = until(lambda: re.search(r"listening on 127\.0\.0\.1:(\d+)", at.all))
        self.peer = socket.create_connection(("127.0.0.1", int(match[1])), timeout=DEADLINE)
        self.heard = self.peer.makefile(encoding="utf-8", newline="\n")
        self.log = at.cwd / "logs" / "client_input.log"
        at.sees("connected from ")

    @property
    def pid(self) -> int:
        return children(int(self.at.told("pane_pid")))[0]

    def says(self, *lines: str) -> None:
        self.peer.sendall("".join(line + "\n" for line in lines).encode())

    def hears(self) -> str:
        return self.heard.readline().removesuffix("\n")

    def input_line(self) -> str:
        """What stands at the prompt, its rows joined; "" while there is none."""
        *above, bar = self.at.screen.split("\n")
        if BAR not in bar:
            return ""
        rows: list[str] = []
        for row in reversed(above):
            rows.insert(0, row)
            if row.startswith(">"):
                return "".join(rows)
        return ""

    def shows_input(self, text: str) -> None:
        expected = f"> {text}".rstrip()
        shown = ""

        def as_expected() -> bool:
            nonlocal shown
            shown = self.input_line()
            return shown == expected

        try:
            until(as_expected)
        except pytest.fail.Exception:
            pytest.fail(f"{shown!r} at the prompt, not {expected!r}, of:\n{self.at.screen}")

    def close(self) -> None:
        self.heard.close()
        self.peer.close()


Start = Callable[..., Talk]
