"""Who one is in a room, the way in, and the way back when the connection was lost.

Runs in the parent; the child makes the connection (follower.py). What is said on it first, and what
follows from the room's answers, is in docs/protocol.md. Knows no socket, and nothing of what is
said.
"""

from __future__ import annotations

from duplex.client.incoming import LIVE, RoomState
from duplex.protocol import commands, messages
from duplex.talk.stdin import tell_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.client.outbox import Line, Outbox
    from duplex.talk.session import Session


class Membership:
    """`ways` are for what the child reports; `send` says lines that are not in the outbox."""

    def __init__(
        self, session: Session, outbox: Outbox, send: Callable[[bytes], None], *, operates: bool
    ) -> None:
        self.ways = {
            "welcome": self._on_welcome,
            "joined": self._on_joined,
            "current": self._on_current,
            "renamed": self._on_renamed,
            "anew": self._on_anew,
        }
        self.room = RoomState(outbox, self._not_recorded, operates=operates)
        self.room.be_called(session.options.nick)
        self.failed = False  # a line was not delivered
        self._session = session
        self._outbox = outbox
        self._send = send
        self._key = ""
        self._guest = ""  # what the room calls us until it has let us in
        self._came_late = False  # it took us for a guest before it heard who we are
        self._resumes = False  # what is waited for is the answer to /resume
        self._was_away = False  # and the user has been told
        self._told_reason = ""  # why, as the user was told

    def is_away(self, reason: str) -> None:
        """The connection is lost, and another one is being made."""
        if reason != self._told_reason:
            what = "not connected again" if self._was_away else "connection lost"
            self._session.tell(f"{what}: {reason}; trying again")
        self._told_reason = reason
        self._was_away = True

    def _not_recorded(self, lines: list[Line]) -> None:
        self.tell_undelivered("not recorded by the room", lines)

    def tell_undelivered(self, what: str, lines: list[Line]) -> None:
        tell_lines(what, list(map(str, lines)), self._session.tell)
        self.failed = self.failed or bool(lines)

    def _on_welcome(self, greeting: str) -> None:
        offset, count, self._guest, self.room.name = greeting.split(" ", 3)
        self.room.people.are(int(count))
        self._resumes = bool(self._key)
        if self._resumes:
            hello = commands.resume(self.room.nick, self._key, int(offset))
        else:
            if self._was_away:
                self._give_up()
            hello = commands.join(self.room.nick)
        self._introduce(commands.NUMBERS, hello)  # once in each connection

    def _on_anew(self, reason: str) -> None:
        if not self._resumes or self.room.presence == LIVE:
            return  # it was not asked
        self._session.tell(f"not resumed: {reason}")
        self._key = ""
        self._resumes = False
        self._give_up()
        self._introduce(commands.join(self.room.nick))

    def _introduce(self, *lines: str) -> None:
        """Ask to be let in."""
        self._outbox.passes(len(lines))
        self._send("".join(f"{line}\n" for line in lines).encode())

    def _on_joined(self, answer: str) -> None:
        room, tell = self.room, self._session.tell
        nick, self._key, count, room.name = answer.split(" ", 3)
        self._came_late = nick != room.nick and nick == self._guest
        room.be_called(nick)
        room.people.are(int(count))
        if self._was_away:
            tell(f"connected again, as {nick}")
        else:
            here = messages.are_here(int(count))
            tell(f"this is room {room.name}, and you are {nick}; {here}")
        self._was_away = False
        self._told_reason = ""
        if self._session.on_screen:
            room.ask_who()

    def _on_current(self, _reason: str) -> None:
        self.room.presence = LIVE
        if self._resumes:
            self._outbox.say_again()

    def _on_renamed(self, answer: str) -> None:
        nick, self._key = answer.split(" ")
        self.room.be_called(nick)
        if self._came_late:  # and is told now who it is
            self._session.tell(f"you are {nick}")
            self._came_late = False

    def _give_up(self) -> None:
        self.tell_undelivered("not known to have arrived", self._outbox.give_up())
