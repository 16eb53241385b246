"""A terminal, and a talk in it, for each test that asks for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from screen_support import BAR, Start, Talk
from tmux import Tmux


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Callable[..., Tmux]]:
    made: list[Tmux] = []

    def start(**env: str) -> Tmux:
        made.append(Tmux(tmp_path, **env))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def at(tmux: Callable[..., Tmux]) -> Tmux:
    return tmux()


@pytest.fixture
def start(at: Tmux) -> Iterator[Start]:
    made: list[Talk] = []

    def begin(*options: str, where: Tmux = at, variables: str = "") -> Talk:
        made.append(Talk(where, *options, variables=variables))
        return made[-1]

    yield begin
    for one in made:
        one.close()


@pytest.fixture
def talk(start: Start) -> Talk:
    made = start()
    made.at.sees(BAR)
    return made
