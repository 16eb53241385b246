"""A talk between two on the screen: how lines look, and what stands in the bar.

Runs in the parent, with the screen, which asks it for all that differs between a talk and a room
(room_view.py). Reads the talk, and changes nothing of it; knows nothing of prompt_toolkit.
"""

from __future__ import annotations

import time

from duplex.terminal.paint import PEER
from duplex.transcript.record import parse
from duplex.transcript.sanitize import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.talk import ui
    from duplex.terminal.paint import Painter

PENDING = 5  # rows of what has not arrived, at most


class TalkView:
    """What the screen asks for. Shown lines are bytes for the terminal, newline-ended."""

    def __init__(self, talk: ui.Talk, painter: Painter) -> None:
        self._talk = talk
        self._painter = painter

    def painted(self, lines: bytes) -> bytes:
        """What the talk's `read_report` has given to be shown."""
        shown = []
        for line in lines.splitlines():
            if (parts := parse(line)) and parts.nick is not None:
                head = parts.nick.decode() + ": "
                text = parts.text.decode()
                shown.append(self._painter.record(parts.at, [(PEER, head)], [(PEER, text)]))
        return "".join(shown).encode()

    def echo(self, text: str) -> bytes:
        """A line that was just typed, or pasted, and may hold anything."""
        painter = self._painter
        shown = painter.line(painter.now(), [("", "me: ")], [("", visible(text))])
        return shown.encode("utf-8", "replace")

    def pending(self) -> list[str]:
        """What was said and has not arrived, as lines above the input line."""
        return self._rows(self._talk.unconfirmed.decode("utf-8", "replace").split("\n")[:-1])

    def asks_before(self, _line: str) -> str:
        """What to ask before this line is carried out; "" for nothing."""
        return ""

    def leaving(self) -> str:
        """What the end of this program does."""
        return "ends the talk"

    def candidates(self, _before: str) -> list[str]:
        """What the text before the cursor can be completed to."""
        return []

    def bar(self) -> str:
        talk = self._talk
        return self._joined(talk.peer + " " + talk.address, self._clock(), *self._keeping())

    def _rows(self, lines: list[str]) -> list[str]:
        """Of what has not arrived, PENDING rows at most."""
        more = len(lines) - PENDING + 1 if len(lines) > PENDING else 0
        shown = [visible(line) for line in lines[: PENDING - 1 if more else PENDING]]
        return [f"… {line}" for line in [*shown, *([f"and {more} more"] if more else [])]]

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._talk.started), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

    def _keeping(self) -> tuple[str, ...]:
        return self._talk.channel_name, self._talk.transcript_path or "no transcript"

    def _joined(self, *parts: str) -> str:
        return f" {' · '.join(parts)} "
