"""The mirror: the one process of a host that appends to its transcript, if the room has a store.

Copies the room's stream: many entries in one append, then the position, then the watermark, then
the bell. Members read the file as ever. It also brings the letters that other hosts' members wrote
to this host's. Holds a description of the transcript, the position, and one connection to the
store; reads no client, and adds nothing to the stream, except what the store itself has lost.

**An offset means the same on every host.** The store counts the room's bytes, and an entry holds
the offset of its first record. Where the beginning was trimmed, a new copy begins at an offset X:
the file then begins with a hole of X - 1 bytes, which takes no room on the disk, and a newline.
Everything that reads by offset (sendfile, pread, a client that resumes) works as it is, and whoever
appends or looks for records finds the end of a line before the first one. Two numbers for each
place, one in the file and one in the room, would have to be told apart in every line of the
program that has one. And a hole is also how an old beginning can be given back to the disk while
the room runs (fallocate --punch-hole). What it costs: `cat` shows the hole as NULs.

**A copy is never silently another.** What overlaps is compared; what is missing is an error.
A store that was restarted may have lost its end (appendonly off, or fsync each second): then the
host that has it puts it back, if nobody has said anything since; that is atomic, and until then the
host adds nothing itself (the script's `known`). If another host, which had not copied as much, was
faster, Diverged: what was shown cannot be taken back, and somebody has to choose.
"""

from __future__ import annotations

import os
import time

from duplex.store.entry import FIRST
from duplex.store.errors import Diverged, Gap, OtherRoom, Refused, Unreachable
from duplex.store.post import Post
from duplex.system.errors import TranscriptError
from duplex.transcript import mending
from duplex.transcript.hole import first_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from duplex.store.entry import Entry, Letter
    from duplex.store.position import Position
    from duplex.store.shared import Room, Shared
    from duplex.transcript.committed import Committed
    from duplex.transcript.file import Transcript

WAIT = 1.0  # s for something new; less than address.ANSWER
AGAIN = 0.2  # s until the store, or a full disk, is tried again
READ_LIMIT = 4 << 20  # bytes or so at a time
COUNT_LIMIT = 2000  # entries at a time
PUT_BACK = 512 * 1024  # bytes or so in one entry, when the store has lost its end
SEARCHED = 100  # entries read at once to find where the copy ends


def settle(transcript: Transcript, position: Position, room: Room, name: str) -> int:
    """Make the file a copy that can go on: nothing beyond its position. The offset of its end.

    Done by the host before it shares the transcript with its members, and by each mirror.
    Raises OtherRoom, Diverged, TranscriptError.
    """
    with transcript:
        end = os.fstat(transcript.fd).st_size
        if position.room != room.id:
            if position.room or end:
                raise OtherRoom(transcript.path, name)
            position.belong(room.id)
        if not position.known or (position.entry == FIRST and end <= first_record(transcript.fd)):
            # nobody has seen anything of it
            os.ftruncate(transcript.fd, 0)
            if room.first:
                os.ftruncate(transcript.fd, room.first - 1)
                os.write(transcript.fd, b"\n")
            position.begin(room.first)
            return position.offset
        first = first_record(transcript.fd)
        if end < position.offset:  # after a power cut
            position.shorten(transcript.fd, first, _last_newline(transcript.fd, end))
        elif not position.is_unchanged(transcript.fd, first):
            raise Diverged(transcript.path, first, exactly=False)
        if end > position.offset:  # a mirror's that was killed, or somebody else's
            beyond = os.pread(transcript.fd, mending.KEPT, position.offset)
            if told := mending.keep_foreign(transcript.path, beyond):
                transcript.tell(told)
        os.ftruncate(transcript.fd, position.offset)
        return position.offset


