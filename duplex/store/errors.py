"""What can go wrong with the store; each text is one line for the person who reads it.

StoreError             it cannot go on like this, and trying again does not help
├─ Unreachable         the store does not answer now: what was asked is asked again
├─ Refused             the store is there and says no (memory, disk, replicas): not recorded
├─ TooOld              the server cannot do what a room needs
├─ Damaged             what is under the room's keys is not what this program puts there
├─ OtherRoom           what is in the store is not the room that this host has a copy of
├─ OtherProtection     what is said at this host would be read, or was said, at another port
├─ Diverged            the transcript and the store differ
└─ Gap                 the store keeps no longer what this host has not copied yet
"""

from __future__ import annotations

from duplex.system.errors import DuplexError


class StoreError(DuplexError):
    """The room's store cannot be used."""


class Unreachable(StoreError):
    """`reason` is in the system's words; `shown` is the URL without its password."""

    def __init__(self, shown: str, reason: str) -> None:
        super().__init__(f"the room's store at {shown} is out of reach: {reason}")
        self.reason = reason


class Refused(StoreError):
    """`reason` is the server's own word for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the store refuses: {reason}")
        self.reason = reason


class TooOld(StoreError):
    """`version` is what the server calls itself."""

    def __init__(self, shown: str, version: str) -> None:
        super().__init__(
            f"the store at {shown} is Redis {version}: a room needs Redis 6.2 or newer, or Valkey"
        )


class Damaged(StoreError):
    """Somebody else has written there; nothing of it is shown to anybody. `what` is it."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(
            f"the store has something under the keys of the room {name} that no room has put there "
            f"({what}): remove it there, or take another --name"
        )


class OtherRoom(StoreError):
    """The store was emptied or replaced, or the transcript is another room's."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(
            f"{path} is no copy of the room {name} in the store: move it away, or take another "
            "--log or --name"
        )


_PROTECTIONS = {"none": "without protection", "tls": "with TLS", "code": "with a code"}
_ORDER = list(_PROTECTIONS)  # each is more than the one before


class OtherProtection(StoreError):
    """The room has another protection than this host offers; both in the store's words."""

    def __init__(self, name: str, room: str, own: str) -> None:
        kept = f"the room {name} in the store is kept {_PROTECTIONS.get(room, room)}"
        here = f"keep it {_PROTECTIONS[own]}"
        if room in _ORDER and _ORDER.index(room) < _ORDER.index(own):
            super().__init__(f"{kept} by another host: close that one first to {here}")
        else:
            super().__init__(f"{kept}: this host would {here}, which is less")


class Diverged(StoreError):
    """Somebody else has written to the one or the other, or a store that lost records went on.

    They differ at `offset`, or not `exactly` there but later.
    """

    def __init__(self, path: str, offset: int, exactly: bool = True) -> None:
        super().__init__(
            f"{path} and the store differ at offset {offset}{'' if exactly else ' or later'}: move "
            f"it (and {path}.store) away to get a new copy"
        )


class Gap(StoreError):
    """The stream was trimmed (--keep) beyond the end of the copy."""

    def __init__(self, path: str, end: int, first: int) -> None:
        super().__init__(
            f"{path} ends at offset {end}, and the store keeps the room from {first} on: move it "
            f"(and {path}.store) away to go on from there"
        )
