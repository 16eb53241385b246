"""The server: the process of a room that accepts, forks, reaps and closes.

It reads no client's byte and never waits for one: whoever connects gets a member of its own at
once, or one line and the door. It holds the listening sockets, a description of the transcript for
the next hub, and its end of the link to the hub. Whom it lets in is gate.py's, how they come in
reception.py's; what the room is, the hub's.

    server    accepts, forks, reaps
    ├─ hub      owns the room (hub.py)
    ├─ member   one for each client (life.py, member.py); the operator's screen has one, too
    └─ flusher, screen, and those of a room in a store: helpers.py
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import time

from duplex.protocol import events, requests
from duplex.room import keeper, screen
from duplex.room.flusher import flush
from duplex.room.gate import Gate
from duplex.room.helpers import EXIT_GIVEN_UP, FAILURES, Helpers
from duplex.room.hub import Hub
from duplex.room.life import Life
from duplex.room.link import Link
from duplex.room.members import Members
from duplex.room.notices import Notices
from duplex.room.reception import Reception
from duplex.room.rehearsal import rehearse
from duplex.room.startups import Startups
from duplex.system import hardening, tcp
from duplex.system.errors import (
    EXIT_FAILURE,
    EXIT_OK,
    DuplexError,
    UnableToFork,
    say_status,
)
from duplex.system.process import (
    Signals,
    close_all_but,
    how_it_ended,
    prepare_to_die_with_parent,
    spawn,
    wait,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.room.room import Room

CLOSING = 5.0  # s for every client to get the last records
KILLING = 2.0  # s for who was killed to end; one in a frozen cgroup does when it is thawed
SPARE = 24  # descriptors that the hub has besides those of its members
OPERATOR = ""  # for an address: it has none


class Server:
    """A room's first process. `run` keeps the room until it is closed."""

    def __init__(self, room: Room, listener: tcp.Listener) -> None:
        self.room = room
        self._listener = listener
        self._die_with_server = prepare_to_die_with_parent()
        self._signals = Signals()
        self._signals.wake_at_child()
        if room.tls:
            self._signals.count_hangups()
        self._reloaded = 0  # hangups
        self._link = Link()
        self._joined = 0  # members so far
        startups = Startups(room.max_handshakes) if room.protected else None
        self.gate = Gate(_as_many_as_can_be(room), room.max_per_address, startups)
        self._notices = Notices(self.tell)
        self._members = Members(self.gate, self._link, self._notices)
        self._reception = Reception(listener.sockets, self.gate, self._notices, self._fork_member)
        self.helpers = Helpers(self.tell)
        self._harden: Callable[[], None] = hardening.prepare()
        self._how_hub_ended = ""
        self._had_hub = False
        self._closing = ""  # the event that closes the room
        self._closed = False  # the hub has said so
        self._failed = False  # and it is not as anybody wished

    def run(self) -> int:
        """Serve until a signal or the operator ends it; the exit status."""
        room = self.room
        say_status(tcp.invitation(self._listener.address, room.protection.flag))
        rehearse(room.protection)
        gc.collect()
        gc.freeze()
        self._harden = hardening.prepare()
        self.helpers.start("hub", self._be_the_hub, self._link.renew, self._after_hub)
        if room.flushed:
            self.helpers.start("flusher", self._be_the_flusher)
        if room.helpers:
            room.helpers(self.helpers, self._become)
        if room.has_operator or keeper.has_lines(room.keeper):
            self._open_operator()
        wanted = self._wanted()
        while not self._closing:
            self._turn(wanted)
        self._close()
        return EXIT_FAILURE if self._failed else EXIT_OK

    def tell(self, text: str) -> None:
        """One line for who keeps the room: the hub knows where that is, if there is one."""
        if self.room.has_operator or self.helpers.pid_of("hub"):
            self._link.tell(requests.TELL, 0, text)
        else:
            say_status(text)

    def _wanted(self) -> select.epoll:
        """What a turn waits for besides the listening sockets and the link."""
        wanted = select.epoll()
        self._reception.listen(wanted)
        wanted.register(self._signals.fd, select.EPOLLIN)
        if keeper.may_bring_lines(self.room.keeper):
            wanted.register(keeper.STDIN, select.EPOLLIN)
        return wanted

    def _turn(self, wanted: select.epoll) -> None:
        link = self._link.fileno()
        happened = wait(
            {wanted.fileno(): select.POLLIN, **self._of_link(link)}, self._seconds_to_wait()
        )
        ready = {fd for fd, _ in wanted.poll(0)} if wanted.fileno() in happened else set()
        if self._signals.fd in ready:
            self._signals.settle()
            self._reap()
            if self._signals.received:
                self._closing = events.closed("")
            if self._signals.hangups != self._reloaded:
                self._reload()
        if link in happened:
            self._hear_hub()
            self._link.flush()
        if keeper.STDIN in ready:
            wanted.unregister(keeper.STDIN)
            if keeper.brings_lines():  # it may also only have ended
                self._open_operator()
        self._reception.go_on(ready)
        self.helpers.go_on()
        self._members.go_on()
        if self._notices.held:
            self._notices.go_on()

    def _of_link(self, fd: int) -> dict[int, int]:
        if fd < 0:
            return {}
        return {fd: select.POLLIN | (select.POLLOUT if self._link.waits else 0)}

    def _seconds_to_wait(self) -> float | None:
        waiting = self.helpers, self._reception, self._members
        dues = [part.seconds_to_wait() for part in waiting]
        if self._notices.held:
            dues.append(self._notices.seconds_to_wait())
        return min((due for due in dues if due is not None), default=None)

    def _reload(self) -> None:
        """Once for all hangups so far. Members that there are go on with what they have."""
        self._reloaded = self._signals.hangups
        assert self.room.tls
        try:
            self.room.tls.reload()
        except DuplexError as error:
            self.tell(f"{error}; the room goes on with the certificate it has")
        else:
            self.tell("the certificate was read again")

    # Members:

    def _fork_member(self, sock: socket.socket, ip: str) -> None:
        """Its hub's end of the pair goes to the hub, whichever that is by then."""
        operator = ip == OPERATOR
        where = "this terminal" if operator else _where(sock)
        if not where:
            return  # it has only looked whether somebody is there, and is gone
        self._joined += not operator
        number = 0 if operator else self._joined
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid = spawn(lambda: self._be_a_member(theirs, sock, operator))
        except UnableToFork as error:
            ours.close()
            self._reception.refuse(sock, where, str(error))
            return
        finally:
            theirs.close()
        self._members.come(pid, number, ip)
        known = ip, where, str(pid), "operator" if operator else ""
        self._link.tell(requests.ARRIVED, number, *known, fd=ours.detach())

    def _be_a_member(self, pair: socket.socket, sock: socket.socket, operator: bool) -> int:
        """Only the member runs this. The signals stay blocked as they are over a fork: the server
        decides when this ends."""
        life = Life(pair, sock, self.room.protection, self._harden, operator=operator)
        return life.run(lambda: self._become({pair.fileno(), sock.fileno()}))

    def _become(self, kept: set[int]) -> None:
        """Only a child runs this: it keeps those descriptors, and the standard streams."""
        self._die_with_server()
        close_all_but({0, 1, 2, self.room.status.fd, *kept})

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if os.WIFSTOPPED(status):
                self.helpers.stopped(pid)
            elif pid in self._members:
                self._members.ended(pid, status)
            else:
                kind, how = self.helpers.ended(pid, how_it_ended(status))
                if kind:
                    self._helper_ended(kind, os.waitstatus_to_exitcode(status), how)

    # The hub and the other helpers:

    def _after_hub(self) -> None:
        """What waits for the hub is said to the new one; whom the old one had is gone with it."""
        self._had_hub = True
        self._link.part()
        for ip in self.gate.banned:
            self._link.tell_first(requests.BANNED, ip)
        if self._how_hub_ended:
            self._link.tell_first(requests.DROPPED, self._how_hub_ended)
        self._how_hub_ended = ""
        if self._closing:
            self._link.tell(requests.CLOSE, 0, self._closing)
        self._link.flush()

    def _be_the_hub(self) -> int:
        """Only the hub runs this."""
        room = self.room
        control = self._link.hubs
        self._become({control.fileno(), room.sign.fileno(), *room.files.descriptors.values()})
        signal.set_wakeup_fd(-1)
        if self._had_hub:
            room.transcript.resume()
        return Hub(room, control).run()

    def _hear_hub(self) -> None:
        for kind, number, words, fd in self._link.hear():
            if kind == requests.SEATED:
                self.gate.seated(number)
            elif kind == requests.OVER:
                self._members.is_over(number)
            elif kind == requests.BAN:
                self.gate.banned.add(words[0])
            elif kind == requests.UNBAN:
                self.gate.banned.discard(words[0])
            elif kind == requests.CLOSES:
                self._closing = self._closing or events.closed(words[0])
            elif kind == requests.NOTICE:
                self._notices.add(words[0], words[1])
            elif kind == requests.SEGMENT:
                self.room.transcript.take(fd)
            elif kind == requests.BEAT:
                self.helpers.beat("hub")
            elif kind == requests.CLOSED_NOW:
                self._closed = True

    def _helper_ended(self, kind: str, code: int, how: str) -> None:
        if kind == "screen":
            self._screen_ended(code, how)
        elif kind == "hub" and self._closing:
            self._hear_hub()  # that it has closed the room, perhaps
            if not self._closed:
                self._hub_ended(how)
        elif self._closing:
            return
        elif code == EXIT_GIVEN_UP:
            self._failed = True
            self._closing = "this host cannot go on"
        elif kind == "hub":
            self._hub_ended(how)
        elif not self.helpers.follow(kind, how):
            self._give_up(kind, how)

    def _hub_ended(self, how: str) -> None:
        """Every connection has ended with it; their members are of no use to the next."""
        if self._members:
            self._how_hub_ended = how
        self._members.end_those_of_the_hub()
        if not self.helpers.follow("hub", how):
            self._give_up("hub", how)
        self.helpers.go_on()

    def _give_up(self, kind: str, how: str) -> None:
        how = f"the {kind} {how}, {FAILURES} times in a row"
        if kind == "flusher":
            self.tell(f"{how}: the system decides when the transcript is on the disk")
            return
        say_status(f"{how}: the room cannot go on")
        self._failed = True
        self._closing = events.closed("")

    def _screen_ended(self, code: int, how: str) -> None:
        """Its operator may have left; then the room closes, unless it goes on without."""
        if self._closing:
            return
        self._failed = screen.has_failed(self.room, code, how)
        if self._failed or code in screen.LEFT:
            self._closing = events.closed("")

    def _be_the_flusher(self) -> int:
        """Only the flusher runs this."""
        transcript = self.room.transcript
        self._become({transcript.fd, transcript.key})
        flush(transcript)

    # The operator:

    def _open_operator(self) -> None:
        """The operator's client runs on one end of a pair of sockets, a member on the other."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            room, die = self.room, self._die_with_server
            self.helpers.start("screen", lambda: screen.be_the_screen(room, theirs, die))
            self._fork_member(ours, OPERATOR)

    # The end:

    def _close(self) -> None:
        """Have it recorded, let every client have what it has not been sent yet, and end all."""
        self._listener.close()
        self._link.tell(requests.CLOSE, 0, self._closing)
        self._go_on_while(lambda: not self._closed and self.helpers.follows("hub"), CLOSING)
        self._closed = True  # as far as it can be
        self._go_on_while(lambda: self._members or self.helpers.pid_of("screen"), 1.0)
        self.room.sign.close()
        self._members.kill_all()
        for pid in self.helpers.kinds:
            os.kill(pid, signal.SIGKILL)
        self._go_on_while(lambda: self._members or self.helpers.kinds, KILLING)

    def _go_on_while(self, condition: Callable[[], object], seconds: float) -> None:
        """Look after who is still here, that long at most."""
        deadline = time.monotonic() + seconds
        while condition() and (left := deadline - time.monotonic()) > 0:
            link = self._link.fileno()
            wait({self._signals.fd: select.POLLIN, **self._of_link(link)}, min(left, 0.5))
            self._signals.settle()
            self._reap()
            self._link.flush()
            self._hear_hub()
            self._members.go_on()
            if not self._closed:
                self.helpers.go_on()  # another hub, if there is none, or one that stands still
            self.helpers.end_if_stopped("screen")  # it would not hear of it


def _where(sock: socket.socket) -> str:
    """Where its client is; "" for who is gone."""
    try:
        return tcp.where(sock.getpeername())
    except OSError:
        return ""


def _as_many_as_can_be(room: Room) -> int:
    """How many members; raises this process's limits, which the hub has, too, as far as allowed.

    The hub needs two descriptors for each; the kernel's limit on processes is the user's.
    """
    for limit in (resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
        _soft, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (hard, hard))
    if hard == resource.RLIM_INFINITY or 2 * room.max_members + SPARE <= hard:
        return room.max_members
    most = (hard - SPARE) // 2
    say_status(f"{hard} descriptors are allowed (ulimit -n): {most} members can be here at most")
    return most
