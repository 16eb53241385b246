"""A host's transcript as a copy of the room in the store: how it begins, and what may be added.

**An offset means the same on every host.** The store counts the room's bytes, and an entry holds
the offset of its first record. Where the beginning of the room is not kept any more, a new copy
begins at that offset, as a transcript does whose first segments were removed.

**A copy is never silently another.** What overlaps is compared, and what is missing is an error. In
the server before its first fork, and in the hub, which alone writes. Knows no store and no socket.
"""

from __future__ import annotations

from duplex.store.entry import FIRST
from duplex.store.errors import Diverged, Gap, OtherRoom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.store.position import Position
    from duplex.transcript.segments import Segments


def settle(transcript: Segments, position: Position, room: str, first: int, name: str) -> None:
    """Make it a copy that can go on, of the room with the id `room` that is kept from `first` on.

    Raises OtherRoom, Diverged, TranscriptError, OSError.
    """
    if position.room != room:
        if position.room or transcript.end:
            raise OtherRoom(transcript.path, name)
        position.belong(room)
    if not position.known or (position.entry == FIRST and transcript.end <= transcript.first):
        transcript.begin_at(first)  # nobody has seen anything of it
        position.begin(first)
    elif transcript.end >= position.offset and not position.is_unchanged(transcript):
        raise Diverged(transcript.path, transcript.first, exactly=False)
    line_up(transcript, position)


def line_up(transcript: Segments, position: Position) -> None:
    """Nothing beyond the position is a copy of anything. Raises OSError."""
    if transcript.end < position.offset:  # after a power cut
        position.shorten(transcript)
    elif transcript.end > position.offset:  # a hub's that was killed, or somebody else's
        transcript.cut(position.offset)


class Copy:
    """`position` says how far it goes."""

    def __init__(self, transcript: Segments, position: Position) -> None:
        self._transcript = transcript
        self.position = position

    def where(self) -> tuple[str, int]:
        """The last entry of which it has something, and the offset of its end."""
        return self.position.entry, self.position.offset

    def new_part(self, start: int, data: bytes) -> bytes:
        """What is to be added of the records that stand at `start`. Raises Gap, Diverged."""
        offset = self.position.offset
        if start > offset:
            raise Gap(self._transcript.path, offset, start)
        end = min(start + len(data), offset)
        known = min(end, max(start, self._transcript.first))  # before that nothing is kept
        if self._transcript.read(known, end) != data[known - start : end - start]:
            raise Diverged(self._transcript.path, start)
        return data[end - start :]

    def added(self, entry: str, data: bytes) -> None:
        """That stands there now, and is of `entry` or those before it."""
        self.position.move(entry, self.position.offset + len(data), data)

    def take(self, entry: str, start: int, data: bytes) -> None:
        """Add what is new of it. Raises Gap, Diverged, TranscriptError."""
        if new := self.new_part(start, data):
            self._transcript.append(new)
            self.added(entry, new)

    def read(self, start: int, end: int) -> bytes:
        return self._transcript.read(start, end)
