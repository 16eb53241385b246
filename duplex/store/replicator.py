"""The replicator: the process of a host that reads the store, and hands what is there to the hub.

Reads the room's stream, and the letters that other hosts' members wrote to this host's. Holds a
connection to the store, and one to the hub (feed.py); no transcript. What the hub has, it is told:
when there is a new hub, or the store was away, it finds its place again.

A store that was restarted may have lost its end (appendonly off, or fsync each second): then the
host that has it puts it back, if nobody has said anything since; that is atomic, and until then the
host adds nothing itself (the script's `known`). If another host, which had not copied as much, was
faster, the copy is Diverged: what was shown cannot be taken back, and somebody has to choose.
"""

from __future__ import annotations

import time

from duplex.store.entry import FIRST
from duplex.store.errors import Gap, OtherRoom, Refused, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duplex.store.copy import Copy
    from duplex.store.entry import Entry, Letter
    from duplex.store.feed import Handing
    from duplex.store.shared import Room, Shared

WAIT = 1.0  # s for something new; less than address.ANSWER
AGAIN = 0.2  # s until the store is tried again
READ_LIMIT = 4 << 20  # bytes or so at a time
COUNT_LIMIT = 2000  # entries at a time
PIECE = 128 * 1024  # bytes handed over at once, unless one record is longer
SEARCHED = 100  # entries read at once to find where the copy ends


class Replicator:
    """`target` is a copy here, or at the hub; `path` is its transcript's. `deliver` takes letters,
    `tell` a line for the operator."""

    def __init__(
        self,
        shared: Shared,
        target: Copy | Handing,
        path: str,
        *,
        deliver: Callable[[list[Letter]], None],
        tell: Callable[[str], None],
    ) -> None:
        self._shared = shared
        self._target = target
        self._path = path
        self._deliver = deliver
        self._tell = tell
        self._entry = ""  # the id of the last one copied; "" while that has to be found out
        self._mail = FIRST
        self._count = SEARCHED
        self._refused = False  # and that is told

    def begin_again(self) -> None:
        """There is another hub, and what was under way to the one before may be lost."""
        self._entry, self._mail = "", FIRST

    def go_on(self, wait: float = WAIT) -> None:
        """Copy what there is, after waiting for it; or wait for the store to be back.

        Raises StoreError if that cannot go on.
        """
        try:
            if not self._entry:
                self._find_place()
            entries, letters = self._shared.read(self._entry, self._mail, self._count, wait)
        except (Unreachable, Refused) as error:
            if isinstance(error, Refused) and not self._refused:  # of the others the writer tells
                self._tell(f"{error}; trying again")
            self._refused = isinstance(error, Refused)
            self._entry = ""  # the store may be another's when it is back, or have lost something
            time.sleep(AGAIN)
            return
        self._refused = False
        if entries:
            self._copy(entries)
            self._entry = entries[-1].id
            size = max(1, sum(len(entry.data) for entry in entries) // len(entries))
            self._count = max(1, min(COUNT_LIMIT, READ_LIMIT // size))
        if letters:
            self._deliver(letters)
            self._mail = letters[-1].id

    def _find_place(self) -> None:
        room = self._shared.find(make=False)
        if not room or room.id != self._shared.room_id:
            raise OtherRoom(self._path, self._shared.name)
        while room.end < self._target.where()[1]:
            room.end = self._put_back(room.end)
        self._entry = self._search(room)

    def _search(self, room: Room) -> str:
        """The id of the entry with which the copy ends."""
        last, offset = self._target.where()
        entry = self._shared.entry(last) if last != FIRST else None
        if entry and entry.end == offset:
            self._copy([entry])  # it is compared
            return entry.id
        before = "+"
        while entries := self._shared.entries_back(before, SEARCHED):
            for entry in entries:
                if entry.start < offset:
                    self._copy([entry])
                    return entry.id
            before = entries[-1].id
        if room.first > offset:
            raise Gap(self._path, offset, room.first)
        return FIRST

    def _put_back(self, end: int) -> int:
        """Some of what the store has lost; where it ends by now."""
        offset = self._target.where()[1]
        for entry in self._shared.entries_back("+", 1):
            if entry.start < offset:  # or another host was faster, and more was said
                data = entry.data[: offset - entry.start]
                self._hand_over([(entry.id, entry.start, data)])  # it is compared
        data = self._target.read(end, min(end + PIECE, offset))
        data = data[: data.rfind(b"\n") + 1] or data
        self._tell(f"the store has lost {offset - end} bytes: putting them back")
        return self._shared.restore(end, data)

    def _copy(self, entries: list[Entry]) -> None:
        offset = self._target.where()[1]
        for entry in entries:
            if entry.start > offset:
                raise Gap(self._path, offset, entry.start)
            offset = max(offset, entry.end)
        self._hand_over([(entry.id, entry.start, entry.data) for entry in entries])

    def _hand_over(self, stretches: list[tuple[str, int, bytes]]) -> None:
        for entry, start, data in _pieces(stretches):
            self._target.take(entry, start, data)


def _pieces(stretches: list[tuple[str, int, bytes]]) -> Iterator[tuple[str, int, bytes]]:
    """The same, where one follows the other together, and none much over PIECE."""
    last, begin, parts, size = "", 0, list[bytes](), 0
    for entry, start, data in stretches:
        at = 0
        while at < len(data):
            end = len(data) if len(data) - at <= PIECE else data.rfind(b"\n", at, at + PIECE) + 1
            end = end or data.find(b"\n", at) + 1
            if parts and (begin + size != start + at or size + end - at > PIECE):
                yield last, begin, b"".join(parts)
                parts, size = [], 0
            begin = begin if parts else start + at
            last, size = entry, size + end - at
            parts.append(data[at:end])
            at = end
    if parts:
        yield last, begin, b"".join(parts)
