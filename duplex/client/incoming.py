"""What a room says, line by line, as far as it concerns who sits here; and what is known of it.

Runs in the parent. Crosses off the outbox what has been recorded or answered, keeps track of who is
here, and notices when one is spoken to. A screen shows a room by this (talk/ui.py, Room). Pure
computation; knows no socket and no terminal.

    JOINING   the connection stands, and the room is asked to let us in
    LIVE      all that was recorded before that has come: what waits is said
    AWAY      the connection is lost: what is typed waits
"""

from __future__ import annotations

import re

from duplex.client.tracker import Tracker
from duplex.protocol import events, messages
from duplex.protocol.commands import WHO
from duplex.talk import words
from duplex.transcript.record import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.client.outbox import Line, Outbox


JOINING, LIVE, AWAY = "joining", "live", "away"
QUIT = re.compile(rb"^(?P<word>quit|" + words.ROOM_QUIT + rb")\n", re.MULTILINE)
BYE = re.compile(QUIT.pattern + rb"|^bye\n", re.MULTILINE)  # for who types it


class RoomState:
    """`refused` is told of lines said here that will not be recorded."""

    def __init__(
        self, outbox: Outbox, refused: Callable[[list[Line]], None], *, operates: bool = False
    ) -> None:
        self.people = Tracker()
        self.name = ""
        self.nick = ""
        self.presence = JOINING
        self.operates = operates  # the room is this program's own, and who sits here keeps it
        self._calls = False  # one is spoken to
        self._outbox = outbox
        self._refused = refused
        self._asked = 0  # our own questions who is here, whose answers are not to be shown
        self._unnamed = 0  # nicks that the rest of such an answer has still to name
        self.mention = re.compile("(?!)")  # finds one's own nick in what others say

    @property
    def live(self) -> bool:
        return self.presence == LIVE

    @property
    def away(self) -> bool:
        return self.presence == AWAY

    def pending(self) -> list[str]:
        return list(map(str, self._outbox))

    def take_call(self) -> bool:
        calls, self._calls = self._calls, False
        return calls

    def leaves_by(self, line: str) -> bool:
        return bool(BYE.match(line.encode("utf-8", "replace") + b"\n"))

    def be_called(self, nick: str) -> None:
        self.nick = nick
        self.mention = re.compile(rf"(?<!\w){re.escape(nick)}(?!\w)", re.IGNORECASE)

    def ask_who(self) -> None:
        """Ask who is here, for ourselves."""
        self._outbox.ask(f"{WHO}\n".encode())
        self._asked = 1
        self._unnamed = 0

    def record(self, line: bytes) -> None:
        """Somebody else's record, or an event; it may have been made before we came."""
        if self.live and (parts := parse(line)):
            self.people.note(parts)
            if parts.nick is not None and self.mention.search(parts.text.decode()):
                self._calls = True

    def own_record(self, line: bytes) -> None:
        """One's own, or one's own change of nick."""
        parts = parse(line)
        if parts is None:
            return
        if parts.nick is not None:
            self._refused(self._outbox.recorded(parts.text))
        else:
            self.people.note(parts)
            event = events.read(parts.text)
            self._refused(self._outbox.renamed(event[2] if event else ""))

    def private(self, line: bytes) -> bool:
        """A line for us alone. Whether it is to be shown."""
        if messages.read_private(line):
            self._calls = True
            return True
        if at := messages.read_at(line):
            _, first, count = at
            if first:
                self._refused(self._outbox.expect(first, first + count - 1))
            return False
        start = messages.read_numbered_from(line)
        if start is not None:
            self._outbox.numbered_from(start)
            return False
        number, more, answer = messages.read_answer(line)
        here = messages.read_here(answer)
        if here:
            self.people.are(*here)
        if number:
            return self._answered(number, more, answer)
        if self._outbox.is_numbered:
            return True  # it answers none of our lines
        return self._answered_without_number(answer, here)

    def _answered(self, number: int, more: bool, answer: bytes) -> bool:
        """The line of that number is, once there is no `more`. Whether that is to be shown."""
        line = self._outbox.find(number)
        # A change of nick is waited for: its record is on its way, or has come.
        if line and not more and not (line.renames and messages.read_renamed(answer)):
            self._outbox.done(number)
        if line and not line.private and messages.read_not_recorded(answer):
            self._refused([line])
        return not (line and line.ours)

    def _answered_without_number(
        self, answer: bytes, here: tuple[int | None, list[str]] | None
    ) -> bool:
        """By a room of before 0.2: which line it answers is guessed. Whether it is to be shown."""
        if messages.read_not_recorded(answer):
            self._refused(self._outbox.refused())
        elif here:
            count, nicks = here
            if count is not None:
                self._unnamed, self._asked = count * self._asked, 0
                self._outbox.answered()
            hidden = self._unnamed > 0
            self._unnamed -= max(1, len(nicks))
            return not hidden
        elif not messages.answers_nothing(answer):
            self._outbox.answered()
        return True
