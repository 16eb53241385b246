"""TCP: names and addresses, listening, connecting, and whether the peer is still alive.

Knows the socket options (halfclose.py has more of them), and neither reads nor writes what is said.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import sys
import termios
import time

from duplex.system.address import shown
from duplex.system.errors import UnableToConnect, UnableToListen, UsageError, reason_of
from duplex.system.process import Signals, seconds_left, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Address = tuple[Any, ...]

# A peer that vanished is noticed within 30 s: idle, by keepalive after 10 + 3 * 5 s; with bytes
# under way, when none of them was acknowledged for 25 s.
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 10, 5, 3  # s, s, probes
DEAD_AFTER = 25  # s
CHECK_EVERY = 2  # s between two looks at a connection with bytes under way

_TCP_RTO_MAX_MS = 44  # linux/tcp.h, since Linux 6.15; not in Python's socket module yet
_PROBE_EVERY = 5000  # ms at most between two probes of a closed window
_STATE, _CLOSE = 0, 7  # tcpi_state, and TCP_CLOSE in it: linux/tcp.h, net/tcp_states.h
# byte offsets in struct tcp_info
_UNACKED, _LAST_ACK_RECV, _RTT, _BYTES_ACKED, _SND_WND = 24, 56, 68, 120, 228


def where(address: Address) -> str:
    """A socket address or (host, port) as people write it: 127.0.0.1:8000, [fe80::1%eth0]:8000."""
    host, port = host_of(address), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_of(address: Address) -> str:
    """Its host, with the scope where it is ambiguous without it; the kernel has that apart."""
    host: str = address[0]
    if len(address) > 3 and address[3] and "%" not in host:
        host += f"%{address[3]}"
    return shown(host)


def check_port(port: int, lowest: int = 1) -> None:
    """A UsageError unless `port` can be one."""
    if not lowest <= port <= 65535:
        raise UsageError(f"cannot use port {port}: a port is a number from {lowest} to 65535")


def resolve(host: str, port: int, flags: int = 0) -> list[tuple[int, Address]]:
    """Every (family, address) of `host`. Raises socket.gaierror."""
    try:
        found = socket.getaddrinfo(shown(host), port, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError:  # IDNA cannot encode it, so it is nobody's name
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


class Listener:
    """Listens on every address of a host; "" is every address of this machine."""

    def __init__(self, host: str, port: int, backlog: int = 1) -> None:
        host = shown(host)
        self._backlog = backlog
        self._sockets: list[socket.socket] = []
        try:
            for family, address in _here(host, port):
                if self._sockets and port == 0:  # the first has picked the port for all
                    address = (address[0], self.address[1], *address[2:])
                self._sockets.append(_bound(family, address, only_v6=host != "::"))
            self.resume()
        except OSError as error:
            self.close()
            raise UnableToListen(where((host, port)), reason_of(error)) from None

    @classmethod
    def inherited(cls, sockets: list[socket.socket]) -> Listener:
        """Of sockets that listen already: systemd's, say."""
        listener = cls.__new__(cls)
        listener._backlog, listener._sockets = socket.SOMAXCONN, sockets
        for sock in sockets:
            sock.setblocking(False)
        return listener

    @property
    def sockets(self) -> list[socket.socket]:
        """One for each address; they do not block."""
        return self._sockets

    @property
    def address(self) -> Address:
        """The first address listened on, with the port that was picked if it was 0."""
        address: Address = self._sockets[0].getsockname()
        return address

    def pause(self) -> None:
        """Refuse whoever comes from now on, but keep the address.

        On Linux shutting a listening socket down makes it a bound one again (tcp_disconnect), and
        the kernel answers for it: connection refused. Who was in the queue is reset.
        """
        for sock in self._sockets:
            sock.shutdown(socket.SHUT_RDWR)

    def resume(self) -> None:
        for sock in self._sockets:
            sock.listen(self._backlog)
            sock.setblocking(False)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


def _here(host: str, port: int) -> list[tuple[int, Address]]:
    if host:
        return resolve(host, port, socket.AI_PASSIVE)
    v4 = resolve("0.0.0.0", port, socket.AI_PASSIVE)
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:
        return v4  # IPv6 is off
    return [*v4, *resolve("::", port, socket.AI_PASSIVE)]


def _bound(family: int, address: Address, *, only_v6: bool) -> socket.socket:
    """A socket bound to `address`. For port 0 one is picked, and then bound by its number.

    A port the kernel picked would be given up by `pause`; one asked for by number is kept.
    """
    while True:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
            sock.bind(address)
            if address[1] != 0:
                return sock
            picked = sock.getsockname()[1]
            sock.close()
            return _bound(family, (address[0], picked, *address[2:]), only_v6=only_v6)
        except OSError as error:
            sock.close()
            if address[1] != 0 or error.errno != errno.EADDRINUSE:
                raise


def invitation(address: Address, flag: str = "") -> str:
    """What a listener says first: where it listens, who can reach that, and how to join.

    `flag` is what whoever joins has to type before the address.
    """
    host, port = host_of(address), address[1]
    place = where(address)
    if host.startswith("127.") or host == "::1":
        reach = ", this machine only (--host 0.0.0.0 opens it to others)"
    else:
        reach = ""
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"listening on {place}{reach}; join with: duplex connect {flag}{host} {port}"


