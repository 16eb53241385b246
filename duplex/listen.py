"""`duplex listen`: wait for a peer at a port, and talk to it; with --keep to one after another."""

from __future__ import annotations

import argparse

from duplex import options as shared
from duplex import receiving, talk, tcp, text
from duplex.errors import say_status
from duplex.process import Signals
from duplex.record import check_nick
from duplex.transcript import Transcript

EXAMPLE = """\
example:
  duplex listen 8000             then, in another terminal: duplex connect 127.0.0.1 8000
  duplex listen 8000 > notes     the other side's lines, as a file
"""
LOG = "logs/client_input.log"
READY = (receiving, text)  # what the child needs, imported while nobody waits for it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("port", metavar="PORT", type=int, help="0 picks a free one")
    parser.add_argument(
        "--host", default="127.0.0.1", help="the name or address to listen on (%(default)s)"
    )
    parser.add_argument(
        "--keep", action="store_true", help="wait for the next peer after one has left"
    )
    shared.add_arguments(parser, LOG, "client")


def run(options: argparse.Namespace) -> int:
    """Talk to whoever connects; the exit status."""
    tcp.check_port(options.port, lowest=0)
    check_nick(options.peer)
    signals = Signals()
    listener = tcp.Listener(options.host, options.port)
    transcript = None if options.no_log else Transcript.open(options.log)
    say_status(tcp.invitation(listener.address))
    while True:
        sock, address = listener.accept(signals)
        if options.keep:
            listener.pause()
        else:
            listener.close()
        peer = tcp.where(address)
        tcp.prepare(sock)
        talk.begin(f"connected from {peer}", transcript)
        ending = talk.Talk(sock, peer, options, signals, transcript).run()
        if ending.ours or not options.keep:
            return ending.status
        listener.resume()
        say_status(f"waiting for the next at {tcp.where(listener.address)}")
