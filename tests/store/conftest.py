"""Servers and hosts that are ended whatever happens."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from rooms_support import Rooms
from store_support import NEWEST, Host, Server, server_program
from support import Duo

if importlib.util.find_spec("redis") is None:
    collect_ignore_glob = ["test_*"]


@pytest.fixture
def program(request: pytest.FixtureRequest) -> str:
    """The server's, of those that `every_server` names."""
    return server_program(getattr(request, "param", NEWEST))


@pytest.fixture
def start_server(tmp_path: Path, program: str) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def start(**options: object) -> Server:
        made.append(Server(tmp_path, program=program, **options))
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


@pytest.fixture
def start_rooms(duo: Duo) -> Iterator[Callable[..., Rooms]]:
    made: list[Rooms] = []

    def start(server: Server) -> Rooms:
        made.append(Rooms(duo, server))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def rooms(start_rooms: Callable[..., Rooms], server: Server) -> Rooms:
    return start_rooms(server)
