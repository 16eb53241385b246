"""The policy of `duplex connect` in a room: what is said, what is heard, and when to go.

What is typed goes through an outbox, from which a line is gone only when the room has recorded it.
So a connection that is lost, and made again by the child (follower.py), loses and doubles nothing.
membership.py knows the ways in; what is reported here stands in follower.py.

Runs in the parent. Knows no wire format, no terminal, and not how connections are made.
"""

from __future__ import annotations

import socket

from duplex.channel import plain
from duplex.client.incoming import AWAY, BYE, JOINING, QUIT
from duplex.client.membership import Membership
from duplex.client.outbox import Disagreement, Outbox
from duplex.protocol import commands, events
from duplex.protocol.messages import read_answer
from duplex.system.errors import EXIT_FAILURE, EXIT_OK
from duplex.talk import words
from duplex.talk.connection import Connection
from duplex.talk.policy import Ending, Policy
from duplex.talk.session import FLUSH
from duplex.talk.stdin import tell_not_sent
from duplex.transcript.sanitize import Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.talk import ui
    from duplex.talk.session import Session

CHUNK = 64 * 1024  # bytes of lines that are given to a connection at once


class Participant(Policy):
    """One session in a room, however many connections it takes; see there for what is called.

    With `resumes` there is a way back. Who keeps the room (`options.stays`) stays when nothing more
    is typed, and says twice what closes it.
    """

    def __init__(self, session: Session, *, resumes: bool) -> None:
        self.session = session
        self.outbox = Outbox()
        operates = session.connection.sock.family == socket.AF_UNIX
        self._member = Membership(session, self.outbox, self._send, operates=operates)
        self.room = self._member.room
        self.ways = {
            **self._member.ways,
            "connection": self._on_connection,
            "kept": self._on_kept,
            "late": lambda _: self.lost("the room's greeting was answered too late"),
            "lost": self._on_lost,
            "left": lambda _: self._on_lost("the other side has ended it"),
            "tampered": self._on_lost,
            "over": self._on_over,
        }
        self._boundary = Text()  # the room's, so that a line here is the text of its record there
        self._resumes = resumes
        self._reason = ""  # why the connection is lost, where this side has seen it
        self._over = ""  # why the session is over, once the connection ends
        self._taken = (0, 0)  # bytes of lines taken from the outbox last, and of the same as sent
        self._delivering = False  # it ends, and what was said before that is still being said
        self._says_no_more = False
        self._asked = False  # whether the room is to be closed

    def appear(self, screen: ui.Screen) -> None:
        screen.enter_room(self.room)

    # What is typed:

    def has_said(self, lines: bytes) -> None:
        """What went to the room before it was known to be one."""
        self.outbox.say(self._boundary.feed(lines), sent=True)

    def say(self, data: bytes) -> None:
        if self.session.sending:
            self._say_lines(self._boundary.feed(data))
        elif BYE.match(data):
            self.session.leave(EXIT_OK)
        else:
            tell_not_sent(data, self.session.tell)

    def say_text(self, lines: bytes) -> None:
        if self.session.sending:
            self._say_lines(commands.as_text(self._boundary.feed(lines)), as_text=True)
        else:
            tell_not_sent(lines, self.session.tell)

    def stop_saying(self) -> None:
        self._say_lines(self._boundary.end())
        if not self.session.options.stays:
            self.session.sending = False
        elif self.session.by_hand:
            self.session.tell("you say no more; the room goes on (Ctrl-C closes it)")
        self._says_no_more = True
        self.pump()

    def _say_lines(self, lines: bytes, *, as_text: bool = False) -> None:
        """Whole lines of safe text; `as_text`: in which no line means anything."""
        session = self.session
        if not as_text and self._asks_once_more(lines):
            return
        ends, rest = None, b""
        if session.options.verbatim and not as_text:
            lines = commands.as_text(lines)  # no line of a file is a command
        elif not as_text and (ends := (BYE if session.by_hand else QUIT).search(lines)):
            said = ends.start() if ends["word"] else ends.end()
            lines, rest = lines[:said], lines[ends.end() :] + self._boundary.end()
        if session.screen and lines:
            session.screen.echo(lines)
        self.outbox.say(lines)
        self.pump()
        if ends:
            session.leave(EXIT_OK, word=ends["word"] or words.BYE, unsaid=rest)

    def _asks_once_more(self, lines: bytes) -> bool:
        """Whether this closes the room for all, and was not typed right before."""
        if not (self.session.options.stays and self.session.by_hand and lines):
            return False
        line = lines.decode("utf-8", "replace").removesuffix("\n")
        asks = "\n" not in line and self.room.leaves_by(line) and not self._asked
        if asks:
            self.session.tell(f"{line} once more closes the room for all")
        self._asked = asks
        return asks

    def takes_input(self) -> bool:
        return self.session.sending and not self._says_no_more and not self.outbox.full

    def pump(self) -> None:
        session, connection = self.session, self.session.connection
        try:
            while connection.flush() and self.room.live and (lines := self.outbox.take(CHUNK)):
                connection.give(lines)
                self._taken = len(lines), len(connection.outgoing)
            if session.ending and not (session.sending or self._delivering):
                connection.end()
        except OSError as error:
            session.unsendable(error)
        if not session.sending and self.room.live and not any(True for _ in self.outbox):
            failed = self._member.failed and not session.on_screen
            session.leave(EXIT_FAILURE if failed else EXIT_OK)

    def _send(self, lines: bytes) -> None:
        self.session.connection.give(lines)
        self.pump()

    # What the child reports:

    def on_line(self, line: bytes) -> bytes:
        kind, rest = line[:1], line[1:]
        if kind == b"~":
            shown = read_answer(rest)[2] if self.room.private(rest) else b""
        elif kind == b"=":
            shown = rest
            try:
                self.room.own_record(rest)
            except Disagreement:
                self.lost("the room takes one line for another")
        else:
            self.room.record(line)
            shown = line
        return shown + b"\n" if shown and self.session.on_screen else b""

    def look(self) -> None:
        """What was recorded makes room for more."""
        self.pump()

    def lost(self, reason: str) -> None:
        self._reason = self._reason or reason
        self.session.connection.cut()  # the child sees that, and reports it

    def unsendable(self) -> None:
        connection = self.session.connection
        if connection.out is connection.sock:
            connection.broken = True
        else:
            self.lost("the sending process has ended")

    def _on_lost(self, reason: str) -> None:
        session, connection = self.session, self.session.connection
        reason, self._reason = self._reason or reason, ""
        for line in self.outbox.lost(self._untaken()):
            if not line.ours and not self._over:
                session.tell(f"not known to have been carried out: {line}")
        self._taken = (0, 0)
        connection.give_up()
        connection.cut()
        self.room.presence = AWAY
        if self._over or session.ending or not self._resumes:
            session.hearing = False
            event = events.read(self._over.encode())
            status = EXIT_OK if event and event[0] == events.CLOSED else EXIT_FAILURE
            session.end(Ending(status, self._over or f"connection lost: {reason}"))
            return
        self._member.is_away(reason)
        session.child.tell("again")

    def _untaken(self) -> int:
        """Bytes of the lines taken last that were surely not sent.

        A byte that was sent carries one of them at most; if it is sealed, often none.
        """
        lines, size = self._taken
        sent = max(0, size - len(self.session.connection.outgoing))
        return max(0, lines - sent)

    def _on_connection(self, _reason: str) -> None:
        """The child has made another one; where a relay sends, with the way to that."""
        session = self.session
        session.connection.close()
        sock, *relays = session.child.handed
        session.child.handed = []
        for handed in (sock, *relays):
            handed.setblocking(False)
        relay = relays[0] if relays else None
        session.connection = Connection(sock, plain.Sender(), relay)
        self.room.presence = JOINING

    def _on_kept(self, path: str) -> None:
        """Only the child writes it."""
        self.session.recording.transcript, self.session.kept_in = None, path or None

    def _on_over(self, reason: str) -> None:
        self._over = reason

    # The end:

    def deliver(self, ending: Ending) -> None:
        session = self.session
        session.sending = False
        self._delivering = True
        if ending.ours:
            session.turn_while(self._still_delivers, FLUSH)
        self._delivering = False
        if undelivered := list(self.outbox):
            self._member.tell_undelivered("not known to have arrived", undelivered)
            ending.status = ending.status or EXIT_FAILURE

    def _still_delivers(self) -> bool:
        return bool(self.outbox) and not self.room.away and self.session.child.reports

    def announce(self, ending: Ending) -> None:
        if ending.told:
            self.session.tell(ending.text)
