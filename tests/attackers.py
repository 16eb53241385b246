"""Who attacks a room: a program of its own, or several, so that they cost others only processor.

    python attackers.py JSON    the fields of Attack, and of Target as its "target"

It says `ready` when its members are in the room, begins when it reads a line, and after `seconds`,
when the flood is over, says a line of JSON: what was done. The rest goes on until it is killed.

    members    readers that only read; speakers, as fast as they can; deaf ones, which never read,
               some of whom speak; garblers, who know the code and send bytes of every kind inside;
               damagers, whose frames are damaged, again and again
    callers    half-open ones, whose handshake is never over; strangers, who send anything in place
               of one; and the flood
"""

from __future__ import annotations

import errno
import functools
import heapq
import json
import random
import select
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from duplex.channel import code, plain
from duplex.channel.base import Channel, Handshake
from duplex.channel.handshake import Shaking, shake
from duplex.channel.protection import Certifying, Code, Protection
from duplex.system.errors import DuplexError

HOST = "127.0.0.1"
TICK = 0.02  # s between two looks at those that are inside
AGAIN = 1.0  # s until whoever was turned out comes again
PATIENCE = 12.0  # s that a caller stays without being told anything: longer than a handshake may
TRIES = 20.0  # s in which a member has to get in, before the attack
CHUNK = 1 << 16  # bytes
AT_ONCE = 8  # hundreds of lines that a speaker says in a tick: 40,000 lines a second
SMALL = 2048  # bytes of a receive buffer
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER
_BIND_ADDRESS_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT, linux/in.h


@dataclass
class Target:
    """A room. `secret` is its code, or a file with the authority of its certificate."""

    kind: str  # code, tls, plain
    port: int
    secret: str = ""

    def __post_init__(self) -> None:
        kinds: dict[str, Callable[[], Protection]] = {
            "code": lambda: Code(self.secret.encode()),
            "tls": lambda: Certifying(HOST, self.secret, None),
            "plain": Protection,
        }
        self._protection = kinds[self.kind]()

    def handshake(self) -> Handshake | None:
        return self._protection.call()

    @functools.cached_property
    def opening(self) -> bytes:
        """What a client says first, made once: so it costs its sender nothing."""
        handshake = self.handshake()
        if self.kind == "code" and handshake:
            return handshake.feed(code.BANNER)
        return handshake.start() if handshake else b"/join nobody\n"

    def dial(self, address: str, buffer: int = 0) -> socket.socket:
        """A connection from there that may still be on its way, and does not block."""
        sock = socket.socket()
        sock.setblocking(False)
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        try:
            sock.bind((address, 0))
            if (number := sock.connect_ex((HOST, self.port))) not in (0, errno.EINPROGRESS):
                raise OSError(number, "connect")
        except OSError:
            sock.close()
            raise
        return sock


