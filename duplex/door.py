"""The door of `listen`: who has called, and has shown that it may, is let in, one at a time.

On a protected port several callers may be shaking hands at once, so that one who says nothing keeps
nobody out; the first who is done is the peer. A wrong code is a guess, and after GUESSES of them
this ends: somebody is trying. Runs before the fork; knows nothing of what is said inside.
"""

from __future__ import annotations

import random
import select
import socket
import time

from duplex import tcp, wire
from duplex.errors import DuplexError, say_status
from duplex.handshake import Shaking
from duplex.wire import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.ahead import Ahead
    from duplex.process import Signals
    from duplex.protection import Protection

AT_ONCE = 8  # unfinished handshakes
GUESSES = 3  # wrong codes, in all the time that this listens: see docs/security.md
TELL_EVERY = 1.0  # s between two lines about callers who cannot come in


class Guessed(DuplexError):
    """Too many wrong codes."""

    def __init__(self) -> None:
        super().__init__(
            f"{GUESSES} wrong codes: somebody may be guessing; start again for a new code"
        )


class Door:
    """Waits for peers at a listener; `next` gives one after another."""

    def __init__(
        self, listener: tcp.Listener, protection: Protection, signals: Signals, ahead: Ahead
    ) -> None:
        self._listener = listener
        self._protection = protection
        self._signals = signals
        self._ahead = ahead
        self._guesses = 0
        self._told_at = -TELL_EVERY
        self._shaking: dict[int, tuple[Shaking, str]] = {}  # by descriptor; with the address

    def next(self) -> tuple[socket.socket, str, wire.Channel]:
        """A connection, its peer's address, its channel. Raises Interrupted, Left or Guessed."""
        if not self._protection.is_on:
            sock, address = self._listener.accept(self._signals, self._ahead.wait)
            tcp.prepare(sock)
            return sock, tcp.where(address), plain.channel()
        try:
            while True:
                if come := self._turn():
                    return come
        finally:
            for fd in list(self._shaking):
                self._forget(fd)

    def _turn(self) -> tuple[socket.socket, str, wire.Channel] | None:
        listening = {sock.fileno(): sock for sock in self._listener.sockets}
        events = dict.fromkeys([*listening, self._signals.fd], select.POLLIN)
        events |= {fd: shaking.wanted for fd, (shaking, _) in self._shaking.items()}
        deadlines = [shaking.deadline for shaking, _ in self._shaking.values()]
        seconds = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        happened = self._ahead.wait(events, seconds)
        self._signals.check()
        for fd in list(self._shaking):
            shaking, address = self._shaking[fd]
            if fd in happened or time.monotonic() >= shaking.deadline:
                if channel := self._go_on(shaking, address):
                    del self._shaking[fd]
                    return shaking.sock, address, channel
                if shaking.over:
                    self._forget(fd)
        for fd in happened.keys() & listening.keys():
            self._accept(listening[fd])
        return None

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, address = listening.accept()
            tcp.prepare(sock)
        except OSError:
            return  # it is gone again
        if len(self._shaking) >= AT_ONCE:
            # Not the newcomer: who is slow to shake hands is more likely to be up to no good.
            self._forget(random.choice(list(self._shaking)))
        handshake = self._protection.answer()
        assert handshake
        shaking = Shaking(sock, handshake)
        self._shaking[sock.fileno()] = shaking, tcp.where(address)
        self._go_on(shaking, tcp.where(address))  # what it says first does not wait for the peer

    def _go_on(self, shaking: Shaking, address: str) -> wire.Channel | None:
        try:
            return shaking.go_on()
        except wire.WrongCode as error:
            self._guesses += 1
            if self._guesses >= GUESSES:
                say_status(f"{address}: {error}")
                raise Guessed from None
            left = GUESSES - self._guesses
            say_status(f"{address}: {error}; {left} more wrong {_codes(left)}, and this ends")
        except wire.HandshakeError as error:
            self._tell(f"{address} did not come in: {error}")
        return None

    def _tell(self, text: str) -> None:
        """A flood of callers is not to be a flood on the terminal."""
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY:
            self._told_at = now
            say_status(text)

    def _forget(self, fd: int) -> None:
        shaking, _ = self._shaking.pop(fd)
        shaking.sock.close()


def _codes(count: int) -> str:
    return "code" if count == 1 else "codes"
