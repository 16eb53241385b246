"""The host of a room in a store: what it does besides what any room's host does.

    host      accepts, forks, reaps; asks the store for those of its members that have ended
    ├─ writer   asks the store for all members (writer.py)
    ├─ mirror   appends to the transcript what is in the store (replicator.py)
    ├─ member   one for each client (member.py here)
    ├─ flusher, screen   as in any room

A helper that is killed is followed by another. One that finds that it cannot go on, whatever is
tried, says so and ends with EXIT_STORE: then this host closes. That is told to its own clients
alone, and ends the room for nobody: they go on at another host, from where they were.
"""

from __future__ import annotations

import os
import time

from duplex.protocol.nick import HOST
from duplex.room import page
from duplex.room.departures import Departures, how_it_left
from duplex.room.server import CLOSING, Host
from duplex.store.member import SharedMember
from duplex.store.pen import Pen, new_connection
from duplex.store.room import SharedRoom
from duplex.system.errors import DuplexError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from collections.abc import Callable
    from typing import NoReturn

    from duplex.room.member import Member
    from duplex.room.page import Seat

EXIT_STORE = 72  # a helper's, that has told why it cannot go on
CLOSED = "its host has closed"


class SharedHost(Host):
    """`run` serves this host's clients until this host is closed."""

    member: type[Member] = SharedMember
    _room: SharedRoom

    def _open_helpers(self) -> None:
        self._room.open_writers_door()
        self._departures.begin()
        door, files = self._room.writers_door.fileno(), self._room.files
        copies = set(files.descriptors.values())
        self._helpers.start("writer", lambda: self._help(self._room.write, {door}))
        self._helpers.start("mirror", lambda: self._help(self._room.mirror, copies))
        super()._open_helpers()

    def _help(self, run: Callable[[], NoReturn], own: set[int]) -> int:
        """Only a helper runs this."""
        room = self._room
        self._become({room.page.fd, room.bell.fd, *own})
        try:
            run()
        except DuplexError as error:
            room.tell_operator(str(error))
            return EXIT_STORE

    def _helper_ended(self, kind: str, status: int, how: str) -> None:
        if os.waitstatus_to_exitcode(status) == EXIT_STORE:
            self._failed = True
            self._closing = self._closing or "this host cannot go on"
        else:
            super()._helper_ended(kind, status, how)

    def _give_up(self, kind: str, how: str) -> None:
        if kind == "flusher":
            super()._give_up(kind, how)
            return
        self._room.tell_operator(f"{how}: this host cannot go on")
        self._failed = True
        self._closing = self._closing or "this host cannot go on"

    def _wanted(self) -> select.epoll:
        wanted = super()._wanted()
        wanted.register(self._departures.fd)
        return wanted

    def _turn(self, wanted: select.epoll) -> None:
        super()._turn(wanted)
        self._departures.hear()

    def _make_departures(self) -> SharedDepartures:
        self._departures: SharedDepartures = SharedDepartures(self._room)
        return self._departures


class SharedDepartures(Departures):
    """The same, by the store; it knows whether somebody was here at all."""

    _room: SharedRoom

    def begin(self) -> None:
        """Once the pens can call."""
        self._pen = Pen(self._room.calls, new_connection(), self._room.host_id)
        self.fd = self._pen.fd
        self._again: list[tuple[str, str]] = []  # how, and whose connection: it was refused

    def of(self, seat: Seat, status: int, closing: bool) -> None:
        connection = f"{seat.connection:016x}"
        # Who is taken over is back already: the store does both in one step.
        event = how_it_left(seat, status) if seat.ending != page.TAKEN_OVER else ""
        was_seen = seat.state == page.HERE and seat.nick != HOST
        stays = closing and seat.ending != page.LEFT  # perhaps it goes on at another host
        name = seat.nick
        seat.clear()  # and so its nick is free here before the store lets anybody else have it
        if int(connection, 16) and not stays:
            self._pen.ask("leave", event, of=connection)
            if was_seen and event:
                self._room.tell_log(f"{name} {event}")

    def hear(self) -> None:
        """What the store says of that."""
        for heard in self._pen.take():
            if heard.word == "!out":
                reason = b" ".join(heard.rest).decode(errors="replace")
                self._room.tell_operator(f"the room's store is out of reach: {reason}")
            elif heard.word == "!back":
                self._room.tell_operator("the room's store is back")
            elif heard.word == "refused" and heard.request:
                self._again.append((heard.request.words[0].decode(), heard.request.of.decode()))
                self.unrecorded = ["somebody who is gone"]

    def record(self) -> None:
        """What was refused is asked again."""
        again, self._again, self.unrecorded = self._again, [], []
        for event, connection in again:
            self._pen.ask("leave", event, of=connection)

    def closes(self, event: str) -> None:
        """Only this host does."""
        self._room.tell_log(event)

    def all_are_gone(self) -> None:
        """Who is not at another host by now is not here any more."""
        deadline = time.monotonic() + CLOSING
        while time.monotonic() < deadline:
            heard = self._pen.call("retire", CLOSED, patience=lambda: time.monotonic() < deadline)
            if heard and heard.word == "ok" and heard.rest == [b"1"]:
                return
