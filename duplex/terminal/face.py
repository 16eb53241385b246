"""The face of a talk between two on the screen: how lines look, and what stands in the bar.

Runs in the parent, with the screen, which asks it for all that differs between a talk and a room
(room_face.py). Reads the talk, and changes nothing of it; knows nothing of prompt_toolkit.
"""

from __future__ import annotations

import time

from duplex.terminal.paint import painted, painted_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.talk import Talk


class Face:
    """What the screen asks for. Shown lines are bytes for the terminal, newline-ended."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def painted(self, lines: bytes) -> bytes:
        """What the talk's `read_report` has given to be shown."""
        return painted(lines)

    def echo(self, text: str) -> bytes:
        """A line that was just typed."""
        return painted_own(text)

    def pending(self) -> list[str]:
        """What was said and has not arrived, as lines above the input line."""
        return []

    def candidates(self, _before: str) -> list[str]:
        """What the text before the cursor can be completed to."""
        return []

    def bar(self) -> str:
        talk = self._talk
        return self._joined(talk.peer + " " + talk.address, self._clock(), *self._keeping())

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._talk.started), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

    def _keeping(self) -> tuple[str, ...]:
        return self._talk.channel_name, self._talk.transcript_path or "no transcript"

    def _joined(self, *parts: str) -> str:
        return f" {' · '.join(parts)} "
