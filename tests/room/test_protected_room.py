"""A room with a code or a certificate: as any room, and nobody else gets in."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pexpect
import protected_support
import pytest
from client_support import heard_by, join, log_of, said_by, start_room, talk_while_cut
from protected_support import CODE, WRONG, environment
from proxy import Proxy
from support import (
    DEADLINE,
    DUPLEX,
    Duo,
    Program,
    Terminal,
    alive,
    children,
    connections,
    events,
    needs,
    unread,
    until,
)
from tls_support import certificates, contexts

from duplex.channel import base, code, tls
from duplex.channel.handshake import shake
from duplex.channel.passphrase import normal


class Kind(protected_support.Kind):
    """The same for a room."""

    @property
    def options(self) -> dict[str, Any]:
        return {"env": environment(self.spoken)}

    def start(self, duo: Duo, *args: str) -> tuple[Program, int]:
        return start_room(duo, *self.listening, *args, **self.options)

    def join(self, duo: Duo, port: int, nick: str, *args: str) -> Program:
        return join(duo, port, nick, *self.calling, *args, **self.options)


@pytest.fixture(params=["code", "tls"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return Kind(request.param)


def test_two_talk_and_keep_the_same_records(duo: Duo, kind: Kind) -> None:
    host, port = kind.start(duo)
    ann, bob = kind.join(duo, port, "ann"), kind.join(duo, port, "bob")
    assert f"connected to 127.0.0.1:{port}, {kind.name_calling}\n" in ann.err
    until(lambda: b"bob entered" in ann.out)
    ann.type("hello\n/msg bob psst\n")
    until(lambda: b"-ann- psst" in bob.out)
    bob.type("grüß dich\n")
    until(lambda: "<bob> grüß dich".encode() in ann.out)
    ann.end_input()
    bob.end_input()
    assert (ann.status(), bob.status()) == (0, 0), ann.err + bob.err
    until(lambda: len([text for text in events(log_of(host)) if text.endswith(" left")]) == 2)
    assert said_by("ann", log_of(host)) == ["hello"]
    assert log_of(host).read_bytes().startswith(heard_by(ann).read_bytes())
    assert b"psst" not in heard_by(bob).read_bytes()


def test_a_connection_cut_at_any_byte_loses_and_doubles_nothing(
    duo: Duo, kind: Kind, proxy: Callable[[int], Proxy]
) -> None:
    """Also what a relay has to send, whose lines are not the parent's any more."""
    host, port = kind.start(duo)
    between = proxy(port)
    ann = kind.join(duo, between.port, "ann")
    bob = kind.join(duo, port, "bob")
    until(lambda: b"bob entered" in ann.out)
    talk_while_cut(host, between, ann, bob, 3000)
    assert between.cuts > 3


def test_what_was_never_sent_is_counted_in_lines_and_not_as_it_was_sealed(
    duo: Duo, kind: Kind, proxy: Callable[[int], Proxy]
) -> None:
    """A sealed line is longer: what was said before it is not taken for unsent, too."""
    host, port = kind.start(duo)
    between = proxy(port)
    between.resets = 1.0
    ann = kind.join(duo, between.port, "ann")
    until(lambda: "ann entered" in host.err)
    os.kill(ann.child(), signal.SIGSTOP)  # it neither hears what is recorded nor sees the cut
    said = [str(number) for number in range(100)]
    ann.type("".join(f"{text}\n" for text in said))
    until(lambda: said_by("ann", log_of(host)) == said)
    between.cut()
    until(lambda: not connections(between.port))
    ann.type("more\n")  # nothing of it can be sent
    assert ann.process.stdin
    typed = ann.process.stdin
    until(lambda: not unread(typed))  # and so it has tried to send that
    os.kill(ann.child(), signal.SIGCONT)
    until(lambda: "connected again, as ann" in ann.err)
    ann.end_input()
    assert ann.status() == 0, ann.err
    assert said_by("ann", log_of(host)) == [*said, "more"]


def test_a_relay_ends_with_its_client(duo: Duo, kind: Kind, proxy: Callable[[int], Proxy]) -> None:
    _, port = kind.start(duo)
    between = proxy(port)
    ann = kind.join(duo, between.port, "ann")
    between.cut()
    until(lambda: "connected again, as ann" in ann.err)
    child = ann.child()
    (relay,) = until(lambda: children(child))
    os.kill(ann.pid, signal.SIGKILL)
    until(lambda: not alive(child) and not alive(relay))


def test_a_relay_that_dies_costs_a_connection_and_no_line(
    duo: Duo, kind: Kind, proxy: Callable[[int], Proxy]
) -> None:
    host, port = kind.start(duo)
    between = proxy(port)
    ann = kind.join(duo, between.port, "ann")
    for number in range(3):
        between.cut() if number == 0 else os.kill(children(ann.child())[0], signal.SIGKILL)
        ann.type(f"{number}\n")
        until(lambda number=number: ann.err.count("connected again, as ann") > number)
        until(lambda number=number: said_by("ann", log_of(host)) == [*map(str, range(number + 1))])
    ann.end_input()
    assert ann.status() == 0, ann.err


