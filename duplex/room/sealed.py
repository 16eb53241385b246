"""What one client is sent on a protected channel: the same as delivery.py says, but sealed.

Runs in the member. The transcript's bytes cannot go from the file to the socket by themselves, so
they are read, sealed, and sent: at most CHUNK of them ahead of what the socket has taken. Knows no
cipher; the Sender does.
"""

from __future__ import annotations

import os

from duplex.room.delivery import Delivery

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from duplex.channel.base import Sender
    from duplex.room.page import Page, Seat
    from duplex.transcript.file import Transcript

CHUNK = 64 * 1024  # bytes of records sealed at once


class Sealed(Delivery):
    """One client's part. `offset` is how far its records are sealed."""

    def __init__(
        self, sock: socket.socket, transcript: Transcript, page: Page, seat: Seat, sender: Sender
    ) -> None:
        super().__init__(sock, transcript, page, seat)
        self._sender = sender

    @property
    def only_follows(self) -> bool:
        return not self._sealed and super().only_follows

    @property
    def crowded(self) -> bool:
        return super().crowded or len(self._sealed) > 2 * CHUNK

    def answer(self, data: bytes) -> None:
        self._sealed += data

    def finish(self) -> None:
        self._sock.sendall(self._sealed + self._sender.end())
        self._sealed = b""

    def _flush(self) -> None:
        while self._sealed:
            self._sealed = self._sealed[self._sock.send(self._sealed) :]

    def _send(self, data: bytes) -> int:
        self._sealed += self._sender.send(data)
        return len(data)

    def _send_records(self, count: int) -> int:
        records = os.pread(self._transcript.fd, min(count, CHUNK), self.offset)
        return self._send(records) if records else 0

    def _sendfile(self, out: int, source: int, offset: int, count: int) -> int:
        """As os.sendfile(2), for `tail`; what is not sent of it at once is in `_sealed`."""
        self._flush()
        records = os.pread(source, min(count, CHUNK), offset)
        if not records:
            return 0
        sealed = self._sender.send(records)
        try:
            self._sealed = sealed[self._sock.send(sealed) :]
        except BlockingIOError:
            self._sealed = sealed
        return len(records)
