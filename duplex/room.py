"""`duplex room`: the options of a room, and what its processes share.

What is here is made by the host before its first fork, and inherited by all: host.py accepts and
forks, member.py serves one client each. Nothing here waits for anything.
"""

from __future__ import annotations

import argparse
import os
import resource
from contextlib import suppress
from functools import partial

from duplex import activation, front, keeper, mending, ownership, places, protection, tcp, user
from duplex.bell import Bell
from duplex.errors import DuplexError, UsageError, say_status
from duplex.files import Files
from duplex.hole import first_record
from duplex.page import Page
from duplex.process import is_in_background
from duplex.rate import CROWD
from duplex.rates import Rates
from duplex.roster import HOST, Keys, Roster, Undeliverable
from duplex.status import Status, never_wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd
    from collections.abc import Callable

    from duplex.front import Front
    from duplex.host import Host
    from duplex.protection import Protection

EXAMPLE = """\
example:
  duplex room 5000               then, anywhere on this machine: duplex connect 127.0.0.1 5000
                                 or: nc 127.0.0.1 5000
  duplex room 5000 --code        only for those who are told the code: duplex connect --code
  duplex room 5000 --host 0.0.0.0 --log ~/lobby.log --name lobby
  duplex room 5000 --name lobby --redis redis://HOST:6379/0      on each of many machines: one room
"""
SPARE_SEATS = 8  # for the operator, and for members that have ended and are not reaped yet
BURST = 100  # lines that may be said at once, whatever the rate
DESCRIPTORS = 32  # of one process: as many as a member may have, and the host has fewer
KEPT_AT_LEAST = 1000  # entries in the store: a host that falls further behind has to end
BACKLOG = 1024  # connections that the kernel accepts for us while we are busy
MIB = 1 << 20
STORE = "DUPLEX_REDIS"  # the environment's, so that no password need be on a command line
# What options take at least.
LOWEST = {
    "history": 0,
    "max_members": 1,
    "max_per_address": 0,
    "max_handshakes": 0,
    "rate": 0,
    "keep": 0,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "port", metavar="PORT", type=int, help="the port to listen on; 0 picks a free one"
    )
    add = parser.add_argument
    add("--host", help="listen on this name or address (127.0.0.1; with --code all addresses)")
    add(
        "--log",
        metavar="FILE",
        help="the transcript FILE (logs/room-ROOM/client_input.log)",
    )
    add(
        "--adopt",
        action="store_true",
        help="use a FILE that no room has kept before; all in the room can read it",
    )
    add("--name", metavar="ROOM", help="call the room ROOM (the port)")
    add(
        "--history",
        metavar="N",
        type=int,
        default=20,
        help="show newcomers the last N records (20)",
    )
    add("--max-members", metavar="N", type=int, default=1000, help="members at once (%(default)s)")
    add(
        "--max-per-address", metavar="N", type=int, default=64, help="members from one address (64)"
    )
    add(
        "--rate",
        metavar="LINES",
        type=float,
        default=20,
        help=f"lines a second for one nick, after {BURST} at once; {CROWD} times that for one "
        "address; 0: no limit (%(default)g)",
    )
    add(
        "--max-lag",
        metavar="BYTES",
        type=int,
        default=64 * MIB,
        help="drop a member that has this much left to read (64 MiB)",
    )
    add(
        "--fsync",
        choices=("always", "second", "never"),
        default="second",
        help="write the transcript to the disk before anybody sees a line, once a second, or "
        "when the system does (%(default)s)",
    )
    add(
        "--max-handshakes",
        metavar="N",
        type=int,
        default=32,
        help="unfinished handshakes at once; close to N, newcomers are dropped at random; "
        "0: no limit (%(default)s)",
    )
    protection.add_listening_arguments(parser)
    add(
        "--user",
        metavar="NAME",
        help="if root starts the room, run it as NAME once it listens (nobody)",
    )
    add("--allow-root", action="store_true", help="run the room as root")
    add(
        "--redis",
        metavar="URL",
        default=os.environ.get(STORE),
        help=f"keep the room --name on many machines, through this Redis or Valkey (${STORE})",
    )
    add(
        "--keep",
        metavar="N",
        type=int,
        default=0,
        help="with --redis: keep the last N entries there (all)",
    )
    add(
        "--plain",
        action="store_true",
        help="show no interactive screen: print records on standard output, and say the lines "
        "of standard input",
    )
    parser.set_defaults(keeper=keeper.NOBODY)


