"""The roster: who is here, by nick, and how to write to them.

A nick is somebody's while its digest stands in that member's seat (page.py), or, after the member
has ended, among those whose leaving is not recorded yet. A member takes one under a lock on that
nick alone, a byte of the page's memory (fcntl(2)): nobody waits for it, and it is gone with the
process that has it. The host frees what a member that has ended has held. Where a member takes its
letters stands in its seat, too. Nothing has a name in any directory. Knows nothing of the
transcript.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
from contextlib import contextmanager

from duplex.protocol import lookalikes
from duplex.protocol.nick import Taken, refusal, same_nick
from duplex.room import mailbox
from duplex.room.mailbox import Mailbox
from duplex.system.errors import DuplexError, reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from duplex.room.page import Page, Seat

    Kept = tuple[int, int]  # where in the page a nick is kept, and which

_KEY_SIZE = 16  # bytes of a key's signature


class Undeliverable(DuplexError):
    """A letter was not put in its mailbox; the text says why."""


class Full(Undeliverable):
    """Whoever reads that mailbox has not read what is in it."""

    def __init__(self, nick: str) -> None:
        super().__init__(f"{nick} has a full mailbox; try again later")


class Nobody(Undeliverable):
    """There is no such mailbox here."""

    def __init__(self, nick: str) -> None:
        super().__init__(f"nobody here is called {nick}")


class Roster:
    """Of one room: the host makes it, and every member inherits it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._key = os.urandom(16)  # of digests: nobody finds two nicks that have the same
        self._control = 0  # the host's mailbox
        lookalikes.table()  # once for all members

    def open_control(self) -> Mailbox:
        """The host's mailbox: what an operator wants of it. Before the first member is forked."""
        box = Mailbox()
        self._control = box.number
        return box

    def take(self, seat: Seat, nick: str) -> None:
        """`nick` is this member's, besides the one it has. Raises Taken.

        Seats are looked at before those who are leaving: the host writes the other way round.
        """
        digest, look = self._digest(nick), self._look(nick)
        with self._locked(digest, nick), self._locked(look, nick):
            if self.page.holder_of(digest) or digest in self.page.leaving.tolist():
                raise Taken(nick)
            self._look_at_twin(seat, nick, look)
            _hold(seat, digest, look)

    def respell(self, seat: Seat, nick: str) -> None:
        """It is this member's already, and is written so from now on. Raises Taken."""
        digest, look = self._digest(nick), self._look(nick)
        with self._locked(look, nick):
            self._look_at_twin(seat, nick, look)
            if seat.holds_0 == digest:
                seat.looks_0 = look
            else:
                seat.looks_1 = look

    def _look_at_twin(self, seat: Seat, nick: str, look: int) -> None:
        twin = self.page.twin_of(look)
        if twin and ctypes.addressof(twin) != ctypes.addressof(seat):
            raise refusal(nick, twin.nick)

    def wants(self, seat: Seat, nick: str) -> None:
        """Said by who is about to take over `nick`, before it says from whom."""
        seat.wants = self._digest(nick)

    def inherit(self, seat: Seat, nick: str) -> None:
        """Take a nick whose holder has ended, and that the host keeps for the caller alone.

        At no instant can anybody else have it. Raises Taken, where somebody is just trying.
        """
        digest = self._digest(nick)
        with self._locked(digest, nick):
            leaving = self.page.leaving.tolist()
            if self.page.holder_of(digest):
                raise Taken(nick)
            _hold(seat, digest, self._look(nick))
            if digest in leaving:
                self.page.leaving[leaving.index(digest)] = 0

    def free(self, seat: Seat, nick: str) -> None:
        """Let somebody else have it."""
        digest = self._digest(nick)
        if seat.holds_0 == digest:
            seat.holds_0 = seat.looks_0 = 0
        if seat.holds_1 == digest:
            seat.holds_1 = seat.looks_1 = 0

    def leaves(self, *nicks: int) -> list[Kept]:
        """The host, before it clears a seat: what its member has held is nobody's, and not free.

        What is returned is for `left`, once it is recorded. There is room for all: whoever leaves
        was here, so its coming was recorded, and then the leaving of those before can be, too.
        """
        leaving, kept = self.page.leaving, []
        free = (at for at, digest in enumerate(leaving.tolist()) if not digest)
        for digest in nicks:
            if digest and (at := next(free, -1)) >= 0:
                leaving[at] = digest
                kept.append((at, digest))
        return kept

    def left(self, kept: list[Kept]) -> None:
        """Let others have them, unless they were inherited."""
        for at, digest in kept:
            if self.page.leaving[at] == digest:
                self.page.leaving[at] = 0

    def send(self, nick: str, letter: bytes) -> None:
        """Put a letter into a mailbox. Raises Undeliverable, or NickError."""
        digest = self._digest(nick)
        seat = self.page.holder_of(digest)
        if seat is None:
            raise Nobody(nick)
        number = seat.mailbox
        # The seat may have been cleared just now, and be somebody else's: then so is the number.
        if not number or digest not in (seat.holds_0, seat.holds_1):
            raise Nobody(nick)
        self.post(number, nick, letter)

    def tell_host(self, letter: bytes) -> None:
        self.post(self._control, "the host", letter)

    def who(self) -> list[str]:
        return sorted((seat.nick for seat in self.page.taken()), key=str.casefold)

    def post(self, number: int, nick: str, letter: bytes) -> None:
        """Put a letter into the mailbox with that number, of `nick`. Raises Undeliverable."""
        try:
            mailbox.post(number, letter)
        except BlockingIOError:
            raise Full(nick) from None
        except (ConnectionRefusedError, BrokenPipeError, ConnectionResetError):
            raise Nobody(nick) from None
        except OSError as error:
            raise Undeliverable(f"not delivered to {nick}: {reason_of(error)}") from None

    @contextmanager
    def _locked(self, digest: int, nick: str) -> Iterator[None]:
        """Alone with one nick, for an instant. Raises Taken: somebody else is just taking it."""
        try:
            fcntl.lockf(self.page.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, digest)
        except (BlockingIOError, PermissionError):  # fcntl(2) lets a system choose between the two
            raise Taken(nick) from None
        try:
            yield
        finally:
            fcntl.lockf(self.page.fd, fcntl.LOCK_UN, 1, digest)

    def _digest(self, nick: str) -> int:
        """A number that can be an offset in a file: from 1 to 2 ** 63. Raises NickError."""
        return self._number(same_nick(nick))

    def _look(self, nick: str) -> int:
        """The same of what it looks like; a space is in no nick, so these are others."""
        return self._number(f" {lookalikes.look(nick)}")

    def _number(self, text: str) -> int:
        digest = hashlib.blake2b(text.encode(), key=self._key, digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1 | 1


def _hold(seat: Seat, digest: int, look: int) -> None:
    if seat.holds_0:
        seat.holds_1, seat.looks_1 = digest, look
    else:
        seat.holds_0, seat.looks_0 = digest, look


def claimed(nick: str, text: str) -> tuple[str, str, str, str]:
    """What a room's store is asked for a nick with, and an event's text."""
    return nick, same_nick(nick), text, lookalikes.look(nick)


class Keys:
    """Signs who is who, so that somebody who comes back can prove it, also to a room restarted.

    The secret lies beside the transcript, for the user alone; whoever holds the lock on it is the
    transcript's one room.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def key(self, nick: str, session: int) -> str:
        return f"{session:016x}{self._sign(nick, session)}"

    def session(self, nick: str, key: str) -> int | None:
        """The session that `key` was made for; None if it is not a key of this room for `nick`."""
        try:
            session = int(key[:16], 16)
            right = self._sign(nick, session)
        except (ValueError, OverflowError):  # no number, or one below 0
            return None
        from hmac import compare_digest  # needed by those who come back alone

        return session if compare_digest(key[16:].encode(), right.encode()) else None

    def _sign(self, nick: str, session: int) -> str:
        text = session.to_bytes(8, "big") + same_nick(nick).encode()
        return hashlib.blake2b(text, key=self._secret, digest_size=_KEY_SIZE).hexdigest()


def new_session() -> int:
    return int.from_bytes(os.urandom(8), "big")
