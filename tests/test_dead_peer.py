"""A peer that has vanished is noticed within 30 s; one that is only slow is not cut off.

Real time is the thing tested here, so each test runs all its talks at once.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support import (
    DUPLEX,
    Duo,
    Program,
    Terminal,
    events,
    needs,
    port_of,
    probes,
    read_all,
    said,
    until,
)

Start = Callable[..., Terminal]

NOTICED_WITHIN = 30.0  # s: what is promised
NOISE = 3.0  # s: other tests want the processors, too
PAUSE = 35.0  # s: longer than any silence that is taken for death
LOST = re.compile(r"connection lost: [^;]+; (\d+) bytes were not acknowledged")
MUCH = 200_000  # lines: more than what the buffers on the way hold


class Wire:
    """Two network namespaces with a cable between them: one for each side of a talk."""

    ADDRESS = "10.99.0.1"

    def __init__(self) -> None:
        unique = f"{os.getpid()}-{time.monotonic_ns() % 10**6}"
        self.here, self.there = f"duplex-a-{unique}", f"duplex-b-{unique}"

    def lay(self) -> None:
        for name in (self.here, self.there):
            made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
            if made.returncode:
                pytest.skip(f"no network namespaces for us: {made.stderr.strip()}")
        _ip("link", "add", "cable", "netns", self.here,
            "type", "veth", "peer", "name", "cable", "netns", self.there)  # fmt: skip
        for name, address in ((self.here, self.ADDRESS), (self.there, "10.99.0.2")):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            _ip("-n", name, "link", "set", "cable", "up")

    def cut(self) -> None:
        _ip("-n", self.here, "link", "set", "cable", "down")

    def remove(self) -> None:
        for name in (self.here, self.there):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def wire() -> Iterator[Wire]:
    needs("ip")
    made = Wire()
    try:
        made.lay()
        yield made
    finally:
        made.remove()


def lines_file(path: Path) -> Path:
    path.write_text("".join(f"{n} of many lines, größer 日本語\n" for n in range(MUCH)))
    return path


class Apart:
    """A talk between the two ends of a wire, each side a duplex on pipes."""

    def __init__(
        self,
        duo: Duo,
        wire: Wire,
        name: str,
        stdin: Any = subprocess.PIPE,
        stdout: int | None = None,
    ) -> None:
        listen = ["ip", "netns", "exec", wire.here, *DUPLEX, "listen", "0", "--host", wire.ADDRESS]
        self.name = name
        listeners = {} if stdout is None else {"stdout": stdout}
        self.listener = duo.start(listen, f"{name}-l", **listeners)
        port = str(port_of(self.listener))
        connect = ["ip", "netns", "exec", wire.there, *DUPLEX, "connect", wire.ADDRESS, port]
        self.connector = duo.start(connect, f"{name}-c", stdin=stdin)
        until(lambda: "connected to" in self.connector.err)
        until(lambda: "connected from" in self.listener.err)


def kernel_probes_often() -> bool:
    """Whether it can be told to (TCP_RTO_MAX_MS, since Linux 6.15)."""
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, 44, 5000)
        except OSError:
            return False
        return True


def lost_bytes(program: Program) -> int:
    """What it says it has lost, in the last line; its status was 1."""
    match = LOST.fullmatch(program.err.splitlines()[-1])
    assert match, program.err
    assert program.err.count("connection lost") == 1, program.err
    assert "Traceback" not in program.err
    return int(match[1])


@pytest.fixture
def endless() -> Iterator[subprocess.Popen[bytes]]:
    """1, 2, 3 and so on, a line each."""
    process = subprocess.Popen(["seq", "1", "1000000000"], stdout=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


@pytest.mark.timeout(150)
def test_a_cut_cable_ends_both_sides_within_30_seconds(
    duo: Duo, wire: Wire, terminal: Start, tmp_path: Path, endless: subprocess.Popen[bytes]
) -> None:
    # At a screen, another loop has to notice it.
    args = ["ip", "netns", "exec", wire.here, *DUPLEX, "listen", "0", "--host", wire.ADDRESS]
    screen = terminal(*args, cwd=tmp_path / "screen-l")
    screen.spawned.expect(rf"listening on {wire.ADDRESS}:(\d+);")
    port = screen.spawned.match[1]
    args = ["ip", "netns", "exec", wire.there, *DUPLEX, "connect", wire.ADDRESS, port]
    typing = terminal(*args, cwd=tmp_path / "screen-c")
    screen.is_ready()
    typing.is_ready()
    idle = Apart(duo, wire, "idle")
    idle.connector.type("hello\n")
    until(lambda: said(tmp_path / "idle-l" / "logs" / "client_input.log") == ["hello"])
    saying = Apart(duo, wire, "saying")  # each says one more thing into the void
    # The window is closed at the end, but for the probes that its kernel answers.
    unread, full = os.pipe()
    jammed = Apart(duo, wire, "jammed", stdin=lines_file(tmp_path / "much").open("rb"), stdout=full)
    os.close(full)
    until(lambda: probes(jammed.connector.pid))
    sending = Apart(duo, wire, "sending", stdin=endless.stdout)  # in the middle of it all
    until(lambda: sending.listener.out_path.stat().st_size > 1000)

    wire.cut()
    start = time.monotonic()
    saying.listener.type("into the void\n")
    saying.connector.type("into the void, too\n")
    typing.line("void")
    programs = [
        (f"{talk.name} {side}", program)
        for talk in (idle, saying, sending, jammed)
        for side, program in (("listener", talk.listener), ("connector", talk.connector))
        if talk is not jammed or (side == "connector" and kernel_probes_often())
    ]
    took: dict[str, float] = {}

    def all_ended() -> bool:
        for name, program in programs:
            if name not in took and program.process.poll() is not None:
                took[name] = time.monotonic() - start
        return len(took) == len(programs)

    until(all_ended, 40)
    screen.sees("connection lost: ")
    typing.sees("connection lost: ")
    assert screen.status() == typing.status() == 1
    took["screens"] = time.monotonic() - start
    print({name: round(seconds, 1) for name, seconds in took.items()})
    assert max(took.values()) < NOTICED_WITHIN + NOISE, took
    assert {name: program.status() for name, program in programs} == {n: 1 for n, _ in programs}
    assert lost_bytes(idle.listener) == lost_bytes(idle.connector) == 0
    assert lost_bytes(saying.listener) == len("into the void\n")
    assert lost_bytes(saying.connector) == len("into the void, too\n")
    assert lost_bytes(sending.connector) > 0
    assert lost_bytes(sending.listener) == 0
    heard = said(tmp_path / "sending-l" / "logs" / "client_input.log")
    last = heard.pop().removesuffix("…")
    assert heard == [str(n) for n in range(1, len(heard) + 1)], "what came, came in order"
    assert str(len(heard) + 1).startswith(last)
    event = events(tmp_path / "sending-c" / "logs" / "server_input.log")[-1]
    assert event == sending.connector.err.splitlines()[-1]

    # What had arrived there is still to be had; then the silence is met.
    shown = b""
    while data := os.read(unread, 65536):
        shown += data
    os.close(unread)
    assert jammed.listener.status() == 1
    assert lost_bytes(jammed.listener) == 0
    *whole, _torn = shown.decode().splitlines()
    assert whole == (tmp_path / "much").read_text().splitlines()[: len(whole)]
    if kernel_probes_often():
        assert lost_bytes(jammed.connector) > 0


@pytest.mark.timeout(150)
def test_a_peer_that_does_not_read_for_long_is_not_cut_off(
    duo: Duo, terminal: Start, tmp_path: Path
) -> None:
    much = lines_file(tmp_path / "much")
    content = much.read_bytes()

    # Nobody has asked for what has arrived.
    lazy = socket.create_server(("127.0.0.1", 0))
    to_lazy = duo.start(
        [*DUPLEX, "connect", "127.0.0.1", port(lazy)], "lazy", stdin=much.open("rb")
    )
    lazy_peer, _ = lazy.accept()

    # The receiver is suspended.
    stopped = duo.start([*DUPLEX, "listen", "0"], "stopped")
    where = str(port_of(stopped))
    to_stopped = duo.start([*DUPLEX, "connect", "127.0.0.1", where], "to", stdin=much.open("rb"))
    until(lambda: stopped.out_path.stat().st_size > 0)
    for pid in (stopped.pid, stopped.child()):
        os.kill(pid, signal.SIGSTOP)

    # The receiver's output is not read.
    unread, full = os.pipe()
    jammed = duo.start([*DUPLEX, "listen", "0"], "jammed", stdout=full)
    os.close(full)
    where = str(port_of(jammed))
    to_jammed = duo.start([*DUPLEX, "connect", "127.0.0.1", where], "from", stdin=much.open("rb"))

    # A lot is pasted into a screen.
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.bind(("127.0.0.1", 0))
    narrow.listen()
    typing = terminal(*DUPLEX, "connect", "127.0.0.1", port(narrow), cwd=tmp_path / "typing")
    narrow_peer, _ = narrow.accept()
    typing.is_ready()
    pasted = [f"{n} pasted" for n in range(3000)]
    paste = Thread(
        target=typing.spawned.send, args=("\x1b[200~" + "\n".join([*pasted, "\x1b[201~"]),)
    )
    paste.start()
    typing.sees("paste 3000 lines? [Y/n]")
    typing.spawned.send("y")
    typing.sees(f"me: {pasted[-1]}")
    paste.join()

    senders = (to_lazy, to_stopped, to_jammed)
    until(lambda: all(probes(pid) for pid in (*(s.pid for s in senders), typing.pid)))
    start = time.monotonic()
    while time.monotonic() < start + PAUSE:  # this is the thing that is tested
        assert all(s.process.poll() is None for s in senders), [s.err for s in senders]
        assert typing.spawned.isalive()
        time.sleep(0.1)

    assert read_all(lazy_peer) == content
    for pid in (stopped.child(), stopped.pid):
        os.kill(pid, signal.SIGCONT)
    shown = b""
    while len(shown) < len(content):
        shown += os.read(unread, 65536)
    assert shown == content
    typing.key("d")
    assert read_all(narrow_peer) == "".join(line + "\n" for line in pasted).encode()
    for peer in (lazy_peer, narrow_peer, lazy, narrow):
        peer.close()
    os.close(unread)
    for receiver in (stopped, jammed):
        receiver.end_input()
    assert [s.status() for s in (*senders, stopped, jammed, typing)] == [0] * 6
    assert stopped.out == content
    texts = content.decode().splitlines()
    assert said(tmp_path / "stopped" / "logs" / "client_input.log") == texts
    assert said(tmp_path / "jammed" / "logs" / "client_input.log") == texts


def port(sock: socket.socket) -> str:
    return str(sock.getsockname()[1])