def test_what_is_typed_on_a_screen_waits_for_the_relay_and_not_for_the_connection(
    duo: Duo, kind: Kind, proxy: Callable[[int], Proxy], terminal: Callable[..., Terminal]
) -> None:
    """The connection takes more all the while: who waited for that would never be asleep."""
    host, port = kind.start(duo)
    between = proxy(port)
    command = [*DUPLEX, "connect", "127.0.0.1", str(between.port), "--nick", "ann", *kind.calling]
    ann = terminal(*command, cwd=duo.tmp / "ann", **kind.options["env"])
    ann.sees("this is room")
    between.cut()
    ann.sees("connected again, as ann")
    (relay,) = until(lambda: children(children(ann.pid)[0]))
    os.kill(relay, signal.SIGSTOP)
    lines = [f"{number} {'x' * 1000}" for number in range(600)]
    pasted = "".join(f"{line}\r" for line in lines)
    ann.spawned.send(f"\x1b[200~{pasted}\x1b[201~")
    ann.sees("paste 600 lines?")
    ann.spawned.send("y")
    ann.sees("… and 596 more")
    until(lambda: all(is_asleep(ann.pid) for _ in range(100)))
    assert not said_by("ann", log_of(host))
    os.kill(relay, signal.SIGCONT)

    def has_arrived() -> bool:
        with suppress(pexpect.TIMEOUT):  # a terminal that is not read holds all up
            while True:
                ann.spawned.read_nonblocking(65536, timeout=0)
        return said_by("ann", log_of(host)) == lines

    until(has_arrived)


def is_asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_who_does_not_read_for_a_while_has_every_record_once(duo: Duo, kind: Kind) -> None:
    """Of what is sealed the socket takes only a part, again and again."""
    host, port = kind.start(duo)
    bob = kind.join(duo, port, "bob")
    with sealed_client(kind, port) as (sock, channel):
        sock.sendall(channel.sender.send(b"/join slow\n"))
        until(lambda: "slow entered" in bob.out.decode())
        count = 6000
        for number in range(count):
            bob.type(f"{number} {'x' * 1500}\n")  # more than the kernel keeps for one connection
        until(lambda: len(said_by("bob", log_of(host))) == count)
        heard = channel.receiver.receive(b"")
        while not heard.endswith(b"> %d %b\n" % (count - 1, b"x" * 1500)):
            data = sock.recv(65536)
            assert data, "cut off"
            heard += channel.receiver.receive(data)
    numbers = re.findall(rb"<bob> (\d+) x{1500}\n", heard)
    assert [int(number) for number in numbers] == list(range(count))


@contextmanager
def sealed_client(kind: Kind, port: int) -> Iterator[tuple[socket.socket, base.Channel]]:
    """A client that reads when the test does, and of whom its kernel keeps little."""
    if kind.kind == "code":
        handshake: base.Handshake = code.Client(normal(CODE))
    else:
        handshake = tls.Client(contexts()[1], "localhost", None)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        channel = shake(sock, handshake, {})
        sock.settimeout(DEADLINE)
        yield sock, channel


def test_who_comes_plain_reads_why_not_and_is_closed(duo: Duo, kind: Kind) -> None:
    host, port = kind.start(duo)
    expected = (
        b"! duplex code 1: only who knows the code" if kind.kind == "code" else b"! this port"
    )
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as sock:
        sock.sendall(b"hello\n")
        said = b"".join(iter(lambda: sock.recv(4096), b""))
    assert said.startswith(expected)
    assert said.count(b"\n") == 1
    command = [*DUPLEX, "connect", "127.0.0.1", str(port)]
    plain = duo.start(command, "plain", env=environment(None))
    plain.type("is anybody there?\n")
    assert plain.status() == 1
    assert "\nrefused: " in plain.err
    assert events(log_of(host)) == []


def test_who_is_protected_says_nothing_in_a_plain_room(duo: Duo, kind: Kind) -> None:
    host, port = start_room(duo)
    command = [*DUPLEX, "connect", "127.0.0.1", str(port), *kind.calling]
    ann = duo.start(command, "ann", **kind.options)
    ann.type("a secret\n")
    assert ann.status() == 1
    wanted = "a room without a code" if kind.kind == "code" else "does not speak TLS"
    assert wanted in ann.err
    assert "Traceback" not in ann.err
    assert said_by("ann", log_of(host)) == []
    assert b"secret" not in log_of(host).read_bytes()


