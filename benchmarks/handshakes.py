"""Handshakes alone, and what a channel puts on the wire: duplex's own classes, in this process.

All else is measured of the programs. Here one half of a channel talks to the other through memory,
so that each has its processor time to itself; or through a socket to a forked process.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from pairs import CODE, Certificate
from programs import HOST, NotMeasured

from duplex.channel import base, certificate, code, plain, tls
from duplex.channel.handshake import shake

if TYPE_CHECKING:
    from sample import Sample

REPEATED = 20  # handshakes for one figure
READ = 64 * 1024  # bytes that a program reads, and seals, at a time

Maker = Callable[[], tuple[base.Handshake, base.Handshake]]  # who listens, who calls


class Cost(NamedTuple):
    """Of one handshake."""

    listener: float  # s of processor time
    caller: float


class Expansion(NamedTuple):
    """Bytes on the wire for each byte of text, without TCP's and IP's own."""

    single: float  # each line by itself
    bulk: float  # READ at a time
    text: float  # bytes of a line, its newline included, on average
    line: float  # bytes on the wire for it


def with_code() -> tuple[base.Handshake, base.Handshake]:
    return code.Server(CODE.encode()), code.Client(CODE.encode())


def with_tls(made: Certificate) -> Maker:
    server = certificate.server_context(made.cert, made.key)
    client = certificate.client_context(made.cert, pinned=False)
    return lambda: (tls.Server(server), tls.Client(client, HOST, None))


def cost(make: Maker) -> Cost:
    """The medians of some."""
    found = [_join(make)[1] for _ in range(REPEATED)]
    return Cost(median(one.listener for one in found), median(one.caller for one in found))


def wall(make: Maker) -> float:
    """Median seconds from connect(2) until the caller has the channel; who listens is forked."""
    with socket.create_server((HOST, 0)) as listening:
        pid = os.fork()
        if pid == 0:
            try:
                for _ in range(REPEATED):
                    _answer(listening, make()[0])
                os._exit(0)
            finally:
                os._exit(1)
        seconds = [_call(listening.getsockname()[1], make()[1]) for _ in range(REPEATED)]
        if os.waitpid(pid, 0)[1]:
            raise NotMeasured("a handshake failed where it is answered")
    return median(seconds)


def expansion(make: Maker | None, sample: Sample) -> Expansion:
    """None is the plain channel, which has no handshake."""
    sender: base.Sender = _join(make)[0][1].sender if make else plain.Sender()
    sender.send(b"so that what comes once, has\n")
    with open(sample.path, "rb") as file:
        text = file.read()
    bulk = sum(len(sender.send(text[at : at + READ])) for at in range(0, len(text), READ))
    lines = text.splitlines(keepends=True)
    single = sum(len(sender.send(line)) for line in lines)
    count, size = len(lines), len(text)
    return Expansion(single / size, bulk / size, size / count, single / count)


def _join(
    make: Maker,
) -> tuple[tuple[base.Channel, base.Channel], Cost]:
    """Who listens, and who calls; their making is part of the cost."""
    start = time.process_time()
    both = make()
    spent = [(time.process_time() - start) / 2] * 2  # the less by far
    outgoing = [b"", b""]
    for side in (0, 1):
        start = time.process_time()
        outgoing[side] = both[side].start()
        spent[side] += time.process_time() - start
    while outgoing[0] or outgoing[1]:
        for side in (0, 1):
            data, outgoing[1 - side] = outgoing[1 - side], b""
            if data:
                start = time.process_time()
                outgoing[side] += both[side].feed(data)
                spent[side] += time.process_time() - start
    listener, caller = (one.channel for one in both)
    if not listener or not caller:
        raise NotMeasured("a handshake came to no end")
    return (listener, caller), Cost(*spent)


def _answer(listening: socket.socket, handshake: base.Handshake) -> None:
    with listening.accept()[0] as sock:
        sock.setblocking(False)
        shake(sock, handshake, {})
        sock.setblocking(True)
        sock.recv(READ)  # until the caller has closed


def _call(port: int, handshake: base.Handshake) -> float:
    start = time.perf_counter()
    with socket.create_connection((HOST, port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        shake(sock, handshake, {})
        return time.perf_counter() - start
