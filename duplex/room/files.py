"""What a room keeps on the disk, opened by its server once, before it is who it will be.

    FILE         the transcript
    FILE.key     signs the keys of who comes back (transcript/secret.py)
    FILE.…       `beside`: what else belongs to it (store/position.py)

All else goes by the descriptors, so that the room can go on as a user who could not open them.
"""

from __future__ import annotations

from contextlib import nullcontext

from duplex.system import ownership
from duplex.system.errors import DuplexError, reason_of
from duplex.transcript.retention import FOR_EVER, NEVER, Retention, Rotation
from duplex.transcript.segments import Segments

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd
    from collections.abc import Callable
    from typing import Any, Protocol

    class Beside(Protocol):
        path: str
        fd: int

    Open = Callable[[str], Beside]


class Files:
    """Raises DuplexError if they cannot be opened."""

    def __init__(
        self,
        path: str,
        *,
        adopt: bool = False,
        beside: Open | None = None,
        rotate: Rotation = NEVER,
        retain: Retention = FOR_EVER,
    ) -> None:
        """What `beside` opens makes the transcript a copy, which is not mended."""
        self.transcript = Segments.open(
            path, adopt=adopt, rotate=rotate, retain=retain, shared=beside is not None
        )
        self.beside = beside(path) if beside else None

    @classmethod
    def open_for(cls, user: pwd.struct_passwd | None, path: str, **how: Any) -> Files:
        """The same for a user whom this process will become; None: it stays who it is."""
        rights = ownership.rights_for(user, path) if user else nullcontext(False)
        try:
            with rights as roots:
                files = cls(path, **how)
        except OSError as error:
            raise DuplexError(f"cannot open {path}: {reason_of(error)}") from None
        if user and roots:
            for fd in files.descriptors.values():
                ownership.give(user, fd)
        return files

    @property
    def descriptors(self) -> dict[str, int]:
        """By their paths."""
        path = self.transcript.path
        found = {path: self.transcript.fd, f"{path}.key": self.transcript.key}
        if self.beside:
            found[self.beside.path] = self.beside.fd
        return found
