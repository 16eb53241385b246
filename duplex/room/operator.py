"""What the operator wants of a room: to have somebody go, an address kept out, or its end.

Part of the hub. What the server has to know of it (who is banned, that the room closes), it is told
in a note. Knows the room's people, and no socket.
"""

from __future__ import annotations

from duplex.protocol import requests
from duplex.protocol.nick import HOST, NickError, same_nick
from duplex.system.address import banned_as, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.room.ports import Hub

    Answer = Callable[..., None]


class Operator:
    """`banned` are addresses, as they are written in one form (system/address.py)."""

    def __init__(self, hub: Hub) -> None:
        self.banned: set[str] = set()
        self._hub = hub
        self._words: dict[str, Callable[[str, Answer], None]] = {
            "kick": self._kick,
            "ban": self._ban,
            "unban": self._unban,
            "bans": self._tell_bans,
            "close": self._close,
        }

    def carry_out(self, word: str, argument: str, answer: Answer) -> None:
        """`answer` takes what it comes to, once. Raises KeyError for a word that is none."""
        self._words[word](argument, answer)

    def _kick(self, argument: str, answer: Answer) -> None:
        nick, _, why = argument.partition(" ")
        try:
            if same_nick(nick) == HOST:
                answer("you keep this room: /close ends it")
                return
        except NickError as error:
            answer(str(error))
            return
        by = f"{HOST}: {why}" if why else HOST
        self._hub.ledger.kick(nick, by, lambda why: answer(why or f"{nick} is to go"))

    def _ban(self, typed: str, answer: Answer) -> None:
        try:
            ip = banned_as(typed)
        except ValueError:
            answer(f"{typed} is not an address")
            return
        self.banned.add(ip)
        self._hub.server.tell(requests.BAN, 0, ip)
        answer(f"{ip} is banned until the room closes")
        for seat in self._hub.seats:
            if ip in names(seat.ip) and seat.heeds:
                self._hub.seats.end(seat, requests.KICKED, f"{HOST}: the address is banned")

    def _unban(self, typed: str, answer: Answer) -> None:
        try:
            ip = banned_as(typed)
        except ValueError:
            ip = typed
        if ip not in self.banned:
            answer(f"{ip} was not banned")
            return
        self.banned.discard(ip)
        self._hub.server.tell(requests.UNBAN, 0, ip)
        answer(f"{ip} may come in again")

    def _tell_bans(self, _argument: str, answer: Answer) -> None:
        answer(f"banned: {', '.join(sorted(self.banned)) or 'nobody'}")

    def _close(self, why: str, answer: Answer) -> None:
        answer("the room closes")
        self._hub.server.tell(requests.CLOSES, 0, why)
