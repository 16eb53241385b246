"""Every error is one line in one form: `duplex COMMAND: cannot …: reason`."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
from support import DUPLEX, free_port

from duplex.system import errors

FORM = re.compile(r"duplex (\w+): cannot [^\n]+: [^\n]+\n")
A_TALK = ("listen", "0")
A_CALL = ("connect", "127.0.0.1", "9")
A_ROOM = ("room", "--allow-root", "0")

# What is wrong with the command line, for each command that takes such a thing.
BAD: list[tuple[str, ...]] = [
    *[(*command, *more) for command in (A_TALK, A_CALL) for more in (
        ("--peer", ""), ("--peer", "a b"), ("--peer", "x" * 33), ("--log", "."),
        ("--log", "/dev/full/x"),
    )],
    *[(*command, *more) for command in (A_TALK,) for more in (
        ("--tls-cert", "cert"), ("--tls-key", "key"), ("--tls-cert", "no", "--tls-key", "no"),
        ("--tls-cert", ".", "--tls-key", "."), ("--host", "nobody.invalid"), ("--host", "a b"),
        ("--code", "--tls-cert", "c", "--tls-key", "k"),
    )],
    *[(*command, *more) for command in (A_TALK, A_CALL) for more in (
        ("--nonsense",), ("--code", "--no-code"), ("--code-file", "no"), ("--code-file", "."),
        ("--code-file", "empty"), ("--code-file", "short"), ("--code-file", "binary"),
        ("--log",), ("more", "and more"), ("--plain=yes",),
    )],
    *[(*A_CALL, *more) for more in (
        (), ("--timeout", "0"), ("--timeout", "x"), ("--timeout", "nan"), ("--nick", ""),
        ("--nick", "<>"), ("--tls-pin", "x"), ("--tls-ca", "no"), ("--tls-ca", "empty"),
        ("--tls-ca", "a", "--tls-pin", "b"), ("--code", "--tls"), ("--code",),
    )],
    *[("connect", *more) for more in (
        (), ("127.0.0.1",), ("127.0.0.1:9", "9"), ("", "9"), ("[::1", "9"), ("a b", "9"),
        ("127.0.0.1", "nosuchservice"), ("127.0.0.1", "70000"), ("127.0.0.1", "-1"),
        ("nobody.invalid", "9"),
    )],
    *[(command, *more) for command in ("listen", "room", "who") for more in (
        (), ("x",), ("-1",), ("70000",), ("1", "2"),
    )],
    *[(*A_ROOM, *more) for more in (
        ("--nonsense",), ("--code", "--no-code"), ("--code-file", "no"), ("--tls-cert", "cert"),
        ("--host", "a b"), ("more",),
        ("--history", "-1"), ("--max-members", "0"), ("--rate", "nan"), ("--max-lag", "1"),
        ("--fsync", "x"), ("--name", ""), ("--name", "a\nb"), ("--keep", "5"), ("--log", "short"),
        ("--redis", "x"), ("--redis", "x", "--name", "a"), ("--name", "a", "--keep", "2000"),
        ("--redis", "redis://127.0.0.1:9", "--name", "a", "--keep", "2"), ("--log", "."),
        ("--redis", "redis://127.0.0.1:9", "--name", "a"), ("--user", "no such"),
    )],
    ("who", "1"),
    *[("log", *more) for more in (
        (), ("no",), (".",), ("--since", "never"), ("--until", ""), ("--from", ""),
        ("--grep", "("), ("--json", "--stats"), ("--stats", "--follow"), ("--nonsense",),
    )],
]  # fmt: skip


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "empty").touch()
    (tmp_path / "short").write_text("abc\n")
    (tmp_path / "short").chmod(0o600)
    (tmp_path / "binary").write_bytes(b"\x7fELF\0\xff\n")
    return tmp_path


def told(args: tuple[str, ...], cwd: Path, **more: object) -> str:
    done = subprocess.run(
        [*DUPLEX, *args],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        start_new_session=True,  # there is no terminal to ask on
        check=False,
        **more,  # type: ignore[call-overload]
    )
    assert done.returncode in (1, 2), (args, done)
    assert done.stdout == ""
    return str(done.stderr)


def of_command(command: str) -> list[tuple[str, ...]]:
    return [args for args in BAD if args[0] == command]


@pytest.mark.parametrize("command", ["listen", "connect", "room", "who", "log"])
def test_every_bad_input_is_told_in_one_line_of_one_form(here: Path, command: str) -> None:
    for args in of_command(command):
        line = told(args, here)
        match = FORM.fullmatch(line)
        assert match, (args, line)
        assert match[1] == command


@pytest.mark.parametrize("value", ["", "a\x01", "\udcff", "short"])
@pytest.mark.parametrize("command", [A_TALK, A_CALL])
def test_a_bad_code_in_the_environment_is_told_in_the_same_form(
    here: Path, command: tuple[str, ...], value: str
) -> None:
    line = told(command, here, env={**os.environ, "DUPLEX_CODE": value})
    assert FORM.fullmatch(line), line


@pytest.mark.parametrize("command", ["", "lisen", "help lisen"])
def test_a_command_that_there_is_none_of_is_told_in_the_same_form(
    tmp_path: Path, command: str
) -> None:
    line = told(tuple(command.split()), tmp_path)
    assert re.fullmatch(r"duplex: cannot run [^\n:]+: [^\n]+\n", line), line


@pytest.mark.parametrize("command", [A_TALK, A_ROOM])
def test_an_address_in_use_is_told_in_the_same_form(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = told((*command[:-1], str(port)), tmp_path)
    reason = f"cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert line == f"duplex {command[0]}: {reason}"


def test_who_answers_otherwise_is_told_in_the_same_form(tmp_path: Path) -> None:
    """The handshake of a code, and of TLS, with a plain listener."""
    for options in (["--code-file", "code"], ["--tls"]):
        (tmp_path / "code").write_text("walrus gizmo tulip zookeeper")
        (tmp_path / "code").chmod(0o600)
        with socket.create_server(("127.0.0.1", 0)) as plain:
            port = str(plain.getsockname()[1])
            calling = subprocess.Popen(
                [*DUPLEX, "connect", "127.0.0.1", port, *options],
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            with plain.accept()[0] as sock:
                sock.sendall(b"hello there, this is plain\n")
                _, line = calling.communicate(timeout=30)
        assert calling.returncode == 1
        assert FORM.fullmatch(line), line


def test_a_reason_alone_is_told_with_what_the_command_cannot_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errors, "_command", [])
    errors.speak_for("room")
    line = errors.in_form(errors.UnableToFork("Resource temporarily unavailable"))
    assert line == (
        "duplex room: cannot keep the room: "
        "no process can be made: Resource temporarily unavailable"
    )


def test_nobody_there_is_told_in_the_same_form_while_it_tries_again(tmp_path: Path) -> None:
    port = str(free_port())
    calling = subprocess.Popen(
        [*DUPLEX, "connect", "127.0.0.1", port, "--retry"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert calling.stderr
        line = calling.stderr.readline()
    finally:
        calling.kill()
        calling.communicate()
    reason = f"cannot connect to 127.0.0.1:{port}: Connection refused"
    assert line == f"duplex connect: {reason}; trying again until it answers\n"