class Voice:
    """A connection that has a channel."""

    def __init__(self, sock: socket.socket, channel: Channel | None) -> None:
        self.sock = sock
        self.sender = channel.sender if channel else plain.Sender()
        self.receiver = channel.receiver if channel else plain.Receiver()
        self.heard = b""
        self.unsent = b""

    def say(self, lines: bytes) -> None:
        self.unsent += self.sender.send(lines)
        self.flush()

    def flush(self) -> bool:
        """Whether all is sent."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent) :]
        except BlockingIOError:
            return False
        return True

    def hear(self) -> list[bytes]:
        """The whole lines that have come, perhaps none. Raises OSError at the end."""
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError("the room has ended the connection")
        *lines, self.heard = (self.heard + self.receiver.decode(data)).split(b"\n")
        return lines

    def wait_for(self, text: bytes) -> bytes:
        """The next line with that in it. Raises OSError."""
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLIN)
        deadline = time.monotonic() + TRIES
        lines = [*self._came_with_the_handshake(), *self.hear()]
        while True:
            for line in lines:
                if text in line:
                    return line
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError(f"no {text!r}")
            lines = self.hear()

    def _came_with_the_handshake(self) -> list[bytes]:
        *lines, self.heard = (self.heard + self.receiver.decode(b"")).split(b"\n")
        return lines


def enter(target: Target, address: str, nick: str = "", buffer: int = 0) -> Voice:
    """Get in with a nick, or be welcomed as a guest; as often as it takes, for TRIES seconds."""
    deadline = time.monotonic() + TRIES
    while True:
        try:
            return try_to_enter(target, address, nick, buffer)
        except (OSError, DuplexError) as error:
            if time.monotonic() > deadline:
                raise
            print(f"{nick}: {error}; again", file=sys.stderr)
            time.sleep(TICK)


def try_to_enter(target: Target, address: str, nick: str = "", buffer: int = 0) -> Voice:
    """Raises OSError or DuplexError."""
    sock = target.dial(address, buffer)
    try:
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLOUT)
        poll.poll(TRIES * 1000)
        handshake = target.handshake()
        voice = Voice(sock, shake(sock, handshake, {}) if handshake else None)
        voice.wait_for(b"! welcome to room ")
        if nick:
            voice.say(b"/join %b\n" % nick.encode())
            voice.wait_for(b"! joined ")
    except BaseException:
        sock.close()
        raise
    return voice


@dataclass
class Attack:
    """How many of each; addresses are 127.x.y.z, and each kind's are its own."""

    target: Target
    readers: int = 0
    speakers: int = 0
    deaf: int = 0
    garblers: int = 0
    damagers: int = 0
    half_open: int = 0
    strangers: int = 0
    flood: float = 0.0  # connections a second
    seconds: float = 0.0  # that the flood lasts
    sources: int = 1  # addresses of the half-open ones, of the strangers, and of the flood
    seed: int = 0
    done: Counter[str] = field(default_factory=Counter)


# Members:


class Reader:
    """A member that says nothing and reads, now and then, all there is."""

    reads = True

    def __init__(self, attack: Attack, address: str, nick: str, buffer: int = 0) -> None:
        self.voice = enter(attack.target, address, nick, buffer)
        self.is_in = True
        self._done = attack.done

    def go_on(self) -> None:
        """Do what can be done without waiting."""
        if not self.is_in:
            return
        try:
            if self.reads:
                with suppress(BlockingIOError):
                    for _ in range(16):
                        if not self.voice.sock.recv(CHUNK):
                            raise ConnectionResetError
            self.speak()
        except OSError:
            self._done["members that were turned out"] += 1
            self.is_in = False
            self.voice.sock.close()

    def speak(self) -> None:
        return


class Speaker(Reader):
    """Says numbered lines as fast as the room takes them."""

    def __init__(self, attack: Attack, address: str, nick: str, name: str, buffer: int = 0) -> None:
        super().__init__(attack, address, nick, buffer)
        self._name = name.encode()
        self._number = 0

    def speak(self) -> None:
        for _ in range(AT_ONCE):
            if not self.voice.flush():
                return
            numbers = range(self._number, self._number + 100)
            self._number += 100
            self.voice.say(b"".join(b"%b line %d\n" % (self._name, n) for n in numbers))


class Deaf(Reader):
    reads = False


class DeafSpeaker(Speaker):
    """Asks for answers, too, and takes none of them."""

    reads = False

    def speak(self) -> None:
        super().speak()
        if self.voice.flush():
            self.voice.say(b"/who\n/help\n")


class Garbler(Reader):
    """Knows the code, and sends bytes of every kind, a while apart."""

    def __init__(self, attack: Attack, address: str, nick: str, rng: random.Random) -> None:
        super().__init__(attack, address, nick)
        self._rng = rng

    def speak(self) -> None:
        if self.voice.flush():
            self.voice.say(garbage(self._rng))


def garbage(rng: random.Random) -> bytes:
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 2000))
    if kind == 1:
        return bytes(range(256)) + b"\n"
    if kind == 2:
        return b"long " + b"x" * rng.randrange(100_000) + b"\n"
    if kind == 3:  # telnet: commands, questions, a subnegotiation that does not end
        return b"\xff\xfd\x06\xff\xf4\xff\xfb\x18 telnet \xff\xfa\x18" + rng.randbytes(50) + b"\n"
    if kind == 4:
        return b"\xc3\x28 \xed\xa0\x80 \xf8\x88 \xe2\x82 \xf0\x9f\n\x1b[2J\x1b]0;title\x07\n\r\r\n"
    if kind == 5:
        return b"\n" * rng.randrange(1, 200)
    if kind == 6:
        return "a\u0301\u0301\u0301".encode() * 500 + "\u202e\u2028\n".encode()
    commands = b"/nick <>\n/msg nobody psst\n/resume a b 12\n/join\n/kick ann\n/\n/nick "
    return commands + b"y" * 9000 + b"\n"


