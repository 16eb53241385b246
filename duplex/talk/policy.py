"""What a policy is to a session: all that differs between a talk of two and somebody's room.

Types alone. pair.py is the one of a talk; client/ has those of `duplex connect`, where it is found
out first who answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from duplex.talk import ui
from duplex.talk.ending import Ending


class Policy(Protocol):
    """Its session calls it; it acts on the session, and on the session's connection."""

    ways: dict[str, Callable[[str], None]]  # by what the child reports; called with the rest

    def receiving(self, *parts: Any) -> Callable[[], int]:
        """Only the child runs this: all that it does after its fork (talk/receiver.py)."""

    def before_screen(self) -> None:
        """The child runs, and the screen is yet to be loaded."""

    def appear(self, screen: ui.Screen) -> None:
        """Now it is there."""

    def say(self, data: bytes) -> None:
        """What was typed."""

    def say_text(self, lines: bytes) -> None:
        """Whole lines as they are."""

    def stop_saying(self) -> None:
        """Say no more: nothing else is typed."""

    def takes_input(self) -> bool:
        """Whether standard input is to be read now."""

    def pump(self) -> None:
        """Send what can be sent."""

    def due(self) -> float | None:
        """Seconds until `look` has something to see; None: unless something happens, nothing."""

    def look(self) -> None:
        """See what has come of the peer, and what time has brought."""

    def on_line(self, line: bytes) -> bytes:
        """A line that the child hands on; what of it is to be shown on the screen."""

    def lost(self, reason: str) -> None:
        """This side has seen that the connection is."""

    def unsendable(self) -> None:
        """Nothing more can be sent: the reason went to the child, whose report is on its way."""

    def deliver(self, ending: Ending) -> None:
        """It is over: what is to be done before the child is told to end."""

    def announce(self, ending: Ending) -> None:
        """Tell and record how it ended."""

    def unsaid(self) -> bytes:
        """What was typed and is not said: lines, and the beginning of one."""
