"""A room on the screen: who says what in which colour, who is here, what is pending.

Runs in the parent, with the screen. A record is safe text already (transcript/sanitize.py). Events
have a mark of their own: `* ann left` is what ann typed as `/me left`.

    12:34:56 ann: hello             12:34:56 · bob entered the room (127.0.0.1:53124)
    12:34:56 * ann waves            12:34:56 ann, to you alone: psst
"""

from __future__ import annotations

import time

from duplex.protocol import commands, events, messages
from duplex.protocol.commands import ACTION
from duplex.protocol.messages import ANSWER
from duplex.terminal.paint import BOLD, DIM
from duplex.terminal.talk_view import TalkView
from duplex.transcript.record import NICK_LIMIT, Record, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.talk import ui
    from duplex.terminal.paint import Painter, Span

    Line = tuple[list[Span], list[Span]]  # what stands before the text, and the text

PATIENCE = 0.2  # s until a line that has not been recorded yet is shown as pending
_PRIVATE, _ANSWER, _ERROR = "\x1b[1;35m", "\x1b[33m", "\x1b[31m"
_MENTION = "\x1b[1;7m"
_BELL = b"\a"
# Of xterm's 256, which every terminal has by now, those that have a contrast of 3 at least with
# black as with white. Each differs much from those next to it here.
_COLOURS = (33, 28, 130, 133, 30, 99, 100, 163, 67, 64, 61, 136)
_KNOWN = 1000  # nicks whose colour is remembered, unless they are longer than a nick can be


class Colours:
    """Of nicks: the first dozen have a dozen, and keep them. None is like an error's, a red."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self._next = 0

    def of(self, nick: str) -> str:
        """The escape sequence that paints it."""
        colour = self._of.get(nick.casefold())
        if colour is None:
            colour = _COLOURS[self._next % len(_COLOURS)]
            self._next += self._keep(nick, colour)
        return f"\x1b[38;5;{colour}m"

    def rename(self, former: str, nick: str) -> None:
        """Somebody has another nick, and keeps the colour."""
        if colour := self._of.pop(former.casefold(), None):
            self._keep(nick, colour)

    def _keep(self, nick: str, colour: int) -> bool:
        """Whether it is remembered: no room has longer ones, unless it lies."""
        if len(nick) > NICK_LIMIT:
            return False
        if len(self._of) >= _KNOWN:
            del self._of[next(iter(self._of))]  # the oldest
        self._of[nick.casefold()] = colour
        return True


class RoomView(TalkView):
    """What the screen asks for, of a room."""

    def __init__(self, talk: ui.Talk, room: ui.Room, painter: Painter) -> None:
        super().__init__(talk, painter)
        painter.gap = ""
        self._room = room
        self._colours = Colours()
        self._pending_since = 0.0  # monotonic; 0 while nothing is
        self._commands = commands.names(operator=room.operates)

    def painted(self, lines: bytes) -> bytes:
        shown = "".join(self._line(line) for line in lines.splitlines())
        return shown.encode() + (_BELL if self._room.take_call() else b"")

    def echo(self, text: str) -> bytes:
        """Nothing: it appears when the room has recorded it."""
        self._pending_since = self._pending_since or time.monotonic()
        return b""

    def pending(self) -> list[str]:
        lines = self._room.pending()
        if not lines:
            self._pending_since = 0.0
        if self._room.live and time.monotonic() - self._pending_since < PATIENCE:
            return []
        return self._rows(lines)

    def asks_before(self, line: str) -> str:
        """Whether who keeps the room wants to close it."""
        others = len(self._room.people) - 1
        if not self._room.operates or not self._room.leaves_by(line):
            return ""
        return f"close the room for all{f' {others + 1}' if others > 0 else ''}?"

    def leaving(self) -> str:
        return "closes the room for all" if self._room.operates else "leaves the room"

    def candidates(self, before: str) -> list[str]:
        if before.startswith("/") and " " not in before:
            return [f"{name} " for name in self._commands if name.startswith(before.lower())]
        head, _, word = before.rpartition(" ")
        ending = " " if head else ": "
        start = f"{head} " if head else ""
        nicks = sorted(self._room.people.nicks - {self._room.nick}, key=str.casefold)
        found = [nick for nick in nicks if nick.casefold().startswith(word.casefold())]
        return [f"{start}{nick}{ending}" for nick in found] if word else []

    def bar(self) -> str:
        room = self._room
        state = "reconnecting…" if room.away else f"{len(room.people)} here"
        keeping = ("/help lists the commands",) if room.operates else self._keeping()
        return self._joined(f"room {room.name}", room.nick, state, *keeping)

    def _line(self, line: bytes) -> str:
        painter = self._painter
        if parts := parse(line.removeprefix(ANSWER)):  # live, or once more (/history)
            return painter.record(parts.at, *self._record(parts))
        return painter.line(painter.now(), *self._private(line))

    def _record(self, parts: Record) -> Line:
        """What stands before the text, and the text."""
        text = parts.text.decode()
        if parts.nick is None:
            event = events.read(parts.text)
            if event and event[0] == events.RENAMED:
                self._colours.rename(event[1], event[2])
            return [(DIM, "· ")], [(DIM, text)]
        name = parts.nick.decode()
        own = name == self._room.nick
        nick = f"{BOLD if own else ''}{self._colours.of(name)}", name
        acts = parts.text.startswith(ACTION)
        said = text[len(ACTION) :] if acts else text
        shown = [("", said)] if own else self._highlighted(said)
        return ([("", "* "), nick, ("", " ")] if acts else [nick, ("", ": ")]), shown

    def _highlighted(self, text: str) -> list[Span]:
        """One's own nick stands out."""
        spans, at = [], 0
        for mention in self._room.mention.finditer(text):
            spans += [("", text[at : mention.start()]), (_MENTION, mention[0])]
            at = mention.end()
        return [*spans, ("", text[at:])]

    def _private(self, line: bytes) -> Line:
        if private := messages.read_private(line):
            nick, text = private
            return [(_PRIVATE, f"{nick}, to you alone:"), ("", " ")], [("", text)]
        text = line.removeprefix(ANSWER).decode()
        return [], [(_ERROR if messages.is_failure(line) else _ANSWER, text)]