def test_a_wrong_code_is_told_to_both_and_costs_nobody_else_anything(duo: Duo) -> None:
    kind = Kind("code")
    host, port = kind.start(duo)
    ann = kind.join(duo, port, "ann")
    wrong = {"env": environment(WRONG)}
    command = [*DUPLEX, "connect", "--code", "127.0.0.1", str(port)]
    eve = duo.start(command, "eve", **wrong)
    assert eve.status() == 1
    assert (
        eve.err == "duplex connect: cannot connect: the codes differ, or somebody is in between\n"
    )
    until(lambda: "wrong code from 127.0.0.1" in host.err)
    ann.type("still here\n")
    until(lambda: said_by("ann", log_of(host)) == ["still here"])
    again = duo.start(command, "eve", **kind.options)
    assert again.status() == 1  # even with the right code: who guesses has to wait
    told = r"refused: wrong codes came from your address: wait \d+ s\n"
    assert re.fullmatch(f"duplex connect: cannot connect: {told}", again.err)


@pytest.mark.parametrize("program", ["openssl", "ncat"])
def test_other_programs_join_a_room_that_speaks_tls(duo: Duo, program: str) -> None:
    host, port = Kind("tls").start(duo)
    where = {
        "openssl": ["s_client", "-quiet", "-connect", f"127.0.0.1:{port}"],
        "ncat": ["--ssl", "127.0.0.1", str(port)],
    }
    eve = duo.start([needs(program), *where[program]], "eve")
    until(lambda: b"! welcome to room" in eve.out)
    eve.type("/nick eve\nhello from afar\n")
    until(lambda: said_by("eve", log_of(host)) == ["hello from afar"])
    ann = Kind("tls").join(duo, port, "ann")
    ann.type("hello eve\n")
    until(lambda: b"<ann> hello eve" in eve.out)


def test_new_keys_that_a_client_asks_for_are_given_in_a_room(duo: Duo) -> None:
    """Here both halves are in one process, so that it can."""
    host, port = Kind("tls").start(duo)
    command = [needs("openssl"), "s_client", "-connect", f"127.0.0.1:{port}"]
    eve = duo.start(command, "eve")
    until(lambda: b"! welcome to room" in eve.out)
    for number, key in enumerate("KkKKk"):
        eve.type(f"before {number}\n")
        until(lambda number=number: f"before {number}" in said_text(host))
        eve.type(f"{key}\n")
        until(lambda number=number: eve.err.count("KEYUPDATE") > number)
        eve.type(f"after {number}\n")
        until(lambda number=number: f"after {number}" in said_text(host))
    ann = Kind("tls").join(duo, port, "ann")
    ann.type("hello eve\n")
    until(lambda: b"<ann> hello eve" in eve.out)


def said_text(host: Program) -> str:
    return log_of(host).read_text()


def test_a_certificate_is_read_again_and_nobody_is_dropped(duo: Duo, tmp_path: Path) -> None:
    kind, certs = Kind("tls"), certificates()
    cert, key = tmp_path / "now.pem", tmp_path / "now.key"
    shutil.copy(certs.cert("good"), cert)
    shutil.copy(certs.key("good"), key)
    host, port = start_room(duo, "--tls-cert", str(cert), "--tls-key", str(key))
    ann = kind.join(duo, port, "ann")
    assert served_by(port) == fingerprint(certs.cert("good"))
    shutil.copy(certs.cert("alone"), cert)
    shutil.copy(certs.key("alone"), key)
    os.kill(host.pid, signal.SIGHUP)
    until(lambda: "the certificate was read again" in host.err)
    assert served_by(port) == fingerprint(certs.cert("alone"))
    cert.write_text("no certificate\n")
    os.kill(host.pid, signal.SIGHUP)
    until(lambda: str(cert) in host.err)
    assert served_by(port) == fingerprint(certs.cert("alone"))
    ann.type("still here\n")
    until(lambda: said_by("ann", log_of(host)) == ["still here"])


def served_by(port: int) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), DEADLINE) as sock,
        context.wrap_socket(sock) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


def fingerprint(path: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(Path(path).read_text())


def test_a_room_that_closes_does_not_wait_for_handshakes(duo: Duo, kind: Kind) -> None:
    host, port = kind.start(duo)
    ann = kind.join(duo, port, "ann")
    silent = [socket.create_connection(("127.0.0.1", port), DEADLINE) for _ in range(3)]
    until(lambda: len(children(host.pid)) >= 5)  # a flusher, ann's member, and theirs
    host.process.send_signal(signal.SIGTERM)
    assert host.status(4) == 0
    assert ann.status() == 0
    for sock in silent:
        sock.close()


def test_the_code_is_printed_once_and_three_letters_of_each_word_do(duo: Duo) -> None:
    host, port = start_room(duo, "--code", env=environment(None))
    (code,) = re.findall(r"^the code: (\S+)$", host.err, re.MULTILINE)
    short = " ".join(word[:3] for word in code.split("-"))
    ann = join(duo, port, "ann", "--code", env=environment(short))
    ann.type("hello\n")
    until(lambda: said_by("ann", log_of(host)) == ["hello"])
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert code not in shown