def connect(host: str, port: int, timeout: float, signals: Signals) -> tuple[socket.socket, str]:
    """A prepared connection to the first address of `host` that answers, and where that is.

    Each address has `timeout` seconds. Raises UnableToConnect with the last address's reason, or
    Interrupted.
    """
    signals.let_go()  # a name's look-up can take long, and no signal interrupts it
    try:
        addresses = resolve(host, port)
    except OSError as error:
        raise UnableToConnect(where((host, port)), reason_of(error)) from None
    finally:
        signals.catch()
    reason = ""
    for family, address in addresses:
        sock = socket.socket(family, socket.SOCK_STREAM)
        error_number = _try(sock, address, time.monotonic() + timeout, signals)
        if error_number == 0:
            try:
                peer = sock.getpeername()
                prepare(sock)
                if sock.getsockname() != peer:
                    return sock, where(peer)
                error_number = errno.ECONNREFUSED  # nobody is there: the free port became ours
            except OSError:  # ENOTCONN, say: it has been reset again already
                error_number = errno.ECONNRESET
        sock.close()
        reason = os.strerror(error_number)
    raise UnableToConnect(where((host, port)), reason)


def _try(sock: socket.socket, address: Address, deadline: float, signals: Signals) -> int:
    """Connect until `deadline`; the errno, 0 for success."""
    sock.setblocking(False)
    error_number = sock.connect_ex(address)
    if error_number != errno.EINPROGRESS:
        return error_number
    happened = wait(
        {sock.fileno(): select.POLLOUT, signals.fd: select.POLLIN}, seconds_left(deadline)
    )
    signals.check()
    if not happened:
        return errno.ETIMEDOUT
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def prepare(sock: socket.socket) -> None:
    """Make a connected socket fit for a session: it does not block, wait to send, or hang on.

    Raises OSError if the connection is gone already.
    """
    sock.setblocking(False)
    tcp = socket.IPPROTO_TCP
    sock.setsockopt(tcp, socket.TCP_NODELAY, 1)
    # telnet sends a byte of a command as urgent data (RFC 854, Synch): leave it in its place, or
    # the rest of the command looks like text.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(tcp, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    sock.setsockopt(tcp, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
    sock.setsockopt(tcp, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)
    sock.setsockopt(tcp, socket.TCP_USER_TIMEOUT, DEAD_AFTER * 1000)


def is_tcp(sock: socket.socket) -> bool:
    """Or a pair of Unix sockets; asked of the kernel, because `sock.family` makes an enum of it."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == socket.IPPROTO_TCP


def unacknowledged(sock: socket.socket) -> int:
    """Bytes handed to the kernel that the peer has not acknowledged (SIOCOUTQ, tcp(7)).

    0 for a socket that is not TCP's: what the kernel has taken of it is there.
    """
    if not is_tcp(sock):
        return 0
    return _queued(sock, termios.TIOCOUTQ)


def acknowledged(sock: socket.socket) -> int:
    """Bytes that the peer has acknowledged so far (Linux 4.1); 0 for a socket not TCP's."""
    if not is_tcp(sock):
        return 0
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
    return int.from_bytes(info[_BYTES_ACKED:], sys.byteorder)


def unread(sock: socket.socket) -> int:
    """Bytes that have arrived and were not read yet (SIOCINQ, tcp(7))."""
    return _queued(sock, termios.FIONREAD)


def _queued(sock: socket.socket, request: int) -> int:
    count = bytearray(4)
    fcntl.ioctl(sock, request, count)
    return int.from_bytes(count, sys.byteorder)


def round_trip(sock: socket.socket) -> float:
    """The connection's measured round trip in seconds; 0 for a socket that is not TCP's."""
    if not is_tcp(sock):
        return 0.0
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RTT + 4)
    return int.from_bytes(info[_RTT:], sys.byteorder) / 1e6


def is_closed(sock: socket.socket) -> bool:
    """Whether the connection is over in both directions: reset, or shut and all acknowledged."""
    if not is_tcp(sock):
        return bool(wait({sock.fileno(): 0}, 0))  # POLLHUP
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[_STATE] == _CLOSE


class Pulse:
    """Tells a peer that does not read from one that is dead.

    TCP_USER_TIMEOUT alone cannot: Linux counts a closed window as silence, even while the peer
    answers every probe of it (measured on 6.18: a reader paused for the timeout is cut off). So it
    is lifted while nothing is in flight, which with bytes to be sent means that the window is
    closed, or too small to be worth a segment; and the answers to the probes are watched instead.
    Where the kernel cannot be told to go on probing often (before 6.15), a peer that dies while its
    window is closed is noticed only when the kernel gives up its probes.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lifted = False
        try:
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_RTO_MAX_MS, _PROBE_EVERY)
            self._probes_often = True
        except OSError:
            self._probes_often = False

    def check(self) -> None:
        """Look, every CHECK_EVERY seconds while bytes are unacknowledged. Raises TimeoutError."""
        if not is_tcp(self._sock):
            return  # whoever is at the other end is on this machine: its death is told at once
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SND_WND + 4)
        if info[_STATE] == _CLOSE or len(info) < _SND_WND + 4:
            return  # gone already, or a kernel before 5.4, which does not tell the window
        window, in_flight = (struct.unpack_from("I", info, at)[0] for at in (_SND_WND, _UNACKED))
        closed = not (window and in_flight)
        if closed != self._lifted:
            timeout = 0 if closed else DEAD_AFTER * 1000
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout)
            self._lifted = closed
        silent = struct.unpack_from("I", info, _LAST_ACK_RECV)[0] / 1000
        if closed and self._probes_often and silent > DEAD_AFTER:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