# Callers:


class Callers:
    """The loop of all who are not in the room: what happens to a connection, and at a time."""

    def __init__(self, attack: Attack) -> None:
        self.attack = attack
        self._epoll = select.epoll()
        self._of: dict[int, Caller] = {}
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._later, (time.monotonic() + seconds, self._count, what))

    def add(self, caller: Caller, sock: socket.socket) -> None:
        self._of[sock.fileno()] = caller
        self._epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def is_connected(self, sock: socket.socket) -> None:
        self._epoll.modify(sock.fileno(), select.EPOLLIN)

    def remove(self, sock: socket.socket) -> None:
        del self._of[sock.fileno()]
        self._epoll.unregister(sock.fileno())

    def turn(self, seconds: float) -> None:
        for fd, events in self._epoll.poll(seconds, 4096):
            if caller := self._of.get(fd):
                caller.on_events(events)
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()


class Caller:
    """A connection, once or again and again. A subclass says what is done with it."""

    kind = ""
    again = AGAIN

    def __init__(self, callers: Callers, address: str, number: int) -> None:
        self.callers = callers
        self.attack = callers.attack
        self.number = number
        self._address = address
        self._sock: socket.socket | None = None
        self._connected = False
        self._round = 0

    def call(self) -> None:
        self._connected = False
        self._round += 1
        try:
            self._sock = self.attack.target.dial(self._address)
        except OSError as error:
            self.attack.done[f"{self.kind}: {error.strerror}"] += 1
            self._come_again()
            return
        self.attack.done[self.kind] += 1
        self.callers.add(self, self._sock)
        number = self._round
        self.callers.later(PATIENCE, lambda: self._out_of_patience(number))

    def on_events(self, events: int) -> None:
        assert self._sock
        try:
            if not self._connected and events & select.EPOLLOUT:
                self._connected = True
                self.callers.is_connected(self._sock)
                self.connected(self._sock)
            if self._sock and events & ~select.EPOLLOUT:
                self.readable(self._sock)
        except (OSError, DuplexError):
            self.end()

    def end(self, *, reset: bool = False) -> None:
        sock, self._sock = self._sock, None
        if sock:
            self.callers.remove(sock)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            sock.close()
            self._come_again()

    def _come_again(self) -> None:
        if self.again:
            self.callers.later(self.again, self.call)

    def _out_of_patience(self, number: int) -> None:
        if number == self._round:
            self.end()

    def connected(self, sock: socket.socket) -> None:
        raise NotImplementedError

    def readable(self, sock: socket.socket) -> None:
        """Raises OSError at the end."""
        data = sock.recv(CHUNK)
        if not data:
            raise ConnectionResetError
        if data.startswith((b"! too many are on their way", b"! your address", b"! 64 are here")):
            self.attack.done[f"{self.kind}, refused"] += 1


