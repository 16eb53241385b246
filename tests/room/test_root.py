"""As whom a room runs that root starts: as nobody, with what only root could open."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from room_support import Client
from support import DUPLEX, Program, Terminal, children, hub_of, needs, port_of, room_log, until

import duplex
from duplex.system import ownership, privileges
from duplex.system.errors import UsageError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="this is about what root does")
NOBODY = 65534
RUNS = "running as nobody, not as root (--user, --allow-root)\n"
OR_ROOT = "--allow-root lets the room run as root\n"


class Roots:
    """Rooms that root starts in a directory of its own, which nobody else can enter."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hosts: list[Program] = []

    def start(self, *args: str, wrapper: tuple[str, ...] = (), **options: Any) -> Program:
        command = [*wrapper, *DUPLEX, "room", "0", "--plain", *args]
        self.hosts.append(Program(command, self.directory, stdin=-3, **options))
        return self.hosts[-1]

    def ends(self, host: Program) -> None:
        host.process.send_signal(signal.SIGTERM)
        assert host.status() == 0, host.err
        assert "internal error" not in host.err
        assert "Traceback" not in host.err


@pytest.fixture
def roots(tmp_path: Path) -> Iterator[Roots]:
    tmp_path.chmod(0o700)
    made = Roots(tmp_path)
    yield made
    for host in made.hosts:
        host.stop()


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A directory of the user nobody's, below none that it cannot enter."""
    path = Path(tempfile.mkdtemp(prefix="duplex-test-"))
    os.chown(path, NOBODY, -1)
    yield path
    shutil.rmtree(path)


def enter(host: Program, nick: str = "ann") -> Client:
    client = Client(port_of(host))
    client.say(f"/nick {nick}")
    client.sees(f"! you are {nick} now")
    return client


def ids(pid: int) -> set[str]:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.findall(r"^[UG]id:\s*(.*)$", status, re.MULTILINE)
    groups = re.search(r"^Groups:[ \t]*(.*)$", status, re.MULTILINE)
    assert groups
    return {number for line in [*found, groups[1]] for number in line.split()}


def test_root_keeps_a_room_as_nobody_in_its_own_directory(roots: Roots) -> None:
    host = roots.start()
    ann = enter(host, "Jörg日本")  # a nick for which more of Python is read
    ann.say("hello")
    (member,) = until(lambda: [c for c in children(host.pid) if "NoNewPrivs:\t1" in status(c)])
    nobody = pwd.getpwuid(NOBODY)
    theirs = {str(g) for g in (NOBODY, *os.getgrouplist(nobody.pw_name, nobody.pw_gid))}
    for pid in [host.pid, *children(host.pid)]:
        assert ids(pid) <= theirs
        assert re.search(r"CapPrm:\t0+\nCapEff:\t0+\n", status(pid))
        assert os.stat(f"/proc/{pid}/fd").st_uid == 0  # nobody's processes do not look into it
    assert not (ids(member) & {"0"})
    assert host.err.startswith(RUNS)
    assert host.err.count(RUNS) == 1
    log = room_log(roots.directory)
    assert (log.stat().st_uid, log.with_name(f"{log.name}.key").stat().st_uid) == (NOBODY, NOBODY)
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.parent.stat().st_uid == 0  # nobody but root can put anything there
    who = subprocess.check_output([*DUPLEX, "who", str(port_of(host))], timeout=30)
    assert "Jörg日本" in who.decode()
    roots.ends(host)


def status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def times_it_waited(host: Program) -> int:
    """Its hub."""
    return int(status(hub_of(host.pid)).partition("\nvoluntary_ctxt_switches:\t")[2].split()[0])


def test_it_goes_on_where_it_ended_and_who_was_there_comes_back(roots: Roots) -> None:
    host = roots.start("--log", "t.log")
    ann = Client(port_of(host))
    ann.say("/join ann")
    key = re.search(r"key (\S+), offset (\d+)", ann.sees("! joined"))
    assert key
    ann.say("hello")
    ann.sees("<ann> hello")
    roots.ends(host)
    again = roots.start("--log", "t.log")
    ann = Client(port_of(again))
    ann.say(f"/resume ann {key[1]} {key[2]}")
    ann.sees("<ann> hello")
    ann.sees("* ann is back")
    roots.ends(again)


def test_what_root_kept_as_root_goes_on_as_nobodys(roots: Roots) -> None:
    host = roots.start("--log", "t.log", "--allow-root")
    ann = enter(host)
    ann.say("hello", "/who")
    ann.sees("! 1 is here")
    assert {tuple(ids(pid)) for pid in [host.pid, *children(host.pid)]} == {("0",)}
    assert "running as" not in host.err
    roots.ends(host)
    again = roots.start("--log", "t.log")
    assert b"<ann> hello\n" in enter(again, "bob").heard
    assert (roots.directory / "t.log").stat().st_uid == NOBODY
    roots.ends(again)


