"""Several transcripts as one: merged by time, and what several of them hold stands there once.

Everybody who is in a room keeps what they see of it, and so does the room: on one machine the same
records stand in several files. A record has the time it was made to the millisecond, so the same
bytes in another file are the same record; said twice in one millisecond, it stands twice in each.
Pure computation on what source.py reads.
"""

from __future__ import annotations

import heapq

from duplex.transcript.record import HEAD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from duplex.transcript.search import Matcher
    from duplex.transcript.source import Source

    Line = tuple[bytes, str, int, bytes]  # its time, its file, its offset there, with its newline

REMEMBERED = 20_000  # records, the latest: copies of one stand near each other in time


class Merge:
    """Files to be read as one. `lines` gives what is wanted of them, from where it has stopped."""

    def __init__(self, files: list[tuple[Source, Matcher]]) -> None:
        self.files = files
        self._met: dict[int, dict[str, int]] = {}  # records, by hash: how often in which file

    def lines(self) -> Iterator[Line]:
        if len(self.files) == 1:
            return _lines(*self.files[0])
        return self._each_once(heapq.merge(*map(_in_order, self.files), key=lambda one: one[0]))

    def _each_once(self, merged: Iterable[Line]) -> Iterator[Line]:
        for line in merged:
            if not HEAD.match(line[3]) or self._is_new(line[1], hash(line[3])):
                yield line

    def _is_new(self, path: str, record: int) -> bool:
        """Whether no other file has had it as often as this one has it now."""
        met = self._met.pop(record, {})
        most = max(met.values(), default=0)
        met[path] = met.get(path, 0) + 1
        self._met[record] = met  # as the latest
        if len(self._met) > REMEMBERED:
            del self._met[next(iter(self._met))]
        return met[path] > most


def _in_order(file: tuple[Source, Matcher]) -> Iterator[Line]:
    """A file's lines, with times that never go back, as its records' may where a clock did."""
    latest = b""
    for at, path, offset, line in _lines(*file):
        latest = max(latest, at)
        yield latest, path, offset, line


def _lines(source: Source, matcher: Matcher) -> Iterator[Line]:
    for offset, block in source.blocks():
        for position, at, line in matcher.select(block):
            if not line.endswith(b"\n"):  # the last of a file: others may come after it
                line += b"\n"
            yield at, source.path, offset + position, line
