"""The member: the forked process that serves one client of a room.

Holds the client's socket, its mailbox, its own description of the transcript, and what all members
inherit: the page and the bell. One loop: what the client says is
appended and the bell rung; a ring means sending from the offset on. It never waits for anybody
else's client, never reads another's bytes, and forks nothing.

    COMING   the moment after the welcome: the nick is a guest's, nothing is recorded (join.py)
    HERE     its entry is recorded, and it may speak
    leaving  it says no more; what is left is sent until `_leave_by`, and the process ends

That it has left is recorded by the host, which reaps it: so exactly once, whatever it died of.
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress

from duplex.channel import plain
from duplex.channel.base import Tampered
from duplex.channel.sniff import Stranger
from duplex.protocol import messages
from duplex.protocol.nick import same_nick
from duplex.room import page
from duplex.room.bell import Budget
from duplex.room.commands import OPERATORS, ORDERS, carry_out
from duplex.room.delivery import Delivery
from duplex.room.join import Arrival
from duplex.room.late import Late
from duplex.room.mailbox import Mailbox
from duplex.room.rate import Rate
from duplex.room.reception import unserved, want
from duplex.room.sealed import Sealed
from duplex.system.address import source_of
from duplex.system.errors import EXIT_OK, Closed, TranscriptError
from duplex.system.process import EXIT_UNSERVED, wait
from duplex.system.tcp import CHECK_EVERY, Pulse, unacknowledged
from duplex.transcript import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.base import Channel, Receiver, Sender
    from duplex.room.page import Seat
    from duplex.room.room import Room
    from duplex.transcript.file import Transcript

CHUNK = 64 * 1024  # bytes a read
_READS = select.EPOLLIN | select.EPOLLPRI  # something has come; something urgent
KEPT = 64 * 1024  # bytes of lines not said yet, beyond which no more are read
LETTERS = 16  # private messages taken from the mailbox in one turn
FLUSH = 5.0  # s to get rid of what a client that leaves has not been sent yet
LAST_WORDS = 10.0  # s for what was heard from a client whose connection is lost to be said, too
DRAIN = 1.0  # s for a client to see the end, before the rest of what it sends is thrown away

LACKS = (OSError, MemoryError, TranscriptError)  # how it is told that something is wanting
# The first byte of a letter says what it is.
PRIVATE, ANSWER, KICK, TAKE_OVER = b"-", b"!", b"k", b"t"


class Member:
    """One client. `run` is all that its process does.

    A room in a store has other ones (store/member.py): what they do otherwise stands there.
    """

    orders, operators = ORDERS, OPERATORS

    def __init__(
        self,
        room: Room,
        transcript: Transcript,
        sock: socket.socket,
        seat: Seat,
        number: int,
        *,
        channel: Channel | None = None,
        operator: bool = False,
    ) -> None:
        self.room = room
        self.transcript = transcript
        self.sock = sock
        self.seat = seat
        self.operator = operator
        self.nick = ""
        self.lines = b""  # said, and not carried out yet
        self.number = 0  # of the line that was carried out last, among all of this connection
        self.obeyed: set[int] = set()  # the numbers of lines that join.py has carried out
        self.entry, self.entered_as = 0, ""  # the offset of the record of its entry, and its nick
        self.over = False  # the client says no more
        self._receiver: Receiver = channel.receiver if channel else plain.Receiver()
        is_sealed = channel is not None and channel.name != plain.NAME
        self.delivery = self._make_delivery(channel.sender if channel and is_sealed else None)
        self._mailbox = Mailbox()
        seat.mailbox = self._mailbox.number
        self._takes_mail = True
        self._budget = Budget(room.page)
        self._rate = self._make_rate()
        self._slowed = False
        self._blocked = False  # the socket takes no more
        self._broken = False  # the connection is lost
        self._reason = ""  # why, while what was heard before is still said
        self._silent_from = 0.0  # monotonic, when that is over, too; 0 while it is connected
        self._leave_by = 0.0  # monotonic; 0 while it stays
        self._pulse: Pulse | None = None
        # The bell is listened to by _all, but while this client is in debt or takes nothing, only
        # _mine is waited for: the bell's edge stays in _all until then.
        self._mine = select.epoll()
        self._mask = _READS
        self._mine.register(sock.fileno(), self._mask)
        self._mine.register(self._mailbox.fileno(), select.EPOLLIN)
        self._all = select.epoll()
        self._all.register(self._mine.fileno(), select.EPOLLIN)
        self._all.register(room.bell.fd, select.EPOLLIN | select.EPOLLET)
        self._arrival: Arrival | None = self._make_arrival(number)

    def _make_delivery(self, sender: Sender | None) -> Delivery:
        to_client = self.sock, self.transcript, self.room.page, self.seat
        return Sealed(*to_client, sender) if sender else Delivery(*to_client)

    def _make_rate(self) -> Rate:
        if self.operator:
            return Rate(0, 0)
        ip = self.seat.address.rpartition(":")[0].strip("[]")
        return Rate(self.room.rate, self.room.burst, self.room.rates, source_of(ip))

    def _make_arrival(self, number: int) -> Arrival:
        return Arrival(self, number)

    def run(self) -> int:
        """Serve the client until it has left; the exit status."""
        try:
            self._serve()
        except LACKS as error:
            return self._cannot_go_on(error)
        return EXIT_OK

    def _serve(self) -> None:
        assert self._arrival
        self._arrival.welcome()
        self._take(b"")  # what came together with the end of the handshake is in the receiver
        self._send()
        while not self._has_ended():
            if self._only_follows():
                self._tail()
            self._turn()
        self._part()

    def _cannot_go_on(self, error: Exception) -> int:
        """It lacks what it needs: its client is told, if it takes that soon, and the host."""
        reason = "connection lost" if isinstance(error, ConnectionError) else want(error)
        self.seat.end(page.LOST, reason)
        self._leave_by = time.monotonic() + DRAIN
        with suppress(*LACKS):
            self.notice(unserved(error))
            self._send()
            while not self._has_ended() and wait({self.sock.fileno(): select.POLLOUT}, DRAIN):
                self._blocked = False
                self._send()
            self._part()
        return EXIT_UNSERVED

    def close(self) -> None:
        """Let go of what the process's end would have closed."""
        self._mailbox.close()
        self._all.close()
        self._mine.close()

    # What join.py and commands.py call:

    @property
    def leaving(self) -> bool:
        return self._leave_by > 0

    @property
    def held(self) -> bool:
        """Whether no more commands can be carried out for now: the client has to take answers."""
        return self.delivery.crowded

    def tell(self, *lines: str) -> None:
        """Lines for this client alone."""
        self.delivery.tell(*lines)

    def answer(self, *texts: str) -> None:
        """What the line that is being carried out comes to."""
        self.tell(*messages.answer(texts, self.number if self.delivery.numbered else 0))

    def notice(self, text: str) -> None:
        """What answers no line."""
        self.tell(f"! {text}")

    def called(self, nick: str) -> None:
        """It has taken a nick."""
        self.nick = nick
        self._rate.be_called(same_nick(nick))

    def charge(self, lines: float) -> None:
        """What was just said or done counts as so many lines."""
        self._rate.spend(lines)

    @property
    def may_say(self) -> bool:
        """Whether its rate allows for anything more just now."""
        return self._rate.allowed(1) > 0

    def late(self) -> Late:
        """What it does that says `/join` or `/resume` though it is here."""
        return Late(self)

    def number_answers(self) -> None:
        """From now on its client is told which of its lines each answer answers."""
        self.delivery.numbered = True
        self.notice(messages.numbered_from(self.number + 1))

    def is_here(self, entry: int) -> None:
        """Its entry is recorded, at that offset."""
        self._arrival = None
        self.entry, self.entered_as = entry, self.nick
        self.seat.state = page.HERE
        self.room.bell.ring()

    def say(self, lines: bytes, first: int) -> None:
        """Append lines as said by this member, and ring; tell it if that cannot be.

        `first` is the number of the first of them.
        """
        try:
            with self.transcript:
                records = record.said(self.nick, lines, self.transcript.stamp())
                start = self.write(records)
        except TranscriptError as error:
            self.not_recorded(first, lines.count(b"\n"), error.reason)
            return
        self.delivery.leave_out(start, start + len(records), first, lines.count(b"\n"))
        self.room.bell.ring()

    def write(self, records: bytes) -> int:
        """Append under the transcript's lock, which the caller holds; their offset.

        Raises OSError, or Closed: the room's end is recorded under that lock, and is the last.
        """
        if self.room.page.closing:
            raise Closed(self.transcript.path)
        return self.transcript.write(records)

    def not_recorded(self, first: int, count: int, reason: str) -> None:
        """Answer that so many lines from `first` on were not."""
        text = messages.not_recorded(reason)
        if self.delivery.numbered:
            for number in range(first, first + count):
                self.tell(*messages.answer([text], number))
        elif self.delivery.echo:  # whoever waits for each line's record gets one answer for each
            self.tell(*[f"! {text}"] * count)
        else:
            self.notice(messages.not_recorded(reason, count))

    def send(self, nick: str, letter: str, done: str) -> None:
        """Put a letter into a mailbox, and answer `done`. Raises Undeliverable."""
        self.room.roster.send(nick, letter.encode())
        self.answer(done)

    def leave(self, ending: int, reason: str = "", seconds: float = FLUSH) -> None:
        """Say no more; be gone once all is sent, or after some seconds."""
        if not self._leave_by:
            self.seat.end(ending, reason)
            self.lines = b""
            self.over = True
            self._leave_by = time.monotonic() + seconds

    # The loop:

    def _only_follows(self) -> bool:
        """Whether there is nothing to do until something happens; nearly always."""
        idle = not (self._arrival or self.lines or self.over or self._blocked)
        return idle and self.delivery.only_follows and self._budget.debt() <= 0

    def _tail(self) -> None:
        try:
            self._blocked = not self.delivery.tail(
                self._all, self._mine, self.room.bell.fd, self._budget
            )
        except OSError:
            self._lost()

    def _turn(self) -> None:
        for fd, events in self._wait():
            if fd == self.sock.fileno():
                self._on_socket(events)
            elif fd == self._mailbox.fileno():
                self._on_mail()
            else:
                self._on_other()
        if self._arrival:
            self._arrival.go_on()
        if not self._arrival:
            self._speak()
        if self.room.page.head[page.CLOSING] and not self._leave_by:
            self._close()
        self._look_after()
        self._send()

    def _wait(self) -> list[tuple[int, int]]:
        """What has happened to the socket and the mailbox; a ring is only a reason to wake."""
        self._set_mask()
        seconds = self._seconds_to_wait()
        debt = self._budget.debt()
        if self._blocked or debt > 0:
            if not self._blocked:
                seconds = debt if seconds is None else min(seconds, debt)
            return self._mine.poll(seconds)
        woken_by = {fd for fd, _ in self._all.poll(seconds)}
        if self.room.bell.fd in woken_by:
            self._budget.spend()
        return self._mine.poll(0) if self._mine.fileno() in woken_by else []

    def _seconds_to_wait(self) -> float | None:
        if self.room.page.head[page.CLOSING] and not self._leave_by:
            return 0.0  # its ring may have been heard already, by the delivery
        now = time.monotonic()
        moments = [moment for moment in (self._leave_by, self.delivery.look_at) if moment]
        if self._arrival:
            moments.append(self._arrival.deadline)
        elif self.lines:
            if self._broken:  # perhaps with answers that nobody takes any more
                moments.append(self._silent_from)
            if not self.held:
                moments.append(now + self._rate.seconds_to_wait())
        elif self.over and not self._leave_by and self._may_leave:
            moments.append(now)
        return max(0.0, min(moments) - now) if moments else None

    def _set_mask(self) -> None:
        reads = not self.over and self._takes_more()
        mask = (_READS if reads else 0) | (select.EPOLLOUT if self._blocked else 0)
        if mask != self._mask and not self._broken:
            self._mine.modify(self.sock.fileno(), mask)
            self._mask = mask
        # While the client does not take its letters the mailbox fills, and who writes is told.
        takes_mail = not self.delivery.crowded
        if takes_mail != self._takes_mail:
            self._mine.modify(self._mailbox.fileno(), select.EPOLLIN if takes_mail else 0)
            self._takes_mail = takes_mail

    def _takes_more(self) -> bool:
        """Whether what the client says is read now."""
        return len(self.lines) <= (KEPT if self._arrival else 0) and not self.delivery.crowded

    @property
    def _may_leave(self) -> bool:
        """Whether all that was said is carried out."""
        return True

    def _on_other(self) -> None:
        """Something else that is waited for: nothing, here."""

    def _on_socket(self, events: int) -> None:
        if events & select.EPOLLPRI:
            self._receiver.urgent()
        if events & select.EPOLLIN:
            self._read()
        elif events & (select.EPOLLERR | select.EPOLLHUP):
            self._lost()
        if events & select.EPOLLOUT:
            self._blocked = False

    def _read(self) -> None:
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._lost()
            return
        if data:
            self._take(data)
        elif not self._receiver.ended:
            self._lost()
        else:
            rest = self._receiver.end(cut_off=False)
            if not self.delivery.echo:  # who may resume says a line that was cut again, and whole
                self._hear(rest)
            self.over = True

    def _take(self, data: bytes) -> None:
        try:
            self._hear(self._receiver.receive(data))
            self._receiver.decode(b"")  # what it has kept, so that what came before is heard
        except Stranger as error:
            self.delivery.answer_at_once(error.reply)
            self.leave(page.LEFT, "", DRAIN)
            return
        except Tampered:
            self.delivery.answer(self._receiver.take_answer())
            self._send()
            self._lost("what it sent was changed on its way")
            return
        if answer := self._receiver.take_answer():
            self.delivery.answer(answer)
        if self._arrival:
            self._arrival.wait_for_line(self._receiver.undecided)

    def _hear(self, lines: bytes) -> None:
        if self._arrival:
            self._arrival.look_for_request(lines)
        self.lines += lines

    def _speak(self) -> None:
        """Carry out what was said, as far as its rate allows."""
        if self._broken and self.lines and time.monotonic() >= self._silent_from:
            count = self.lines.count(b"\n")
            self._reason += f", {count} lines were not said"
            self.lines = b""
        while self.lines and not self._leave_by:
            wanted = self.lines.count(b"\n")
            count = self._rate.allowed(wanted)
            if count == 0:
                if not self._slowed and (why := self._rate.why_slowly(wanted)):
                    self.notice(messages.slowly(why))
                    self._slowed = True
                return
            lines = self.lines
            if count < wanted:
                at = 0
                for _ in range(count):
                    at = lines.index(b"\n", at) + 1
                lines = lines[:at]
            self.lines = self.lines[len(lines) :]
            if rest := carry_out(self, lines):  # it has to take some answers first, or to wait
                self.lines = rest + self.lines
                return
        self._slowed = False
        if self.over and not self._leave_by and self._may_leave:
            if self._broken:
                self.leave(page.LOST, self._reason, 0)
            else:
                self.leave(page.LEFT)

    def _on_mail(self) -> None:
        for _ in range(LETTERS):
            if not (letter := self._mailbox.take()):
                return
            self._open(letter[:1], letter[1:].decode(errors="replace"))

    def _open(self, kind: bytes, text: str) -> None:
        if kind in (PRIVATE, ANSWER):
            self.tell(text)
        elif kind == KICK:
            self.notice(messages.kicked(text))
            self.leave(page.KICKED, text, DRAIN)
        elif kind == TAKE_OVER:
            self.leave(page.TAKEN_OVER, "", 0)

    def _close(self) -> None:
        """The room is closing: all that is recorded is sent, and then this is over."""
        if waiting := self.lines.count(b"\n"):
            self.notice(messages.not_said(waiting))
        self.leave(page.CLOSED)

    def _send(self) -> None:
        if self._blocked or self._broken:
            return
        try:
            self._blocked = not self.delivery.go_on()
        except OSError:
            self._lost()

    def _look_after(self) -> None:
        """Every CHECK_EVERY seconds while bytes are under way: is it alive, and not too late?"""
        look_at, now = self.delivery.look_at, time.monotonic()
        if not look_at or now < look_at or self._broken:
            return
        self.delivery.look_at = now + CHECK_EVERY if self._blocked else 0.0
        if unacknowledged(self.sock):
            self.delivery.look_at = now + CHECK_EVERY
            try:
                self._pulse = self._pulse or Pulse(self.sock)
                self._pulse.check()
            except OSError:
                self._lost()
        if self.delivery.lag > self.room.max_lag and not self.operator:  # may have been suspended
            mib = self.room.max_lag / (1 << 20)
            self.notice(messages.fallen_behind(mib))
            self.leave(page.LOST, "fell too far behind")

    def _lost(self, reason: str = "connection lost") -> None:
        """The connection is gone; what was heard is said, unless the client will say it again."""
        if self._broken:
            return
        self._broken = True
        self.over = True
        self._mine.unregister(self.sock.fileno())
        if self._arrival or self.delivery.echo:
            self.leave(page.LOST, reason, 0)
        else:
            self._reason = reason
            self._silent_from = time.monotonic() + LAST_WORDS
            self.lines += self._receiver.end(cut_off=True)

    def _has_ended(self) -> bool:
        """Asked right after sending: what is not blocked has all been sent."""
        if not self._leave_by:
            return False
        return self._broken or not self._blocked or time.monotonic() >= self._leave_by

    def _part(self) -> None:
        """End the connection in good order: a close with bytes unread would be a reset."""
        if self._broken:
            return
        try:
            self.sock.settimeout(DRAIN)
            self.delivery.finish()
            self.sock.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + DRAIN
            while time.monotonic() < deadline and self.sock.recv(CHUNK):
                pass
        except OSError:
            return  # it is gone, or slow to go: either way this was its time
