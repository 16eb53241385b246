"""The child of `duplex connect`: in a talk as any receiver, and in a room as one who follows it.

Which of the two it is, the peer's first line tells; what a room says after that, stream.py reads. A
lost connection is made again here, and its socket handed to the parent, which does all the
speaking. Like any receiver it never sends, and never reads the keyboard.

What it tells its parent besides what talk/report.py lists; the channel is a socket pair:

    .refused WHY                   it does not let us in at all
    .kept PATH                     the transcript that this session has; none without PATH
    .begun                         the connection stands in the transcript: it is no room so far
    .pair                          what the peer said first is no room's welcome
    .welcome OFFSET COUNT NICK ROOM
                                   a room greets; OFFSET is how far its transcript is known, and
                                   NICK what it calls us for now
    .joined NICK KEY COUNT ROOM    it has let us in
    .current                       all that was recorded before that has been read
    .renamed NICK KEY              it calls us so now
    .late                          it did not wait for us to say who we are: we are a guest there
                                   (a room of before 0.2)
    .anew REASON                   it does not let us go on from where we were
    .over REASON                   it has closed, or closed us out: the end that follows is the end
    .connection                    (with its descriptor) a new connection; a second descriptor is
                                   where to write, if that is to a relay (relay.py)
    =2026-… <ann> hello            one's own record
    ~! 3 are here: ann, bob, eve   a line for this client alone

and what it is told: `room` or `guest`, of the first welcome; `again`, after a loss it has reported.
"""

from __future__ import annotations

import os
import re
import select
import socket
import time

from duplex.channel import plain
from duplex.channel.base import HandshakeError
from duplex.client import relay
from duplex.client.stream import Stream
from duplex.protocol import messages, refusals
from duplex.system.errors import EXIT_OK, DuplexError, UnableToFork
from duplex.system.process import seconds_left, wait
from duplex.talk.receiver import Receiving
from duplex.talk.report import Output, Stopped
from duplex.transcript import record
from duplex.transcript.plain import in_rows
from duplex.transcript.record import RECORD_LIMIT
from duplex.transcript.sanitize import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from duplex.channel.base import Channel
    from duplex.client.reconnect import Reconnect
    from duplex.system.process import Child
    from duplex.transcript.keeping import Pending

GREETING_LIMIT = 1024  # bytes of a welcome, and more
QUIET = 1.0  # s without a word of the peer, until its connection is recorded as that of a talk
_TLS_ALERT = re.compile(rb"\x15\x03[\x00-\x04]\x00\x02", re.DOTALL)  # RFC 8446, 5.1 and 6
HANDSHAKE = 15.0  # s for a room to let us in again: a stale member of ours may have to end first


class _Rows(Output):
    """Standard output: on a terminal no row looks like another record."""

    def write(self, data: bytes) -> None:
        super().write(in_rows(data, 1))


