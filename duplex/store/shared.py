"""A host's view of the room in the store: what can be asked of it, over one connection.

Used by the writer, by the replicator, and by the server before its first fork, each with an object
of its own: no connection is shared over a fork. Nothing is tried again in here: what fails raises
Unreachable, and whoever asked asks again, with the same turn. Knows no member and no file.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import contextmanager

from duplex.store import script
from duplex.store.entry import Entry, Letter
from duplex.store.errors import Damaged, OtherProtection, Refused, StoreError, TooOld, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from duplex.store.address import Address

    Call = tuple[str | bytes | int, ...]  # an operation's name, and what it takes
    Answer = list[Any]  # a word as bytes, then numbers and bytes

_SHA = hashlib.sha1(script.SCRIPT.encode(), usedforsecurity=False).hexdigest()
_ID_BYTES, _SECRET_BYTES = 8, 32
_NAMES = ("room", "log", "people", "nicks", "sessions", "hosts")
# What a server says while it is not itself yet or no longer: it passes, and so it is waited for.
# redis-py makes classes of some of the words.
_PASSING = (
    *("ReadOnlyError", "MasterDownError", "TryAgainError", "ClusterDownError"),
    *("LOADING", "READONLY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "BUSY", "UNBLOCKED"),
    "Script killed",
)

# Said where a key holds another type, or a value is no number or no JSON: redis(1) and Lua's words.
_DAMAGE = (
    *("WRONGTYPE", "attempt to ", "bad argument", "not an integer", "invalid token"),
    *("not a valid float", "Invalid stream ID", "Expected "),
)
_NO_STORE = "what answers there is neither Redis nor Valkey"
# What redis-py and the lines here come upon where an answer is not one of a store's.
_MISUNDERSTOOD = (ValueError, TypeError, LookupError, AttributeError, RecursionError, MemoryError)
_OLDEST = (6, 2)  # of Redis; each Valkey says that it is a newer one


class Room:
    """What was found: the room's id, what signs its keys, and between which offsets it is kept."""

    def __init__(self, answer: Answer) -> None:
        self.id: str = answer[1].decode()
        self.secret = bytes.fromhex(answer[2].decode())
        self.end = int(answer[3])
        self.first = int(answer[4])


