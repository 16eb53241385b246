"""`duplex listen`: wait for a peer at a port, and talk to it; with --keep to one after another."""

from __future__ import annotations

import argparse
from functools import partial

from duplex.cli import options as shared, protection
from duplex.system import tcp
from duplex.system.errors import say_status
from duplex.system.process import Signals
from duplex.talk import receiver
from duplex.talk.acceptor import Acceptor
from duplex.talk.pair import Pair
from duplex.talk.session import Session
from duplex.talk.stdin import Ahead
from duplex.transcript import keeping, places, record, sanitize
from duplex.transcript.record import check_nick

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.transcript.file import Transcript

EXAMPLE = """\
example:
  duplex listen 8000             then, in another terminal: duplex connect 127.0.0.1 8000
  duplex listen 8000 > notes     the other side's lines, as a file
  duplex listen 8000 --code      private: the other side types a code that you say to it
"""
BACKLOG = 128  # callers that wait to shake hands: who finds it full is a second late
READY = (receiver, sanitize)  # what the child needs, imported while nobody waits for it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "port", metavar="PORT", type=int, help="the port to listen on; 0 picks a free one"
    )
    parser.add_argument(
        "--host", help="listen on this name or address (127.0.0.1; with --code all addresses)"
    )
    parser.add_argument(
        "--keep", action="store_true", help="after a peer has left, wait for the next one"
    )
    protection.add_listening_arguments(parser)
    shared.add_arguments(parser, places.LISTENERS, "client")


def run(options: argparse.Namespace) -> int:
    """Talk to whoever connects; the exit status."""
    tcp.check_port(options.port, lowest=0)
    check_nick(options.peer)
    signals = Signals()
    protected, code = protection.listening(options, signals)
    host = protected.hosts if options.host is None else options.host
    listener = tcp.Listener(host, options.port, BACKLOG if protected.is_on else 1)
    transcript = None if options.no_log else _transcript(options.log)
    if code:
        say_status(f"the code: {code}")
    say_status(tcp.invitation(listener.address, protected.flag))
    ahead = Ahead(verbatim=options.verbatim)
    acceptor = Acceptor(listener, protected, signals, ahead)
    while True:
        sock, peer, channel = acceptor.next()
        listener.pause()
        begun = f"connected from {peer}"
        say_status(f"{begun}, {channel.name}")
        if transcript:  # a TranscriptError ends the program here
            transcript.append_now(partial(record.event, begun))
        session = Session(sock, channel, peer, options, signals, transcript, shared.open_screen)
        session.ahead = ahead.take()
        del channel  # each half of it is to be in one process alone
        ending = session.run(Pair(session))
        if ending.ours or not (options.keep or ending.stranger):
            return ending.status
        listener.resume()
        say_status(f"waiting for the next at {tcp.where(listener.address)}")


def _transcript(path: str | None) -> Transcript:
    transcript, told = keeping.for_talk(path or places.LISTENERS, given=path is not None)
    if told:
        say_status(told)
    return transcript
