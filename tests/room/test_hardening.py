"""What a member of a room cannot do any more, and as whom a room runs."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from room_support import Room

from duplex.system import privileges
from duplex.system.errors import UsageError
from duplex.system.hardening import DESCRIPTORS, MEMORY

OpenRoom = Callable[..., Room]
NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="this is about what root does")


def status(pid: int, field: str) -> str:
    match = re.search(rf"^{field}:\s*(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match
    return match[1]


def limit(pid: int, which: int) -> tuple[int, int]:
    return resource.prlimit(pid, which)


# In a room


def test_a_member_has_what_it_needs_and_no_more(
    open_room: OpenRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUPLEX_DEBUG", "1")  # to be looked into
    room = open_room()
    (ann,) = room.enter("ann")
    pid, host = room.member_of(ann), room.host.pid
    assert status(pid, "NoNewPrivs") == "1"
    assert limit(pid, resource.RLIMIT_CORE) == (0, 0)
    assert limit(pid, resource.RLIMIT_NPROC) == (0, 0)
    assert limit(pid, resource.RLIMIT_NOFILE) == (DESCRIPTORS, DESCRIPTORS)
    least = int(status(host, "VmSize").split()[0]) * 1024 + MEMORY // 2
    assert least < limit(pid, resource.RLIMIT_AS)[0] < 2 * MEMORY
    assert limit(pid, resource.RLIMIT_FSIZE) == limit(host, resource.RLIMIT_FSIZE)
    for number in range(DESCRIPTORS):
        ann.say(f"/nick ann{number}", f"/msg ann{number} do I still have this many?")
        ann.sees(f"-ann{number}- do I still")
    ann.say("/nick Jörg日本")
    ann.sees("! you are Jörg日本 now")
    assert max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")) < DESCRIPTORS - 8


def test_the_host_is_as_it_was(room: Room) -> None:
    pid = room.host.pid
    assert status(pid, "NoNewPrivs") == "0"
    assert limit(pid, resource.RLIMIT_NPROC)[0] != 0
    assert os.stat(f"/proc/{pid}/fd").st_uid == os.geteuid()


# In a child of somebody else, which is hardened as a member is


@pytest.fixture
def hardened() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python code in a hardened child of a program, which prints how the child ended."""

    def run(code: str, uid: int = os.geteuid(), **env: str) -> subprocess.CompletedProcess[str]:
        begin = (
            "import os, ctypes, sys\n"
            "from duplex.system import hardening, process\n"
            "def play():\n"
            + "".join(f"    {line}\n" for line in code.splitlines())
            + "    return 0\n"
            f"if {uid} != os.geteuid(): os.setuid({uid})\n"
            "harden = hardening.prepare()\n"
            "def run():\n"
            "    harden()\n"
            "    return play()\n"
            "print(process.how_it_ended(os.waitpid(process.spawn(run), 0)[1]))"
        )
        return subprocess.run(
            [sys.executable, "-c", begin],
            env={**{k: v for k, v in os.environ.items() if k != "DUPLEX_DEBUG"}, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

    return run


Hardened = Callable[..., "subprocess.CompletedProcess[str]"]


def test_who_takes_more_and_more_memory_dies_alone(hardened: Hardened) -> None:
    done = hardened("kept = []\nwhile True: kept.append(bytes(1 << 20))")
    assert "MemoryError" in done.stderr
    assert done.stdout == "ended with status 70\n"


def test_it_has_memory_to_work_with(hardened: Hardened) -> None:
    assert hardened(f"bytearray({MEMORY // 2})").stdout == "ended with status 0\n"


def test_it_does_not_fork(hardened: Hardened) -> None:
    ordinary = os.geteuid() or NOBODY  # the kernel does not hold root to it: getrlimit(2)
    done = hardened("try: os.fork()\nexcept BlockingIOError: return 11", ordinary)
    assert done.stdout == "ended with status 11\n"


def test_it_has_few_descriptors(hardened: Hardened) -> None:
    done = hardened("try:\n    while True: os.dup(0)\nexcept OSError as error: return error.errno")
    assert done.stdout == "ended with status 24\n"  # EMFILE


@pytest.mark.parametrize(("debug", "dumpable"), [({}, 0), ({"DUPLEX_DEBUG": "1"}, 1)])
def test_it_can_be_neither_traced_nor_dumped_except_for_debugging(
    hardened: Hardened, debug: dict[str, str], dumpable: int
) -> None:
    done = hardened("return 40 + ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)", **debug)
    assert done.stdout == f"ended with status {40 + dumpable}\n"


def test_it_cannot_take_any_of_that_back(hardened: Hardened) -> None:
    code = (
        "import resource\n"
        "for which in (resource.RLIMIT_CORE, resource.RLIMIT_NPROC, resource.RLIMIT_AS):\n"
        "    try: resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "    except ValueError: continue\n"
        "    return 1"
    )
    done = hardened(code, os.geteuid() or NOBODY)
    assert done.stdout == "ended with status 0\n"


# As whom: test_root.py


def test_who_is_not_root_cannot_become_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="cannot use --user: only root"):
        privileges.choose("nobody", allow_root=False)
    assert privileges.choose(None, allow_root=False) is None
