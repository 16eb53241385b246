"""What a member's own lines hold back while it is not known where they stand."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest
from store_support import Host, Member, Server, goes_on_until

from duplex.room.client import Client


class Reader:
    """A client of a member of `host`, at a real pair of sockets."""

    def __init__(self, host: Host, member: Member, *, echo: bool, numbered: bool = False) -> None:
        assert host.hub
        self.ours, self.theirs = socket.socketpair()
        for sock in (self.ours, self.theirs):
            sock.setblocking(False)
        self.client = Client(self.ours, host.hub.transcript)
        self.client.follow(host.hub.transcript.end, echo=echo)
        self.client.numbered = numbered
        member.seat.client = self.client
        self.heard = b""

    def reads(self) -> list[str]:
        """The texts that it has been sent by now."""
        assert self.client.go_on(0, memoryview(b""))
        with suppress(BlockingIOError):
            self.heard += self.theirs.recv(1 << 20)
        return re.findall(r"> (.*)", self.heard.decode())

    def close(self) -> None:
        for sock in (self.ours, self.theirs):
            sock.close()


@pytest.fixture
def hosts(server: Server, start_host: Callable[..., Host]) -> tuple[Host, Host]:
    """One whose store does not hear of what is said, and another."""
    return start_host(server, "one"), start_host(server, "two")


def while_unanswered(
    hosts: tuple[Host, Host], *, echo: bool, numbered: bool = False
) -> tuple[list[str], list[str], bytes]:
    """What ann's client has read while the store has not heard of her line, and when it has; bob
    has said two lines meanwhile. And all of it."""
    one, two = hosts
    ann, bob = one.member("ann"), two.member("bob")
    one.has(two.hub.transcript.end if two.hub else 0)
    reader = Reader(one, ann, echo=echo, numbered=numbered)
    one.writer.kill()
    said: list[int] = []

    def stands(start: int, end: int, _why: str) -> None:
        """What the service does about it."""
        reader.client.leave_out(start, end, 7, 1)
        said.append(end)

    one.ledger.say(ann.seat, b"mine\n", 7, stands)
    bob.says("his")
    bob.is_confirmed()
    one.has(bob.confirmed[-1][1])
    before = reader.reads()
    one.start_writer()
    goes_on_until(lambda: said)
    after = reader.reads()
    reader.close()
    return before, after, reader.heard


def test_nothing_that_may_be_ones_own_is_sent_before_that_is_known(
    hosts: tuple[Host, Host],
) -> None:
    before, after, _ = while_unanswered(hosts, echo=False)
    assert before == []
    assert after == ["his"], "and not its own"


def test_who_is_sent_its_own_is_held_back_by_nothing(hosts: tuple[Host, Host]) -> None:
    before, after, _ = while_unanswered(hosts, echo=True)
    assert before == ["his"]
    assert after == ["his", "mine"]


def test_who_is_told_which_are_its_own_is_told_before_them(hosts: tuple[Host, Host]) -> None:
    before, after, heard = while_unanswered(hosts, echo=True, numbered=True)
    assert before == []
    assert after == ["his", "mine"]
    assert re.search(rb"<bob> his\n! at \d+: 7\n\S+ <ann> mine\n$", heard)


def test_a_line_that_is_refused_holds_back_no_longer(
    server: Server, start_host: Callable[..., Host]
) -> None:
    one, two = start_host(server, "one"), start_host(server, "two")
    ann, bob = one.member("ann"), two.member("bob")
    reader, why = Reader(one, ann, echo=False), []
    store = server.address().connect()
    store.config_set("maxmemory-policy", "noeviction")
    store.config_set("maxmemory", 1)
    one.ledger.say(ann.seat, b"mine\n", 1, lambda _start, _end, reason: why.append(reason))
    goes_on_until(lambda: why)
    assert "memory" in why[0]
    store.config_set("maxmemory", 0)
    bob.says("his")
    bob.is_confirmed()
    one.has(bob.confirmed[-1][1])
    assert reader.reads()[-1:] == ["his"]
    reader.close()
