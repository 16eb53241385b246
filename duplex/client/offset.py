"""The offset: how far a client knows its room's transcript, and since when that is sure.

Runs in the child that receives. It is counted from the bytes of the records, as the room counts it;
a room that says numbers (protocol/messages.py) says every so often where it is. Where the two
differ, the client asks again from where they agreed last, and what comes once more is not recorded
again. Pure computation; knows no socket and no file.
"""

from __future__ import annotations

UNSURE_LIMIT = 1 << 20  # bytes kept since the room has said where it is: it does each 16 KiB or so


class Offset:
    """`at` is the offset, in bytes. `is_told` is set once the room says it."""

    def __init__(self) -> None:
        self.at = 0
        self.is_told = False
        self.sure = 0  # how far it is surely the room's
        self._since = b""  # the records since then
        self._once_more = b""  # of what was kept before it was asked again, what has still to come
        self._asked_from = -1  # where it was sure when it was asked again

    def begin(self, at: int) -> None:
        """The room has let us in, and will send the records from there on."""
        if at != self.at:
            self._once_more = b""
        self.at = at
        self._is_sure()

    def agrees(self, theirs: int) -> bool:
        """Whether the room's is ours. If not, `at` is where to ask again from.

        It is asked once: a room that says the same after that is right.
        """
        if theirs != self.at and self._asked_from != self.sure:
            self._asked_from = self.sure
            self.at, self._once_more, self._since = self.sure, self._since, b""
            return False
        self.at = theirs
        self._is_sure()
        return True

    def new(self, records: bytes) -> bytes:
        """Those of these records that were not had before; `at` is where they begin."""
        if self.is_told:
            self._since = (self._since + records)[:UNSURE_LIMIT]
        if not self._once_more:
            return records
        same = 0
        while end := records.find(b"\n", same) + 1:
            if self._once_more[same:end] != records[same:end]:
                self._once_more = b""
                break
            same = end
        self._once_more = self._once_more[same:]
        self.at += same
        return records[same:]

    def _is_sure(self) -> None:
        self.sure, self._since = self.at, b""
