"""The flusher: puts a room's transcript on the disk once a second, so that the hub need not wait.

A helper of the server, with what it has opened of the transcript, and nothing else.
"""

from __future__ import annotations

import time

from duplex.system.errors import reason_of, say_status
from duplex.transcript.flushing import Flushing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from duplex.transcript.segments import Segments

EVERY = 1.0  # s


def flush(transcript: Segments) -> NoReturn:
    """All that this process does, until it is killed."""
    flushing, told = Flushing(transcript), False
    while True:
        time.sleep(EVERY)
        try:
            flushing.flush()
            told = False
        except OSError as error:
            if not told:
                say_status(f"cannot write {transcript.path} to the disk: {reason_of(error)}")
            told = True
