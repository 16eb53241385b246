"""The sending half of one connection: what goes out, in which order, and what is under way."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from duplex.channel import plain
from duplex.channel.base import Sender
from duplex.talk.connection import Connection

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def fill(sock: socket.socket) -> int:
    """Until the kernel takes no more; how many bytes that was."""
    count = 0
    try:
        while True:
            count += sock.send(b"x" * 65536)
    except BlockingIOError:
        return count


def test_an_answer_goes_out_between_two_lines(ends: Pair) -> None:
    connection = Connection(ends[0], plain.Sender())
    connection.give(b"first ")
    connection.answer(b"ANSWER")
    connection.flush()
    assert ends[1].recv(100) == b"first ", "not within a line"
    connection.give(b"line\nsecond")
    connection.flush()
    assert ends[1].recv(100) == b"line\nANSWERsecond"


def test_of_many_answers_only_the_last_is_kept(ends: Pair) -> None:
    connection = Connection(ends[0], plain.Sender())
    for number in range(1000):
        connection.answer(b"%d" % number)
    assert not connection.outgoing
    assert connection.flush()
    assert ends[1].recv(100) == b"999"


def test_what_the_kernel_does_not_take_waits_in_its_order(ends: Pair) -> None:
    connection = Connection(ends[0], plain.Sender())
    before = fill(ends[0])
    connection.give(b"one\n")
    assert not connection.flush()
    connection.give(b"two\n")
    connection.end()
    assert connection.under_way() == len(b"one\ntwo\n")
    assert not connection.shut, "the end is shut after all that was said"
    while before > 0:
        before -= len(ends[1].recv(before))
    connection.end()
    assert connection.shut
    assert ends[1].makefile("rb").read() == b"one\ntwo\n"


def test_the_end_is_marked_once_however_often_it_is_said(ends: Pair) -> None:
    class Marking(Sender):
        def end(self) -> bytes:
            return b"END"

    connection = Connection(ends[0], Marking())
    for _ in range(3):
        connection.end()
    assert ends[1].makefile("rb").read() == b"END"
    assert connection.end_length == len(b"END")


def test_what_is_said_goes_to_the_relay_and_what_is_watched_is_the_peer(ends: Pair) -> None:
    relay, behind = socket.socketpair()
    connection = Connection(ends[0], plain.Sender(), relay)
    assert (connection.sock, connection.out) == (ends[0], relay)
    connection.give(b"hello\n")
    connection.flush()
    assert behind.recv(100) == b"hello\n"
    connection.end()
    assert behind.recv(100) == b""
    connection.close()
    assert ends[0].fileno() == relay.fileno() == -1
    behind.close()


def test_a_connection_that_was_cut_takes_nothing_and_its_reader_sees_the_end(ends: Pair) -> None:
    connection = Connection(ends[0], plain.Sender())
    connection.cut()
    connection.give(b"hello\n")
    assert not connection.flush()
    connection.end()
    assert not connection.shut
    assert ends[0].recv(100) == ends[1].recv(100) == b""


def test_a_send_to_nobody_is_an_error_and_not_a_loss_in_silence(ends: Pair) -> None:
    connection = Connection(ends[0], plain.Sender())
    ends[1].close()
    connection.give(b"hello\n")
    with pytest.raises(BrokenPipeError):
        connection.flush()
    assert connection.outgoing == b"hello\n"
