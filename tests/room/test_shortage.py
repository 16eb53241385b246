"""No process, no descriptor, no memory: a room that lacks something says so, and goes on."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from room_support import Client, Room
from support import (
    ROOM,
    Duo,
    Program,
    children,
    flusher_of,
    hub_of,
    members_of,
    needs,
    port_of,
    until,
)

from duplex.cli.room import DESCRIPTORS
from duplex.room.server import SPARE

OpenRoom = Callable[..., Room]
ORDINARY = 61_002  # a user, of whom nothing else runs here
NO_PROCESS = "no process can be made: Resource temporarily unavailable"


class Ordinarys:
    """A room of an ordinary user, whom the kernel holds to limits and permissions, unlike root."""

    def __init__(self, directory: Path, *args: str) -> None:
        self._as = []
        if os.geteuid() == 0:
            os.chown(directory, ORDINARY, ORDINARY)
            ids = [f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups"]
            reads = [f"--{which}-caps=+dac_read_search" for which in ("inh", "ambient")]
            self._as = [needs("setpriv"), *ids, *reads]  # root's Python, too
        command = [*self._as, *ROOM, "0", "--plain", *args]
        self.host = Program(command, directory)
        self.port = port_of(self.host)
        self.log = directory / "t.log"

    def client(self) -> Client:
        made = Client(self.port)
        made.sees("entered the room")
        return made

    @contextmanager
    def makes_no_process(self) -> Iterator[None]:
        self._limit_processes(0)
        yield
        self._limit_processes(resource.getrlimit(resource.RLIMIT_NPROC)[1])  # which it has raised

    def _limit_processes(self, count: int) -> None:
        to = "unlimited" if count == resource.RLIM_INFINITY else count
        command = [needs("prlimit"), f"--pid={self.host.pid}", f"--nproc={to}:"]
        subprocess.run([*self._as, *command], check=True)  # by that user: prlimit(2)


@pytest.fixture
def ordinarys() -> Iterator[Callable[..., Ordinarys]]:
    directory = Path(tempfile.mkdtemp(prefix="duplex-test-"))
    made: list[Ordinarys] = []

    def start(*args: str) -> Ordinarys:
        made.append(Ordinarys(directory, "--log", str(directory / "t.log"), *args))
        return made[-1]

    yield start
    for one in made:
        one.host.stop()
        assert "internal error" not in one.host.err
        assert "Traceback" not in one.host.err
    shutil.rmtree(directory)


# No process


def test_a_room_that_could_not_make_a_process_still_hears_signals(
    ordinarys: Callable[..., Ordinarys],
) -> None:
    room = ordinarys()
    ann = room.client()
    with room.makes_no_process():
        late = Client(room.port)
        assert late.reads_to_the_end() == [f"! {NO_PROCESS}"]
    room.host.process.send_signal(signal.SIGTERM)
    assert ann.reads_to_the_end()[-1].endswith("* the room closed")
    assert room.host.status() == 0


def test_a_helper_killed_while_no_process_can_be_made_is_followed_when_one_can(
    ordinarys: Callable[..., Ordinarys],
) -> None:
    room = ordinarys("--fsync", "second")
    flusher = flusher_of(room.host.pid)
    ann = room.client()
    with room.makes_no_process():
        os.kill(flusher, signal.SIGKILL)
        until(lambda: f"the flusher was killed by SIGKILL; {NO_PROCESS}\n" in room.host.err)
        ann.say("/who")
        ann.sees("! 1 is here")
    until(lambda: "the flusher was killed by SIGKILL; there is another\n" in room.host.err)
    assert len(children(room.host.pid)) == 3
    assert room.host.err.count("the flusher was killed") == 2


def test_a_hub_killed_while_no_process_can_be_made_is_followed_when_one_can(
    ordinarys: Callable[..., Ordinarys],
) -> None:
    room = ordinarys()
    ann = room.client()
    with room.makes_no_process():
        os.kill(hub_of(room.host.pid), signal.SIGKILL)
        ann.reads_to_the_end()
        late = Client(room.port)
        assert late.reads_to_the_end() == [f"! {NO_PROCESS}"]
        until(lambda: f"the hub was killed by SIGKILL; {NO_PROCESS}\n" in room.host.err)
    room.client().sees("* everybody was dropped (the room's hub was killed by SIGKILL)")
    until(lambda: "the hub was killed by SIGKILL; there is another\n" in room.host.err)


def test_a_talk_for_which_no_process_can_be_made_ends_in_one_line(duo: Duo) -> None:
    """As ordinary users have it; here by a fork that fails as theirs does."""
    failing = (
        "import os, sys\n"
        "from duplex.cli.main import main\n"
        "def fork(): raise BlockingIOError(11, os.strerror(11))\n"
        "os.fork = fork\n"
        "raise SystemExit(main())\n"
    )
    _, port = duo.listen()
    caller = duo.start([sys.executable, "-c", failing, "connect", "127.0.0.1", str(port)])
    assert caller.status() == 1
    assert caller.err.splitlines()[-1] == f"duplex connect: cannot connect: {NO_PROCESS}"
    assert "Traceback" not in caller.err
    host = duo.start([sys.executable, "-c", failing, *ROOM[3:], "0", "--plain"], "room")
    assert host.status() == 1
    assert host.err.splitlines()[-1] == f"duplex room: cannot keep the room: {NO_PROCESS}"
    assert "Traceback" not in host.err


# No descriptor


@pytest.mark.parametrize("count", [8, 16, 24, DESCRIPTORS - 1])
def test_too_few_descriptors_are_told_before_the_room_listens(tmp_path: Path, count: int) -> None:
    done = subprocess.run(
        [*ROOM, "0", "--plain"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count)),
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"duplex room: cannot keep a room: it needs {DESCRIPTORS} descriptors, and {count} are "
        "allowed (ulimit -n)\n"
    )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("more", [[], ["--code"], ["--host", "localhost", "--fsync", "always"]])
def test_as_many_descriptors_as_are_asked_for_are_enough(
    open_room: OpenRoom, more: list[str]
) -> None:
    room = open_room(
        *more,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS)),
    )
    most = (DESCRIPTORS - SPARE) // 2
    assert f"{DESCRIPTORS} descriptors are allowed (ulimit -n): {most} members" in room.host.err
    if "--code" not in more:
        for _ in range(2):
            room.enter(*(f"client{number}" for number in range(most - 2)))
            room.is_well()
            room.stop()
            until(lambda: not members_of(room.host.pid))
        room.enter(*(f"client{number}" for number in range(most)))
        full = f"! the room is full: {most} are here (--max-members)"
        assert room.connect().reads_to_the_end() == [full]
    else:
        room.connect().close()
        until(lambda: not members_of(room.host.pid))
    room.host.process.terminate()
    assert room.host.status() == 0
    assert "Traceback" not in room.host.err


def test_who_comes_when_no_descriptor_is_left_is_told(room: Room) -> None:
    (ann,) = room.enter("ann")
    pid = room.host.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
    taken = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(highest + 1, taken), before[1]))
    for _ in range(3):
        late = room.connect()
        assert late.reads_to_the_end() == ["! this room cannot serve you: Too many open files"]
    until(lambda: "cannot accept: Too many open files" in room.host.err)
    ann.say("/who")
    ann.sees("! 1 is here")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    room.is_well()


# No permission, no inode, no memory


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take it away for good")
def test_a_room_whose_transcript_may_not_be_opened_any_more_goes_on_with_it(
    ordinarys: Callable[..., Ordinarys],
) -> None:
    room = ordinarys()
    ann = room.client()
    os.chown(room.log, 0, 0)
    late = room.client()
    late.say("/history", "hello")
    late.sees("! 2")
    ann.sees("<guest-2> hello")


# What lacks something in a member.
FAILS = """\
import os
from duplex.cli.main import main
from duplex.room import life, member
host = os.getpid()
def fail(name, of, error, when=lambda *_: True):
    real = getattr(of, name)
    def failing(*args, **more):
        if os.getpid() != host and when(*args):
            raise error
        return real(*args, **more)
    setattr(of, name, failing)
{fail}
raise SystemExit(main())
"""
LACKS = {
    "fail('Member', life, MemoryError())": errno.ENOMEM,
    "fail('close_kept_open', life, OSError(24, os.strerror(24)))": errno.EMFILE,
    "fail('nice', os, OSError(12, os.strerror(12)))": errno.ENOMEM,
}


@pytest.mark.parametrize("fail", LACKS)
def test_a_newcomer_that_cannot_be_served_is_told_why(
    open_room: OpenRoom, monkeypatch: pytest.MonkeyPatch, fail: str
) -> None:
    monkeypatch.setattr("room_support.ROOM", ROOM[4:])
    room = open_room(wrapper=[sys.executable, "-c", FAILS.format(fail=fail), "room"])
    why = os.strerror(LACKS[fail])
    for _ in range(2):
        assert room.connect().reads_to_the_end() == [f"! this room cannot serve you: {why}"]
    until(lambda: f"could not serve 127.0.0.1: {why}" in room.host.err)
    assert room.events() == []


def test_who_is_here_is_told_when_its_member_cannot_go_on(
    open_room: OpenRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("room_support.ROOM", ROOM[4:])
    when = "lambda lines, *_: b'/history 7' in lines"
    fail = FAILS.format(fail=f"fail('next_request', member, MemoryError(), {when})")
    room = open_room(wrapper=[sys.executable, "-c", fail, "room"])
    ann, bob = room.enter("ann", "bob")
    ann.say("/history 7")
    assert ann.reads_to_the_end()[-1] == "! this room cannot serve you: Cannot allocate memory"
    bob.sees("* ann was dropped (Cannot allocate memory)")
    room.is_well()


# Helpers


FAILING = """\
from duplex.cli.main import main
from duplex.room import helpers, server
server.flush = lambda *_: 1
helpers.FIRST_PAUSE = 0.01
raise SystemExit(main())
"""


def test_a_helper_that_fails_at_once_is_not_followed_for_ever(duo: Duo) -> None:
    command = [sys.executable, "-c", FAILING, *ROOM[3:], "0", "--plain", "--fsync", "second"]
    host = duo.start(command, "room")
    until(lambda: "the flusher ended with status 1, 9 times in a row: " in host.err)
    client = Client(port_of(host))
    client.sees("! welcome to room")  # the room goes on without it
    assert host.err.count("the flusher ended with status 1; there is another\n") == 8
    assert len(children(host.pid)) == 2  # the hub, and the client's member
    client.close()
