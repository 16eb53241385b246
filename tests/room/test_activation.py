"""A room that is handed its listening socket, as systemd does it."""

from __future__ import annotations

import os
import socket
import sys

from room_support import Client
from support import ROOM, Duo, Program, needs_ipv6, port_of

# What systemd does between fork and exec: the socket is descriptor 3, and the pid is ours.
HAND_OVER = """\
import os, sys
fd = int(sys.argv[1])
os.dup2(fd, 3, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="room.socket")
os.execv(sys.argv[2], sys.argv[2:])
"""


def handed(duo: Duo, sock: socket.socket) -> Program:
    command = [sys.executable, "-c", HAND_OVER, str(sock.fileno()), *ROOM, "0", "--plain"]
    return duo.start(command, "room", pass_fds=[sock.fileno()])


def test_a_room_takes_the_socket_that_it_is_handed(duo: Duo) -> None:
    """And keeps it over a restart: who connects in between waits in the backlog."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        early = Client(port)
        room = handed(duo, sock)
        assert port_of(room) == port
        early.sees(f"! welcome to room {port}: you are guest-1")
        room.process.terminate()
        assert room.status() == 0
        between = Client(port)
        again = handed(duo, sock)
        between.sees(f"! welcome to room {port}: ")
        again.process.terminate()
        assert again.status() == 0


def test_of_a_socket_that_takes_both_families_addresses_are_as_of_one_that_does_not(
    duo: Duo,
) -> None:
    """As systemd's `ListenStream=5000` makes it."""
    needs_ipv6()
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as sock:
        room = handed(duo, sock)
        client = Client(port_of(room))
        client.sees("! welcome to room ")
        assert client.sees("entered").endswith(f"* guest-1 entered the room ({client.place})")
        room.process.terminate()
        assert room.status() == 0


def test_variables_that_are_for_another_process_are_not_heeded(duo: Duo) -> None:
    env = {**os.environ, "LISTEN_PID": "1", "LISTEN_FDS": "1"}
    room = duo.start([*ROOM, "0", "--plain"], "room", env=env)
    assert port_of(room)
    room.process.terminate()
    assert room.status() == 0


def test_what_is_no_listening_socket_is_told(duo: Duo) -> None:
    with socket.socket() as sock:
        room = handed(duo, sock)
        assert room.status() == 1
    assert (
        room.err
        == "duplex room: cannot use LISTEN_FDS: descriptor 3 is not a listening TCP socket\n"
    )
