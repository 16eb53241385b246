"""Recording: what one process of a session appends, for as long as its transcript takes it.

Runs in each process of a talk. Knows no record's text, and no file but through the transcript.
"""

from __future__ import annotations

from duplex.system.errors import TranscriptError
from duplex.transcript import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.transcript.file import Transcript


class Recording:
    """Appends for one process of a session that goes on even when the transcript cannot be written.

    `warn` is told in one line when recording stops and again when it resumes; the transcript itself
    then says how many lines it lacks. `transcript` is None when nothing is to be recorded.
    """

    def __init__(self, transcript: Transcript | None, warn: Callable[[str], None]) -> None:
        self.transcript = transcript
        self._warn = warn
        self._missing = 0  # lines
        self._reason = ""

    def record(self, records: bytes) -> None:
        """Append records of somebody else's as they are, if possible; tell, if not."""
        self._append(lambda _at: records)

    def record_now(self, make: Callable[[bytes], bytes]) -> bytes:
        """The same with what `make` makes of the stamp of this instant; those records."""
        return self._append(make)

    def _append(self, make: Callable[[bytes], bytes]) -> bytes:
        if self.transcript is None:
            return make(record.stamp())
        gap = f"{self._missing} lines were not recorded: {self._reason}" if self._missing else ""
        records = b""

        def with_gap(at: bytes) -> bytes:
            nonlocal records
            records = make(at)
            return record.event(gap, at) + records if gap else records

        try:
            self.transcript.append_now(with_gap)
            if gap:
                self._warn(f"recording again; {gap}")
                self._missing = 0
        except TranscriptError as error:
            if not self._missing:
                self._warn(f"not recorded: {error.reason} ({self.transcript.path})")
            records = records or make(record.stamp())
            self._missing += records.count(b"\n")
            self._reason = error.reason
        return records