class HalfOpen(Caller):
    """Stays in the middle of a handshake; at which byte depends on its number."""

    kind = "half-open"

    def connected(self, sock: socket.socket) -> None:
        start = self.attack.target.opening
        part = (0, len(start) // 2, len(start))[self.number % 3]
        sock.send(start[:part])


class Stranger(Caller):
    """Sends anything in place of a handshake."""

    kind = "stranger"

    def connected(self, sock: socket.socket) -> None:
        rng = random.Random(f"{self.attack.seed} {self.number} {self._round}")
        sock.send(rng.randbytes(rng.randrange(1, 3000)))


class Flooding(Caller):
    """One connection of the flood, for one of four purposes."""

    kind = "flood"
    again = 0.0

    def connected(self, sock: socket.socket) -> None:
        purpose = self.number % 4
        if purpose < 2:
            self.end(reset=purpose == 0)
        elif purpose == 3:  # the room's answer costs it far more than this has cost us
            sock.send(self.attack.target.opening)

    def readable(self, sock: socket.socket) -> None:
        super().readable(sock)
        banner = self.number % 4 == 3 and self.attack.target.kind == "code"
        if not banner or sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            self.end(reset=True)

    def on_events(self, events: int) -> None:
        with suppress(BlockingIOError):
            super().on_events(events)


class Damager(Caller):
    """Gets in, says three lines, and then sends a frame that is damaged; in the clear, half a line
    and a reset."""

    kind = "damager"

    def connected(self, sock: socket.socket) -> None:
        self._voice: Voice | None = None
        handshake = self.attack.target.handshake()
        self._shaking = Shaking(sock, handshake) if handshake else None
        if not handshake:
            self._voice = Voice(sock, None)
        self._said = False

    def readable(self, sock: socket.socket) -> None:
        if self._shaking and not self._voice:
            if not (channel := self._shaking.go_on()):
                return
            self._voice = Voice(sock, channel)
        assert self._voice
        lines = self._voice.hear()
        if lines and not self._said:
            self._said = True
            voice = self._voice
            name = b"damager%d-%d" % (self.number, self._round)
            voice.say(b"".join(b"%b line %d\n" % (name, number) for number in range(3)))
            frame = bytearray(voice.sender.send(b"this is damaged"))
            frame[-1] ^= 1
            if self._shaking:
                voice.unsent += frame
                voice.flush()
            else:
                voice.say(bytes(frame))
                self.end(reset=True)


# All of them:


def address(kind: int, number: int, sources: int) -> str:
    number %= sources
    return f"127.{kind}.{number // 250}.{number % 250 + 1}"


def members(attack: Attack, rng: random.Random) -> list[Reader]:
    """All that are to be in the room, one after the other: half of those who can are guests."""
    inside: list[Reader] = []

    def place() -> str:
        return address(1, len(inside) // 20, 250)

    for n in range(attack.readers):
        inside.append(Reader(attack, place(), f"reader{n}" if n % 2 else ""))
    for n in range(attack.speakers):
        inside.append(Speaker(attack, place(), f"speaker{n}" if n % 2 else "", f"speaker{n}"))
    for n in range(attack.deaf):
        nick = f"deaf{n}" if n % 4 < 2 else ""
        if n % 2:
            inside.append(Deaf(attack, place(), nick, SMALL))
        else:
            inside.append(DeafSpeaker(attack, place(), nick, f"deaf{n}", SMALL))
    for n in range(attack.garblers):
        inside.append(Garbler(attack, place(), f"garbler{n}" if n % 2 else "", rng))
    return inside


def run(attack: Attack) -> None:
    rng = random.Random(attack.seed)
    inside = members(attack, rng)
    assert attack.target.opening
    print("ready", flush=True)
    sys.stdin.readline()
    callers = Callers(attack)
    kinds = [(HalfOpen, attack.half_open, attack.sources), (Damager, attack.damagers, 250)]
    kinds.append((Stranger, attack.strangers, attack.sources))
    for kind, (caller, count, sources) in enumerate(kinds, 2):
        for n in range(count):
            callers.later(rng.random(), caller(callers, address(kind, n, sources), n).call)
    begun = time.monotonic()
    calls, tick, longest, over = 0, 0.0, 0.0, False
    while True:
        now = time.monotonic() - begun
        while calls < min(now, attack.seconds) * attack.flood:
            Flooding(callers, address(5, calls, attack.sources), calls).call()
            calls += 1
        if now >= tick:
            longest = max(longest, now - tick)
            tick = now + TICK
            for member in inside:
                member.go_on()
        if now >= attack.seconds and not over:
            over = True
            attack.done["members inside"] = sum(member.is_in for member in inside)
            attack.done["ms of processor"] = int(time.process_time() * 1000)
            attack.done["ms late at most"] = int(longest * 1000)
            attack.done["ms of flood"] = int(now * 1000)
            print(json.dumps(attack.done), flush=True)
        due = min(tick, (calls + 1) / attack.flood) if attack.flood and not over else tick
        callers.turn(max(0.0, due - now))


if __name__ == "__main__":
    fields = json.loads(sys.argv[1])
    run(Attack(**{**fields, "target": Target(**fields["target"])}))