def test_user_is_who_else_it_runs_as(roots: Roots) -> None:
    other = pwd.getpwnam("daemon")
    host = roots.start("--user", "daemon", "--log", "t.log")
    enter(host)
    assert str(other.pw_uid) in ids(host.pid)
    assert not (ids(host.pid) & {"0"})
    assert (roots.directory / "t.log").stat().st_uid == other.pw_uid
    assert "running as daemon" in host.err
    roots.ends(host)


@pytest.mark.parametrize("protection", [["--code"], ["--fsync", "second", "--history", "3"]])
def test_whatever_kind_of_room_it_is(roots: Roots, protection: list[str]) -> None:
    host = roots.start(*protection, "--log", "t.log")
    if "--code" in protection:
        code = until(lambda: re.search(r"the code: (\S+)", host.err))[1]
        command = [*DUPLEX, "connect", "--code", "127.0.0.1", str(port_of(host)), "--nick", "ann"]
        caller = Program(command, roots.directory, env={**os.environ, "DUPLEX_CODE": code})
        roots.hosts.append(caller)
        caller.type("hello\n")
    else:
        enter(host).say("hello")
    until(lambda: b"> hello\n" in (roots.directory / "t.log").read_bytes())
    roots.ends(host)


def test_the_screen_is_nobodys_too(tmp_path: Path, terminal: Callable[..., Terminal]) -> None:
    tmp_path.chmod(0o700)
    window = terminal(*DUPLEX, "room", "0", cwd=tmp_path)
    window.sees(RUNS.strip())
    window.sees("and you are host")
    (host,) = children(window.pid)
    below = [pid for child in children(host) for pid in (child, *children(child))]
    assert len(below) > 3  # the flusher, the screen, its child, its member
    for pid in [window.pid, host, *below]:
        assert not (ids(pid) & {"0"})
    window.line("hello")
    window.line("/nick")
    window.sees("you stay host")
    window.line("/close")
    assert window.status() == 0
    assert "<host> hello" in room_log(tmp_path).read_text()


def test_what_it_cannot_see_is_no_trouble_until_it_is_removed(roots: Roots) -> None:
    host = roots.start("--log", "t.log")
    ann = enter(host)
    waits = times_it_waited(host)
    until(lambda: times_it_waited(host) > waits + 2)  # it looks each time
    assert "put right" not in host.err
    (roots.directory / "t.log").unlink()
    until(lambda: "t.log cannot be put right: Permission denied\n" in host.err)
    ann.say("hello", "/who")
    ann.sees("! 1 is here")
    assert host.err.count("put right") == 1
    assert sorted(os.listdir(roots.directory))[-1] == "t.log.key"
    roots.ends(host)


# Where it cannot be


def test_a_user_who_is_not_there_or_is_root_is_refused_in_one_line(roots: Roots) -> None:
    for name, line in [
        ("root", "cannot use --user root: it is root; --allow-root insists\n"),
        ("no such", f"cannot use --user no such: there is no such user; {OR_ROOT}"),
    ]:
        host = roots.start("--user", name)
        assert host.status() == 2
        assert host.err == f"duplex room: {line}"
    assert not (roots.directory / "logs").exists()


def test_root_that_cannot_become_anybody_else_is_told_what_to_do(
    roots: Roots, nobodys: Path
) -> None:
    """In a container, say, without the right to."""
    without = (needs("setpriv"), "--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid")
    for log in ("t.log", str(nobodys / "t.log")):
        host = roots.start("--log", log, wrapper=without)
        assert host.status() == 1
        assert host.err == f"duplex room: cannot become nobody: Operation not permitted; {OR_ROOT}"
    host = roots.start("--allow-root", wrapper=without)
    enter(host)
    roots.ends(host)


def test_root_of_a_namespace_that_has_no_other_user_is_told_what_to_do(roots: Roots) -> None:
    without = (needs("unshare"), "--map-root-user")
    if subprocess.run([*without, "true"], check=False).returncode:
        pytest.skip("no user namespace can be made")
    host = roots.start("--log", "t.log", wrapper=without)
    assert host.status() == 1
    assert host.err == f"duplex room: cannot become nobody: Invalid argument; {OR_ROOT}"
    host = roots.start("--log", "t.log", "--allow-root", wrapper=without)
    enter(host)
    roots.ends(host)


