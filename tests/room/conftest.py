"""A room for each test that asks for one, ended whatever happens."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from proxy import Proxy
from room_support import Room
from support import Duo


@pytest.fixture
def open_room(duo: Duo) -> Iterator[Callable[..., Room]]:
    made: list[Room] = []

    def start(*args: str, **options: Any) -> Room:
        made.append(Room(duo, *args, **options))
        return made[-1]

    yield start
    for one in made:
        one.stop()
        assert "internal error" not in one.host.err, one.host.err


@pytest.fixture
def room(open_room: Callable[..., Room]) -> Room:
    """One without a limit of lines a second."""
    return open_room()


@pytest.fixture
def proxy(rng: random.Random) -> Iterator[Callable[[int], Proxy]]:
    """Somebody between a client and its room, who cuts connections."""
    made: list[Proxy] = []

    def start(port: int) -> Proxy:
        made.append(Proxy(port, rng))
        return made[-1]

    yield start
    for one in made:
        one.close()
