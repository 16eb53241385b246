"""The clients of a room: what was recorded is sent to all of them, from where each of them is.

Nearly always all are level: they have been sent all there is, and the next records are the same
bytes for each, given to `send` as they are, or when there are many to `sendfile`. Who is not (slow,
new, spared its own records, to be told something) is behind, is looked after by itself (client.py),
and becomes level again. Part of the hub; waits for nobody: a socket that takes no more is waited
for by the hub's loop.
"""

from __future__ import annotations

import select

from duplex.room.client import AT_ONCE, NEVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.room.client import Client
    from duplex.room.loop import Loop
    from duplex.transcript.segments import Segments

LARGE = 4 * 1024  # bytes from which on the kernel takes them from the file faster than from us
RECENT = 256 * 1024  # bytes of the last turn that are kept for who is a little behind


class Clients:
    """`lost(client, error)` is called for each whose connection is."""

    def __init__(
        self,
        transcript: Segments,
        loop: Loop,
        lost: Callable[[Client, OSError], None],
    ) -> None:
        self._transcript = transcript
        self._loop = loop
        self._lost = lost
        self._level: list[Client] = []
        self._stale = False  # some in `_level` are not level any more
        self._mark_at = NEVER  # the first offset from which one in `_level` has to be told of it
        self._behind: dict[Client, None] = {}  # to be looked after in this turn, in their order
        self.blocked: dict[int, Client] = {}  # by descriptor
        self._start = self._level_at = transcript.end  # where all are that are level
        self._recent = memoryview(b"")
        self.all: dict[int, Client] = {}  # by descriptor

    def add(self, client: Client) -> None:
        self.all[client.fd] = client

    def remove(self, client: Client) -> None:
        """It is sent nothing more; its descriptor is closed by the caller, right after."""
        self._let_go(client)
        self.all.pop(client.fd, None)
        self._behind.pop(client, None)
        if client.level:
            client.level = False
            self._stale = True

    def wake(self, client: Client) -> None:
        """There is something for it: look after it in this turn, if it is still there."""
        if self.all.get(client.fd) is not client:
            return
        if client.level:
            client.level = False
            client.offset = self._level_at
            self._stale = True
        if not client.blocked:
            self._behind[client] = None

    def lag(self, client: Client) -> int:
        """Bytes of the transcript that it has not been sent."""
        if client.level or not client.following:
            return 0
        return self._transcript.end - client.offset

    def position(self, client: Client) -> int:
        """Its offset, level or not."""
        return self._level_at if client.level else client.offset

    def lowest(self) -> int:
        """The offset up to which everybody has been sent all."""
        behind = (client.goes_on_at for client in self.all.values() if not client.level)
        return min(behind, default=self._transcript.end)

    def _writable(self, client: Client) -> None:
        """A socket takes more again, or its connection is gone: then that is found by sending."""
        self._let_go(client)
        self._behind[client] = None

    def publish(self, start: int, data: bytes) -> None:
        """`data` has been recorded at `start`: send it to who is level, then see to the others."""
        if self._stale:
            self._level = [client for client in self._level if client.level]
            self._stale = False
        if data:
            if start + len(data) > self._mark_at:
                self._demote_marked(start + len(data), start)
            self._fan_out(start, data)
            self._start, self._level_at = start, start + len(data)
            self._recent = memoryview(data if len(data) <= RECENT else b"")
        if self._behind:
            behind, self._behind = self._behind, {}
            for client in behind:
                self._look_after(client)

    @property
    def busy(self) -> bool:
        """Whether someone has more to be sent, and would take it."""
        return bool(self._behind)

    def _fan_out(self, start: int, data: bytes) -> None:
        """The loop that a room's latency and throughput are made of: nothing is looked up here."""
        size = len(data)
        behind: list[tuple[Client, int]] = []
        failed: list[tuple[Client, OSError]] = []
        sendfile = self._transcript.sendfile if size >= LARGE else None
        for client in self._level:
            try:
                sent = sendfile(client.fd, start, size) if sendfile else client.send(data, AT_ONCE)
                if sent != size:
                    behind.append((client, sent))
            except BlockingIOError:
                behind.append((client, 0))
            except OSError as error:
                failed.append((client, error))
        for client, sent in behind:
            if client.level:
                self._stale, client.level = True, False
                client.offset = start + sent
                client.blocked = True
                self._wait_for(client)
        for client, why in failed:
            self._lost(client, why)

    def _demote_marked(self, end: int, start: int) -> None:
        """Who is to be told where it is, before these records or between them."""
        mark_at = NEVER
        for client in self._level:
            if client.mark_at < end:
                client.level, client.offset = False, start
                self._behind[client] = None
                self._stale = True
            else:
                mark_at = min(mark_at, client.mark_at)
        self._mark_at = mark_at
        if self._stale:
            self._level = [client for client in self._level if client.level]
            self._stale = False

    def _look_after(self, client: Client) -> None:
        try:
            done = client.go_on(self._start, self._recent)
        except OSError as error:
            self._lost(client, error)
            return
        if client.relieved and not client.crowded:
            client.relieved()
        if client.blocked:
            self._wait_for(client)
        elif not done:
            self._behind[client] = None  # in the next turn
        elif client.ended and not client.private:
            ended, client.ended = client.ended, None
            ended()
        elif client.only_follows and client.offset == self._level_at:
            client.level = True
            self._level.append(client)
            self._mark_at = min(self._mark_at, client.mark_at)

    def _wait_for(self, client: Client) -> None:
        self.blocked[client.fd] = client
        self._loop.watch(client.fd, lambda: self._writable(client), select.EPOLLOUT)

    def _let_go(self, client: Client) -> None:
        if self.blocked.pop(client.fd, None):
            self._loop.unwatch(client.fd)
        client.blocked = False
