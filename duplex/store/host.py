"""A host of a room in a store: what the server makes before its first fork, and the two helpers.

    server       holds the sockets at which the helpers listen; starts another helper if one ends
    ├─ hub          asks both (ledger.py), and alone has the transcript and its position
    ├─ writer       changes the store (writer.py)
    └─ replicator   reads it (replicator.py)

Before anything of the transcript is shared it is made a copy of the room that can go on, over a
connection to the store that is closed again. A helper that finds that it cannot go on, whatever is
tried, says so and ends with EXIT_GIVEN_UP: then this host closes. That is told to its own clients
alone, and ends the room for nobody: they go on at another host, from where they were.
"""

from __future__ import annotations

import os
import signal

from duplex.room.helpers import EXIT_GIVEN_UP
from duplex.store.address import Address
from duplex.store.copy import Copy, settle
from duplex.store.errors import Gap
from duplex.store.feed import Handing, HubGone
from duplex.store.ledger import StoreLedger
from duplex.store.line import BACKLOG
from duplex.store.replicator import Replicator
from duplex.store.shared import Shared
from duplex.store.writer import Writer
from duplex.system import local
from duplex.system.errors import DuplexError, say_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    import socket
    from collections.abc import Callable

    from duplex.room.helpers import Helpers
    from duplex.room.journal import Journal
    from duplex.room.ports import Hub
    from duplex.room.room import Become
    from duplex.store.position import Position
    from duplex.transcript.segments import Segments

TRIES = 10  # to find the beginning of what is kept, while that is being trimmed


class Host:
    """`id` is another each time that a host is started. Raises StoreError."""

    def __init__(
        self,
        options: argparse.Namespace,
        transcript: Segments,
        position: Position,
        protection: str,
    ) -> None:
        self._address = Address(options.redis)
        self._name: str = options.name
        self._keep: int = options.keep
        self._position = position
        self._path = transcript.path
        self._protection = protection
        self._room_id = ""
        self.id = os.urandom(8).hex()
        self._settle(transcript)
        self._addresses = local.name("writer"), local.name("replicator")
        self._listeners = [local.listen(address, BACKLOG) for address in self._addresses]

    def _settle(self, transcript: Segments) -> None:
        """Copy so much that the replicator will find where to go on, though the room is trimmed."""
        shared = self._shared()
        try:
            shared.check_version()
            for again in reversed(range(TRIES)):
                found = shared.find()
                assert found  # it is made if there is none
                self._room_id, self.secret = found.id, found.secret
                settle(transcript, self._position, found.id, found.first, self._name)
                copying = Replicator(
                    shared,
                    Copy(transcript, self._position),
                    transcript.path,
                    deliver=lambda _letters: None,
                    tell=say_status,
                )
                try:
                    copying.go_on(wait=0)
                    return
                except Gap:  # a new copy, of which the beginning was trimmed just now
                    if not again:
                        raise
        finally:
            shared.close()

    def _shared(self) -> Shared:
        """A process's own; connects at its first call."""
        shared = Shared(self._address, self._name, self.id, self._keep)
        shared.room_id, shared.protection = self._room_id, self._protection
        return shared

    def ledger(self, hub: Hub, journal: Journal) -> StoreLedger:
        own = f"{self.id}.{os.getpid()}"
        return StoreLedger(hub, journal, self._position, own, *self._addresses)

    def start_helpers(self, helpers: Helpers, become: Become) -> None:
        writer, replicator = self._listeners
        helpers.start("writer", lambda: self._write(become, writer))
        helpers.start("replicator", lambda: self._replicate(become, replicator))

    def _write(self, become: Become, listener: socket.socket) -> int:
        """All that the writer does."""
        _begin(become, listener)
        writer = Writer(self._shared(), listener)
        return _until_given_up(writer.go_on, writer.tell)

    def _replicate(self, become: Become, listener: socket.socket) -> int:
        """All that the replicator does."""
        _begin(become, listener)
        hub, shared = Handing(listener), self._shared()
        copying = Replicator(shared, hub, self._path, deliver=hub.deliver, tell=hub.tell)

        def go_on() -> None:
            try:
                if hub.has_begun():
                    shared.be(hub.host)
                    copying.begin_again()
                copying.go_on()
            except HubGone:
                return  # there will be another

        return _until_given_up(go_on, hub.tell)


def _begin(become: Become, listener: socket.socket) -> None:
    become({listener.fileno()})
    signal.set_wakeup_fd(-1)


def _until_given_up(go_on: Callable[[], None], tell: Callable[[str], None]) -> int:
    while True:
        try:
            go_on()
        except DuplexError as error:
            tell(str(error))
            return EXIT_GIVEN_UP
