"""The room: what its processes share.

What is here is made by the host before its first fork, and inherited by all: server.py accepts and
forks, member.py serves one client each. Nothing here waits for anything.
"""

from __future__ import annotations

from contextlib import suppress

from duplex.channel import protection
from duplex.protocol import messages
from duplex.protocol.nick import HOST
from duplex.room import keeper
from duplex.room.bell import Bell
from duplex.room.files import Files
from duplex.room.page import Page
from duplex.room.rates import Rates
from duplex.room.roster import Keys, Roster, Undeliverable
from duplex.system.errors import say_status
from duplex.system.status import Status
from duplex.transcript import mending
from duplex.transcript.hole import first_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from duplex.channel.protection import Protection
    from duplex.system.front import Front

SPARE_SEATS = 8  # for the operator, and for members that have ended and are not reaped yet
BURST = 100  # lines that may be said at once, whatever the rate


class Room:
    """What all processes of a room share."""

    status: Status
    front: Front | None = None

    def __init__(
        self,
        options: argparse.Namespace,
        port: int,
        files: Files,
        protected: Protection,
    ) -> None:
        self.name: str = options.name or str(port)
        self.history: int = options.history
        self.rate: float = options.rate
        self.burst = BURST
        self.rates = Rates(options.max_members)
        self.max_lag: int = options.max_lag
        self.keeper: str = options.keeper
        # at once, and so whatever happens is told there; a PIPE may bring one later, or none
        self.has_operator = self.keeper in (keeper.SCREEN, keeper.LINES)
        self.files = files
        self.transcript = files.transcript  # the host's description; each member opens its own
        self.transcript.tell = say_status
        self.protection = protected
        self.keys = Keys(self.settle(options, files.secret))
        self.page = Page.make(options.max_members + SPARE_SEATS)
        self.transcript.share(self.page, synced=options.fsync == "always")
        self.roster = Roster(self.page)
        self.transcript.tell = self.tell_of_others
        self.bell = Bell()
        self.harden: Callable[[], None] = _not_yet  # once in each member (system/hardening.py)
        # read again at SIGHUP, which then closes nothing
        self.tls = protected if isinstance(protected, protection.Certified) else None

    def settle(self, _options: argparse.Namespace, secret: bytes) -> bytes:
        """Before anything of the transcript is shared, but nobody else's room: what signs keys."""
        transcript = self.transcript
        with transcript:
            end, told = transcript.end(), ""
            if not mending.is_known(transcript.found, self.files.secret_fd):
                first = first_record(transcript.fd)
                told = mending.mend(transcript.fd, transcript.path, first, end)
            transcript.first = first_record(transcript.fd)
        if told:
            say_status(told)
        return secret

    @property
    def protected(self) -> bool:
        """Members begin with a handshake, as SHAKING."""
        return self.protection.is_on

    def tell_log(self, text: str) -> None:
        """One line on standard error, unless the operator sees the room live."""
        if not self.has_operator:
            say_status(text)

    def tell_operator(self, text: str) -> None:
        """One line for whoever keeps the room, there or on standard error."""
        if not self.has_operator:
            say_status(text)
        if self.keeper == keeper.NOBODY:
            return
        with suppress(Undeliverable):  # the operator is going, or too much is being told at once
            self.roster.send(HOST, messages.operator(text).encode())

    def close(self) -> None:
        """The host, when nobody appends any more."""
        with suppress(OSError):  # then it is read through when it is opened again
            mending.make_known(self.transcript.fd, self.files.secret_fd)

    def tell_of_others(self, text: str) -> None:
        """What others have done to the transcript; from any process, for the operator."""
        with suppress(Undeliverable):  # too much of it
            self.roster.tell_host(f"trouble 0 {text}".encode())

    def ask_to_make_way(self, nick: str) -> None:
        """Tell a member that its client has come back in another connection, if it can be told."""
        with suppress(Undeliverable):
            self.roster.send(nick, b"t")


def _not_yet() -> None:
    """In the host and its rehearsal, which cannot take it back."""
