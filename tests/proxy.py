"""A TCP proxy that can cut what goes through it: after so many bytes, or when it is told to."""

from __future__ import annotations

import random
import select
import socket
import struct
import threading


class Proxy:
    """Carries connections to a port; each is cut after as many bytes as `budget` says for it."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self.target = port
        self.cuts = 0
        self.most: int | None = None  # bytes until a cut, at most; None: no cuts
        self.refuses = False
        self.resets_all = False  # whoever comes, at once
        self.reset = 0  # how many that were
        self.resets = 0.5  # how likely a cut is a reset, and not an end in good order
        self._rng = rng
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._cut_now = threading.Event()
        self._closed = False
        threading.Thread(target=self._run, daemon=True).start()

    def cut(self) -> None:
        """Cut the connections there are."""
        self._cut_now.set()

    def close(self) -> None:
        self._closed = True
        self._cut_now.set()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.resets_all:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                self.reset += 1
                continue
            if self.refuses:
                client.close()
                continue
            self._cut_now.clear()
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        left = self._rng.randrange(self.most) if self.most else None
        ends = {client: server, server: client}
        try:
            while len(ends) > 0:
                for source in select.select(list(ends), [], [], 0.02)[0]:
                    data = source.recv(4096 if left is None else min(4096, left + 1))
                    if left is not None:
                        if len(data) > left:
                            ends[source].sendall(data[:left])
                            raise ConnectionAbortedError
                        left -= len(data)
                    if data:
                        ends[source].sendall(data)
                    else:
                        ends[source].shutdown(socket.SHUT_WR)
                        del ends[source]
                if self._cut_now.is_set():
                    raise ConnectionAbortedError
        except OSError:
            self.cuts += 1
            for sock in (client, server):
                if self._rng.random() < self.resets:
                    linger = struct.pack("ii", 1, 0)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.close()
        server.close()
