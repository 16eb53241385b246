"""What a screen is to a session, and what a session and a room are to a screen.

Types alone: the session (session.py) knows no screen, and a screen (terminal/) nothing of talks and
rooms but this. Who makes both (cli/) hands the one to the other.
"""

from __future__ import annotations

import re
from typing import Protocol

from duplex.system.process import Signals


class Screen(Protocol):
    """One talk on one terminal. What it shows goes above its input line, if that is there."""

    running: bool  # the input line is there

    @property
    def busy(self) -> bool: ...  # it prints: whatever else is reported has to wait

    def run(self) -> None: ...  # until the talk is over

    def enter_room(self, room: Room) -> None: ...  # the peer is one

    def tell(self, text: str) -> None: ...  # a line of the program's own

    def echo(self, lines: bytes) -> None: ...  # what this side has said

    def show(self, records: bytes) -> None: ...  # what was heard

    def take_draft(self) -> bytes: ...  # what was typed and not said when `run` has returned

    def close(self) -> None: ...


class Speech(Protocol):
    """What is typed."""

    def say(self, data: bytes) -> None: ...  # lines, and the beginning of one; they may mean things

    def say_text(self, lines: bytes) -> None: ...  # whole lines that mean nothing but themselves


class Talk(Protocol):
    """A session, as its screen sees it. After each call of it, it may be over.

    `turn(0)` acts on what has happened. It is to be called when something has happened of what is
    `wanted` (descriptors, and events of poll(2); both change with each turn), and when it is `due`
    (in seconds; None: not of itself).
    """

    signals: Signals
    peer: str
    address: str
    channel_name: str
    started: float  # monotonic
    unconfirmed: bytes  # lines said that may still be refused: they were not echoed yet
    ahead: bytes  # what was typed before there was anybody to hear it

    @property
    def ending(self) -> object: ...  # it is over, unless this is None

    @property
    def policy(self) -> Speech: ...

    @property
    def transcript_path(self) -> str | None: ...

    def end_saying(self) -> None: ...  # nothing more is typed; once that is so, the talk ends

    def interrupted(self, number: int) -> None: ...  # by a signal, or by the key that means it

    def wanted(self) -> dict[int, int]: ...

    def due(self) -> float | None: ...

    def turn(self, seconds: float | None) -> None: ...


class People(Protocol):
    """Who is in a room, as far as is known."""

    nicks: set[str]

    def __len__(self) -> int: ...


class Room(Protocol):
    """What is known of a room that one is in."""

    name: str
    nick: str  # one's own
    mention: re.Pattern[str]  # finds it in what others say
    operates: bool  # the room is this program's own, and who sits here keeps it

    @property
    def people(self) -> People: ...

    @property
    def live(self) -> bool: ...  # all that was recorded before we came has come

    @property
    def away(self) -> bool: ...  # the connection is lost

    def pending(self) -> list[str]: ...  # lines said and not recorded

    def take_call(self) -> bool: ...  # whether one was spoken to since this was asked last

    def leaves_by(self, line: str) -> bool: ...  # whether that line, typed here, is the last one