def run(options: argparse.Namespace) -> int:
    """Keep a room until it is closed; the exit status."""
    check(options)
    _check_descriptors()
    status = never_wait()
    become = user.choose(options.user, options.allow_root)
    protected, code = protection.listening(options)
    host = protected.hosts if options.host is None else options.host
    if given := activation.sockets():  # by whoever started us: they decide where it is
        listener = tcp.Listener.inherited(given)
    else:
        listener = tcp.Listener(host, options.port, BACKLOG)
    keep = partial(_keep, options, listener, protected, status, code, become)
    options.keeper = keeper.how(options, in_background=is_in_background(0))
    if not front.is_wanted():
        return keep(None)
    before = front.Front()
    return before.stand(lambda: keep(before), let_go=partial(_let_go, listener, become))


def _keep(
    options: argparse.Namespace,
    listener: tcp.Listener,
    protected: Protection,
    status: Status,
    code: str,
    become: pwd.struct_passwd | None,
    before: Front | None,
) -> int:
    """The host: `before` stands between it and a terminal, if there is one."""
    front.is_not_stopped()
    port = listener.address[1]
    options.log = options.log or places.of_room(options.name, port)
    files = Files.open_for(become, options.log, adopt=options.adopt, shared=bool(options.redis))
    if become:
        user.become(become)
        ownership.check(become, files.descriptors)
    if before:
        before.watched()
    host_type, room_type = _kind(options)
    transcript = files.transcript
    room = room_type(options, port, files, protected)
    room.status, room.front = status, before
    if become:
        say_status(f"running as {become.pw_name}, not as root (--user, --allow-root)")
    if transcript.mended:
        say_status(f"{options.log}: {transcript.mended} bytes of a torn record were cut back")
    if code:
        say_status(f"the code: {code}")
    return host_type(room, listener, options).run()


def _let_go(listener: tcp.Listener, become: pwd.struct_passwd | None) -> None:
    """The front has no other business than the terminal."""
    listener.close()
    if become:
        with suppress(DuplexError):  # the host cannot either, and says so
            user.drop(become)


def _kind(options: argparse.Namespace) -> tuple[type[Host], type[Room]]:
    """With all that members need, for it to be there before the fork."""
    if options.redis:
        from duplex.store.host import SharedHost
        from duplex.store.room import SharedRoom

        return SharedHost, SharedRoom
    from duplex.host import Host

    return Host, Room


def _check_descriptors() -> None:
    """Raises DuplexError if there may not be as many as a room has at times."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        raise DuplexError(
            f"cannot keep a room: it needs {DESCRIPTORS} descriptors, "
            f"and {hard} are allowed (ulimit -n)"
        )


def _shown(options: argparse.Namespace, name: str) -> str:
    return f"--{name.replace('_', '-')} {getattr(options, name):g}"


def check(options: argparse.Namespace) -> None:
    """Raises UsageError for what cannot be."""
    tcp.check_port(options.port, lowest=0)
    for name, lowest in LOWEST.items():
        if not lowest <= getattr(options, name) < float("inf"):
            raise UsageError(
                f"cannot use {_shown(options, name)}: it needs a number from {lowest} on"
            )
    if options.max_lag < MIB:
        raise UsageError(f"cannot use {_shown(options, 'max_lag')}: it needs {MIB} bytes or more")
    if options.name is not None and (not options.name.isprintable() or not options.name.strip()):
        raise UsageError(f"cannot use --name {options.name!r}: it cannot be shown")
    if options.redis and options.name is None:
        raise UsageError("cannot use --redis without --name: the store needs the room's name")
    if options.keep and not options.redis:
        raise UsageError("cannot use --keep without --redis: it is for a room in a store")
    if 0 < options.keep < KEPT_AT_LEAST:
        raise UsageError(
            f"cannot use --keep {options.keep}: it needs 0 (all), or {KEPT_AT_LEAST} or more"
        )


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
        self.harden: Callable[[], None] = _not_yet  # called once in each member (hardening.py)
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
            self.roster.send(HOST, f"!! {text}".encode())

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
