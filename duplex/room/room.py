"""The room: what its processes share, made by the server before its first fork.

Settings, the transcript, what protects the port, and what signs keys. server.py accepts and forks,
member.py reads one client each, hub.py owns the room. Nothing here waits for anything.
"""

from __future__ import annotations

from duplex.channel.protection import Certified
from duplex.room import control, keeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from duplex.channel.protection import Protection
    from duplex.room.files import Files
    from duplex.room.helpers import Helpers
    from duplex.room.journal import Journal
    from duplex.room.ledger import Ledger
    from duplex.room.ports import Hub
    from duplex.system.front import Front
    from duplex.system.status import Status

    MakeLedger = Callable[[Hub, Journal], Ledger]
    Become = Callable[[set[int]], None]
    AddHelpers = Callable[[Helpers, Become], None]

BURST = 100  # lines that may be said at once, whatever the rate


class Room:
    """`operate` is the operator's client: it is given a socket and returns an exit status.

    `ledger` makes what a room in a store has instead of its own (store/ledger.py), `helpers` starts
    the processes that it needs.
    """

    status: Status
    front: Front | None = None
    secret = (
        b""  # of a room in a store, which signs keys; else it is FILE.key's, and the hub's alone
    )
    ledger: MakeLedger | None = None
    helpers: AddHelpers | None = None

    def __init__(
        self, options: argparse.Namespace, port: int, files: Files, protection: Protection
    ) -> None:
        self.name: str = options.name or str(port)
        self.history: int = options.history
        self.rate: float = options.rate
        self.burst = BURST
        self.max_members: int = options.max_members
        self.max_per_address: int = options.max_per_address
        self.max_handshakes: int = options.max_handshakes
        self.max_lag: int = options.max_lag
        self.synced: bool = options.fsync == "always"
        self.flushed: bool = options.fsync == "second"
        self.keeper: str = options.keeper
        # at once, and so whatever happens is told there; a PIPE may bring one later, or none
        self.has_operator = self.keeper in (keeper.SCREEN, keeper.LINES)
        self.files = files
        self.transcript = files.transcript
        self.protection = protection
        self.sign = control.sign(port)
        # read again at SIGHUP, which then closes nothing
        self.tls = protection if isinstance(protection, Certified) else None

    @property
    def protected(self) -> bool:
        """Members begin with a handshake."""
        return self.protection.is_on

    operate: Callable[..., int]
