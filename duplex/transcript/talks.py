"""What is kept here, talk by talk and room by room: which files, and which parts of them.

A file in `logs/` holds one talk after the other, each from its `* connected …` on. Both sides of a
talk may have kept theirs here, then it is one; two talks at the same time are two, and each is
shown for itself. What a room and its members on this machine have kept, in a directory of the
room's own, is one, too.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from glob import glob

from duplex.transcript.closed import before
from duplex.transcript.record import HEAD
from duplex.transcript.search import last_stamp
from duplex.transcript.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("client_input*.log", "server_input*.log")
TALKS = "logs"
ROOMS = "logs/room-*"
TOGETHER = 2.0  # s at most between the two sides' `* connected …` of one talk, on a busy machine
_CONNECTED = b"Z * connected "
_TAIL = 128 * 1024  # bytes: a longest line, and the record before it


class Part:
    """Some of a file's lines, from the offset `start` to `end`; None is the file's own end."""

    def __init__(self, path: str, start: int, at: bytes, side: bytes) -> None:
        self.path = path
        self.start = start
        self.end: int | None = None
        self.at = self.last = at  # the stamps of its first and last record
        self.side = side  # `from` or `to`, as the event says that it begins with; or neither


class Conversation:
    """What is shown together: parts of files, each file's in their order."""

    def __init__(self, name: str = "") -> None:
        self._name = name
        self.files: dict[str, list[Part]] = {}
        self.at = self.last = b""

    @property
    def heading(self) -> str:
        return self._name or " and ".join(sorted(self.files))

    def add(self, part: Part) -> None:
        self.at = min(self.at or part.at, part.at)
        self.last = max(self.last, part.last)
        parts = self.files.setdefault(part.path, [])
        if parts and parts[-1].end == part.start:
            parts[-1].end, parts[-1].last = part.end, part.last
        else:
            parts.append(part)

    def sources(self) -> Iterator[Source]:
        """Opened; the one that begins first is the first."""
        for path, parts in sorted(self.files.items(), key=lambda item: item[1][0].at):
            ranges = [(part.start, part.end) for part in parts]
            yield Source(path, ranges=() if ranges == [(0, None)] else ranges)


def transcripts() -> list[tuple[str, str]]:
    """What is kept here: each file, and the directory of the talks or the room."""
    found = [
        (path, directory)
        for directory in (TALKS, *sorted(glob(ROOMS)))
        for name in NAMES
        for path in sorted(
            glob(f"{directory}/{name if directory == TALKS else f'**/{name}'}", recursive=True)
        )
    ]
    return [(path, directory) for path, directory in found if os.path.isfile(path)]


def conversations() -> list[Conversation]:
    """All that is kept here. The one in which something was said last is the last."""
    sides: list[Part] = []
    rooms: dict[str, Conversation] = {}
    for path, directory in transcripts():
        if directory == TALKS:
            sides += _talks_in(path)
        else:
            rooms.setdefault(directory, Conversation(directory)).add(_whole(path))
    return sorted([*rooms.values(), *_talks(sides)], key=lambda one: (one.last, one.at))


def _talks(sides: list[Part]) -> list[Conversation]:
    """Talks that follow each other are one conversation; one during another is for itself."""
    talks: list[list[Part]] = []
    for part in sorted(sides, key=lambda part: part.at):
        other = next((talk for talk in reversed(talks) if _is_other_side(talk, part)), None)
        if other:
            other.append(part)
        else:
            talks.append([part])
    found: list[Conversation] = []
    for talk in talks:
        free = next((one for one in found if one.last <= talk[0].at), None)
        if free is None:
            found.append(free := Conversation())
        for part in talk:
            free.add(part)
    return found


def _is_other_side(talk: list[Part], part: Part) -> bool:
    """Whether the part of a talk that one side has kept is the other's of this one."""
    if len(talk) > 1 or talk[0].path == part.path:
        return False
    if not (talk[0].side and part.side):  # nobody knows: what overlaps is taken for one
        return part.at <= talk[0].last
    return talk[0].side != part.side and _seconds(talk[0].at, part.at) <= TOGETHER


def _talks_in(path: str) -> list[Part]:
    """The file's talks; what stands before the first `* connected …` is one, too."""
    source = Source(path, ranges=[(0, None)])
    parts: list[Part] = []
    for offset, block in source.blocks():
        if not parts:
            parts.append(Part(path, 0, _first_stamp(block), b""))
        at = done = 0
        while (at := block.find(_CONNECTED, at)) >= 0:
            start = block.rfind(b"\n", 0, at) + 1
            at += len(_CONNECTED)
            head = HEAD.match(block, start)
            if head is None or head.end() != at - len(b"connected "):
                continue  # somebody's words
            parts[-1].last = last_stamp(block[done:start]) or parts[-1].last
            done = start
            if offset + start == 0:
                parts.clear()
            else:
                parts[-1].end = offset + start
            parts.append(Part(path, offset + start, head[1], block[at : block.find(b" ", at)]))
        parts[-1].last = last_stamp(block[done:]) or parts[-1].last
    source.close()
    return parts


def _whole(path: str) -> Part:
    """All of a room's transcript, or of a member's copy."""
    source = Source(path)
    part = Part(path, 0, b"", b"")
    for _, block in source.blocks():
        part.at = part.last = _first_stamp(block)
        break
    source.close()
    with open(path, "rb") as file:
        names = [path, *(one.path for one in reversed(before(path, file.fileno())[:-1]))]
    for name in names[:2]:  # the newest may have nothing yet
        with suppress(FileNotFoundError), open(name, "rb") as file:
            file.seek(max(0, os.path.getsize(name) - _TAIL))
            if last := last_stamp(file.read()):
                part.last = last
                break
    return part


def _first_stamp(block: bytes) -> bytes:
    start = 0
    while start < len(block):
        if head := HEAD.match(block, start):
            return head[1]
        start = block.find(b"\n", start) + 1 or len(block)
    return b""


def _seconds(one: bytes, other: bytes) -> float:
    """Between two stamps; of digits that are no date, for ever."""
    try:
        first, second = (datetime.fromisoformat(stamp.decode()) for stamp in (one, other))
    except ValueError:
        return float("inf")
    return abs((first - second).total_seconds())