class Mirror:
    """`ring` tells the members; `send` is the post's (post.py)."""

    def __init__(
        self,
        shared: Shared,
        transcript: Transcript,
        position: Position,
        committed: Committed,
        *,
        synced: bool,
        ring: Callable[[], None],
        send: Callable[[Letter], None],
        tell: Callable[[str], None],
    ) -> None:
        self._shared = shared
        self._transcript = transcript
        self._position = position
        self._ring = ring
        self._post = Post(shared, send)
        self._tell = tell
        self._order = _Order(position, committed)
        self._synced = synced
        self._entry = ""  # the id of the last one copied; "" while that has to be found out
        self._mail = FIRST
        self._count = SEARCHED
        self._shares = False
        self._refused = False  # and that is told

    def run(self) -> NoReturn:
        """Copy until StoreError or TranscriptError says why that cannot go on."""
        while True:
            self.go_on()

    def go_on(self, wait: float = WAIT) -> None:
        """Copy what there is, after waiting for it; or wait for the store to be back."""
        try:
            if not self._entry:
                self._find_place()
            wait = self._post.wait(wait)
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
        self._mail = letters[-1].id if letters else self._mail
        self._post.deliver(letters)

    def _find_place(self) -> None:
        room = self._shared.find(make=False)
        if not room or (self._shares and room.id != self._position.room):
            raise OtherRoom(self._transcript.path, self._shared.name)
        if not self._shares:
            settle(self._transcript, self._position, room, self._shared.name)
            self._transcript.share(self._order, self._synced)
            self._shares = True
        while room.end < self._position.offset:
            room.end = self._put_back(room.end)
        self._entry = self._search(room)

    def _search(self, room: Room) -> str:
        """The id of the entry with which the copy ends."""
        position = self._position
        entry = self._shared.entry(position.entry) if position.entry != FIRST else None
        if entry and entry.end == position.offset:
            self._copy([entry])  # it is compared
            return entry.id
        before = "+"
        while entries := self._shared.entries_back(before, SEARCHED):
            for entry in entries:
                if entry.start < position.offset:
                    self._copy([entry])
                    return entry.id
            before = entries[-1].id
        if room.first > position.offset:
            raise Gap(self._transcript.path, position.offset, room.first)
        return FIRST

    def _put_back(self, end: int) -> int:
        """Some of what the store has lost; where it ends by now."""
        for entry in self._shared.entries_back("+", 1):
            if entry.start < self._position.offset:  # or another host was faster, and more was said
                self._compare(entry, min(entry.end, self._position.offset))
        data = os.pread(self._transcript.fd, min(PUT_BACK, self._position.offset - end), end)
        if len(data) == PUT_BACK:
            data = data[: data.rfind(b"\n") + 1] or data  # a record is shorter than that
        self._tell(f"the store has lost {self._position.offset - end} bytes: putting them back")
        return self._shared.restore(end, data)

    def _copy(self, entries: list[Entry]) -> None:
        offset, parts = self._position.offset, []
        for entry in entries:
            if entry.start > offset:
                raise Gap(self._transcript.path, offset, entry.start)
            if entry.start < offset:
                self._compare(entry, min(entry.end, offset))
            if entry.end > offset:
                parts.append(entry.data[offset - entry.start :])
                offset = entry.end
        if parts:
            self._order.entry, self._order.data = entries[-1].id, b"".join(parts)
            self._append(self._order.data)
            self._ring()

    def _append(self, data: bytes) -> None:
        """On a full disk it waits: the room goes on in the store, and here when there is space."""
        told = False
        while True:
            try:
                with self._transcript:
                    end = self._transcript.end()
                    if end != self._position.offset:  # nobody else appends to a copy
                        raise Diverged(self._transcript.path, min(end, self._position.offset))
                    self._transcript.write(data)
            except TranscriptError as error:
                if not told:
                    self._tell(f"{error}; trying again")
                told = True
                time.sleep(AGAIN)
            else:
                return

    def _compare(self, entry: Entry, end: int) -> None:
        ours = os.pread(self._transcript.fd, end - entry.start, entry.start)
        if ours != entry.data[: end - entry.start] and entry.start >= self._begin():
            raise Diverged(self._transcript.path, entry.start)

    def _begin(self) -> int:
        return max(first_record(self._transcript.fd), self._transcript.first)


def _of(name: str) -> Any:
    """What `_Order` leaves to what it orders."""
    return property(
        lambda order: getattr(order._committed, name),
        lambda order, value: setattr(order._committed, name, value),
    )


class _Order:
    """Moves the position before the watermark, so that nobody reads what a crash cuts back."""

    def __init__(self, position: Position, committed: Committed) -> None:
        self.entry, self.data = "", b""  # the last one that is appended, and all that is
        self._position = position
        self._committed = committed

    @property
    def watermark(self) -> int:
        return self._committed.watermark

    @watermark.setter
    def watermark(self, offset: int) -> None:
        if self.data:
            self._position.move(self.entry, offset, self.data)
            self.data = b""
        self._committed.watermark = offset

    announced, first, stamped, holder, inode = map(
        _of, ("announced", "first", "stamped", "holder", "inode")
    )

    def lowest(self) -> int:
        return self._committed.lowest()


def _last_newline(fd: int, end: int) -> int:
    while end > 0:
        start = max(0, end - READ_LIMIT)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
