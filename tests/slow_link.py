"""A link on which what a client says waits, while it hears at once: as one lost packet makes it."""

from __future__ import annotations

import select
import socket
import threading


class SlowLink:
    """Carries connections to a port. What clients say goes on only while `flows` is set."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.flows = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def cut(self) -> None:
        """End the connections there are."""
        for sock in self._open:
            sock.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.flows.set()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                room = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            self._open += [client, room]
            threading.Thread(target=self._carry, args=(room, client), daemon=True).start()
            args = (client, room, self.flows)
            threading.Thread(target=self._carry, args=args, daemon=True).start()

    def _carry(
        self, source: socket.socket, to: socket.socket, when: threading.Event | None = None
    ) -> None:
        try:
            while True:
                select.select([source], [], [])
                if when:
                    when.wait()
                data = source.recv(65536)
                if not data:
                    break
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            return
