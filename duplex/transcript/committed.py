"""What the processes of a room know of its transcript together.

A room has it in the page that they share (room/page.py); one process has it to itself where nobody
else is to know. Numbers alone; knows no file.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Committed(Protocol):
        """Offsets are in bytes."""

        watermark: int  # how far it is committed
        announced: int  # where what is being written, or was last, ends
        first: int  # where it begins, behind a hole or what fills one
        stamped: bytes  # the last record's stamp
        holder: int  # who has the lock; 0: nobody, or one that was killed with it
        inode: int  # of the file, which may be made anew while the room runs (room/custody.py)

        def lowest(self) -> int:
            """How far everybody has been sent it."""


class Alone:
    """That of one process alone."""

    watermark = announced = first = holder = inode = 0
    stamped = b""

    def lowest(self) -> int:
        return self.watermark
