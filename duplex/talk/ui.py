"""What a screen is to a session, and what a session and a room are to a screen.

Types alone: the session (session.py) knows no screen, and a screen (terminal/) nothing of talks and
rooms but this. Who makes both (cli/) hands the one to the other.
"""

from __future__ import annotations

import re
from typing import Protocol

from duplex.system.process import Signals


class Screen(Protocol):
    """One talk on one terminal."""

    running: bool  # the input line is there

    @property
    def busy(self) -> bool:
        """It prints: whatever else is reported has to wait."""

    def run(self) -> None:
        """Until the talk is over; calls `turn` whenever what is `wanted` has happened."""

    def enter_room(self, room: Room) -> None:
        """The peer is a room."""

    def tell(self, text: str) -> None:
        """Show a line of the program's own."""

    def echo(self, lines: bytes) -> None:
        """Show what this side has said."""

    def show(self, records: bytes) -> None:
        """Show what was heard, also when `run` has returned."""

    def take_draft(self) -> bytes:
        """What was typed and not said when `run` has returned."""

    def close(self) -> None:
        """The terminal is somebody else's from now on."""


class Speech(Protocol):
    """What is typed."""

    def say(self, data: bytes) -> None:
        """Lines, and the beginning of one; they may mean something."""

    def say_text(self, lines: bytes) -> None:
        """Whole lines that mean nothing but themselves."""


class Talk(Protocol):
    """A session, as its screen sees it. After each call of it, it may be over."""

    signals: Signals
    peer: str
    address: str
    channel_name: str
    started: float  # monotonic
    unconfirmed: bytes  # lines said that may still be refused: they were not echoed yet
    ahead: bytes  # what was typed before there was anybody to hear it

    @property
    def ending(self) -> object:
        """It is over, unless this is None."""

    @property
    def policy(self) -> Speech: ...

    @property
    def transcript_path(self) -> str | None: ...

    def end_saying(self) -> None:
        """Nothing more is typed; once that is so, the talk ends."""

    def interrupted(self, number: int) -> None:
        """A signal, or the key that means it."""

    def wanted(self) -> dict[int, int]:
        """Descriptors and the events of poll(2) that `turn` is to be called for, as of now."""

    def due(self) -> float | None:
        """Seconds until it is to be called in any case."""

    def turn(self, seconds: float | None) -> None:
        """Act on what has happened; 0: wait for nothing."""


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
    def company(self) -> People: ...

    @property
    def live(self) -> bool:
        """All that was recorded before we came has come."""

    @property
    def away(self) -> bool:
        """The connection is lost."""

    def pending(self) -> list[str]:
        """Lines said and not recorded."""

    def take_call(self) -> bool:
        """Whether one was spoken to since this was asked last."""

    def leaves_by(self, line: str) -> bool:
        """Whether that line, typed here, is the last one."""
