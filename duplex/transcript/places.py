"""Where transcripts are kept that no --log names, below the directory a command is started in.

    logs/client_input.log                        what a talk's `listen` has heard
    logs/server_input.log                        what a talk's `connect` has heard
    logs/room-5000/client_input.log              the room at port 5000; of --name lobby: room-lobby
    logs/room-lobby/HOST-PORT/server_input.log   what `connect HOST PORT` has heard in room lobby

A room's name is chosen by whoever keeps it, who may be a stranger: `part` makes one part of a path
of any name, and of two names never the same. This file opens nothing.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOGS = "logs"
LISTENERS = os.path.join(LOGS, "client_input.log")
CALLERS = os.path.join(LOGS, "server_input.log")
_ROOMS = "room-"
_PLAIN = frozenset("._-,:")  # what stands in a name as it is, besides letters and digits
_LIMIT = 120  # bytes of a name in a path: a part of one has 255, and numbers may be added


def of_room(name: str | None, port: int) -> str:
    """The transcript of a room that is kept here, called `name` or, without one, by its port."""
    room = str(port) if name is None else _named(name)
    return os.path.join(LOGS, _ROOMS + room, "client_input.log")


def of_follower(room: str, hosts: Sequence[str], port: int) -> str:
    """That of a client of `room`.

    Many hosts are one room (`connect alpha,beta`): their directory has the names of all, in one
    order, so that it does not matter which is named first, or has answered.
    """
    called = ",".join(sorted({host.lower() for host in hosts}))
    return os.path.join(LOGS, _ROOMS + part(room), part(f"{called}-{port}"), "server_input.log")


def numbered(path: str) -> Iterator[str]:
    """`path`, and the names that follow when it is taken: client_input-2.log, and so on."""
    yield path
    stem, ending = os.path.splitext(path)
    for number in range(2, 1000):
        yield f"{stem}-{number}{ending}"


def part(name: str) -> str:
    """`name` as one part of a path: no `/`, no control character, not hidden, not too long.

    Every other byte is written %XX, so names that differ stay different. What is too long is cut
    and told apart by a digest, after "%-", which no byte becomes.
    """
    safe = "".join(c if _is_plain(c) else _escaped(c) for c in name)
    if safe.startswith((".", "-")):
        safe = _escaped(safe[0]) + safe[1:]
    encoded = safe.encode()
    if len(encoded) <= _LIMIT:
        return safe
    from hashlib import blake2b

    digest = blake2b(encoded, digest_size=16).hexdigest()
    return f"{encoded[: _LIMIT - 34].decode(errors='ignore')}%-{digest}"


def _named(name: str) -> str:
    """A name that is a number is no port: the room called 5000 may be at port 6000."""
    return _escaped(name[0]) + part(name[1:]) if name.isdecimal() else part(name)


def _is_plain(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in _PLAIN
    try:
        os.fsencode(character)
    except UnicodeEncodeError:  # the system's file names are in another encoding
        return False
    return character.isalnum()


def _escaped(character: str) -> str:
    encoded = character.encode(errors="surrogatepass")
    return "".join(f"%{byte:02X}" for byte in encoded)
