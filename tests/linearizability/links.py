"""The network of a run: each client's ways to the room, which can be held, cut and refused.

One selector carries all of them, in the run's own process and turn: nothing here waits.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from contextlib import suppress

MOST = 1 << 16  # bytes that wait in one direction, beyond which no more is read
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER

Address = tuple[str, int]


class Network:
    """All links. `turn` carries what there is to carry."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.links: list[Link] = []

    def link(self, target: Address, at: Address, source: str) -> Link:
        self.links.append(Link(self, target, at, source))
        return self.links[-1]

    def turn(self, seconds: float) -> None:
        """Wait for that long at most."""
        ready = self.selector.select(seconds)
        for key, mask in ready:
            # What happened before in this turn may have closed it.
            if self.selector.get_map().get(key.fd) is key:
                key.data(mask)
        now = time.monotonic()
        for link in self.links:
            link.look_at_clock(now)

    def close(self) -> None:
        for link in self.links:
            link.close()
        self.selector.close()


class Link:
    """One client's way to one host of a room."""

    def __init__(self, network: Network, target: Address, at: Address, source: str) -> None:
        """At the address `at` (port 0: any); the room sees it come from the address `source`."""
        self.source = source
        self.target = target
        self.refuses = False
        self.held_until = 0.0
        self.pairs: list[Pair] = []
        self._network = network
        self._listener = socket.create_server(at)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        network.selector.register(self._listener, selectors.EVENT_READ, self._accept)

    @property
    def selector(self) -> selectors.BaseSelector:
        return self._network.selector

    @property
    def held(self) -> bool:
        return time.monotonic() < self.held_until

    def hold(self, seconds: float) -> None:
        """Nothing gets through for that long."""
        self.held_until = time.monotonic() + seconds
        for pair in self.pairs:
            pair.wait_for()

    def look_at_clock(self, now: float) -> None:
        if self.held_until and now >= self.held_until:
            self.held_until = 0.0
            for pair in self.pairs:
                pair.wait_for()

    def cut(self, *, reset: bool, half: str = "") -> None:
        """Cut what there is; `half`, "client" or "room", leaves the other's end as it is."""
        for pair in self.pairs.copy():
            pair.cut(reset, half)

    def cut_after(self, count: int) -> None:
        """Cut what there is when so many bytes more have been carried."""
        for pair in self.pairs:
            pair.left = count

    def mend(self) -> None:
        """From now on nothing happens to it; what is half open is closed."""
        self.refuses = False
        self.hold(0)
        for pair in self.pairs.copy():
            pair.left = None
            if pair.is_half:
                pair.cut(True, "")

    def close(self) -> None:
        self.cut(reset=True)
        self._listener.close()

    def _accept(self, _mask: int) -> None:
        with suppress(BlockingIOError):
            client, _ = self._listener.accept()
            if self.refuses:
                client.close()
                return
            try:
                room = socket.create_connection(self.target, 1, (self.source, 0))
            except OSError:
                client.close()
                return
            self.pairs.append(Pair(self, client, room))


class Pair:
    """One connection: a client's end and the room's."""

    def __init__(self, link: Link, client: socket.socket, room: socket.socket) -> None:
        self.left: int | None = None  # bytes until it is cut
        self._link = link
        self._ends = {"client": client, "room": room}
        self._waits = {"client": bytearray(), "room": bytearray()}  # to be sent to it
        self._ended: set[str] = set()  # these have said all
        self._shut: set[str] = set()  # these have been told so
        self._registered: set[str] = set()
        for end in self._ends.values():
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wait_for()

    @property
    def is_half(self) -> bool:
        return len(self._ends) < 2

    def wait_for(self) -> None:
        """Register what is to be waited for now."""
        for name, end in self._ends.items():
            other = _other(name)
            events = 0
            if not self._link.held and not self.is_half:
                if name not in self._ended and len(self._waits[other]) < MOST:
                    events |= selectors.EVENT_READ
                if self._waits[name]:
                    events |= selectors.EVENT_WRITE
            selector = self._link.selector
            if name in self._registered:
                selector.unregister(end)
                self._registered.discard(name)
            if events:
                selector.register(end, events, lambda mask, name=name: self._on(name, mask))
                self._registered.add(name)

    def cut(self, reset: bool, half: str) -> None:
        for name in [half] if half else list(self._ends):
            if end := self._ends.pop(name, None):
                if name in self._registered:
                    self._link.selector.unregister(end)
                    self._registered.discard(name)
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.close()
        if self._ends:
            self.wait_for()
        elif self in self._link.pairs:
            self._link.pairs.remove(self)

    def _on(self, name: str, mask: int) -> None:
        try:
            if mask & selectors.EVENT_READ:
                self._read(name)
            if name in self._ends and self._waits[name]:
                del self._waits[name][: self._ends[name].send(self._waits[name])]
            self._pass_ends_on()
        except BlockingIOError:
            pass
        except OSError:
            self.cut(reset=True, half="")
        if self._ends:
            self.wait_for()

    def _read(self, name: str) -> None:
        data = self._ends[name].recv(4096)
        if not data:
            self._ended.add(name)
        if self.left is not None:
            data = data[: self.left]
            self.left -= len(data)
        self._waits[_other(name)] += data
        self._send(_other(name))
        if self.left == 0:
            raise ConnectionAbortedError

    def _send(self, name: str) -> None:
        with suppress(BlockingIOError):
            if self._waits[name]:
                del self._waits[name][: self._ends[name].send(self._waits[name])]

    def _pass_ends_on(self) -> None:
        for name in self._ended - self._shut:
            if not self._waits[_other(name)]:
                self._ends[_other(name)].shutdown(socket.SHUT_WR)
                self._shut.add(name)
        if len(self._shut) == 2:
            self.cut(reset=False, half="")


def _other(name: str) -> str:
    return "room" if name == "client" else "client"
