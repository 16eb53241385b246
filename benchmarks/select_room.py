"""The baseline: the chat room of every tutorial, one process and one select loop, done correctly.

    python benchmarks/select_room.py PORT

It owns its clients' sockets and nothing else: lines are attributed and sent to the others, nothing
is kept. No socket blocks it, and a client that lets more than 16 MiB wait is dropped. It is here to
be measured by room.py, and runs in a process of its own; duplex knows nothing of it.
"""

from __future__ import annotations

import itertools
import selectors
import socket
import sys

READ = 64 * 1024  # bytes
LINE = 64 * 1024  # bytes a line may have
WAITING = 16 * 1024 * 1024  # bytes that may wait for one client


class Client:
    """Someone in the room: a socket, a name, the beginning of a line, and what is not yet sent."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.sock = sock
        self.name = name
        self.prefix = f"<{name}> ".encode()
        self.begun = b""
        self.waiting = bytearray()


class Room:
    """All of it. Lines go out whole, and to everybody in the same order."""

    def __init__(self, port: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, Client] = {}
        self._numbers = itertools.count(1)
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            for key, events in self._selector.select():
                if key.data is None:
                    self._accept()
                    continue
                client: Client = key.data
                if events & selectors.EVENT_WRITE:
                    self._flush(client)
                if events & selectors.EVENT_READ and client.sock.fileno() in self._clients:
                    self._read(client)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # it went away first
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(sock, f"guest-{next(self._numbers)}")
        self._clients[sock.fileno()] = client
        self._selector.register(sock, selectors.EVENT_READ, client)
        self._send(client, f"! welcome, {client.name}\n".encode())
        self._say(client, f"* {client.name} entered the room\n".encode())

    def _read(self, client: Client) -> None:
        try:
            data = client.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._leave(client)
            return
        lines, newline, client.begun = (client.begun + data).rpartition(b"\n")
        if newline:
            said = lines.replace(b"\n", b"\n" + client.prefix)
            self._say(client, client.prefix + said + newline)
        if len(client.begun) > LINE:
            self._leave(client)

    def _say(self, speaker: Client, text: bytes) -> None:
        for client in list(self._clients.values()):
            if client is not speaker:
                self._send(client, text)

    def _send(self, client: Client, text: bytes) -> None:
        if not client.waiting:
            try:
                sent = client.sock.send(text)
            except BlockingIOError:
                sent = 0
            except OSError:  # the next read says that it has gone
                return
            if sent == len(text):
                return
            text = text[sent:]
            both = selectors.EVENT_READ | selectors.EVENT_WRITE
            self._selector.modify(client.sock, both, client)
        client.waiting += text
        if len(client.waiting) > WAITING:
            client.waiting.clear()
            client.sock.shutdown(socket.SHUT_RDWR)

    def _flush(self, client: Client) -> None:
        try:
            del client.waiting[: client.sock.send(client.waiting)]
        except BlockingIOError:
            return
        except OSError:
            client.waiting.clear()
        if not client.waiting:
            self._selector.modify(client.sock, selectors.EVENT_READ, client)

    def _leave(self, client: Client) -> None:
        del self._clients[client.sock.fileno()]
        self._selector.unregister(client.sock)
        client.sock.close()
        self._say(client, f"* {client.name} left\n".encode())


if __name__ == "__main__":
    try:
        Room(int(sys.argv[1])).run()
    except (IndexError, ValueError):
        sys.exit("usage: select_room.py PORT")
