"""Two people who talk, each at a terminal of his own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support import DUPLEX, Terminal

Start = Callable[..., Terminal]


class Pair:
    """Two people, each at a terminal."""

    def __init__(self, start: Start, tmp: Path, *options: str) -> None:
        self.listener = start(*DUPLEX, "listen", "0", *options, cwd=tmp / "l")
        self.listener.spawned.expect(r"listening on 127\.0\.0\.1:(\d+), this machine only")
        self.port = self.listener.spawned.match[1]
        self.connector = start(*DUPLEX, "connect", "127.0.0.1", self.port, *options, cwd=tmp / "c")
        if "--plain" not in options:
            self.listener.is_ready()
            self.connector.is_ready()
        else:
            self.listener.sees("connected from")
            self.connector.sees("connected to")
        self.heard_by_listener = tmp / "l" / "logs" / "client_input.log"
        self.heard_by_connector = tmp / "c" / "logs" / "server_input.log"
