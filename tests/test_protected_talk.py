"""A talk with a code or a certificate, in terminals, in pipes, and with other programs."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from protected_support import (
    CODE,
    CUT_OFF,
    Kind,
    call,
    code_file,
    environment,
    reset,
)
from support import (
    DEADLINE,
    DUPLEX,
    ROOM,
    Duo,
    Program,
    Terminal,
    alive,
    connected,
    events,
    needs,
    peak,
    port_bound_by,
    probes,
    readable,
    records,
    said,
    until,
)
from tls_support import certificates, contexts, shake

from duplex.channel import base, code, tls

Start = Callable[..., Terminal]

KINDS = ["code", "tls"]
MEMORY = 50_000  # kB that a process may have used at most: 10,000 more than without a code
NEW_KEYS = "the other side asked for new keys (a TLS key update), which a talk cannot give"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return Kind(request.param)


class Pair:
    """Two people, each at a terminal, on a protected connection."""

    def __init__(self, start: Start, tmp: Path, kind: Kind) -> None:
        env = {"DUPLEX_CODE": kind.spoken} if kind.spoken else {}
        self.listener = start(*DUPLEX, "listen", "0", *kind.listening, cwd=tmp / "l", **env)
        self.listener.spawned.expect(r"listening on 127\.0\.0\.1:(\d+), this machine only")
        port = self.listener.spawned.match[1]
        self.connector = start(
            *DUPLEX, "connect", *kind.calling, "127.0.0.1", port, cwd=tmp / "c", **env
        )
        self.listener.spawned.expect(
            rf"connected from 127\.0\.0\.1:\d+, {re.escape(kind.name_listening)}\r\n"
        )
        self.connector.sees(f"connected to 127.0.0.1:{port}, {kind.name_calling}\r\n")
        self.listener.spawned.expect(rf" client 127\.0\.0\.1:\d+ · 0:0\d · {kind.name_listening}")
        self.connector.spawned.expect(rf" server 127\.0\.0\.1:{port} · 0:0\d · {kind.name_calling}")
        self.heard_by_listener = tmp / "l" / "logs" / "client_input.log"
        self.heard_by_connector = tmp / "c" / "logs" / "server_input.log"


@pytest.fixture
def pair(terminal: Start, tmp_path: Path, kind: Kind) -> Pair:
    return Pair(terminal, tmp_path, kind)


# Two people


def test_two_people_talk_and_see_what_protects_them(pair: Pair) -> None:
    pair.connector.line("hello, größer 日本語 😀")
    pair.listener.sees("client: hello, größer 日本語 😀")
    pair.listener.line("and hello to you")
    pair.connector.sees("server: and hello to you")
    pair.connector.line("quit")
    pair.listener.sees("client left")
    assert (pair.connector.status(), pair.listener.status()) == (0, 0)
    assert said(pair.heard_by_listener) == ["hello, größer 日本語 😀"]
    assert said(pair.heard_by_connector) == ["and hello to you"]


def test_bye_is_sent_and_both_end(pair: Pair) -> None:
    pair.listener.line("bye")
    pair.connector.sees("server: bye")
    pair.connector.sees("server left")
    assert (pair.connector.status(), pair.listener.status()) == (0, 0)
    assert said(pair.heard_by_connector) == ["bye"]


def test_after_ctrl_d_the_other_side_is_told_and_goes_on(pair: Pair) -> None:
    pair.listener.key("d")
    pair.connector.sees("server says no more (you still can)")
    pair.connector.line("one more answer")
    pair.listener.sees("client: one more answer")
    pair.listener.line("quit")
    pair.connector.sees("server left")
    assert (pair.connector.status(), pair.listener.status()) == (0, 0)
    assert events(pair.heard_by_connector)[1:] == ["server says no more", "server left"]


def test_the_code_is_asked_for_and_shortened_words_do(terminal: Start, tmp_path: Path) -> None:
    listener = terminal(*DUPLEX, "listen", "0", "--code", cwd=tmp_path / "l")
    listener.spawned.expect(r"the code: (\w+-\w+-\w+-\w+)\r\n")
    made = listener.spawned.match[1]
    listener.spawned.expect(r"listening on 0\.0\.0\.0:(\d+); join with: duplex connect --code \S+ ")
    port = listener.spawned.match[1]
    connector = terminal(*DUPLEX, "connect", "--code", "127.0.0.1", port, cwd=tmp_path / "c")
    connector.sees("3 letters of each")
    connector.line(" ".join(word[:3].upper() for word in made.split("-")))
    connector.sees("encrypted, code")
    listener.sees("encrypted, code")
    connector.line("hello")
    listener.sees("client: hello")
    connector.line("quit")
    assert (connector.status(), listener.status()) == (0, 0)
    for log in tmp_path.rglob("*.log"):
        assert made.encode() not in log.read_bytes()


# Pipes, and every ending


def test_pipes_carry_the_bare_text_and_each_half_ends_by_itself(duo: Duo, kind: Kind) -> None:
    listener, port = kind.listen(duo)
    connector = kind.connect(duo, port)
    connector.type("one\ntwo")
    listener.type("three\n")
    connector.end_input()
    until(lambda: listener.out == b"one\ntwo\n")
    until(lambda: connector.out == b"three\n")
    until(lambda: "client left" in listener.err)
    assert connector.process.poll() is None, "the other side may still say something"
    listener.type("four\n")
    listener.end_input()
    assert (connector.status(), listener.status()) == (0, 0)
    assert connector.out == b"three\nfour\n"
    assert said(duo.heard_by_connector) == ["three", "four"]
    assert records(duo.heard_by_listener)[1:] == [
        ("client", "one"),
        ("client", "two"),
        (None, "client left"),
    ]


@pytest.mark.parametrize("word", ["quit", "bye"])
def test_the_ending_words_end_a_pipe(duo: Duo, kind: Kind, word: str) -> None:
    listener, port = kind.listen(duo)
    connector = kind.connect(duo, port)
    connector.type(f"one\n{word}\nnever\n")
    assert connector.status() == 1
    assert f"not sent: 1 line after {word!r}" in connector.err
    if word == "quit":
        until(lambda: "client left" in listener.err)
        listener.end_input()
    assert listener.status() == 0
    assert listener.out == (b"one\n" if word == "quit" else b"one\nbye\n")


def test_verbatim_sends_every_byte_as_it_is(duo: Duo, kind: Kind) -> None:
    listener, port = kind.listen(duo, "--verbatim")
    connector = kind.connect(duo, port, "--verbatim")
    connector.type("quit\nbye\nno newline")
    connector.end_input()
    listener.end_input()
    assert (connector.status(), listener.status()) == (0, 0)
    assert listener.out == b"quit\nbye\nno newline\n"


@contextmanager
def a_bare_caller(kind: Kind, port: int) -> Iterator[tuple[socket.socket, base.Channel]]:
    """The test itself, once it has shaken hands."""
    with connected(port) as sock:
        client: base.Handshake
        if kind.kind == "code":
            client = code.Client(CODE.encode())
        else:
            client = tls.Client(contexts()[1], "127.0.0.1", None)
        yield sock, shake(sock, client)


def test_a_reset_is_told_and_half_a_line_is_marked(duo: Duo, kind: Kind) -> None:
    listener, port = kind.listen(duo)
    with a_bare_caller(kind, port) as (sock, channel):
        sock.sendall(channel.sender.send(b"whole\nha"))
        until(lambda: said(duo.heard_by_listener) == ["whole"])
        listener.type("x" * 5000 + "\n")
        until(lambda: readable(sock.fileno()))
        reset(sock)
    assert listener.status() == 1
    last = listener.err.splitlines()[-1]
    assert last.startswith("connection lost: Connection reset by peer; ")
    assert said(duo.heard_by_listener) == ["whole", "ha…"]
    assert events(duo.heard_by_listener)[-1] == last


def test_a_connection_that_ends_without_its_end_was_cut_off(duo: Duo, kind: Kind) -> None:
    listener, port = kind.listen(duo)
    with a_bare_caller(kind, port) as (sock, channel):
        sock.sendall(channel.sender.send(b"whole\nha"))
        sock.shutdown(socket.SHUT_WR)
        assert listener.status() == 1
    assert listener.err.splitlines()[-1].startswith(f"connection lost: {CUT_OFF}; ")
    assert said(duo.heard_by_listener) == ["whole", "ha…"]


def test_half_a_line_before_a_proper_end_is_whole(duo: Duo, kind: Kind) -> None:
    listener, port = kind.listen(duo)
    listener.end_input()
    with a_bare_caller(kind, port) as (sock, channel):
        sock.sendall(channel.sender.send(b"whole\nha") + channel.sender.end())
        sock.shutdown(socket.SHUT_WR)
        assert listener.status() == 0
    assert said(duo.heard_by_listener) == ["whole", "ha"]


@pytest.mark.parametrize("victim", ["parent", "child"])
def test_a_killed_process_leaves_nobody_behind_and_the_peer_is_told(
    duo: Duo, kind: Kind, victim: str
) -> None:
    listener, port = kind.listen(duo)
    connector = kind.connect(duo, port)
    connector.type("whole\n")
    until(lambda: listener.out == b"whole\n")
    child = connector.child()
    os.kill(connector.pid if victim == "parent" else child, signal.SIGKILL)
    if victim == "child":
        assert connector.status() == 1
        assert "the receiving process was killed by SIGKILL" in connector.err
        until(lambda: "client left" in listener.err)
        listener.end_input()
        assert listener.status() == 0, "it has been ended properly by the parent"
    else:
        assert connector.status() == -signal.SIGKILL
        assert listener.status() == 1
        assert "connection lost: " in listener.err
    until(lambda: not alive(child))
    assert said(duo.heard_by_listener) == ["whole"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_this_side_and_the_end_is_said(
    duo: Duo, kind: Kind, number: signal.Signals
) -> None:
    listener, port = kind.listen(duo)
    connector = kind.connect(duo, port)
    connector.type("whole\n")
    until(lambda: listener.out == b"whole\n")
    os.kill(connector.pid, number)
    assert connector.status() == 128 + number
    until(lambda: "client left" in listener.err)
    listener.end_input()
    assert listener.status() == 0


def test_a_signal_ends_a_listener_that_shakes_hands(duo: Duo, kind: Kind) -> None:
    listener, port = kind.listen(duo)
    with connected(port) as sock:
        if kind.kind == "code":
            assert sock.recv(10)
        os.kill(listener.pid, signal.SIGTERM)
        assert listener.status() == 143
    assert "Traceback" not in listener.err


def test_a_signal_ends_a_caller_that_shakes_hands(duo: Duo, kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        caller = kind.connect(duo, server.getsockname()[1])
        sock, _ = server.accept()
        with sock:
            if kind.kind == "tls":
                assert sock.recv(10)
            else:
                sock.sendall(code.BANNER)
                assert sock.recv(10)
            os.kill(caller.pid, signal.SIGINT)
            assert caller.status() == 130
    assert caller.err == ""


# Much, and at the same time


@pytest.mark.parametrize("name", ["plain", *KINDS])
@pytest.mark.timeout(120)
def test_a_hundred_thousand_lines_go_each_way_at_once(duo: Duo, name: str) -> None:
    kind, count = Kind(name), 100_000
    listener, port = kind.listen(duo)
    connector = kind.connect(duo, port)
    to_listener = "".join(f"{n} to the listener, größer 日本語\n" for n in range(count))
    to_connector = "".join(f"{n} to the caller " + "x" * (n % 90) + "\n" for n in range(count))
    typing = [
        threading.Thread(target=type_all, args=(program, text), daemon=True)
        for program, text in ((connector, to_listener), (listener, to_connector))
    ]
    for thread in typing:
        thread.start()
    assert connector.status() == 0, connector.err
    assert listener.status() == 0, listener.err
    for thread in typing:
        thread.join(DEADLINE)
    assert_same(listener.out, to_listener.encode())
    assert_same(connector.out, to_connector.encode())
    assert_same("\n".join([*said(duo.heard_by_listener), ""]).encode(), to_listener.encode())
    assert_same("\n".join([*said(duo.heard_by_connector), ""]).encode(), to_connector.encode())


def type_all(program: Program, text: str) -> None:
    program.type(text)
    program.end_input()


def assert_same(one: bytes, other: bytes) -> None:
    """A comparison whose millions of bytes pytest does not explain."""
    if one != other:
        at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), -1)
        pytest.fail(f"{len(one)} bytes, not {len(other)}; they first differ at {at}")


LARGE = 60_000_000  # bytes: more than MEMORY, and than all buffers on the way


def lines_of(size: int) -> Iterator[bytes]:
    line = b"%09d " + b"x" * 85 + b"\n"
    for first in range(0, size // 96, 1000):
        yield b"".join(line % number for number in range(first, first + 1000))


def test_a_peer_that_does_not_read_costs_the_sender_no_memory(
    duo: Duo, kind: Kind, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.writelines(lines_of(LARGE))
    with path.open("rb") as file:
        listener, port = kind.listen(duo, "--no-log", stdin=file)
        with a_bare_caller(kind, port) as (sock, channel):
            until(lambda: probes(listener.pid))
            assert os.lseek(file.fileno(), 0, os.SEEK_CUR) < LARGE / 2, "it reads on regardless"
            received = len(channel.receiver.decode(b""))
            while received < LARGE * 9 // 10:
                received += len(channel.receiver.decode(sock.recv(65536)))
            assert max(peak(listener.pid), peak(listener.child())) < MEMORY
            reset(sock)
    assert listener.status() == 1


def test_an_output_that_is_not_read_costs_the_receiver_no_memory(duo: Duo, kind: Kind) -> None:
    read, write = os.pipe()
    listener, port = kind.listen(duo, "--no-log", stdout=write)
    os.close(write)
    listener.end_input()
    with a_bare_caller(kind, port) as (sock, channel):
        sock.settimeout(None)

        def flood() -> None:
            for lines in lines_of(LARGE):
                sock.sendall(channel.sender.send(lines))
            sock.sendall(channel.sender.end())
            sock.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        until(lambda: probes(os.getpid()))
        child, received = listener.child(), 0
        while received < LARGE * 9 // 10:
            received += len(os.read(read, 1 << 16))
        assert max(peak(listener.pid), peak(child)) < MEMORY
        while data := os.read(read, 1 << 16):
            received += len(data)
        thread.join(DEADLINE)
    os.close(read)
    assert received == sum(map(len, lines_of(LARGE)))
    assert listener.status() == 0


# Listening


def test_keep_serves_one_peer_after_another_with_the_same_code(duo: Duo, kind: Kind) -> None:
    listener, port = kind.listen(duo, "--keep")
    for number in range(3):
        peer = call(duo, port, f"peer {number}", *kind.calling)
        peer.type(f"peer {number}\n")
        until(lambda n=number: said(duo.heard_by_listener) == [f"peer {i}" for i in range(n + 1)])
        second = call(duo, port, f"refused {number}", *kind.calling)
        assert second.status() == 1
        assert "Connection refused" in second.err
        listener.type(f"hello {number}\n")
        until(lambda n=number, p=peer: p.out == f"hello {n}\n".encode())
        peer.type("quit\n")
        assert peer.status() == 0
        until(lambda n=number: listener.err.count("waiting for the next") == n + 1)
    os.kill(listener.pid, signal.SIGTERM)
    assert listener.status() == 143


def test_a_code_that_is_made_is_printed_once_and_can_be_used(duo: Duo) -> None:
    listener, port = duo.listen("--code", env=environment(None))
    (made,) = re.findall(r"^the code: (\w+-\w+-\w+-\w+)$", listener.err, re.MULTILINE)
    assert listener.err.count(made) == 1
    short = " ".join(word[:3] for word in made.split("-"))
    connector = call(duo, port, "connector", "--code", spoken=short)
    connector.type("hello\n")
    until(lambda: listener.out == b"hello\n")
    other, _ = duo.listen("--code", "--log", "other.log", env=environment(None))
    assert made not in other.err


def test_a_given_code_is_not_printed(duo: Duo, tmp_path: Path) -> None:
    listener, port = duo.listen("--code-file", code_file(tmp_path), env=environment(None))
    assert CODE not in listener.err
    connector = call(duo, port, "connector", "--code")
    connector.type("hello\n")
    until(lambda: listener.out == b"hello\n")


def test_with_a_code_all_addresses_are_listened_on(duo: Duo) -> None:
    listener, port = duo.listen("--code", "--keep", env=environment())
    assert f"listening on 0.0.0.0:{port}; join with: duplex connect --code " in listener.err
    for number, host in enumerate(("127.0.0.1", "127.0.0.2", "::1")):
        if host == "::1" and not has_ipv6():
            continue
        command = [*DUPLEX, "connect", "--code", host, str(port)]
        peer = duo.start(command, f"peer {number}", env=environment())
        peer.type(f"from {host}\nquit\n")
        assert peer.status() == 0, peer.err
        until(lambda: said(duo.heard_by_listener)[-1:] == [f"from {host}"])  # noqa: B023
        until(lambda n=number: listener.err.count("waiting for the next") == n + 1)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_host_overrides_where_a_code_listens(duo: Duo) -> None:
    listener, port = duo.listen("--code", "--host", "127.0.0.1", env=environment())
    assert f"listening on 127.0.0.1:{port}, this machine only" in listener.err
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), DEADLINE)


def test_the_variable_alone_means_a_code(duo: Duo) -> None:
    listener, port = duo.listen("--host", "127.0.0.1", env=environment())
    connector = duo.connect(port, env=environment())
    until(lambda: f"connected to 127.0.0.1:{port}, encrypted, code\n" in connector.err)
    until(lambda: re.search(r"connected from 127\.0\.0\.1:\d+, encrypted, code\n", listener.err))
    connector.type("psst\n")
    until(lambda: said(duo.heard_by_listener) == ["psst"])


def test_who_has_the_variable_says_nothing_to_who_has_not(duo: Duo) -> None:
    listener, port = duo.listen("--plain", env=environment(None))
    connector = duo.connect(port, env=environment())
    connector.type("psst\n")
    assert connector.status() == 1
    assert "psst" not in listener.err + listener.out.decode()
    assert said(duo.heard_by_listener) == []


def test_without_a_code_that_the_variable_has_is_said(duo: Duo) -> None:
    listener, port = duo.listen("--no-code", env=environment())
    connector = duo.connect(port, "--no-code", env=environment())
    until(lambda: f"connected to 127.0.0.1:{port}, not encrypted\n" in connector.err)
    assert "not used" not in listener.err + connector.err


def test_tls_is_spoken_though_the_variable_is_set_and_that_is_told(duo: Duo) -> None:
    kind = Kind("tls")
    listener, port = kind.listen(duo, env=environment())
    connector = kind.connect(duo, port, env=environment())
    until(lambda: f"connected to 127.0.0.1:{port}, encrypted, TLS" in connector.err)
    for program in (listener, connector):
        told = "DUPLEX_CODE is not used, because this is TLS (--no-code hides this line)\n"
        assert program.err.count(told) == 1


@pytest.mark.parametrize(
    "command",
    [[*DUPLEX, "listen", "0"], [*DUPLEX, "connect", "127.0.0.1", "9"], [*ROOM, "0"]],
    ids=["listen", "connect", "room"],
)
@pytest.mark.parametrize("value", ["", "  "], ids=["nothing", "spaces"])
def test_a_variable_without_a_code_ends_every_command(
    duo: Duo, command: list[str], value: str
) -> None:
    program = duo.start(command, env=environment(value))
    assert program.status() == 2
    told = "cannot use DUPLEX_CODE: it is empty; set it to the code, or unset it\n"
    assert re.fullmatch(rf"duplex (listen|connect|room): {told}", program.err)


def test_a_certificate_listens_on_this_machine_unless_told_otherwise(duo: Duo) -> None:
    listener, port = Kind("tls").listen(duo)
    assert f"listening on 127.0.0.1:{port}, this machine only" in listener.err
    joining = rf"join with: duplex connect --tls-pin sha256:[0-9a-f]{{64}} 127\.0\.0\.1 {port}\n"
    assert re.search(joining, listener.err)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["listen", "0", "--code", "--tls-cert", "c", "--tls-key", "k"], "cannot use --"),
        (
            ["listen", "0", "--code", "--no-code"],
            "cannot use --code with --no-code: ",
        ),
        (["listen", "0", "--code-file", "f", "--no-code"], "cannot use --code with --no-code"),
        (["connect", "127.0.0.1", "9", "--code", "--no-code"], "cannot use --code with --no-code"),
        (
            ["listen", "0", "--tls-cert", "c"],
            "cannot use TLS: --tls-cert and --tls-key go together",
        ),
        (["listen", "0", "--tls-key", "k"], "cannot use TLS: --tls-cert and --tls-key go together"),
        (["listen", "0", "--tls-cert", "c", "--tls-key", "k"], "cannot read k: No such file"),
        (["listen", "0", "--code-file", "absent"], "cannot read the code from absent"),
        (["connect", "127.0.0.1", "9", "--code", "--tls"], "cannot use --"),
        (["connect", "127.0.0.1", "9", "--code", "--tls-ca", "c"], "cannot use --"),
        (["connect", "127.0.0.1", "9", "--code-file", "f", "--tls-pin", "p"], "cannot use --"),
        (["connect", "127.0.0.1", "9", "--tls-ca", "c", "--tls-pin", "p"], "cannot use --"),
        (["connect", "127.0.0.1", "9", "--tls-pin", "p"], "a pin is sha256: and 64"),
        (["connect", "127.0.0.1", "9", "--tls-ca", "absent"], "cannot read absent"),
    ],
)
def test_options_that_cannot_be_are_told_in_one_line(duo: Duo, args: list[str], told: str) -> None:
    program = duo.start([*DUPLEX, *args], env=environment())
    assert program.status() == 2, program.err
    assert told in program.err
    assert program.err.count("\n") == 1
    assert program.out == b""


def test_a_code_is_not_an_argument(duo: Duo) -> None:
    program = duo.start([*DUPLEX, "connect", f"--code={CODE}", "127.0.0.1", "9"])
    assert program.status() == 2
    assert CODE not in Path(f"/proc/{os.getpid()}/cmdline").read_text()


# Other programs that speak TLS


def s_client(port: int, *options: str) -> list[str]:
    return [needs("openssl"), "s_client", *options, "-connect", f"127.0.0.1:{port}"]


def s_server(*options: str) -> list[str]:
    certs = certificates()
    keys = ["-cert", certs.cert("good"), "-key", certs.key("good")]
    return [needs("openssl"), "s_server", *options, "-accept", "127.0.0.1:0", *keys]


OTHERS = ["s_client", "s_client 1.2", "s_server", "s_server 1.2", "ncat", "ncat that listens"]


class With:
    """A `duplex` that talks with another program, which is at one of both ends."""

    def __init__(self, duo: Duo, name: str) -> None:
        version = ["-tls1_2"] if name.endswith("1.2") else ["-tls1_3"]
        certs = certificates()
        self.nick = "client"
        self.heard = duo.heard_by_listener
        if name.startswith("s_client") or name == "ncat":
            self.ours, port = Kind("tls").listen(duo)
            command = (
                [needs("ncat"), "--ssl", "127.0.0.1", str(port)]
                if name == "ncat"
                else s_client(port, "-quiet", *version)
            )
            self.peer = duo.start(command, "peer")
        else:
            keys = ["--ssl-cert", certs.cert("good"), "--ssl-key", certs.key("good")]
            command = (
                [needs("ncat"), "--ssl", "-l", "127.0.0.1", "0", *keys]
                if name == "ncat that listens"
                else s_server("-quiet", "-naccept", "1", *version)
            )
            self.peer = duo.start(command, "peer")
            self.ours = Kind("tls").connect(duo, port_bound_by(self.peer))
            self.nick, self.heard = "server", duo.heard_by_connector


@pytest.mark.parametrize("name", OTHERS)
def test_many_lines_go_each_way_with_other_programs(duo: Duo, name: str) -> None:
    talk, count = With(duo, name), 20_000
    from_there = "".join(f"{n} from there, größer 日本語\n" for n in range(count))
    from_here = "".join(f"{n} from here, größer 日本語\n" for n in range(count))
    typing = [
        threading.Thread(target=program.type, args=(text,), daemon=True)
        for program, text in ((talk.ours, from_here), (talk.peer, from_there))
    ]
    for thread in typing:
        thread.start()
    until(lambda: len(talk.ours.out) >= len(from_there.encode()))
    until(lambda: len(talk.peer.out) >= len(from_here.encode()))
    for thread in typing:
        thread.join(DEADLINE)
    assert_same(talk.ours.out, from_there.encode())
    assert_same(talk.peer.out, from_here.encode())
    assert_same("\n".join([*said(talk.heard), ""]).encode(), from_there.encode())
    talk.ours.type("quit\n")
    assert talk.ours.status() == 0, talk.ours.err
    talk.peer.end_input()
    talk.peer.status()
    assert "error" not in talk.peer.err.replace("verify error", "").lower(), talk.peer.err


@pytest.mark.parametrize("name", OTHERS)
def test_bye_from_another_program_ends_this_side(duo: Duo, name: str) -> None:
    talk = With(duo, name)
    talk.peer.type("so long\nbye\n")
    assert talk.ours.status() == 0, talk.ours.err
    assert said(talk.heard) == ["so long", "bye"]
    assert events(talk.heard)[-1] == f"{talk.nick} left"


@pytest.mark.parametrize("end", ["s_client", "s_server"])
def test_a_key_update_that_asks_for_one_ends_a_talk_with_one_line(duo: Duo, end: str) -> None:
    ours, peer, heard = with_commands(duo, end)
    peer.type("whole\n")
    until(lambda: said(heard) == ["whole"])
    command(peer, "K")
    assert ours.status() == 1
    assert ours.err.splitlines()[-1] == f"connection closed: {NEW_KEYS}; connect again"
    assert said(heard) == ["whole"]
    assert events(heard)[-1] == f"connection closed: {NEW_KEYS}; connect again"
    until(lambda: ENDED[end] in peer.out)
    assert "bad record" not in peer.err, "it was ended properly"


@pytest.mark.parametrize("end", ["s_client", "s_server"])
def test_a_key_update_that_asks_for_none_is_not_noticed(duo: Duo, end: str) -> None:
    ours, peer, heard = with_commands(duo, end)
    for number in range(3):
        command(peer, "k")
        peer.type(f"{number}\n")
        until(lambda n=number: said(heard) == [*map(str, range(n + 1))])
        ours.type(f"answer {number}\n")
        until(lambda n=number: f"answer {n}\n".encode() in peer.out)
    ours.type("quit\n")
    assert ours.status() == 0


ENDED = {"s_client": b"closed", "s_server": b"DONE"}


def command(openssl: Program, letter: str) -> None:
    """Have openssl do it: a letter is a command where it is the first of what is read at once."""
    before = read_by(openssl.pid)
    openssl.type(f"{letter}\n")
    until(lambda: read_by(openssl.pid) >= before + 2)


def read_by(pid: int) -> int:
    """The bytes that a process has read so far: proc_pid_io(5)."""
    try:
        text = Path(f"/proc/{pid}/io").read_text()
    except OSError:  # it has ended, and so has read all that it ever will
        return sys.maxsize
    return int(dict(line.split(": ") for line in text.splitlines())["rchar"])


def with_commands(duo: Duo, end: str) -> tuple[Program, Program, Path]:
    """A duplex, and an openssl that takes a letter alone for a command."""
    if end == "s_client":
        ours, port = Kind("tls").listen(duo)
        peer = duo.start(s_client(port, "-tls1_3"), "peer")
        until(lambda: "connected from" in ours.err)
        return ours, peer, duo.heard_by_listener
    peer = duo.start(s_server("-tls1_3"), "peer")
    ours = Kind("tls").connect(duo, port_bound_by(peer))
    until(lambda: "connected to" in ours.err)
    return ours, peer, duo.heard_by_connector
