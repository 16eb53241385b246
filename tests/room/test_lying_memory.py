"""A room that lies fills no memory: whatever it says, and however often, neither process of its
client keeps more of it than a few MiB.
"""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import DEADLINE, DUPLEX, Duo, Program, Terminal, children, until

WELCOME = b"! welcome to room 5000: you are guest-1, 3 are here; /help lists the commands\n"
JOINED = b"! joined 5000 as ann: key 00ff, offset 0, end 0, 3 are here\n"
AT = b"2026-11-23T23:34:31.123Z "
DONE = b"-room- that is all\n"
GROWTH = 8 << 20  # bytes: what is read, decoded and handed on is some MiB at a time

LONG = 30_000  # bytes of a name
FEW, MANY = 600, 60_000


def name(number: int, size: int = LONG) -> bytes:
    return b"%d" % number + b"x" * size


def each(count: int, line: Callable[[int], bytes]) -> Iterator[bytes]:
    return (line(number) for number in range(count))


LIES: dict[str, Callable[[], Iterator[bytes]]] = {
    "long names": lambda: each(FEW, lambda n: b"! and: " + name(n) + b"\n"),
    "many names": lambda: each(
        FEW, lambda n: b"! and: %b\n" % b", ".join(name(1000 * n + i, 50) for i in range(1000))
    ),
    "a long name of one's own": lambda: each(
        FEW, lambda n: AT + b"* %b is now %b\n" % (name(n - 1) if n else b"ann", name(n))
    ),
    "a long name of one's own in answers": lambda: each(
        FEW, lambda n: b"! you are %b now: key 00ff\n" % name(n)
    ),
    "keys": lambda: each(FEW, lambda n: b"! you are ann now: key %b\n" % name(n)),
    "welcomes": lambda: each(MANY, lambda n: WELCOME),
    "joined": lambda: each(MANY, lambda n: JOINED.replace(b"end 0", b"end %d" % (10**17 - n))),
    "joined under other names": lambda: each(
        MANY, lambda n: JOINED.replace(b"as ann", b"as n%d" % n)
    ),
    "joined under long names": lambda: each(
        FEW, lambda n: JOINED.replace(b"as ann", b"as " + name(n))
    ),
    "joined long rooms": lambda: each(FEW, lambda n: JOINED.replace(b"5000", name(n))),
    "not resumed": lambda: each(MANY, lambda n: b"! not resumed: because\n"),
    "numbers": lambda: each(MANY, lambda n: b"! at 0: %d-%d\n" % (n + 1, 10**17 + n)),
    "numbered": lambda: each(MANY, lambda n: b"! numbered from line %d\n" % n),
    "answers": lambda: each(MANY, lambda n: b"! [%d+] x\n" % n),
    "no commands": lambda: each(MANY, lambda n: b"! there is no command /join; so\n"),
    "not recorded": lambda: each(MANY, lambda n: b"! not recorded: full\n"),
    "private messages": lambda: each(FEW, lambda n: b"-" + name(n) + b"- psst\n"),
}


# What only a screen makes something of. Each line is painted, so these are fewer.
LIES_FOR_A_SCREEN = (
    b"* %b entered the room (x)\n",
    b"* bob is now %b\n",
    b"<%b> x\n",
)


class Liar:
    """A room, as far as its first client can tell. It reads nothing but its first lines."""

    def __init__(self, lies: Iterator[bytes]) -> None:
        self._lies = lies
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.told = threading.Event()  # the client is let in, and has shown it
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        sock, _ = self._listener.accept()
        with sock:
            sock.sendall(WELCOME)
            while b"/join" not in sock.recv(4096):
                pass
            sock.sendall(JOINED + b"-room- hello\n")
            self.told.wait(DEADLINE)
            part = b""
            try:
                for line in self._lies:
                    part += line
                    if len(part) > 1 << 16:
                        sock.sendall(part)
                        part = b""
                sock.sendall(part + DONE)
                self._listener.settimeout(DEADLINE)
                self._listener.accept()  # never: it stays connected until the test is over
            except OSError:
                return

    def close(self) -> None:
        self._listener.close()


def private_memory(pid: int) -> int:
    """Bytes of it that are of no file."""
    match = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match[1]) * 1024


class Shown:
    """What a program writes to a pipe: all is read, and only what is waited for is remembered."""

    def __init__(self, program: Program) -> None:
        assert program.process.stdout
        self._pipe = program.process.stdout
        self._seen: set[bytes] = set()
        self.over = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        tail = b""
        while data := self._pipe.read1(1 << 20):
            tail = tail[-100:] + data
            self._seen |= {wanted for wanted in (b"-room- hello\n", DONE) if wanted in tail}
        self.over = True

    def sees(self, wanted: bytes) -> None:
        until(lambda: wanted in self._seen or self.over)


@pytest.mark.parametrize("lie", LIES)
def test_nothing_that_a_room_says_is_kept_without_limit(duo: Duo, lie: str) -> None:
    liar = Liar(LIES[lie]())
    command = [*DUPLEX, "connect", "127.0.0.1", str(liar.port), "--nick", "ann", "--no-retry"]
    client = duo.start([*command, "--no-log"], "client", stdout=subprocess.PIPE)
    shown = Shown(client)
    shown.sees(b"-room- hello\n")
    pids = [client.pid, client.child()]
    before = [private_memory(pid) for pid in pids]
    liar.told.set()
    shown.sees(DONE)
    grown = []
    for pid, was in zip(pids, before, strict=True):
        try:
            grown.append(private_memory(pid) - was)
        except (FileNotFoundError, AssertionError):
            grown.append(0)  # it has had enough of the room
    liar.close()
    assert max(grown) < GROWTH, [f"{size / (1 << 20):.1f} MiB" for size in grown]


def test_nor_by_a_screen(tmp_path: Path, terminal: Callable[..., Terminal]) -> None:
    liar = Liar(AT + lie % name(n) for lie in LIES_FOR_A_SCREEN for n in range(120))
    command = [*DUPLEX, "connect", "127.0.0.1", str(liar.port), "--nick", "ann", "--no-retry"]
    screen = terminal(*command, "--no-log", cwd=tmp_path)
    screen.spawned.searchwindowsize = 200
    screen.sees("hello")
    pids = [screen.pid, *until(lambda: children(screen.pid))]
    before = [private_memory(pid) for pid in pids]
    liar.told.set()
    screen.sees("that is all")
    grown = [private_memory(pid) - was for pid, was in zip(pids, before, strict=True)]
    liar.close()
    assert max(grown) < GROWTH // 2, [f"{size / (1 << 20):.1f} MiB" for size in grown]
