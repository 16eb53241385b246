"""Who comes in at `listen`: who has called, and has shown that it may, is let in, one at a time.

Several callers may be shaking hands, or be glanced at, at once, so that one who says nothing keeps
nobody out; the first who is done is the peer. Programs that speak something else (channel/sniff.py)
are told so, and nobody's wait has ended. A wrong code is a guess, and after GUESSES of them this
ends: somebody is trying. Runs before the fork; knows nothing of what is said inside.
"""

from __future__ import annotations

import errno
import random
import select
import socket
import struct
import time
from contextlib import suppress

from duplex.channel import base, plain
from duplex.channel.handshake import Glance, Shaking
from duplex.system import tcp
from duplex.system.errors import DuplexError, UnableToListen, reason_of, say_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.protection import Protection
    from duplex.system.process import Signals
    from duplex.talk.stdin import Ahead

AT_ONCE = 8  # unfinished handshakes
GUESSES = 3  # wrong codes, in all the time that this listens: see docs/security.md
TELL_EVERY = 1.0  # s between two lines about callers who cannot come in
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, 0 s


class Guessed(DuplexError):
    """Too many wrong codes."""

    def __init__(self) -> None:
        super().__init__(
            f"cannot go on: {GUESSES} wrong codes came, and somebody may be guessing; "
            "start again for a new code"
        )


class Acceptor:
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
        self._new: set[int] = set()  # those that have just come, and may have spoken already

    def next(self) -> tuple[socket.socket, str, base.Channel]:
        """A connection, its peer's address, its channel. Raises Interrupted, Left or Guessed."""
        try:
            while True:
                if come := self._turn():
                    return come
        finally:
            for fd in list(self._shaking):
                self._forget(fd, reset=True)

    def _turn(self) -> tuple[socket.socket, str, base.Channel] | None:
        listening = {sock.fileno(): sock for sock in self._listener.sockets}
        events = dict.fromkeys([*listening, self._signals.fd], select.POLLIN)
        events |= {fd: shaking.wanted for fd, (shaking, _) in self._shaking.items()}
        deadlines = [shaking.deadline for shaking, _ in self._shaking.values()]
        seconds = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        happened = self._ahead.wait(events, seconds)
        self._signals.check()
        for fd in happened.keys() & listening.keys():
            self._accept(listening[fd])
        now = time.monotonic()
        for fd in list(self._shaking):
            is_due = now >= self._shaking[fd][0].deadline
            if (is_due or fd in happened or fd in self._new) and (come := self._go_on(fd)):
                return come
        return None

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, address = listening.accept()
            tcp.prepare(sock)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise UnableToListen(tcp.where(self._listener.address), reason_of(error)) from None
            return  # it is gone again
        if len(self._shaking) >= AT_ONCE:
            # Not the newcomer: who is slow to shake hands is more likely to be up to no good.
            self._forget(random.choice(list(self._shaking)))
        shaking = Shaking(sock, self._protection.answer() or Glance(plain.channel()))
        self._shaking[sock.fileno()] = shaking, tcp.where(address)
        self._new.add(sock.fileno())

    def _go_on(self, fd: int) -> tuple[socket.socket, str, base.Channel] | None:
        """What can be done about one caller; its connection, once it is let in."""
        self._new.discard(fd)
        shaking, address = self._shaking[fd]
        channel = self._shake(shaking, address)
        if channel and self._protection.is_open and not isinstance(shaking.handshake, Glance):
            shaking = Shaking(shaking.sock, Glance(channel))
            self._shaking[fd] = shaking, address
            channel = self._shake(shaking, address)
        if channel:
            del self._shaking[fd]
            return shaking.sock, address, channel
        if shaking.over:
            self._forget(fd)
        return None

    def _shake(self, shaking: Shaking, address: str) -> base.Channel | None:
        try:
            return shaking.go_on()
        except base.WrongCode as error:
            self._guesses += 1
            if self._guesses >= GUESSES:
                say_status(f"{address}: {error}")
                raise Guessed from None
            left = GUESSES - self._guesses
            say_status(f"{address}: {error}; {left} more wrong {_codes(left)} will end this")
        except base.HandshakeError as error:
            self._tell(f"{address} was refused: {error}")
        return None

    def _tell(self, text: str) -> None:
        """A flood of callers is not to be a flood on the terminal."""
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY:
            self._told_at = now
            say_status(text)

    def _forget(self, fd: int, *, reset: bool = False) -> None:
        """With `reset`, who has come for nothing reads what he would in a queue that is closed."""
        shaking, _ = self._shaking.pop(fd)
        self._new.discard(fd)
        if reset and isinstance(shaking.handshake, Glance) and not shaking.refused:
            with suppress(OSError):  # it is gone
                shaking.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        shaking.sock.close()


def _codes(count: int) -> str:
    return "code" if count == 1 else "codes"
