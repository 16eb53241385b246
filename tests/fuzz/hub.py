"""Target: the hub, to which a member that somebody has taken over says whatever it likes.

That costs this member alone: the others go on, and what is recorded are records.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from duplex.protocol import requests
from duplex.room.keys import Keys

from .promise import Check, Target, numbers
from .rooms import SECRET, OneRoom, reads
from .texts import TOKENS

WAITS, READS, STAYS = 1, 2, 4  # bits of how it is done
_NUMBER = 3
_PART = b"\xff\xfe\xfd"  # between two datagrams
_KEY = b"KEY"  # stands for one that is right, for ann


class _Descriptor:
    """What comes along with the first datagram: a client's connection, or something else."""

    def __init__(self, kind: int, directory: Path) -> None:
        self.theirs: socket.socket | None = None
        self.given = -1
        if kind % 8 < 4:
            ours, self.theirs = socket.socketpair()
            self.theirs.setblocking(False)
            self.given = ours.detach()
        elif kind % 8 == 4:
            self.given = os.open(directory, os.O_RDONLY)
        elif kind % 8 == 5:
            listener = socket.create_server(("127.0.0.1", 0))
            self.given = listener.detach()
        elif kind % 8 == 6:
            self.given = socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()

    def close(self) -> None:
        if self.theirs:
            self.theirs.close()


def _visit(room: OneRoom, how: int, given: _Descriptor, said: bytes) -> None:
    pair = room.arrives(_NUMBER)
    for count, datagram in enumerate(said.split(_PART)):
        try:
            if count == 0 and given.given >= 0:
                socket.send_fds(pair, [datagram[: requests.LIMIT]], [given.given])
            else:
                pair.send(datagram[: requests.LIMIT])
        except BlockingIOError:
            room.turn()
        except OSError:
            break  # the hub has let go of it
        if how & WAITS:
            room.turn()
            with suppress(OSError):
                pair.recv(requests.LIMIT)
        if how & READS and given.theirs:
            reads(given.theirs)
    room.turn()
    if how & STAYS:
        room.goes_on()
    pair.close()
    room.turn()


def _hub(directory: Path) -> Check:
    key = Keys(SECRET).key("ann", 7).encode()
    descriptors = len(os.listdir("/proc/self/fd"))

    def check(data: bytes) -> None:
        (how, kind), said = numbers(data, 2)
        room = OneRoom(directory)
        given = _Descriptor(kind, directory)
        _visit(room, how, given, said.replace(_KEY, key))
        if given.given >= 0:
            os.close(given.given)
        room.goes_on()
        room.look(operator=False)
        room.close()
        given.close()
        assert len(os.listdir("/proc/self/fd")) == descriptors, "a descriptor is kept"

    return check


def _asks(verb: bytes, number: int = 0, *words: str) -> bytes:
    return requests.request(verb, number, *words) + _PART


_HELLO = _asks(requests.HELLO)
_ENTER = _asks(requests.ENTER)
_SAYS = requests.said(b"hello\n", 1) + _PART
_VERBS = [
    *(_asks(requests.NUMBERS, 1), _asks(requests.JOIN, 0, "ann"), _asks(requests.JOIN, 3, "eve")),
    *(_asks(requests.RESUME, 0, "ann", "KEY", "0"), _asks(requests.RENAME, 2, "bob"), _SAYS),
    *(_asks(requests.POST, 2, "eve", "psst"), _asks(requests.WHO, 2), _ENTER, _HELLO),
    *(_asks(requests.HISTORY, 2, "3"), requests.said(b"help", 2, requests.ANSWER) + _PART),
    requests.said(b"\xff\xfc\x06", 0, requests.WIRE) + _PART,
    requests.said(b"HTTP", 0, requests.LAST) + _PART,
    *(_asks(requests.OPERATE, 2, "kick", "eve"), _asks(requests.OPERATE, 2, "close", "now")),
    *(_asks(requests.LEAVE, 0, "left", ""), _asks(requests.LEAVE, 2, "lost", "so")),
    *(_asks(requests.LEAVE, 0, "kicked", "host"), _asks(requests.LEAVE, 0, "unserved", "x")),
]
_SEEDS = [
    [bytes([how, kind]), _HELLO, *middle]
    for how, kind in ((1, 0), (3, 1), (7, 2), (5, 3), (0, 0), (1, 4), (1, 5), (5, 6), (1, 7))
    for middle in (
        [_ENTER, *_VERBS[4:9]],
        [*_VERBS[:2], _SAYS, _SAYS, *_VERBS[10:14]],
        [_VERBS[3], _SAYS, *_VERBS[14:16]],
        [_ENTER, _SAYS, *_VERBS[16:]],
        [*_VERBS[16:], _ENTER],
    )
]
_MARKS = [
    *(_PART, _HELLO, _ENTER, *_VERBS, b"\0", b"\n", b"eve", b"host", b"ann", b"KEY"),
    *(b"\xff" * 8, b"\0" * 8, b"x" * 70_000),
]

TARGETS = [Target("hub", _hub, _SEEDS, [*_MARKS, *TOKENS], 3_000)]
