"""`duplex connect`: find the other side, and talk to it."""

from __future__ import annotations

import argparse
import socket

from duplex import talk, tcp
from duplex.errors import UnableToConnect, UsageError, say_status
from duplex.process import Signals, pause
from duplex.record import check_nick
from duplex.transcript import Transcript

EXAMPLE = """\
example:
  duplex connect 127.0.0.1 8000              talk; quit, bye or Ctrl-D ends
  duplex connect --retry --verbatim HOST 8000 < file
"""
LOG = "logs/server_input.log"
BACKOFF, BACKOFF_LIMIT = 0.1, 5.0  # s before the second attempt, doubled up to the limit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", help="a name, an IPv4 or an IPv6 address")
    parser.add_argument("port", metavar="PORT", type=int)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=5.0,
        help="how long to wait for each address of HOST (%(default)g)",
    )
    parser.add_argument(
        "--retry", action="store_true", help="try again until the other side is there"
    )
    talk.add_arguments(parser, LOG, "server")


def run(options: argparse.Namespace) -> int:
    """Talk to whoever listens there; the exit status."""
    tcp.check_port(options.port)
    check_nick(options.peer)
    if not 0 < options.timeout < float("inf"):
        raise UsageError("--timeout takes a number of seconds above 0")
    transcript = None if options.no_log else Transcript.open(options.log)
    signals = Signals()
    sock = _connected(options, signals)
    peer = tcp.where(sock.getpeername())
    tcp.prepare(sock)
    talk.begin(f"connected to {peer}", transcript, options)
    return talk.Talk(sock, peer, options, signals, transcript).run().status


def _connected(options: argparse.Namespace, signals: Signals) -> socket.socket:
    delay = BACKOFF
    while True:
        try:
            return tcp.connect(options.host, options.port, options.timeout, signals)
        except UnableToConnect as error:
            if not options.retry:
                raise
            if delay == BACKOFF:
                say_status(f"{error}; trying again until it answers")
        pause(delay, signals)
        delay = min(delay * 2, BACKOFF_LIMIT)
