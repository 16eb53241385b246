"""The page: what all processes of a room know of each other, in one mapping that they share.

It has a head (how far the transcript is committed, how many members there are) and a seat for each
member. The host makes it before its first fork; `duplex who` maps it, too, by the room's directory.
Each number has one writer at a time: a seat is its member's, between the host that gives it and the
host that clears it; the head's watermark and `here` are written under the transcript's lock, the
rest by the host. Aligned numbers are stored by one instruction, so a reader never sees half of one.
This file knows neither sockets nor files of any name.
"""

from __future__ import annotations

import mmap
import os
import struct
import time

# What a seat's state can be. Only for HERE has an entry been recorded.
FREE, COMING, HERE = 0, 1, 2
# Why a member has ended, as it says itself; a killed one leaves UNKNOWN behind.
UNKNOWN, LEFT, LOST, KICKED, TAKEN_OVER, CLOSED = range(6)

_HEAD = 64  # bytes
WATERMARK, _HERE, MEMBERS, CLOSING = range(4)  # which of the head's 8-byte numbers

_SEAT = 640  # bytes
_PID, _STATE, _ENDING, _WHICH = 0, 4, 8, 12  # u32 each, byte offsets in a seat
_OFFSET, _JOINED, _SESSION = 16, 24, 32  # u64; double, seconds since the epoch; u64
_NAMES, _NAME_SIZE = (40, 176), 136  # two, so that changing one is choosing the other
_ADDRESS, _ADDRESS_SIZE = 312, 72
_REASON, _REASON_SIZE = 384, 256


class Page:
    """The mapping. Make it once, with room for `seats` members."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.seats = (os.fstat(fd).st_size - _HEAD) // _SEAT
        self.map = mmap.mmap(fd, 0)
        self.head = memoryview(self.map)[:_HEAD].cast("Q")

    @classmethod
    def make(cls, seats: int) -> Page:
        fd = os.memfd_create("duplex-room")
        os.truncate(fd, _HEAD + seats * _SEAT)
        return cls(fd)

    def close(self) -> None:
        self.head.release()
        os.close(self.fd)

    @property
    def watermark(self) -> int:
        """How far the transcript is committed, in bytes: readers never read past it."""
        return self.head[WATERMARK]

    @watermark.setter
    def watermark(self, offset: int) -> None:
        self.head[WATERMARK] = offset

    @property
    def here(self) -> int:
        """How many people's entry is recorded and whose leaving is not."""
        return self.head[_HERE]

    @here.setter
    def here(self, count: int) -> None:
        self.head[_HERE] = count

    @property
    def members(self) -> int:
        """How many member processes there are."""
        return self.head[MEMBERS]

    @members.setter
    def members(self, count: int) -> None:
        self.head[MEMBERS] = count

    @property
    def closing(self) -> bool:
        return self.head[CLOSING] != 0

    def close_room(self) -> None:
        self.head[CLOSING] = 1

    def seat(self, index: int) -> Seat:
        return Seat(self.map, _HEAD + index * _SEAT)

    def taken(self) -> list[Seat]:
        """The seats of everybody who is here."""
        seats = map(self.seat, range(self.seats))
        return [seat for seat in seats if seat.state == HERE]


def _number(at: int, form: str) -> property:
    codec = struct.Struct(f"@{form}")

    def get(seat: Seat) -> int | float:
        value: int | float = codec.unpack_from(seat.map, seat.at + at)[0]
        return value

    def put(seat: Seat, value: float) -> None:
        codec.pack_into(seat.map, seat.at + at, value)

    return property(get, put)


def _text(at: int, size: int) -> property:
    def get(seat: Seat) -> str:
        return seat.read_text(at)

    def put(seat: Seat, text: str) -> None:
        seat.write_text(at, size, text)

    return property(get, put)


class Seat:
    """What is known of one member."""

    def __init__(self, mapping: mmap.mmap, at: int) -> None:
        self.map = mapping
        self.at = at  # byte offset in the mapping

    pid = _number(_PID, "I")
    state = _number(_STATE, "I")
    ending = _number(_ENDING, "I")
    _which = _number(_WHICH, "I")
    offset = _number(_OFFSET, "Q")  # in the transcript: what was given to the client's socket
    joined = _number(_JOINED, "d")
    session = _number(_SESSION, "Q")
    address = _text(_ADDRESS, _ADDRESS_SIZE)
    reason = _text(_REASON, _REASON_SIZE)

    def clear(self) -> None:
        self.map[self.at : self.at + _SEAT] = bytes(_SEAT)

    def take(self, address: str) -> None:
        """Its member has begun; the host has given it a clear one."""
        self.pid = os.getpid()
        self.address = address
        self.joined = time.time()
        self.state = COMING

    def offset_cell(self) -> memoryview:
        """The offset as the one element of an array, for who writes it often."""
        start = self.at + _OFFSET
        return memoryview(self.map)[start : start + 8].cast("Q")

    @property
    def nick(self) -> str:
        return self.read_text(_NAMES[self._which])

    @nick.setter
    def nick(self, nick: str) -> None:
        """The former one stays in its place, until the next."""
        other = 1 - self._which
        self.write_text(_NAMES[other], _NAME_SIZE, nick)
        self._which = other

    def wants(self, nick: str) -> None:
        """Said before a nick is bound, so that the host frees it if the member is killed then."""
        self.write_text(_NAMES[1 - self._which], _NAME_SIZE, nick)

    @property
    def nicks(self) -> list[str]:
        """The present nick and one more, before or wanted: a killed member may hold both.

        Or neither: whoever frees them looks whether they are somebody else's now.
        """
        names = (self.read_text(at) for at in _NAMES)
        return [name for name in names if name]

    def end(self, ending: int, reason: str = "") -> None:
        """The member says why it ends."""
        self.reason = reason
        self.ending = ending

    def read_text(self, at: int) -> str:
        start = self.at + at + 1
        return self.map[start : start + self.map[start - 1]].decode(errors="replace")

    def write_text(self, at: int, size: int, text: str) -> None:
        data = text.encode()[: min(size - 1, 255)].decode(errors="ignore").encode()
        start = self.at + at
        self.map[start : start + 1 + len(data)] = bytes([len(data)]) + data
