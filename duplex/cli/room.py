"""`duplex room`: the options of a room, and what is opened for it before its first fork."""

from __future__ import annotations

import argparse
import os
import resource
from contextlib import suppress
from functools import partial

from duplex.cli import protection
from duplex.room import keeper
from duplex.room.files import Files
from duplex.room.rate import CROWD
from duplex.room.room import BURST, Room
from duplex.room.server import Server
from duplex.system import front, ownership, privileges, systemd, tcp
from duplex.system.errors import DuplexError, UsageError, say_status
from duplex.system.process import is_in_background
from duplex.system.status import Status, never_wait
from duplex.transcript import custody, places, retention
from duplex.transcript.retention import FOR_EVER, NEVER, parse_retain, parse_rotate

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd
    import socket

    from duplex.channel.protection import Protection
    from duplex.store.position import Position
    from duplex.system.front import Front

EXAMPLE = """\
example:
  duplex room 5000               then, anywhere on this machine: duplex connect 127.0.0.1 5000
                                 or: nc 127.0.0.1 5000
  duplex room 5000 --code        only for those who are told the code: duplex connect --code
  duplex room 5000 --host 0.0.0.0 --log ~/lobby.log --name lobby
  duplex room 5000 --name lobby --redis redis://HOST:6379/0      on each of many machines: one room
"""
DESCRIPTORS = 32  # of one process: as many as a member may have
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
        "--rotate",
        metavar="SIZE|day|week",
        type=parse_rotate,
        default=NEVER,
        help="close the transcript as FILE.OFFSET when it is that large, or each day or week",
    )
    add(
        "--retain",
        metavar="SIZE|AGE",
        type=parse_retain,
        default=FOR_EVER,
        help="remove closed ones beyond that much (1G), or older than that (30d)",
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
    become = privileges.choose(options.user, options.allow_root)
    protected, code = protection.listening(options)
    host = protected.hosts if options.host is None else options.host
    if given := systemd.sockets():  # by whoever started us: they decide where it is
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
    """The server: `before` stands between it and a terminal, if there is one."""
    front.is_not_stopped()
    port = listener.address[1]
    options.log = options.log or places.of_room(options.name, port)
    files = Files.open_for(
        become,
        options.log,
        adopt=options.adopt,
        beside=_position if options.redis else None,
        rotate=options.rotate,
        retain=options.retain,
    )
    if become:
        privileges.become(become)
        ownership.check(become, files.descriptors)
    if options.rotate is not NEVER:
        custody.check(options.log, become.pw_name if become else "you")
    if before:
        before.watched()
    room = Room(options, port, files, protected)
    room.status, room.front, room.operate = status, before, _operate
    if options.redis:
        _share(options, room)
    if become:
        say_status(f"running as {become.pw_name}, not as root (--user, --allow-root)")
    if code:
        say_status(f"the code: {code}")
    return Server(room, listener).run()


def _position(path: str) -> Position:
    from duplex.store.position import Position

    return Position(path)


def _share(options: argparse.Namespace, room: Room) -> None:
    """Make it a host of a room in a store. Raises StoreError."""
    from duplex.store.host import Host
    from duplex.store.position import Position

    position = room.files.beside
    assert isinstance(position, Position)
    host = Host(options, room.transcript, position, room.protection.kind)
    room.ledger, room.helpers, room.secret = host.ledger, host.start_helpers, host.secret


def _operate(sock: socket.socket, room: str, protection: str, how: str) -> int:
    """The operator's client: the server calls it in a process of its own."""
    from duplex.cli import operating  # what no member needs

    return operating.run(sock, room, protection, how)


def _let_go(listener: tcp.Listener, become: pwd.struct_passwd | None) -> None:
    """The front has no other business than the terminal."""
    listener.close()
    if become:
        with suppress(DuplexError):  # the server cannot either, and says so
            privileges.drop(become)


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
    retention.check(options.rotate, options.retain)
    if 0 < options.keep < KEPT_AT_LEAST:
        raise UsageError(
            f"cannot use --keep {options.keep}: it needs 0 (all), or {KEPT_AT_LEAST} or more"
        )