class Following(Receiving):
    """`run` is all that the process does."""

    def __init__(
        self,
        *parts: Any,
        begun: bytes,
        reconnect: Reconnect | None,
        pending: Pending | None,
        on_screen: bool,
        verbatim: bool,
    ) -> None:
        """`begun` is the record of the connection, `reconnect` the way back to the peer.

        `pending` is what the transcript is to be, unless there is one, or is to be none. The other
        parts are a receiver's.
        """
        super().__init__(*parts, verbatim=verbatim)
        self._begun = begun  # b"" once recorded
        self._reconnect = reconnect
        self._pending = pending
        self._greeting: bytes | None = b""  # what has come of the first line; None: all of it
        self._in_room = False
        self._relay: Child | None = None
        self._deadline = time.monotonic() + QUIET
        to_stdout = None if on_screen else _Rows(1, self._report)
        self._stream = Stream(self._recording, self._report, to_stdout)

    def _until_end(self) -> str:
        while True:
            ending = super()._until_end()
            if ending == ".stopped" or not self._in_room:
                self._begin()
                return ending
            self._report.tell(ending)
            try:
                if self._stream.over or not self._reconnect or not self._told():
                    return ""
                self._connect_again(self._reconnect)
            except Stopped:
                return ".stopped"
            except HandshakeError as error:
                self._report.tell(f".over {error}")
                return f".lost {error}"

    def _seconds(self) -> float | None:
        seconds = super()._seconds()
        if not self._deadline:
            return seconds
        left = seconds_left(self._deadline)
        return left if seconds is None else min(left, seconds)

    def _also_waited_for(self) -> dict[int, int]:
        return {self._relay.fd: select.POLLIN} if self._relay else {}

    def _one_read(self) -> str:
        return self._looked_around() or super()._one_read()

    def _on_time(self) -> str:
        return self._looked_around() or super()._on_time()

    def _looked_around(self) -> str:
        """What has become of the relay, and of the time; the report of how it ended, or ""."""
        if self._relay and self._relay.ended(0):
            status, self._relay = self._relay.status, None
            if status != EXIT_OK:  # what it was given may not have been sent
                return ".lost the sending process has ended"
        if self._deadline and time.monotonic() >= self._deadline:
            self._deadline = 0.0
            if self._in_room:
                return ".lost the room does not let us in"
            self._begin()
        return ""

    def _take_said(self, said: bytes) -> str:
        if self._greeting is not None:
            return self._look_at_greeting(said) if said else ""
        if self._in_room:
            ending = self._stream.take(said, self._receiver)
            if self._stream.let_in and self._reconnect and self._deadline:
                self._reconnect.succeeded()
            self._deadline = 0.0 if self._stream.let_in else self._deadline
            return ending
        return super()._take_said(said)

    def _end(self, cut_off: bool) -> None:
        """The connection has ended: what is left of a record that was cut is read again."""
        if self._in_room:
            return
        if self._greeting:
            self._no_room()
        super()._end(cut_off)

    def _look_at_greeting(self, said: bytes) -> str:
        greeting = (self._greeting or b"") + said
        self._greeting = greeting
        if _TLS_ALERT.match(greeting) and not self._in_room:
            return ".refused the other side speaks TLS: duplex connect --tls HOST PORT"
        start = messages.ANSWER[: len(greeting)]
        end = greeting.find(b"\n") + 1
        if greeting.startswith(start) and (end or len(greeting)) < GREETING_LIMIT:
            if not end:
                return ""
            if welcome := messages.read_welcome(greeting[:end]):
                room, nick, count = welcome
                self._enter(count, visible(nick), visible(room))
                return self._take_said(greeting[end:])
            if not self._in_room and (refused := refusals.read(greeting[:end])):
                return f".refused {visible(refused)}"
        if self._in_room:
            first = plain.Receiver()
            line = (first.receive(greeting) + first.end(cut_off=True)).partition(b"\n")[0]
            return f".lost {line.decode()}"
        return self._no_room()

    def _no_room(self) -> str:
        greeting, self._greeting = self._greeting, None
        self._begin()
        self._report.tell(".pair")
        return super()._take_said(greeting or b"")

    def _begin(self) -> None:
        """Record that there is a connection: in a room nothing but its records is."""
        if self._begun and not self._in_room:
            if self._pending:
                self._keep(self._pending)
            begun = self._begun
            self._recording.record_now(lambda at: record.restamped(begun, at))
            self._begun = b""
            self._report.tell(".begun")

    def _keep(self, pending: Pending, room: str | None = None) -> None:
        """Open the transcript of a talk or a room, now that it is known which of them it is."""
        before, self._recording.transcript = self._recording.transcript, None
        if before:
            before.close()
        path = told = ""
        try:
            kept = pending.of_talk() if room is None else pending.of_room(room)
            self._recording.transcript, told = kept
            path = kept[0].path
        except DuplexError as error:
            told = f"not recorded: {error}"
        self._report.tell(f".kept {path}")
        if told:
            self._report.warn(told)

    def _enter(self, count: int, nick: str, room: str) -> None:
        self._greeting = None
        is_first, self._in_room = not self._in_room, True
        self._deadline = 0.0 if is_first else self._deadline
        self._stream.begin()
        self._receiver.limit_lines(RECORD_LIMIT)
        self._report.tell(f".welcome {self._stream.offset.at} {count} {nick} {room}")
        if self._pending:
            self._keep(self._pending, room)
            self._pending = None  # of the first, should its name change
        if is_first:
            self._stream.is_guest = self._told() == b"guest\n"

    def _told(self) -> bytes:
        """What the parent says, for which it is waited; b"" if that is nothing."""
        fd = self._report.fd
        happened = wait({**self._report.stops, fd: select.POLLIN})
        return os.read(fd, 64) if happened.keys() == {fd} else b""

    def _connect_again(self, reconnect: Reconnect) -> None:
        self._sock.close()
        if self._relay:
            self._relay.kill()  # it is ending by itself, and is reaped so
            self._relay = None
        self._sock, channel, said = self._new_connection(reconnect)
        self._receiver = channel.receiver
        self._receiver.parted = True
        self._greeting = b""
        self._deadline = time.monotonic() + HANDSHAKE
        handed = [self._sock]
        if said:
            handed.append(said)
        del channel
        with socket.socket(fileno=os.dup(self._report.fd)) as to_parent:
            try:
                fds = [sock.fileno() for sock in handed]
                socket.send_fds(to_parent, [b".connection\n"], fds)
            except OSError:
                raise Stopped from None  # the parent is gone
        for sock in handed[1:]:
            sock.close()

    def _new_connection(
        self, reconnect: Reconnect
    ) -> tuple[socket.socket, Channel, socket.socket | None]:
        """Its socket and channel, and where the parent is to write, if that is to a relay."""
        while True:
            sock, channel = reconnect.connect(self._report)
            if channel.name == plain.NAME:
                return sock, channel, None
            try:
                self._relay, said = relay.start(sock, channel.sender)
            except UnableToFork:
                sock.close()  # and later there may be a process
            else:
                return sock, channel, said