def test_a_program_that_the_user_cannot_read_is_told(roots: Roots) -> None:
    hidden = roots.directory / "hidden"
    hidden.mkdir()
    shutil.copytree(Path(duplex.__file__).parent, hidden / "duplex")
    (hidden / "duplex").chmod(0o700)
    host = roots.start(env={**os.environ, "PYTHONPATH": str(hidden)})
    assert host.status() == 1
    assert host.err == (
        "duplex room: cannot keep the room: "
        f"nobody cannot read {hidden}/duplex/system/reach.py: "
        f"install duplex where all users can, or {OR_ROOT}"
    )


def test_a_transcript_of_somebody_else_is_not_given_away(roots: Roots) -> None:
    first = roots.start("--log", "t.log", "--allow-root")
    port_of(first)
    roots.ends(first)
    log = roots.directory / "t.log"
    os.chown(log, pwd.getpwnam("daemon").pw_uid, -1)
    host = roots.start("--log", "t.log")
    assert host.status() == 1
    assert host.err == (
        "duplex room: cannot use t.log as nobody: Permission denied; "
        f"--user names somebody who can, {OR_ROOT}"
    )
    assert log.stat().st_uid == pwd.getpwnam("daemon").pw_uid


def test_nothing_of_roots_is_given_to_who_has_linked_it(roots: Roots, nobodys: Path) -> None:
    """A link to it, or to its directory, or another name of it."""
    secret = roots.directory / "secret"
    secret.write_text("")
    (roots.directory / "secret.key").write_bytes(bytes(32))
    os.symlink(secret, nobodys / "link.log")
    os.symlink(roots.directory, nobodys / "directory")
    os.link(secret, roots.directory / "hard.log")
    shutil.copy(roots.directory / "secret.key", roots.directory / "hard.log.key")
    for place in (nobodys / "link.log", nobodys / "directory" / "secret", "hard.log"):
        host = roots.start("--log", str(place))
        assert host.status() == 1
        assert host.err.startswith("duplex room: cannot ")
        assert host.err.count("\n") == 1
    assert secret.stat().st_uid == 0
    assert secret.read_text() == ""


def test_what_others_have_put_beside_the_target_of_roots_link_is_not_opened_as_root(
    roots: Roots, nobodys: Path
) -> None:
    """The key of a transcript lies beside the file itself, whatever link leads to it."""
    precious = roots.directory / "precious"
    precious.write_text("short")
    os.symlink(nobodys / "real.log", roots.directory / "t.log")
    os.symlink(precious, nobodys / "real.log.key")
    host = roots.start("--log", "t.log")
    assert host.status() == 1
    assert host.err.count("\n") == 1
    assert precious.read_text() == "short"
    assert precious.stat().st_uid == 0


def test_in_a_directory_of_the_users_it_opens_what_the_user_can(
    roots: Roots, nobodys: Path
) -> None:
    roots.directory = nobodys
    host = roots.start()
    enter(host).say("hello")
    log = room_log(nobodys)
    assert {log.stat().st_uid, log.parent.stat().st_uid} == {NOBODY}
    roots.ends(host)


def test_where_root_alone_can_put_something(roots: Roots, nobodys: Path) -> None:
    mine = roots.directory
    assert ownership.is_roots_alone(str(mine / "t.log"))
    assert ownership.is_roots_alone(str(mine / "not" / "yet" / "t.log"))
    assert not ownership.is_roots_alone("/tmp/t.log")
    assert not ownership.is_roots_alone("/tmp/not-yet/t.log")
    assert not ownership.is_roots_alone(str(nobodys / "t.log"))
    assert not ownership.is_roots_alone(str(nobodys / "not-yet" / "t.log"))
    os.symlink(nobodys, mine / "theirs")
    assert not ownership.is_roots_alone(str(mine / "theirs" / "t.log"))
    os.symlink(mine, nobodys / "roots")
    assert not ownership.is_roots_alone(str(nobodys / "roots" / "t.log"))
    os.symlink(nobodys / "real.log", mine / "link.log")
    assert not ownership.is_roots_alone(str(mine / "link.log"))
    mine.chmod(0o777)
    assert not ownership.is_roots_alone(str(mine / "t.log"))


def test_who_root_becomes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert privileges.choose(None, allow_root=True) is None
    chosen = privileges.choose(None, allow_root=False)
    assert chosen
    assert chosen.pw_name == "nobody"
    assert privileges.choose("root", allow_root=True)

    def nobody_there(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", nobody_there)
    with pytest.raises(UsageError, match="there is no such user; --allow-root"):
        privileges.choose(None, allow_root=False)
