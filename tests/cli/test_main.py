"""The command line: help, version, and one clear line for whatever cannot be."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support import DUPLEX, Duo, Program, accepts, connected, events, free_port, until

import duplex


def run(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DUPLEX, *args], capture_output=True, text=True, timeout=30, check=False, **options
    )


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_told(flag: str) -> None:
    assert run(flag).stdout == f"duplex {duplex.__version__}\n"


def test_the_console_script_is_the_same_program() -> None:
    script = Path(sys.executable).with_name("duplex")
    if not script.exists():
        pytest.skip("the package is not installed")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"duplex {duplex.__version__}\n"


@pytest.mark.parametrize("flag", ["--help", "-h", "help"])
def test_help_lists_the_commands(flag: str) -> None:
    done = run(flag)
    assert done.returncode == 0
    for command in ("listen", "connect", "log"):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", ["listen", "connect", "log"])
def test_each_commands_help_has_an_example(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert "example" in done.stdout
    assert f"duplex {command}" in done.stdout.partition("example")[2]


@pytest.mark.parametrize("command", ["listen", "connect", "room", "who", "log"])
def test_help_of_a_command_is_what_its_own_flag_shows(command: str) -> None:
    done = run("help", command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run(command, "--help").stdout


def test_f_is_short_for_follow() -> None:
    assert run("log", "-f", "--stats").stderr == run("log", "--follow", "--stats").stderr
    assert "-f, --follow" in run("help", "log").stdout


def test_help_of_no_command_is_told() -> None:
    done = run("help", "lisen")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("duplex: cannot run 'lisen': it can be listen, connect")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "cannot run without a command"),
        (["lisen"], "cannot run 'lisen'"),
        (["listen"], "required: PORT"),
        (["listen", "abc"], "invalid int value: 'abc'"),
        (["listen", "70000"], "cannot use port 70000: a port is a number from 0 to 65535"),
        (["connect", "127.0.0.1", "0"], "cannot use port 0: a port is a number from 1 to 65535"),
        (["connect", "127.0.0.1"], "required: PORT"),
        (["connect", "127.0.0.1", "1", "--timeout", "0"], "it needs seconds above 0"),
        (["connect", "127.0.0.1", "1", "--timeout", "nan"], "it needs seconds above 0"),
        (["listen", "0", "--peer", "<ann>"], "cannot use '<ann>' as a name: it can hold no <"),
        (["listen", "0", "--peer", ""], "cannot use '' as a name: it needs 1 to 32 characters"),
        (["listen", "0", "--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(args: list[str], message: str) -> None:
    done = run(*args, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_nobody_there_is_told_in_one_line(tmp_path: Path) -> None:
    port = free_port()
    done = run("connect", "127.0.0.1", str(port), cwd=tmp_path)
    assert done.returncode == 1
    assert (
        done.stderr == f"duplex connect: cannot connect to 127.0.0.1:{port}: Connection refused\n"
    )


def test_a_name_nobody_has_is_told_in_one_line(tmp_path: Path) -> None:
    done = run("connect", "nobody.invalid", "8000", cwd=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(
        r"duplex connect: cannot connect to nobody\.invalid:8000: [^\n]+\n", done.stderr
    )


def test_a_name_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    for host in ("", "a" * 300, "\udcff", "a b"):
        done = run("connect", host, "8000", cwd=tmp_path)
        assert done.returncode in (1, 2)
        assert done.stderr.count("\n") == 1, done.stderr
        assert "Traceback" not in done.stderr


def test_an_address_in_use_is_told_in_one_line(duo: Duo) -> None:
    _, port = duo.listen()
    done = run("listen", str(port), cwd=duo.tmp)
    assert done.returncode == 1
    assert (
        done.stderr == f"duplex listen: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    )


def test_a_silent_host_times_out(tmp_path: Path) -> None:
    # A listening socket with a full queue answers no more: that needs no host outside.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        waiting = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            waiting.append(sock)
        done = run("connect", "127.0.0.1", str(port), "--timeout", "0.3", cwd=tmp_path)
        assert done.returncode == 1
        assert (
            done.stderr
            == f"duplex connect: cannot connect to 127.0.0.1:{port}: Connection timed out\n"
        )
        for sock in waiting:
            sock.close()


def test_listen_says_how_to_join_and_how_to_open_it(duo: Duo) -> None:
    listener, port = duo.listen()
    assert listener.err == (
        f"listening on 127.0.0.1:{port}, this machine only (--host 0.0.0.0 opens it to others); "
        f"join with: duplex connect 127.0.0.1 {port}\n"
    )


@pytest.mark.parametrize(
    ("host", "clients"),
    [
        ("::1", ["::1"]),
        ("localhost", ["127.0.0.1"]),
        ("0.0.0.0", ["127.0.0.1"]),
        ("::", ["::1", "127.0.0.1"]),
    ],
)
def test_names_ipv4_and_ipv6_are_listened_on_and_connected_to(
    host: str, clients: list[str], duo: Duo
) -> None:
    if ":" in host and not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    for client in clients:
        listener = duo.start([*DUPLEX, "listen", "0", "--host", host], f"l{client}", stdin=-3)
        text = until(lambda listener=listener: listener.err)
        match = re.search(r"listening on (\S+):(\d+)", text)
        assert match
        connector = duo.start([*DUPLEX, "connect", client, match[2]], f"c{client}")
        connector.type("hi\n")
        connector.end_input()
        assert connector.status() == 0
        assert listener.status() == 0
        assert listener.out == b"hi\n"
        shown = f"[{client}]" if ":" in client else client
        assert f"connected to {shown}:{match[2]}" in connector.err


def test_retry_waits_until_the_other_side_is_there(duo: Duo) -> None:
    port = free_port()
    connector = duo.connect(port, "--retry")
    until(lambda: "Connection refused; trying again" in connector.err)
    listener = duo.start([*DUPLEX, "listen", str(port)], "listener", stdin=-3)
    connector.type("found you\n")
    connector.end_input()
    assert connector.status() == 0
    assert listener.status() == 0
    assert listener.out == b"found you\n"
    assert connector.err.count("trying again") == 1


def test_a_signal_ends_the_retrying(duo: Duo) -> None:
    connector = duo.connect(free_port(), "--retry")
    until(lambda: "trying again" in connector.err)
    os.kill(connector.pid, signal.SIGTERM)
    assert connector.status() == 143
    assert connector.err.count("\n") == 1


def test_closed_standard_descriptors_do_no_harm(duo: Duo) -> None:
    port = free_port()
    command = " ".join([*DUPLEX, "listen", str(port)])
    listener = duo.start(["sh", "-c", f"exec {command} <&- >&-"], "listener")
    until(lambda: accepts(port))
    with connected(port) as sock:
        sock.sendall(b"hi\n")
        assert sock.recv(10) == b""
    assert listener.status() == 0
    assert "client left" in events(duo.heard_by_listener)


def test_nohup_is_respected(duo: Duo) -> None:
    listener, _ = duo.listen(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    os.kill(listener.pid, signal.SIGHUP)
    os.kill(listener.pid, signal.SIGTERM)
    assert listener.status() == 143


def test_nothing_heavy_is_imported_for_a_pipe() -> None:
    heavy = {"prompt_toolkit", "asyncio", "typing", "subprocess", "dataclasses", "ctypes"}
    code = (
        "import sys, duplex.cli.main\n"
        "try: duplex.cli.main.main(['connect', '127.0.0.1', '1', '--no-log'])\n"
        "finally: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "duplex.talk.session" in done.stdout.split()
    assert not heavy & set(done.stdout.split())


def test_a_programs_own_bug_is_one_line(tmp_path: Path) -> None:
    program = Program(
        [
            sys.executable,
            "-c",
            "from duplex.system.process import fork\nfork(lambda: 1 // 0).ended(9)",
        ],
        tmp_path,
    )
    assert program.status() == 0
    assert re.fullmatch(r"duplex: internal error in process \d+: ZeroDivision.*\n", program.err)
