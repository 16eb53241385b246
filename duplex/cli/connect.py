"""`duplex connect`: find the other side, and talk to it."""

from __future__ import annotations

import argparse
import os
import pwd
import select
import socket

from duplex.channel import handshake
from duplex.cli import options as shared, protection
from duplex.client.detect import Undecided
from duplex.client.reconnect import BACKOFF, BACKOFF_LIMIT, Reconnect
from duplex.system import tcp
from duplex.system.errors import UnableToConnect, UsageError, in_form, say_status
from duplex.system.process import Interrupted, Signals
from duplex.system.target import Target, targets
from duplex.talk.session import Session
from duplex.talk.stdin import Ahead
from duplex.transcript import keeping, places, record
from duplex.transcript.keeping import Pending
from duplex.transcript.record import NICK_LIMIT, check_nick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.base import Channel
    from duplex.channel.protection import Protection
    from duplex.transcript.file import Transcript

EXAMPLE = """\
example:
  duplex connect 127.0.0.1 8000              talk; quit ends your side, bye both
  duplex connect --retry --verbatim HOST 8000 < file
  duplex connect --code HOST 8000            it listens with --code: the code is asked for
  duplex connect --nick ann 127.0.0.1 5000   in a room (duplex room 5000): be called ann there
  duplex connect alpha.example:8000          the same as HOST PORT; also [::1]:8000
  duplex connect alpha,beta,gamma 5000       one room on many hosts: whichever answers
"""
LOG = f"{places.CALLERS}; in a room logs/room-ROOM/HOST-PORT/server_input.log"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "host",
        metavar="HOST[,HOST...]",
        help="a name or an address; HOST:PORT and [ADDRESS]:PORT include the port; of many hosts "
        "of one room, the next is tried when one does not answer",
    )
    parser.add_argument(
        "port", metavar="PORT", nargs="?", help="a number or the name of a TCP service"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=5.0,
        help="wait this long for each address of HOST (%(default)g)",
    )
    parser.add_argument("--retry", action="store_true", help="try again until somebody answers")
    parser.add_argument("--nick", metavar="NAME", help="your nick in a room (your login name)")
    parser.add_argument(
        "--no-retry",
        action="store_true",
        help="in a room, end when the connection is lost; do not make a new one",
    )
    protection.add_calling_arguments(parser)
    shared.add_arguments(parser, LOG, "server")


def run(options: argparse.Namespace) -> int:
    """Talk to whoever listens there; the exit status."""
    hosts = targets(options.host, options.port)
    check_nick(options.peer)
    options.explicit = options.nick is not None
    options.nick = check_nick(options.nick) if options.explicit else _login_name()
    if not 0 < options.timeout < float("inf"):
        raise UsageError(f"cannot use --timeout {options.timeout:g}: it needs seconds above 0")
    transcript, pending = _transcript(options, hosts)
    signals = Signals()
    protected = protection.calling(options, signals)
    ahead = Ahead(verbatim=options.verbatim)
    sock, peer, at = _connected(hosts, options, signals, ahead)
    protected.calls(hosts[at].host)
    channel = _channel(sock, protected, signals)
    begun = f"connected to {peer}"
    say_status(f"{begun}, {channel.name}")
    where = [*hosts[at:], *hosts[:at]], options.timeout
    reconnect = None if options.no_retry else Reconnect(*where, protected)
    session = Session(sock, channel, peer, options, signals, transcript, shared.open_screen)
    session.ahead = ahead.take()
    del channel  # each half of it is to be in one process alone
    return session.run(Undecided(session, record.event(begun), reconnect, pending)).status


def _transcript(
    options: argparse.Namespace, hosts: list[Target]
) -> tuple[Transcript | None, Pending | None]:
    """The one that --log names, or what there will be one of."""
    if options.no_log:
        return None, None
    if options.log is None:
        pending = Pending(*_place(hosts))
        pending.prepare()
        return None, pending
    transcript, told = keeping.for_talk(options.log, given=True)
    if told:
        say_status(told)
    return transcript, None


def _place(targets: list[Target]) -> tuple[list[str], int]:
    """Hosts and a port, as a directory is called by them: many ports stand beside their hosts."""
    port = min(target.port for target in targets)
    if all(target.port == port for target in targets):
        return [target.host for target in targets], port
    return [f"{target.host}:{target.port}" for target in targets], port


def _login_name() -> str:
    """As far as it can be a nick; "guest" if none of it can."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user without an entry, as containers have them
        name = ""
    kept = "".join(c for c in name if c.isprintable() and not c.isspace() and c not in "<>")
    return kept.lstrip("/!-*")[:NICK_LIMIT] or "guest"


def _channel(sock: socket.socket, protected: Protection, signals: Signals) -> Channel:
    try:
        return handshake.shake(sock, protected.call(), {signals.fd: select.POLLIN})
    except handshake.Stopped:
        raise Interrupted(signals.received) from None


def _connected(
    hosts: list[Target], options: argparse.Namespace, signals: Signals, ahead: Ahead
) -> tuple[socket.socket, str, int]:
    """To the first of the hosts that answers; where that is, and which one of them."""
    delay = BACKOFF
    while True:
        for at, host in enumerate(hosts):
            try:
                return *tcp.connect(host.host, host.port, options.timeout, signals), at
            except UnableToConnect as error:
                if at + 1 < len(hosts):
                    say_status(f"{in_form(error)}; trying {hosts[at + 1]}")
                elif not options.retry:
                    raise
                elif delay == BACKOFF:
                    say_status(f"{in_form(error)}; trying again until it answers")
        ahead.pause(delay, signals)
        delay = min(delay * 2, BACKOFF_LIMIT)
