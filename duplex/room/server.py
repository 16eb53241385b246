"""The host: the process of a room that accepts, forks, reaps and closes.

It reads no client's byte and never waits for one: whoever connects gets a member of its own at
once, or one line and the door. It holds the listening sockets, its own description of the
transcript, and its mailbox. What it knows of processes is here; whom it lets in is gate.py's, who
has left departures.py's, how they come in reception.py's, and what its operator wants wishes.py's.

    host      accepts, forks, reaps
    ├─ member   one for each client (member.py); the operator's screen has one, too
    └─ flusher, screen: helpers.py
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import time
from contextlib import suppress

from duplex.protocol import events, refusals
from duplex.room import commands, delivery, join, keeper, page, watch
from duplex.room.custody import Custody
from duplex.room.departures import Departures
from duplex.room.flusher import flush
from duplex.room.gate import Gate
from duplex.room.helpers import FAILURES, Helpers
from duplex.room.life import Life
from duplex.room.member import Member
from duplex.room.notices import Notices
from duplex.room.reception import Reception
from duplex.room.rehearsal import rehearse
from duplex.room.sign import Sign
from duplex.room.startups import Startups
from duplex.room.watch import Watch
from duplex.room.wishes import Wishes
from duplex.system import hardening, tcp
from duplex.system.errors import (
    EXIT_FAILURE,
    EXIT_OK,
    EXIT_SIGNAL,
    DuplexError,
    UnableToFork,
    say_status,
)
from duplex.system.process import (
    EXIT_UNSERVED,
    EXIT_WRONG_CODE,
    Signals,
    close_all_but,
    how_it_ended,
    prepare_to_die_with_parent,
    spawn,
    wait,
)
from duplex.talk.receiver import KEPT_BY_MALLOC
from duplex.transcript import sanitize

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from duplex.room.room import Room

CLOSING = 5.0  # s for every client to get the last records
CLOSING_LOCKED = 3.0  # s for the transcript's lock to be had, for the end to be recorded
HELD_WHILE_CLOSING = 0.5  # s that who stands still may hold it meanwhile
KILLING = 2.0  # s for who was killed to end; one in a frozen cgroup does when it is thawed
# What a screen ends with when its operator leaves, by a word or a key, or is told to by a signal.
LEFT = (EXIT_OK, *(EXIT_SIGNAL + n for n in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)))
_STDOUT = 1
OPERATOR = ""  # for an address: it has none
READY = (join, delivery, commands, sanitize)  # what members need is imported once, here


class Host:
    """A room's first process. `run` keeps the room until it is closed.

    A room in a store has another one (store/host.py): what it does otherwise stands there.
    """

    member: type[Member] = Member

    def __init__(self, room: Room, listener: tcp.Listener, options: argparse.Namespace) -> None:
        self._room = room
        room.transcript.patience = 0  # whoever has its lock is not waited for
        self._listener = listener
        self._die_with_host = prepare_to_die_with_parent()
        self._signals = Signals()
        self._signals.wake_at_child()
        if room.tls:
            self._signals.count_hangups()
        self._reloaded = 0  # hangups
        self._members: dict[int, tuple[int, str]] = {}  # pid: its seat, where its client is
        self._free = list(reversed(range(room.page.seats)))
        self._joined = 0  # clients so far
        startups = Startups(options.max_handshakes) if room.protected else None
        self._gate = Gate(room.page, options.max_members, options.max_per_address, startups)
        self._departures = self._make_departures()
        self._sign = Sign(listener.address[1], room.page)
        self._wishes = Wishes(room, self._gate.banned, self._members)
        self._notices = Notices(room.tell_operator)
        self._wishes.trouble = lambda text: self._notices.add("transcript", text)
        self._custody = Custody(room, self._wishes.trouble)
        self._reception = Reception(
            listener.sockets, self._gate, self._notices, lambda *who: self._fork_member(*who)
        )
        self._helpers = Helpers(room.tell_operator)
        self._watch = Watch(room.page, self._members, self._helpers.kinds)
        self._closing = ""  # the event that closes the room
        self._failed = False  # and it is not as anybody wished
        self._synced = options.fsync == "second"
        self._operator: Callable[[socket.socket, str, str, str], int] = options.operator

    def run(self) -> int:
        """Serve until a signal or the operator ends it; the exit status."""
        _raise_limits()
        room = self._room
        say_status(tcp.invitation(self._listener.address, room.protection.flag))
        bytes(KEPT_BY_MALLOC)  # made and freed at once: talk/receiver.py says why
        rehearse(room)
        room.harden = hardening.prepare()
        gc.collect()
        gc.freeze()
        self._open_helpers()
        if room.has_operator or keeper.has_lines(room.keeper):
            self._open_operator()
        wanted = self._wanted()
        while not self._closing:
            self._turn(wanted)
        self._close()
        room.close()
        return EXIT_FAILURE if self._failed else EXIT_OK

    def _wanted(self) -> select.epoll:
        """All that a turn waits for."""
        wanted = select.epoll()
        self._reception.listen(wanted)
        wanted.register(self._wishes.fileno(), select.EPOLLIN)
        wanted.register(self._sign.fileno(), select.EPOLLIN)
        wanted.register(self._signals.fd, select.EPOLLIN)
        if keeper.may_bring_lines(self._room.keeper):
            wanted.register(keeper.STDIN, select.EPOLLIN)
        return wanted

    def _turn(self, wanted: select.epoll) -> None:
        ready = {fd for fd, _ in wanted.poll(self._seconds_to_wait())}
        if self._signals.fd in ready:
            self._signals.settle()
            self._reap()
            if self._signals.received:
                self._closing = events.closed("")
            if self._signals.hangups != self._reloaded:
                self._reload()
        if self._wishes.fileno() in ready:
            self._wishes.read()
            self._closing = self._closing or self._wishes.closing
        if self._sign.fileno() in ready:
            self._sign.answer()
        if keeper.STDIN in ready:
            wanted.unregister(keeper.STDIN)
            if keeper.brings_lines():  # it may also only have ended
                self._open_operator()
        self._reception.go_on(ready)
        self._helpers.go_on()
        if self._departures.waits:
            self._departures.record()
        self._watch.look()
        self._custody.look()
        if self._notices.held:
            self._notices.go_on()

    def _seconds_to_wait(self) -> float | None:
        """On the way of each fork: nothing is touched that need not be."""
        seconds = watch.EVERY if self._members or self._helpers.kinds else None
        if self._departures.waits:
            seconds = min(seconds or 1, self._departures.seconds_to_wait())
        if self._notices.held:
            seconds = min(seconds or 1, self._notices.seconds_to_wait())
        for due in (self._helpers.seconds_to_wait(), self._reception.seconds_to_wait()):
            if due is not None:
                seconds = min(seconds or 1, due)
        return seconds

    def _reload(self) -> None:
        """Once for all hangups so far. Members that there are go on with what they have."""
        self._reloaded = self._signals.hangups
        assert self._room.tls
        try:
            self._room.tls.reload()
        except DuplexError as error:
            self._room.tell_operator(f"{error}; the room goes on with the certificate it has")
        else:
            self._room.tell_operator("the certificate was read again")

    # Coming:

    def _fork_member(self, sock: socket.socket, ip: str) -> None:
        """All that can be is left to the member: what the host writes to between two forks is
        memory that the member before can no longer share with it."""
        index = self._free.pop()
        self._joined += ip != OPERATOR
        try:
            pid = spawn(lambda: self._be_a_member(sock, index, ip == OPERATOR))
        except UnableToFork as error:
            self._free.append(index)
            self._reception.refuse(sock, ip, refusals.no_process(error.reason))
            return
        self._members[pid] = (index, ip)
        self._gate.come(ip, index)
        self._room.page.members = len(self._members)

    def _be_a_member(self, sock: socket.socket, index: int, operator: bool) -> int:
        """Only the member runs this."""
        kept = {sock.fileno(), self._room.page.fd, self._room.bell.fd}
        life = Life(self._room, sock, self._room.page.seat(index), self._joined, operator)
        return life.run(self.member, lambda fd: self._become({*kept, fd}))

    def _become(self, kept: set[int]) -> None:
        """The signals stay blocked as they are over a fork: the host decides when this ends."""
        self._die_with_host()
        close_all_but({0, 1, 2, self._room.status.fd, *kept})

    # Leaving:

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if os.WIFSTOPPED(status):
                self._watch.stopped(pid)
                continue
            how = "stood still" if self._watch.has_killed(pid) else how_it_ended(status)
            if pid in self._members:
                self._member_ended(pid, status)
            elif kind := self._helpers.kinds.pop(pid, ""):
                self._helper_ended(kind, status, how)

    def _member_ended(self, pid: int, status: int) -> None:
        index, ip = self._members.pop(pid)
        self._room.page.members = len(self._members)
        self._gate.gone(ip, index)
        seat, code = self._room.page.seat(index), os.waitstatus_to_exitcode(status)
        if code == EXIT_WRONG_CODE:
            self._notices.add("wrong code", self._gate.wrong_code(ip))
        elif code == EXIT_UNSERVED:
            self._notices.add("unserved", f"could not serve {ip or 'you'}: {seat.reason}")
        self._departures.of(seat, status, closing=bool(self._closing))
        self._free.append(index)

    def _helper_ended(self, kind: str, status: int, how: str) -> None:
        if kind == "screen":
            if os.waitstatus_to_exitcode(status) not in LEFT and not self._closing:
                self._room.has_operator = False
                if self._room.keeper != keeper.SCREEN:
                    say_status(f"the operator's client {how}: the room goes on without")
                    return
                self._failed = True
                if wait({_STDOUT: select.POLLOUT}, 0):  # its input line is still there
                    with suppress(OSError):
                        os.write(_STDOUT, b"\r\x1b[J")
                say_status(f"the screen {how}: the room closes")
            self._closing = self._closing or events.closed("")
        elif not self._closing and not self._helpers.ended(kind, how):
            self._give_up(kind, f"the {kind} {how}, {FAILURES} times in a row")

    def _give_up(self, _kind: str, how: str) -> None:
        """A helper cannot be had."""
        self._room.tell_operator(f"{how}: the system decides when the transcript is on the disk")

    def _open_helpers(self) -> None:
        if self._synced:
            self._helpers.start("flusher", self._be_the_flusher)

    def _make_departures(self) -> Departures:
        return Departures(self._room)

    # The operator:

    def _open_operator(self) -> None:
        """The operator's client runs on one end of a pair of sockets, a member on the other."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            self._helpers.start("screen", lambda: self._be_the_screen(theirs))
            self._fork_member(ours, OPERATOR)

    def _be_the_screen(self, sock: socket.socket) -> int:
        """Only the screen runs this."""
        self._die_with_host()
        if self._room.front:
            self._room.front.take_in()
        close_all_but({0, 1, 2, sock.fileno()})
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        room = self._room
        return self._operator(sock, room.name, room.protection.name, room.keeper)

    # The end:

    def _close(self) -> None:
        """Record it, let every client have what it has not been sent yet, and end them all."""
        self._listener.close()
        self._sign.close()
        self._reap()
        self._departures.closes(self._closing)
        self._go_on_while(lambda: self._departures.locked, CLOSING_LOCKED)
        if self._departures.locked:
            self._departures.give_up()
        room = self._room
        room.page.close_room()
        room.bell.ring()
        for pid, (index, _) in self._members.items():
            if room.page.seat(index).state in (page.FREE, page.SHAKING):  # FREE: just forked
                os.kill(pid, signal.SIGKILL)  # nobody has seen it, and it need not be waited for
        self._go_on_while(lambda: self._members or self._helpers.is_there("screen"), CLOSING)
        self._departures.all_are_gone()
        for pid in [*self._members, *self._helpers.kinds]:
            os.kill(pid, signal.SIGKILL)  # ours and not reaped, so the number is still its own
        self._go_on_while(lambda: self._members or self._helpers.kinds, KILLING)

    def _go_on_while(self, condition: Callable[[], object], seconds: float) -> None:
        """Look after who is still here, that long at most."""
        deadline = time.monotonic() + seconds
        while condition() and (left := deadline - time.monotonic()) > 0:
            if self._departures.locked:
                left = min(left, self._departures.seconds_to_wait())
            wait({self._signals.fd: select.POLLIN}, min(left, watch.EVERY))
            self._signals.settle()
            self._reap()
            self._watch.look(HELD_WHILE_CLOSING)
            self._watch.end_screen()
            if self._departures.locked:
                self._departures.record()

    def _be_the_flusher(self) -> int:
        """Only the flusher runs this."""
        transcript = self._room.transcript.reopen()
        self._become({transcript.fd, self._room.page.fd})
        return flush(transcript, self._room.page)


def _raise_limits() -> None:
    """A member needs few descriptors, but the kernel's limit on processes is the user's."""
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
        _soft, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (hard, hard))
