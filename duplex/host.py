"""The host: the process of a room that accepts, forks, reaps and closes.

It reads no client's byte and never waits for one: whoever connects gets a member of its own at
once, or one line and the door. It holds the listening sockets, its own description of the
transcript (for who left and why), and its mailbox, where the operator's wishes come in.

    host      accepts, forks, reaps; knows the addresses and the bans
    ├─ member   one for each client (member.py)
    ├─ flusher  with --fsync second: puts the transcript on the disk, so that the host need not
    └─ screen   on a terminal: the operator's client, and a member for it (screen in talk's words)
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import time
from collections import Counter

from duplex import arrival, delivery, hardening, orders, page, record, roster, tcp, text
from duplex.errors import EXIT_OK, TranscriptError, say_status
from duplex.member import Member
from duplex.process import (
    Signals,
    close_all_but,
    how_it_ended,
    prepare_to_die_with_parent,
    spawn,
)
from duplex.receiving import KEPT_BY_MALLOC
from duplex.rehearsal import rehearse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from duplex.page import Seat
    from duplex.room import Room

ACCEPTED_AT_ONCE = 32  # before looking after the rest: a flood of joins must not delay a leave
CLOSING = 5.0  # s for every client to get the last records
NICE = 5  # of members, so that the host accepts and reaps in time
SYNC_EVERY = 1.0  # s, with --fsync second
OPERATOR = ""  # for an address: it has none
TRY_AGAIN = 1.0  # s until an event is recorded that could not be, and a socket accepted
READY = (arrival, delivery, orders, text)  # what members need is imported once, here


class Host:
    """A room's first process. `run` keeps the room until it is closed."""

    def __init__(self, room: Room, listener: tcp.Listener, options: argparse.Namespace) -> None:
        self._room = room
        self._listener = listener
        self._max_members: int = options.max_members
        self._max_per_address: int = options.max_per_address
        self._die_with_host = prepare_to_die_with_parent()
        self._signals = Signals()
        self._signals.wake_at_child()
        self._control = room.roster.open_control()
        self._members: dict[int, tuple[int, str]] = {}  # pid: its seat, where its client is
        self._free = list(reversed(range(room.page.seats)))
        self._at: Counter[str] = Counter()  # members from an address
        self._joined = 0  # clients so far
        self._banned: set[str] = set()
        self._unrecorded: list[str] = []  # events that found no place on the disk yet
        self._helpers: dict[int, str] = {}  # other children: what they are
        self._closing = ""  # the event that closes the room
        self._close_by = 0.0  # monotonic
        self._synced = options.fsync == "second"

    def run(self) -> int:
        """Serve until a signal or the operator ends it; the exit status."""
        _raise_limits()
        room = self._room
        say_status(tcp.invitation(self._listener.address))
        bytes(KEPT_BY_MALLOC)  # made and freed at once: receiving.py says why
        rehearse(room)
        room.harden = hardening.prepare()
        gc.collect()
        gc.freeze()
        if self._synced:
            self._helpers[spawn(self._flush_each_second)] = "flusher"
        if room.on_screen:
            self._open_screen()
        wanted = select.epoll()
        for sock in self._listener.sockets:
            wanted.register(sock.fileno(), select.EPOLLIN)
        wanted.register(self._control.fileno(), select.EPOLLIN)
        wanted.register(self._signals.fd, select.EPOLLIN)
        try:
            while not self._closing:
                self._turn(wanted)
            self._close()
        finally:
            room.roster.remove()
        return EXIT_OK

    def _turn(self, wanted: select.epoll) -> None:
        ready = {fd for fd, _ in wanted.poll(TRY_AGAIN if self._unrecorded else None)}
        if self._signals.fd in ready:
            self._signals.settle()
            self._reap()
            if self._signals.received:
                self._closing = "the room closed"
        if self._control.fileno() in ready:
            self._read_wishes()
        for sock in self._listener.sockets:
            if sock.fileno() in ready:
                self._accept(sock)
        if self._unrecorded:
            self._record()

    # Coming:

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # it was gone again
            except OSError as error:  # no descriptor, no memory: others wait in the backlog
                self._room.tell_log(f"cannot accept: {error.strerror}; trying again")
                time.sleep(0.01)
                return
            with sock:
                if why := self._reason_to_refuse(address[0]):
                    self._refuse(sock, tcp.where(address), why)
                else:
                    self._fork_member(sock, address[0])

    def _reason_to_refuse(self, ip: str) -> str:
        if ip in self._banned:
            return "your address is banned"
        if len(self._members) >= self._max_members or not self._free:
            return f"the room is full: {self._max_members} are here (--max-members)"
        if self._max_per_address and self._at[ip] >= self._max_per_address:
            return f"{self._max_per_address} are here from your address (--max-per-address)"
        return ""

    def _refuse(self, sock: socket.socket, where: str, why: str) -> None:
        """One line into an empty buffer, which does not wait; then the end."""
        try:
            sock.setblocking(False)
            sock.send(f"! {why}\n".encode())
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            why = f"{why}; it was gone already"
        self._tell_operator(f"refused {where}: {why}")

    def _fork_member(self, sock: socket.socket, ip: str) -> None:
        """All that can be is left to the member: what the host writes to between two forks is
        memory that the member before can no longer share with it."""
        index = self._free.pop()
        self._joined += ip != OPERATOR
        try:
            pid = spawn(lambda: self._be_a_member(sock, index, ip == OPERATOR))
        except OSError as error:
            self._free.append(index)
            self._refuse(sock, ip, f"no process can be made: {error.strerror}")
            return
        self._members[pid] = (index, ip)
        self._at[ip] += 1
        self._room.page.members = len(self._members)

    def _be_a_member(self, sock: socket.socket, index: int, operator: bool) -> int:
        """Only the member runs this: let go of what is the host's, then serve."""
        room = self._room
        transcript = room.transcript.reopen()
        self._become({sock.fileno(), transcript.fd, room.page.fd, room.roster.fd, room.bell.fd})
        os.nice(NICE)
        seat = room.page.seat(index)
        try:
            seat.take(tcp.where(sock.getpeername()) if not operator else "this terminal")
        except OSError:
            return EXIT_OK  # it has only looked whether somebody is there, and is gone
        if not operator:
            tcp.prepare(sock)
        member = Member(room, transcript, sock, seat, self._joined, operator=operator)
        room.harden()
        return member.run()

    def _become(self, kept: set[int]) -> None:
        """The signals stay blocked as they are over a fork: the host decides when this ends."""
        self._die_with_host()
        close_all_but({0, 1, 2, *kept})

    # Leaving:

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._members:
                self._member_ended(pid, status)
            elif kind := self._helpers.pop(pid, ""):
                self._helper_ended(kind, status)

    def _member_ended(self, pid: int, status: int) -> None:
        index, ip = self._members.pop(pid)
        self._at[ip] -= 1
        if not self._at[ip]:
            del self._at[ip]
        seat = self._room.page.seat(index)
        self._room.page.members = len(self._members)
        nicks = seat.nicks
        event = ""
        if was_here := seat.state == page.HERE and not self._closing:
            event = _how_it_left(seat, status)
        if event and seat.nick != roster.HOST:
            self._unrecorded.append(f"{seat.nick} {event}")
        seat.clear()
        self._free.append(index)
        if was_here:
            self._record()
        for nick in nicks:  # only now: who comes back with it is recorded after this
            self._room.roster.free_of_dead(nick)

    def _record(self) -> None:
        """What has happened, in its order; on a full disk it waits for there to be space."""
        records = b"".join(record.event(event) for event in self._unrecorded)
        transcript = self._room.transcript
        try:
            with transcript:
                if records:
                    transcript.write(records)
                self._room.page.here = len(self._room.page.taken())
        except TranscriptError as error:
            if len(self._unrecorded) == 1:
                self._tell_operator(str(error))
            return
        for event in self._unrecorded:
            self._room.tell_log(event)
        self._unrecorded.clear()
        self._room.bell.ring()

    def _helper_ended(self, kind: str, status: int) -> None:
        if kind == "screen":
            self._closing = self._closing or "the room closed"
        elif not self._closing:
            self._tell_operator(f"the {kind} {how_it_ended(status)}; there is another")
            self._helpers[spawn(self._flush_each_second)] = kind

    # The operator:

    def _open_screen(self) -> None:
        """The operator's client runs on one end of a pair of sockets, a member on the other."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            self._helpers[spawn(lambda: self._be_the_screen(theirs))] = "screen"
            self._fork_member(ours, OPERATOR)

    def _be_the_screen(self, sock: socket.socket) -> int:
        """Only the screen runs this."""
        from duplex.joined import run_screen

        self._die_with_host()
        close_all_but({0, 1, 2, sock.fileno()})
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return run_screen(sock, self._room.name)

    def _read_wishes(self) -> None:
        try:
            word, _, argument = self._control.recv(4096).decode(errors="replace").partition(" ")
        except BlockingIOError:
            return
        wishes: dict[str, Callable[[str], None]] = {
            "ban": self._ban,
            "unban": self._unban,
            "bans": self._tell_bans,
            "close": self._wish_to_close,
        }
        if word in wishes:
            wishes[word](argument.strip())

    def _ban(self, ip: str) -> None:
        if not tcp.is_address(ip):
            self._tell_operator(f"{ip} is not an address")
            return
        self._banned.add(ip)
        self._tell_operator(f"{ip} is banned until the room closes")
        for pid, (index, address) in self._members.items():
            if address == ip and (nick := self._room.page.seat(index).nick):
                self._kick(nick)
            elif address == ip:
                os.kill(pid, signal.SIGKILL)  # it has only just come: nobody has seen it

    def _kick(self, nick: str) -> None:
        try:
            self._room.roster.send(nick, f"k{roster.HOST}: the address is banned".encode())
        except roster.Undeliverable as error:
            self._tell_operator(str(error))

    def _unban(self, ip: str) -> None:
        if ip in self._banned:
            self._banned.discard(ip)
            self._tell_operator(f"{ip} may come in again")
        else:
            self._tell_operator(f"{ip} was not banned")

    def _tell_bans(self, _argument: str) -> None:
        self._tell_operator(f"banned: {', '.join(sorted(self._banned)) or 'nobody'}")

    def _wish_to_close(self, why: str) -> None:
        self._closing = f"the room closed{': ' if why else ''}{why}"

    def _tell_operator(self, text: str) -> None:
        if not self._room.on_screen:
            say_status(text)
            return
        try:
            self._room.roster.send(roster.HOST, f"!! {text}".encode())
        except roster.Undeliverable:
            return  # the screen is going, or too much is being told at once

    # The end:

    def _close(self) -> None:
        """Record it, let every client have what it has not been sent yet, and end them all."""
        self._listener.close()
        self._reap()
        self._unrecorded.append(self._closing)
        self._record()
        room = self._room
        room.page.close_room()
        room.bell.ring()
        deadline = time.monotonic() + CLOSING
        while (self._members or "screen" in self._helpers.values()) and (
            left := deadline - time.monotonic()
        ) > 0:
            poll = select.poll()
            poll.register(self._signals.fd, select.POLLIN)
            poll.poll(left * 1000)
            self._signals.settle()
            self._reap()
        for pid in [*self._members, *self._helpers]:
            os.kill(pid, signal.SIGKILL)  # ours and not reaped, so the number is still its own
        while self._members or self._helpers:
            self._reap()
            time.sleep(0.001)

    def _flush_each_second(self) -> int:
        """Only the flusher runs this: so that a slow disk delays nobody but it."""
        transcript = self._room.transcript.reopen()
        self._become({transcript.fd, self._room.page.fd})
        done, told = 0, False
        while True:
            time.sleep(SYNC_EVERY)
            if (end := self._room.page.watermark) == done:
                continue
            try:
                os.fdatasync(transcript.fd)
                done, told = end, False
            except OSError as error:
                if not told:
                    say_status(f"{transcript.path} cannot be put on the disk: {error.strerror}")
                told = True


def _how_it_left(seat: Seat, status: int) -> str:
    """The end of the event that tells why; "" for none."""
    if seat.ending == page.LEFT:
        return "left"
    if seat.ending == page.LOST:
        return f"was dropped ({seat.reason})"
    if seat.ending == page.KICKED:
        return f"was kicked by {seat.reason}"
    if seat.ending == page.TAKEN_OVER:
        return ""  # that it is back is told instead
    return f"was dropped (its process {how_it_ended(status)})"


def _raise_limits() -> None:
    """A member needs few descriptors, but the kernel's limit on processes is the user's."""
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
        _soft, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (hard, hard))
