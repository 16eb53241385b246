"""The journal: what the hub appends to the transcript in one turn, with one write for all.

Offsets are known only once it is written, so who has something recorded gives a callback along. An
event that tells what is so, whatever the disk says (`owe`), is tried again until it can be
recorded. Part of the hub; knows no member.
"""

from __future__ import annotations

import time

from duplex.system.errors import TranscriptError
from duplex.transcript import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.transcript.segments import Segments

    Then = Callable[[int, int, str], None]


TRY_AGAIN = 1.0  # s until an event is recorded that could not be


class Journal:
    """`then(start, end, why)` is called once it is written, with its offsets; or with why not."""

    def __init__(
        self,
        transcript: Segments,
        *,
        synced: bool,
        tell: Callable[[str], None],
        log: Callable[[str], None],
    ) -> None:
        """`tell` is told of trouble, `log` of each event that is recorded."""
        self._transcript = transcript
        self._synced = synced
        self._tell = tell
        self._log = log
        self._records: list[bytes] = []
        self._thens: list[tuple[int, Then | None]] = []
        self._owed: list[tuple[str, Then | None]] = []
        self._try_at = 0.0  # monotonic
        self._troubled = False  # and that is told
        self.size = 0  # bytes that wait
        self.stamp = b""  # of this turn; b"" until it is asked for
        self.closed = False  # the room's end stands there

    @property
    def end(self) -> int:
        """The offset behind all that is written."""
        return self._transcript.end

    def now(self) -> bytes:
        """The stamp of all that is recorded in this turn."""
        self.stamp = self.stamp or self._transcript.stamp()
        return self.stamp

    def add(self, records: bytes, then: Then | None) -> None:
        """Whole records, stamped with `now`."""
        self._records.append(records)
        self._thens.append((len(records), then))
        self.size += len(records)

    def event(self, text: str, then: Then | None = None) -> None:
        def written(start: int, end: int, why: str) -> None:
            if not why:
                self._log(text)
            if then:
                then(start, end, why)

        self.add(record.event(text, self.now()), written)

    def owe(self, text: str, then: Then | None = None) -> None:
        """An event that is recorded as soon as it can be; `then` is called once it is."""
        if self._owed:
            self._owed.append((text, then))  # in their order
        else:
            self._try(text, then)

    @property
    def seconds_to_wait(self) -> float | None:
        """Until what is owed has to be tried again (`go_on`); None: nothing is."""
        return max(0.0, self._try_at - time.monotonic()) if self._owed else None

    def go_on(self) -> None:
        """Try what is owed again, if it is time to."""
        if self._owed and time.monotonic() >= self._try_at:
            owed, self._owed = self._owed, []
            for text, then in owed:
                self._try(text, then)

    def _try(self, text: str, then: Then | None) -> None:
        def tried(start: int, end: int, why: str) -> None:
            if why and not self.closed:
                self._owed.append((text, then))
                self._try_at = time.monotonic() + TRY_AGAIN
            elif then:
                then(start, end, why)

        self.event(text, tried)

    def commit(self) -> tuple[int, bytes]:
        """Write what there is; (its offset, what stands there now), of nothing (end, b"").

        With `--fsync always` it is on the disk then.
        """
        if not self._records:
            self.stamp = b""
            return self._transcript.end, b""
        data = self._records[0] if len(self._records) == 1 else b"".join(self._records)
        thens, self._records, self._thens, self.size = self._thens, [], [], 0
        self.stamp = b""
        why = "the room closed" if self.closed else ""
        start = self._transcript.end
        if not why:
            try:
                start = self._transcript.append(data, self._synced)
            except TranscriptError as error:
                why = error.reason
                self._tell_once(error)
            else:
                self._troubled = False
        at = start
        for size, then in thens:
            if then:
                then(at, at + size, why)
            at += size
        return (start, b"") if why else (start, data)

    def _tell_once(self, error: TranscriptError) -> None:
        if not self._troubled:
            self._tell(str(error))
        self._troubled = True
