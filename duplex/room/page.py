"""The page: what all processes of a room know of each other, in one mapping that they share.

It has a head (how far the transcript is committed, how many members there are), a seat for each
member, and the nicks of those whose leaving is not recorded yet. The host makes it before its first
fork; `duplex who` is handed it to read (sign.py).
Each number has one writer at a time: a seat is its member's, between the host that gives it and the
host that clears it; the head's watermark, `here` and who holds the transcript's lock are written
under that lock, the rest by the host. Aligned numbers are stored by one instruction, so a reader
never sees half of one. This file knows neither sockets nor files of any name.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

_REASON_LIMIT = 255  # bytes
# What a seat's state can be: SHAKING while its client has not shown yet that it may come in, or may
# be no person at all, then COMING. Only for HERE has an entry been recorded.
FREE, SHAKING, COMING, HERE = range(4)
# Why a member has ended, as it says itself; a killed one leaves UNKNOWN behind.
UNKNOWN, LEFT, LOST, KICKED, TAKEN_OVER, CLOSED = range(6)

_HEAD = 96  # bytes
_STAMP = slice(64, 88)  # of them: the last record's
_STATE = 1  # which of a seat's 4-byte numbers is its state
# which of the head's 8-byte numbers
WATERMARK, _HERE, MEMBERS, CLOSING, _HOLDER, _HELD_SINCE, _ANNOUNCED, _INODE = range(8)
_FIRST = 11


class Seat(ctypes.Structure):
    """What is known of one member; a view of its place in the mapping."""

    _fields_ = (
        ("pid", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
        ("ending", ctypes.c_uint32),
        ("_which", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),  # in the transcript: what was given to the client's socket
        ("session", ctypes.c_uint64),
        ("joined", ctypes.c_double),  # seconds since the epoch, to be shown and never compared
        ("number", ctypes.c_uint64),  # which newcomer it is, as the host counts them
        ("_name_0", ctypes.c_char * 136),  # two, so that changing one is choosing the other
        ("_name_1", ctypes.c_char * 136),
        ("_address", ctypes.c_char * 72),
        ("_reason", ctypes.c_char * 256),
        ("connection", ctypes.c_uint64),  # in the store, where the room has one; 0: none yet
        ("claims", ctypes.c_uint64),  # the session that it is about to take over; 0: none
        ("inherits", ctypes.c_uint64),  # 1, written by the host: the nick it wants is kept for it
        ("mailbox", ctypes.c_uint64),  # its number (mailbox.py)
        # Nicks, as the roster writes them: the one that it is about to take over, and those that
        # are its own; while it changes, two.
        ("wants", ctypes.c_uint64),
        ("holds_0", ctypes.c_uint64),
        ("holds_1", ctypes.c_uint64),
        ("looks_0", ctypes.c_uint64),  # what those two look like, as the roster writes it
        ("looks_1", ctypes.c_uint64),
    )

    pid: int
    state: int
    ending: int
    offset: int
    session: int
    joined: float
    number: int
    connection: int
    claims: int
    inherits: int
    mailbox: int
    wants: int
    holds_0: int
    holds_1: int
    looks_0: int
    looks_1: int
    _which: int
    _name_0: bytes
    _name_1: bytes
    _address: bytes
    _reason: bytes

    def clear(self) -> None:
        ctypes.memset(ctypes.byref(self), 0, ctypes.sizeof(self))

    def take(self, address: str, state: int = COMING, number: int = 0) -> None:
        """Its member has begun; the host has given it a clear one."""
        self.pid = os.getpid()
        self._address = address.encode()
        self.joined = time.time()
        self.number = number
        self.state = state

    @property
    def address(self) -> str:
        return self._address.decode(errors="replace")

    @property
    def reason(self) -> str:
        return self._reason.decode(errors="replace")

    @property
    def nick(self) -> str:
        return (self._name_1 if self._which else self._name_0).decode(errors="replace")

    @nick.setter
    def nick(self, nick: str) -> None:
        """The former one stays in its place, until the next."""
        if self._which:
            self._name_0 = nick.encode()
        else:
            self._name_1 = nick.encode()
        self._which = 1 - self._which

    def end(self, ending: int, reason: str = "") -> None:
        """The member says why it ends."""
        self._reason = reason.encode()[:_REASON_LIMIT]
        self.ending = ending


_SEAT = ctypes.sizeof(Seat)
_LEAVING = 2 * 8  # bytes for each seat: of a member that was here and has ended, the nicks it held
_EACH = _SEAT + _LEAVING


class Page:
    """The mapping. Make it once, with room for `seats` members."""

    def __init__(self, fd: int, *, shared: bool = False) -> None:
        """To look at; if `shared`, to write to. `fd` may be closed then."""
        self.fd = fd
        self.seats = (os.fstat(fd).st_size - _HEAD) // _EACH
        self.map = mmap.mmap(fd, 0, access=mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY)
        whole = memoryview(self.map)
        self.head = whole[:_HEAD].cast("Q")
        leaving = _HEAD + self.seats * _SEAT
        self.leaving = whole[leaving : leaving + self.seats * _LEAVING].cast("Q")

    @classmethod
    def make(cls, seats: int) -> Page:
        fd = os.memfd_create("duplex-room", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.truncate(fd, _HEAD + seats * _EACH)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        return cls(fd, shared=True)

    @staticmethod
    def least() -> int:
        """Bytes of the smallest there can be."""
        return _HEAD + _EACH

    @property
    def watermark(self) -> int:
        """How far the transcript is committed, in bytes: readers never read past it."""
        return self.head[WATERMARK]

    @watermark.setter
    def watermark(self, offset: int) -> None:
        self.head[WATERMARK] = offset

    @property
    def stamped(self) -> bytes:
        """The last record's stamp, or NULs. Read and written under the transcript's lock."""
        return self.map[_STAMP]

    @stamped.setter
    def stamped(self, stamp: bytes) -> None:
        self.map[_STAMP] = stamp

    @property
    def announced(self) -> int:
        """Where what is being written to the transcript, or was last, ends, in bytes."""
        return self.head[_ANNOUNCED]

    @announced.setter
    def announced(self, offset: int) -> None:
        self.head[_ANNOUNCED] = offset

    @property
    def inode(self) -> int:
        """The transcript's, which may be made anew (custody.py)."""
        return self.head[_INODE]

    @inode.setter
    def inode(self, number: int) -> None:
        self.head[_INODE] = number

    @property
    def first(self) -> int:
        """Where the transcript begins, in bytes."""
        return self.head[_FIRST]

    @first.setter
    def first(self, offset: int) -> None:
        self.head[_FIRST] = offset

    def lowest(self) -> int:
        """How far everybody has been sent the transcript, in bytes."""
        return min((seat.offset for seat in self.taken()), default=self.watermark)

    @property
    def here(self) -> int:
        """How many people's entry is recorded and whose leaving is not."""
        return self.head[_HERE]

    @here.setter
    def here(self, count: int) -> None:
        self.head[_HERE] = count

    @property
    def holder(self) -> int:
        """The process that has the transcript's lock; 0 for none, or one that was killed with it
        stands here until the next."""
        return self.head[_HOLDER]

    @holder.setter
    def holder(self, pid: int) -> None:
        if pid:
            self.head[_HELD_SINCE] = time.monotonic_ns()
        self.head[_HOLDER] = pid

    @property
    def held_for(self) -> float:
        """Seconds, on the clock that all processes have, since the holder has it."""
        return (time.monotonic_ns() - self.head[_HELD_SINCE]) / 1e9

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
        return Seat.from_buffer(self.map, _HEAD + index * _SEAT)

    def taken(self, wanted: int = HERE) -> list[Seat]:
        """The seats of everybody who is here, or in another state.

        Their states are read in one go: making a Seat of each costs ten times as much.
        """
        states = self._of_all("I", _STATE)
        return [self.seat(index) for index, state in enumerate(states) if state == wanted]

    def holder_of(self, nick: int) -> Seat | None:
        """The seat of the member whose nick that is, as the roster writes nicks."""
        return self._with(nick, Seat.holds_0, Seat.holds_1)

    def twin_of(self, look: int) -> Seat | None:
        """The seat of the member whose nick looks so."""
        return self._with(look, Seat.looks_0, Seat.looks_1)

    def _with(self, nick: int, *fields: Any) -> Seat | None:
        for field in fields:
            holds = self._of_all("Q", field.offset // 8)
            if nick in holds:
                return self.seat(holds.index(nick))
        return None

    def _of_all(self, kind: Literal["I", "Q"], which: int) -> list[int]:
        """One number of every seat."""
        words = memoryview(self.map)[_HEAD : _HEAD + self.seats * _SEAT].cast(kind)
        numbers: list[int] = words[which :: _SEAT // words.itemsize].tolist()
        return numbers
