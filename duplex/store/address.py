"""Where the store is: a URL, whose password nobody gets to see, and connections to it.

Runs in the writer, in the replicator, and in the server before its first fork (it closes what it
opened: no connection is ever shared over a fork). redis-py is imported here and in shared.py, and
only when a connection is made.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from duplex.store.errors import StoreError, Unreachable
from duplex.system.errors import DuplexError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ANSWER = 2.0  # s for the store to answer: longer than any script or disk should take
VARIABLE = "DUPLEX_REDIS"  # the environment's, so that no password need be on a command line
_PORT = 6379


class Address:
    """A store's. `shown` is what may be told: the URL without user, password and options."""

    def __init__(self, url: str) -> None:
        """Raises UsageError, which does not repeat the URL: it may hold a password."""
        self._url = url
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname
        except ValueError:
            raise _unusable() from None
        if parts.scheme not in ("redis", "rediss", "unix") or not (host or parts.path):
            raise _unusable()
        self._secrets = [
            secret
            for part in (parts.password, parts.username, parts.query)
            if part
            for secret in {part, unquote(part)}
        ]
        if parts.scheme == "unix":
            self.shown = f"unix://{parts.path}"
        else:
            if host is None or not re.fullmatch(r"(/\d*)?", parts.path):
                raise _unusable()
            where = f"[{host}]" if ":" in host else host
            self.shown = f"{parts.scheme}://{where}:{port or _PORT}{parts.path}"

    def __repr__(self) -> str:
        return f"Address({self.shown})"

    def connect(self) -> Any:
        """A client for one process. Connects at the first call."""
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise DuplexError(_NO_LIBRARY) from None
        try:
            # No second try by the library: what is asked again is for us to decide, in order.
            return redis.Redis.from_url(
                self._url,
                socket_timeout=ANSWER,
                socket_connect_timeout=ANSWER,
                retry=Retry(NoBackoff(), 0),
                single_connection_client=False,
                max_connections=2,  # one for calls, one for reading
                protocol=2,
            )
        except ValueError:
            raise _unusable() from None

    def trouble(self, error: Exception) -> Unreachable:
        """What redis-py or the system says, as ours, with no secret in it."""
        return Unreachable(self.shown, self.hide(_words(error)))

    def hide(self, text: str) -> str:
        """`text` in one line, and with dots for the parts of the URL that nobody gets to see."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return " ".join(text.split())


_NO_LIBRARY = (
    "cannot use --redis: the redis package is not installed "
    "(in duplex's checkout: pip install '.[redis]')"
)


def _unusable() -> UsageError:
    return UsageError(
        "cannot use --redis: it needs a URL like redis://HOST:6379/0, rediss://… or unix:///PATH "
        f"(or set {VARIABLE})"
    )


def _words(error: Exception) -> str:
    if isinstance(error, StoreError):
        return str(error)
    return str(error) or type(error).__name__