class Shared:
    """The room called `name`, for the host with the id `host`; `keep` entries, 0 for all."""

    def __init__(self, address: Address, name: str, host: str, keep: int = 0) -> None:
        self.address = address
        self.name = name
        self.room_id = ""
        self.protection = ""  # that this host offers; "" for who offers nothing
        self._keep = keep
        self._base = f"duplex:{{{name}}}:"  # one slot of a cluster
        self._keys = [self._base + of for of in _NAMES]
        self.log = f"{self._base}log".encode()
        self.be(host)
        self._client = address.connect()
        # For the script, a connection without the library's pipeline, in which a line alone takes
        # 144 us instead of 62, the store's time for it included.
        self._connection = self._client.connection_pool.make_connection()

    def be(self, host: str) -> None:
        """Ask as the host with that id from now on."""
        self.host = host
        self.mail = f"{self._base}mail:{host}".encode()

    def close(self) -> None:
        self._connection.disconnect()
        self._client.close()

    def find(self, make: bool = True) -> Room | None:
        """The room in the store, made if there is none, or None. Raises Unreachable, StoreError."""
        made = (os.urandom(_ID_BYTES).hex(), os.urandom(_SECRET_BYTES).hex())
        answer = self.call(0, 0, ("found", *made, int(make), self.protection if make else ""))
        if answer[0] == b"protected":
            raise OtherProtection(self.name, answer[1].decode(), self.protection)
        if answer[0] == b"wrong":
            raise Damaged(self.name, answer[1].decode(errors="replace"))
        if answer[0] != b"ok" and not make:
            return None
        if answer[0] != b"ok":
            raise StoreError(f"the store has half of a room called {self.name}: remove it there")
        with self.understood("the room"):
            room = Room(answer)
        self.room_id = self.room_id or room.id
        return room

    def check_version(self) -> None:
        """Raises TooOld. A server that does not tell, to this user, is taken as it is."""
        try:
            told = self._try(self._client.execute_command, "INFO", "server")
        except Refused:
            return
        version = str(told.get("redis_version", "")) if isinstance(told, dict) else ""
        found = re.match(r"(\d{1,9})\.(\d{1,9})", version)
        if found and tuple(map(int, found.groups())) < _OLDEST:
            raise TooOld(self.address.shown, version)

    def begin(self) -> int:
        """Be a host that lives; the turn that the first call has to be greater than."""
        answer = self.call(0, 0, ("begin", self.protection))
        if answer[0] == b"protected":
            raise OtherProtection(self.name, answer[1].decode(), self.protection)
        if answer[0] != b"ok":
            raise self._not_ours()
        with self.understood("the room"):
            return int(answer[1])

    def call(self, turn: int, known: int, call: Call) -> Answer:
        """One operation (script.py). Raises Unreachable, and Refused."""
        answer = self.calls(turn, known, [call])[0]
        if isinstance(answer, Refused):
            raise answer
        return answer

    def calls(self, turn: int, known: int, calls: list[Call]) -> list[Answer | Refused]:
        """Many at once, carried out in their order. Raises Unreachable if any is to be repeated."""
        head = ("EVALSHA", _SHA, len(_NAMES), *self._keys, self.room_id, self.host, turn, known)
        for again in (True, False):
            answers = self._try(self._exchange, [(*head, self._keep, *call) for call in calls])
            if not any("NoScriptError" in _said(answer) for answer in answers):
                break
            if not again:
                raise Unreachable(self.address.shown, "it forgets its scripts")
            self._try(self._exchange, [("SCRIPT", "LOAD", script.SCRIPT)])
        return [self._judged(answer) for answer in answers]

    def restore(self, expected: int, records: bytes) -> int:
        """Put back what the store has lost at its end, if it still ends at `expected`; its end."""
        answer = self.call(0, 0, ("restore", expected, records))
        if answer[0] != b"ok":
            raise self._not_ours()
        with self.understood("the room"):
            return int(answer[1])

    # Reading:

    def read(
        self, log: str, mail: str, count: int, wait: float
    ) -> tuple[list[Entry], list[Letter]]:
        """Entries after the id `log`, and letters after `mail`.

        Waits for either for `wait` seconds, which have to be fewer than address.ANSWER.
        """
        command = ("XREAD", "COUNT", count, *(("BLOCK", int(wait * 1000)) if wait else ()))
        found = self._try(
            self._client.execute_command, *command, "STREAMS", self.log, self.mail, log, mail
        )
        entries: list[Entry] = []
        letters: list[Letter] = []
        with self.understood("entries"):
            for name, items in found.items() if isinstance(found, dict) else found or ():
                if name == self.log:
                    entries = [Entry(entry_id, fields) for entry_id, fields in items]
                else:
                    letters = [Letter(at, fields) for at, fields in items]
        return entries, letters

    def entries_back(self, before: str, count: int) -> list[Entry]:
        """Up to `count` entries before the id `before` ("+": the last), the latest first."""
        newest = before if before == "+" else f"({before}"
        found = self._try(self._client.xrevrange, self.log, newest, "-", count)
        with self.understood("entries"):
            return [Entry(entry_id, fields) for entry_id, fields in found]

    def entry(self, entry_id: str) -> Entry | None:
        found = self._try(self._client.xrange, self.log, entry_id, entry_id, 1)
        with self.understood("entries"):
            return Entry(*found[0]) if found else None

    def _exchange(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """All at once; an answer or the server's error for each."""
        from redis import ResponseError

        connection = self._connection
        answers: list[Any] = []
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                try:
                    answers.append(connection.read_response())
                except ResponseError as error:
                    answers.append(error)
        except BaseException:
            connection.disconnect()  # what else comes on it would answer something else
            raise
        return answers

    def _try(self, what: Any, *args: Any, **options: Any) -> Any:
        import redis

        try:
            return what(*args, **options)
        except (redis.RedisError, OSError) as error:
            raise self._trouble(error) from None
        except _MISUNDERSTOOD:
            raise Unreachable(self.address.shown, _NO_STORE) from None

    @contextmanager
    def understood(self, what: str) -> Iterator[None]:
        """While something is made of an answer."""
        try:
            yield
        except _MISUNDERSTOOD:
            raise Damaged(self.name, what) from None

    def _judged(self, answer: Any) -> Answer | Refused:
        if isinstance(answer, list) and answer and isinstance(answer[0], bytes):
            return answer
        if not isinstance(answer, Exception):
            raise Unreachable(self.address.shown, _NO_STORE)
        trouble = self._trouble(answer)
        if isinstance(trouble, Refused):
            return trouble
        raise trouble

    def _trouble(self, error: Exception) -> StoreError:
        """Whether to ask again or to give up."""
        import redis

        passing = isinstance(error, (redis.ConnectionError, redis.TimeoutError, OSError))
        said = _said(error)
        if passing or any(word in said for word in _PASSING):
            if isinstance(error, redis.AuthenticationError):
                return StoreError(str(self.address.trouble(error)))
            return self.address.trouble(error)
        if isinstance(error, redis.InvalidResponse):
            return Unreachable(self.address.shown, _NO_STORE)
        if any(word in said for word in _DAMAGE):
            return Damaged(self.name, self.address.hide(str(error)))
        return Refused(self.address.hide(said))

    def _not_ours(self) -> StoreError:
        return StoreError(f"the store no longer has the room {self.name} that this host is in")


def _said(answer: Any) -> str:
    """What the server said when it answered with an error, as redis-py has left it."""
    return f"{type(answer).__name__} {answer}" if isinstance(answer, Exception) else ""
