"""Keys: sign who is who, so that somebody who comes back can prove it. Part of the hub."""

from __future__ import annotations

import hashlib
import os
from hmac import compare_digest

from duplex.protocol.nick import same_nick

_SIZE = 16  # bytes of a signature


class Keys:
    """The secret lies beside the transcript, for the user alone, so that keys stay valid when the
    room is restarted (transcript/secret.py)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def key(self, nick: str, session: int) -> str:
        return f"{session:016x}{self._sign(nick, session)}"

    def session(self, nick: str, key: str) -> int | None:
        """The session that `key` was made for; None if it is not a key of this room for `nick`."""
        try:
            session = int(key[:16], 16)
            right = self._sign(nick, session)
        except (ValueError, OverflowError):  # no number, or one below 0
            return None
        return session if compare_digest(key[16:].encode(), right.encode()) else None

    def _sign(self, nick: str, session: int) -> str:
        text = session.to_bytes(8, "big") + same_nick(nick).encode()
        return hashlib.blake2b(text, key=self._secret, digest_size=_SIZE).hexdigest()


def new_session() -> int:
    return int.from_bytes(os.urandom(8), "big")
