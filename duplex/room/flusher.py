"""The flusher: puts a room's transcript on the disk each second, with `--fsync second`.

A process of its own, so that a slow disk delays nobody but it. Holds a description of the
transcript, and the page, which tells whether there is anything new.
"""

from __future__ import annotations

import os
import time

from duplex.system.errors import TranscriptError, reason_of, say_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from duplex.room.page import Page
    from duplex.transcript.file import Transcript

EVERY = 1.0  # s


def flush(transcript: Transcript, page: Page) -> NoReturn:
    """All that this process does, until it is killed."""
    done, told = 0, False
    while True:
        time.sleep(EVERY)
        if (end := page.watermark) == done:
            continue
        try:
            transcript.follow()
            os.fdatasync(transcript.fd)
            done, told = end, False
        except (OSError, TranscriptError) as error:
            if not told:
                why = reason_of(error) if isinstance(error, OSError) else error.reason
                say_status(f"cannot write {transcript.path} to the disk: {why}")
            told = True
