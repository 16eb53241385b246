"""What a session asks of its policy: all that differs between a talk of two and somebody's room.

Runs in the parent. pair.py is the policy of a talk; client/ has those of `duplex connect`, where it
is found out first who answers. Knows how a session ends, and no connection.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from duplex.talk import ui


class Ending:
    """How a session ended: the exit status, and the text for the user and the transcript."""

    def __init__(
        self,
        status: int,
        text: str,
        *,
        ours: bool = False,
        told: bool = True,
        stranger: bool = False,
        word: bytes = b"",
        unsaid: bytes = b"",
    ) -> None:
        self.status = status
        self.text = text
        self.ours = ours  # this side ended it, so that --keep does not wait for another peer
        self.told = told  # the user is to be told; who ended it himself need not be
        self.stranger = stranger  # who had come speaks something else: nothing is lost by waiting
        self.word = word  # among what was said, that has ended it
        self.unsaid = unsaid  # what stood after that


class Policy:
    """Its session calls it; it acts on the session, and on the session's connection."""

    # By what the child reports; called with the rest of the report.
    ways: dict[str, Callable[[str], None]]

    def receiving(self, *parts: Any) -> Callable[[], int]:
        """Only the child runs this: all that it does after its fork (talk/receiver.py)."""
        raise NotImplementedError

    def before_screen(self) -> None:
        """The child runs, and the screen is yet to be loaded."""

    def appear(self, screen: ui.Screen) -> None:
        """Now it is there. It shows a talk of two, unless it is told otherwise."""

    def say(self, data: bytes) -> None:
        """What was typed."""
        raise NotImplementedError

    def say_text(self, lines: bytes) -> None:
        """Whole lines as they are."""
        raise NotImplementedError

    def stop_saying(self) -> None:
        """Say no more: nothing else is typed."""
        raise NotImplementedError

    def takes_input(self) -> bool:
        """Whether standard input is to be read now."""
        raise NotImplementedError

    def pump(self) -> None:
        """Send what can be sent."""
        raise NotImplementedError

    def due(self) -> float | None:
        """Seconds until `look` has something to see; None: unless something happens, nothing."""
        return None

    def look(self) -> None:
        """See what has come of the peer, and what time has brought."""
        raise NotImplementedError

    def on_line(self, line: bytes) -> bytes:
        """A line that the child hands on; what of it is to be shown on the screen."""
        raise NotImplementedError

    def lost(self, reason: str) -> None:
        """This side has seen that the connection is."""
        raise NotImplementedError

    def unsendable(self) -> None:
        """Nothing more can be sent: the reason went to the child, whose report is on its way."""
        raise NotImplementedError

    def deliver(self, ending: Ending) -> None:
        """It is over: what is to be done before the child is told to end."""

    def announce(self, ending: Ending) -> None:
        """Tell and record how it ended."""
        raise NotImplementedError

    def unsaid(self) -> bytes:
        """What was typed and is not said: lines, and the beginning of one."""
        return b""
