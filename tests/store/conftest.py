"""Servers and hosts that are ended whatever happens."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from store_support import Host, Server

if importlib.util.find_spec("redis") is None:
    collect_ignore_glob = ["test_*"]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def start(**options: object) -> Server:
        made.append(Server(tmp_path, **options))
        return made[-1]

    yield start
    for one in made:
        one.kill()


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    return start_server()


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    made: list[Host] = []

    def start(server: Server, name: str, **options: object) -> Host:
        made.append(Host(server, tmp_path, name, **options))
        return made[-1]

    yield start
    for one in made:
        one.close()
