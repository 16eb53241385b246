"""Records as a terminal shows them: local time, dim; then who, and what.

Pure computation. Knows nothing of prompt_toolkit or of where the bytes go.
"""

from __future__ import annotations

import os
from datetime import datetime

from duplex.record import parse
from duplex.text import visible

_DIM, _PEER, _RESET = b"\x1b[2m", b"\x1b[36m", b"\x1b[0m"


def painted(records: bytes) -> bytes:
    """`12:34:56 client: hello` for each record of what the peer says."""
    lines = []
    for line in records.splitlines():
        if (parts := parse(line)) and parts.nick is not None:
            at = datetime.fromisoformat(parts.at.decode()).timestamp()
            lines.append(_line(at, parts.nick + b": " + parts.text, _PEER))
    return b"".join(lines)


def painted_own(text: str) -> bytes:
    """`12:34:56 me: hello` for a line that was typed here, or pasted, and may hold anything."""
    shown = visible(text).encode("utf-8", "replace")
    return _line(datetime.now().timestamp(), b"me: " + shown, b"")


def _line(at: float, text: bytes, colour: bytes) -> bytes:
    clock = datetime.fromtimestamp(at).strftime("%H:%M:%S ").encode()
    if os.environ.get("NO_COLOR"):
        return clock + text + b"\n"
    return _DIM + clock + _RESET + colour + text + (_RESET if colour else b"") + b"\n"
