"""A member of a room in a store: what it does otherwise than any room's member.

What its client says is asked of the store by its pen, and stands in the transcript when the mirror
has brought it. A command that the store has to answer holds back what is said after it. Holds the
pen besides what any member holds; never waits, but while it is coming, or comes again.

That it has left is asked for by the host, by the connection that stands in its seat.
"""

from __future__ import annotations

import select
import time

from duplex.protocol import events, messages, refusals
from duplex.protocol.nick import HOST, Taken, same_nick
from duplex.room import page
from duplex.room.member import FLUSH, TAKE_OVER, Member
from duplex.room.roster import claimed
from duplex.store.arrival import SharedArrival, take_given
from duplex.store.delivery import Held, HeldSealed
from duplex.store.entry import said
from duplex.store.late import SharedLate
from duplex.store.orders import OPERATORS, ORDERS
from duplex.store.pen import Pen, new_connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from duplex.channel.base import Sender
    from duplex.room.join import Arrival
    from duplex.room.late import Late
    from duplex.store.pen import Heard, Request
    from duplex.store.room import SharedRoom

    Then = Callable[[Heard], None]


class SharedMember(Member):
    """`pen` asks; `ask` does for a command, which is carried out when the answer is here."""

    orders, operators = ORDERS, OPERATORS
    room: SharedRoom
    delivery: Held

    def __init__(self, room: SharedRoom, *of_any: Any, **more: Any) -> None:
        super().__init__(room, *of_any, **more)
        connection = new_connection()
        self.seat.connection = int(connection, 16)
        assert self._arrival
        self.pen = Pen(room.calls, connection, f"{self._arrival.session:016x}")
        self._mine.register(self.pen.fd, select.EPOLLIN)
        self._asked: Request | None = None  # by a command
        self._then: Then | None = None  # what is done with the answer
        self._copied = 0  # the offset up to which the transcript has to be here
        self._and_then: Callable[[], None] | None = None
        self._told = False  # that the store is away

    def close(self) -> None:
        self.pen.close()
        super().close()

    def _make_delivery(self, sender: Sender | None) -> Held:
        to_client = self.sock, self.transcript, self.room.page, self.seat
        return HeldSealed(*to_client, sender) if sender else Held(*to_client)

    def _make_arrival(self, number: int) -> Arrival:
        return SharedArrival(self, number)

    def late(self) -> Late:
        return SharedLate(self)

    # What is said:

    def say(self, lines: bytes, first: int) -> None:
        """Ask for lines as said by this member; it is told if that cannot be."""
        self.pen.say(said(self.nick, lines), self.room.page.watermark, first)
        self.delivery.hold = self.pen.hold

    def send(self, nick: str, letter: str, done: str) -> None:
        """Put a letter into a mailbox, on whatever host, and answer `done`.

        The store tells whose it is: on this host a nick may be somebody's who has another by now.
        """
        if same_nick(nick) == HOST:
            super().send(nick, letter, done)  # each host has one of its own
            return

        def then(heard: Heard) -> None:
            if heard.word == "ok":
                self.answer(done)
            else:
                self.answer(_why_not(heard, f"nobody here is called {nick}"))

        self.ask("post", same_nick(nick), letter, then=then)

    def ask(self, operation: str, *words: str, then: Then) -> None:
        """Ask for a command, after all that was said before; until then nothing else is heeded."""
        self._asked, self._then = self.pen.ask(operation, *words), then

    def when_copied(self, end: int, then: Callable[[], None]) -> None:
        """Go on when the transcript up to that offset is here; until then nothing is heeded."""
        self._copied, self._and_then = end, then

    @property
    def waits(self) -> bool:
        """For the store to answer a command."""
        return self._then is not None or self._and_then is not None

    @property
    def held(self) -> bool:
        return self.waits or super().held

    @property
    def _may_leave(self) -> bool:
        return self.pen.idle and not self.waits

    def _takes_more(self) -> bool:
        return not (self.pen.full or self.waits) and super()._takes_more()

    def _only_follows(self) -> bool:
        if self.waits:
            return False  # a ring may be what it waits for
        self._set_mask()  # what the client says may have been held back until now
        return super()._only_follows()

    def _speak(self) -> None:
        if self._and_then and self.room.page.watermark >= self._copied:
            then, self._and_then = self._and_then, None
            then()
        if not self.waits:
            super()._speak()

    def _has_ended(self) -> bool:
        """What was said by who leaves in good order is waited for, as long as its last records."""
        if (
            self.leaving
            and not self._broken
            and not self.pen.idle
            and time.monotonic() < self._leave_by
        ):
            return False
        return super()._has_ended()

    # What the store says:

    def _on_other(self) -> None:
        for heard in self.pen.take():
            self._hear_store(heard)
        if self.pen.waits and not self.leaving:
            self._come_again()
        self.delivery.hold = self.pen.hold

    def _hear_store(self, heard: Heard) -> None:
        if heard.request is None:
            self._hear_all(heard.word)
        elif heard.request is self._asked:
            then, self._asked, self._then = self._then, None, None
            if then:
                then(heard)
        elif heard.stretch:
            self.delivery.leave_out(*heard.stretch, heard.request.first, heard.request.lines)
        elif heard.word == "refused":
            reason = heard.rest[0].decode(errors="replace") if heard.rest else "the store refuses"
            self.not_recorded(heard.request.first, heard.request.lines, reason)
        elif heard.word == "moved":
            self._has_moved()

    def _hear_all(self, word: str) -> None:
        if word == "!out" and not self._told:
            self.notice(messages.lines_wait())
        elif word == "!swept" and not self._arrival and not self.leaving:
            self._come_again()
        self._told = word == "!out"

    def _has_moved(self) -> None:
        """The client is at another host by now, or in a later connection."""
        self.pen.drop()
        self.leave(page.TAKEN_OVER, "", 0)

    def _come_again(self) -> None:
        """This host was taken for dead, and its people were announced as dropped."""
        nick, number = self.nick, 1
        how: tuple[str, ...] = claimed(nick, "")
        if self.operator:
            how = (nick, f"{HOST}:{self.room.host_id}", "")
        while True:
            heard = self.call("claim", *how)
            if heard is None or heard.word in ("ok", "moved"):
                break
            is_held = heard.word in ("taken", "alike")
            if self.delivery.echo or not is_held:  # it resumes, and is told all
                self.leave(page.LOST, f"{self.nick} is somebody else now", 0)
                return
            number += 1
            nick = f"{self.nick}{number}"
            how = claimed(nick, "")
        if heard is None:
            return  # this host closes
        if heard.word == "moved":
            self._has_moved()
            return
        if not self.operator and not self.call("enter", events.back(nick, self.seat.address)):
            return
        if nick != self.nick:
            self.rename(nick)
            self.notice(messages.renamed(nick, ""))
        self.pen.go_on()

    def call(self, operation: str, *words: str) -> Heard | None:
        """Ask before all that waits, and wait for the answer; None when this host closes."""
        return self.pen.call(
            operation, *words, urgent=True, patience=lambda: not self.room.page.closing
        )

    def rename(self, nick: str) -> None:
        """On this host; the store has it so already."""
        former = self.nick
        if same_nick(nick) == same_nick(former):
            self.nick = self.seat.nick = nick
            return
        try:
            take_given(self.room.roster, self.seat, nick)
        except Taken:  # cannot be, since it is nobody else's in the store
            self.leave(page.LOST, "its nick is taken", 0)
            return
        self.seat.nick = nick
        self.room.roster.free(self.seat, former)
        self.called(nick)

    def _open(self, kind: bytes, text: str) -> None:
        if kind == TAKE_OVER and text not in ("", self.pen.connection.decode()):
            return  # for somebody who was called so before
        super()._open(kind, text)

    def _close(self) -> None:
        """This host is closing: the client goes on elsewhere, or comes again."""
        waiting = self.lines.count(b"\n") + self.pen.drop()
        if waiting and not self.delivery.echo:  # who can resume says them again
            self.notice(messages.not_said(waiting, "this host closes"))
        if not self.delivery.echo:
            self.notice(refusals.HOST_CLOSES)
        self.leave(page.CLOSED, "", FLUSH)


def _why_not(heard: Heard, nobody: str) -> str:
    if heard.word == "nobody":
        return nobody
    reason = b" ".join(heard.rest).decode(errors="replace") or heard.word
    return messages.not_done(reason)
