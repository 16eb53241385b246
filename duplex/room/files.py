"""What a room keeps on the disk, opened by its host once, before it is who it will be.

    FILE         the transcript
    FILE.key     signs the keys of who comes back (transcript/secret.py)
    FILE.store   with --redis: how far the transcript is a copy (store/position.py)

All else goes by the descriptors, so that the room can go on as a user who could not open them.
"""

from __future__ import annotations

from contextlib import nullcontext

from duplex.system import ownership
from duplex.system.errors import DuplexError, reason_of
from duplex.transcript import keeping
from duplex.transcript.secret import open_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd

    from duplex.store.position import Position
    from duplex.transcript.file import Transcript


class Files:
    """Raises DuplexError if they cannot be opened."""

    def __init__(self, path: str, *, adopt: bool = False, shared: bool = False) -> None:
        self.transcript: Transcript = keeping.for_room(path, adopt)
        self.secret, self.secret_fd = open_secret(path)
        self.position: Position | None = None
        if shared:
            from duplex.store.position import Position

            self.position = Position(path)

    @classmethod
    def open_for(
        cls, user: pwd.struct_passwd | None, path: str, *, adopt: bool, shared: bool
    ) -> Files:
        """The same for a user whom this process will become; None: it stays who it is."""
        rights = ownership.rights_for(user, path) if user else nullcontext(False)
        try:
            with rights as roots:
                files = cls(path, adopt=adopt, shared=shared)
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
        found = {path: self.transcript.fd, f"{path}.key": self.secret_fd}
        if self.position:
            found[self.position.path] = self.position.fd
        return found
