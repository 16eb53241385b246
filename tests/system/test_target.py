"""Where to connect: each way in which a host and its port are typed, and those that are none."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest
from support import DUPLEX, Duo, needs_ipv6, until

from duplex.system.errors import UsageError
from duplex.system.target import targets
from duplex.system.tcp import invitation, where


@pytest.mark.parametrize(
    ("hosts", "port", "expected"),
    [
        ("alpha", "8000", [("alpha", 8000)]),
        ("alpha:8000", None, [("alpha", 8000)]),
        ("127.0.0.1:8000", None, [("127.0.0.1", 8000)]),
        ("::1", "8000", [("::1", 8000)]),
        ("[::1]", "8000", [("::1", 8000)]),
        ("[::1]:8000", None, [("::1", 8000)]),
        ("fe80::1%eth0", "8000", [("fe80::1%eth0", 8000)]),
        ("[fe80::1%eth0]:8000", None, [("fe80::1%eth0", 8000)]),
        ("alpha,beta", "8000", [("alpha", 8000), ("beta", 8000)]),
        ("alpha:1,[::1]:2,gamma", "3", [("alpha", 1), ("::1", 2), ("gamma", 3)]),
        ("alpha", "ssh", [("alpha", 22)]),
        ("alpha:ssh", None, [("alpha", 22)]),
        ("[::1]:ssh", None, [("::1", 22)]),
    ],
)
def test_a_target_is_found(hosts: str, port: str | None, expected: list[tuple[str, int]]) -> None:
    assert [(target.host, target.port) for target in targets(hosts, port)] == expected


@pytest.mark.parametrize(
    ("hosts", "port", "message"),
    [
        ("alpha", None, "required: PORT"),
        ("alpha:1,beta", None, "required: PORT"),
        ("::1", None, "required: PORT"),
        ("alpha:8000", "8000", "cannot use two ports: alpha:8000 has one, and PORT is 8000"),
        ("alpha", "0", "cannot use port 0: a port is a number from 1 to 65535"),
        ("alpha:65536", None, "cannot use port 65536: a port is a number from 1 to 65535"),
        ("alpha", "nosuchservice", "cannot use 'nosuchservice' as a port"),
        ("alpha", "-1", "cannot use '-1' as a port"),
        ("alpha", "\udcff", "as a port: a port is a number"),
        ("alpha", "a\0b", "as a port: a port is a number"),
        ("", "8000", "cannot use '' as a host"),
        ("alpha,", "8000", "cannot use '' as a host"),
        (":8000", None, "cannot use ':8000' as a host"),
        ("alpha:", "8000", "cannot use 'alpha:' as a host"),
        ("[::1", "8000", "cannot use '[::1' as a host"),
        ("[]:1", None, "cannot use '[]:1' as a host"),
    ],
)
def test_what_is_none_is_told(hosts: str, port: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        targets(hosts, port)


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "localhost:{}", "[::1]:{}"])
def test_host_and_port_in_one_word_are_connected_to(duo: Duo, form: str) -> None:
    host = "127.0.0.1"
    if "::1" in form:
        needs_ipv6()
        host = "::1"
    listener, port = duo.listen("--host", host, stdin=subprocess.DEVNULL)
    connector = duo.start([*DUPLEX, "connect", form.format(port)], "connector")
    connector.type("hi\n")
    connector.end_input()
    assert connector.status() == 0
    assert listener.status() == 0
    assert listener.out == b"hi\n"


def test_the_name_of_a_service_is_its_port(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DUPLEX, "connect", "127.0.0.1", "tcpmux"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "127.0.0.1:1: Connection refused" in done.stderr


def test_many_hosts_may_have_ports_of_their_own(duo: Duo) -> None:
    listener, port = duo.listen(stdin=subprocess.DEVNULL)
    connector = duo.start([*DUPLEX, "connect", f"127.0.0.1:1,127.0.0.1:{port}"], "connector")
    connector.type("hi\n")
    connector.end_input()
    assert connector.status() == 0
    assert "trying 127.0.0.1" in connector.err
    until(lambda: listener.out == b"hi\n")


def test_a_link_local_address_is_told_with_its_scope() -> None:
    index, name = socket.if_nameindex()[0]
    address = ("fe80::1", 8000, 0, index)
    assert where(address) == f"[fe80::1%{name}]:8000"
    assert invitation(address) == (
        f"listening on [fe80::1%{name}]:8000; join with: duplex connect fe80::1%{name} 8000"
    )


def test_who_is_invited_by_a_link_local_address_comes_in(duo: Duo) -> None:
    scoped = [line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()]
    found = [(fields[0], fields[5]) for fields in scoped if fields[3] == "20"]
    if not found:
        pytest.skip("no interface has a link-local address")
    digits, interface = found[0]
    plain = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
    listener = duo.start(
        [*DUPLEX, "listen", "0", "--host", f"{plain}%{interface}"], "listener", stdin=-3
    )
    match = until(lambda: re.search(r"join with: duplex (connect \S+ \d+)\n", listener.err))
    connector = duo.start([*DUPLEX, *match[1].split()], "connector")
    connector.type("hi\n")
    connector.end_input()
    assert connector.status() == 0
    assert listener.status() == 0
    assert f"connected from [{plain}%{interface}]:" in listener.err
