"""A room in a store: what its processes on this host share, besides what those of any room do.

Made by the host before its first fork, with a connection to the store that is closed again. Before
anything of the transcript is shared it is made a copy of the room that can go on.
"""

from __future__ import annotations

import os

from duplex.room.room import Room
from duplex.room.roster import Nobody
from duplex.store.address import Address
from duplex.store.errors import Gap
from duplex.store.replicator import Mirror, settle
from duplex.store.shared import Shared
from duplex.store.writer import BACKLOG, Writer
from duplex.system import local
from duplex.system.errors import say_status
from duplex.transcript.committed import Alone
from duplex.transcript.hole import first_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import NoReturn

    from duplex.store.entry import Letter
    from duplex.store.position import Position
    from duplex.transcript.committed import Committed
    from duplex.transcript.file import Transcript

TRIES = 10  # to find the beginning of what is kept, while that is being trimmed


class SharedRoom(Room):
    """`host_id` is another each time that a host is started."""

    def settle(self, options: argparse.Namespace, _secret: bytes) -> bytes:
        """Raises StoreError; waits for nothing."""
        self._address = Address(options.redis)
        self._keep: int = options.keep
        self._synced = options.fsync == "always"
        self._has_people = False  # whom the bell would wake
        self.host_id = os.urandom(8).hex()
        assert self.files.position
        shared, position = self._shared(), self.files.position
        try:
            shared.check_version()
            for again in reversed(range(TRIES)):
                found = shared.find()
                assert found  # it is made if there is none
                self._id, secret = found.id, found.secret
                settle(self.transcript, position, found, self.name)
                try:
                    self._copy_some(shared, position)
                    break
                except Gap:  # a new copy, of which the beginning was trimmed just now
                    if not again:
                        raise
        finally:
            shared.close()
        self.transcript.first = first_record(self.transcript.fd)
        return secret

    def _copy_some(self, shared: Shared, position: Position) -> None:
        """So much that the mirror will find where to go on, though the room is being trimmed."""
        copying = self._mirror(shared, self.transcript, position, Alone())
        copying.go_on(wait=0)

    def open_writers_door(self) -> None:
        """The host, once: it stays open whatever becomes of a writer."""
        self.calls = local.name("writer")  # what pens dial
        self.writers_door = local.listen(self.calls, BACKLOG)
        self._has_people = True

    def write(self) -> NoReturn:
        """All that the writer does. Raises StoreError."""
        Writer(self._shared(), self.writers_door, known=lambda: self.page.watermark).run()

    def mirror(self) -> NoReturn:
        """All that the mirror does. Raises StoreError, TranscriptError."""
        assert self.files.position
        position = self.files.position
        position.read()  # the mirror before this one has moved it
        transcript = self.transcript.reopen()
        self._mirror(self._shared(), transcript, position, self.page).run()

    def _mirror(
        self,
        shared: Shared,
        transcript: Transcript,
        position: Position,
        committed: Committed,
    ) -> Mirror:
        return Mirror(
            shared,
            transcript,
            position,
            committed,
            synced=self._synced,
            ring=self._ring,
            send=self._deliver,
            tell=self._tell,
        )

    def _deliver(self, letter: Letter) -> None:
        """To who had the nick in the store: on this host it may still be somebody else's."""
        for seat in self.page.taken():
            number = seat.mailbox
            if number and f"{seat.connection:016x}" == letter.reader:
                self.roster.post(number, letter.nick, letter.text)
                return
        raise Nobody(letter.nick)

    def _shared(self) -> Shared:
        """A process's own; connects at its first call."""
        shared = Shared(self._address, self.name, self.host_id, self._keep)
        shared.room_id = getattr(self, "_id", "")
        shared.protection = self.protection.kind
        return shared

    def _ring(self) -> None:
        if self._has_people:
            self.bell.ring()

    def _tell(self, text: str) -> None:
        (self.tell_operator if self._has_people else say_status)(text)
