"""Mailboxes and what they stand on: letters between processes of one user, without any file."""

from __future__ import annotations

import fcntl
import os
import socket

import pytest
from room_support import as_another_user
from support import until

from duplex.room import sign
from duplex.room.mailbox import WAITING, Mailbox, post
from duplex.room.page import Page
from duplex.system import local


def address_of(box: Mailbox) -> str:
    return f"\0duplex-mail-{box.number:016x}"


def test_letters_come_whole_and_in_order() -> None:
    box = Mailbox()
    letters = [b"x" * size for size in (1, 2, 3, 70_000, 5)]
    for letter in letters:
        post(box.number, letter)
    assert [box.take() for _ in letters] == letters
    assert box.take() == b""
    box.close()


def test_a_mailbox_that_is_not_read_is_full_and_takes_letters_again_once_it_is() -> None:
    box = Mailbox()
    for number in range(WAITING + 1):
        post(box.number, b"%d" % number)
    with pytest.raises(BlockingIOError):
        post(box.number, b"too many")
    assert [box.take() for _ in range(WAITING + 1)] == [b"%d" % n for n in range(WAITING + 1)]
    post(box.number, b"more")
    assert box.take() == b"more"
    box.close()


def test_a_writer_that_is_stopped_before_it_writes_delays_nobody() -> None:
    box = Mailbox()
    stopped = [local.dial(address_of(box)) for _ in range(8)]
    post(box.number, b"a letter")
    assert box.take() == b"a letter"
    stopped[-1].send(b"late")
    assert box.take() == b"late"
    stopped[-2].close()  # killed, and never wrote
    post(box.number, b"another")
    assert box.take() == b"another"
    for sock in stopped:
        sock.close()
    box.close()


def test_a_mailbox_that_is_closed_takes_nothing() -> None:
    box = Mailbox()
    box.close()
    with pytest.raises(ConnectionRefusedError):
        post(box.number, b"anybody?")


def test_what_another_user_writes_is_thrown_away() -> None:
    box = Mailbox()

    def write() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(address_of(box))
            sock.send(b"khost: gone")

    for _ in range(3):
        as_another_user(write)
    post(box.number, b"honest")
    assert box.take() == b"honest"
    assert box.take() == b""
    box.close()


def test_a_letter_is_not_given_to_another_user_who_has_the_name_by_now() -> None:
    box = Mailbox()
    address = address_of(box)
    box.close()

    def squat() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.bind(address)
        sock.listen(5)
        return sock

    def heard(sock: socket.socket) -> bytes:
        connection, _ = sock.accept()
        return connection.recv(100)

    with as_another_user(squat, heard) as squatter:
        with pytest.raises(ConnectionRefusedError):
            post(box.number, b"a secret")
        assert squatter.result() == b""


def test_a_page_is_handed_out_to_be_read_alone() -> None:
    page = Page.make(3)
    page.seat(1).take("127.0.0.1:1")
    page.watermark = 17
    put_up = sign.Sign(65_000, page)
    (address,) = sign._addresses(65_000)
    with local.dial(address, 5) as asker:
        put_up.answer()
        _, fds, _, _ = socket.recv_fds(asker, 16, 1)
    assert fcntl.fcntl(fds[0], fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    seen = Page(fds[0])
    assert (seen.seats, seen.watermark, seen.seat(1).address) == (3, 17, "127.0.0.1:1")
    seen.watermark = 5
    seen.seat(1).clear()
    assert page.watermark == 17
    assert page.seat(1).address == "127.0.0.1:1"
    put_up.close()
    until(lambda: not sign._addresses(65_000))


@pytest.mark.parametrize("what", ["memory that can shrink", "a file", "too small"])
def test_what_is_no_page_is_not_mapped(what: str) -> None:
    if what == "a file":
        fd = os.open("/etc/passwd", os.O_RDONLY)
    else:
        fd = os.memfd_create("page", os.MFD_ALLOW_SEALING)
        os.truncate(fd, 1 << 20 if what == "memory that can shrink" else 100)
        if what == "too small":
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    assert not sign._is_page(fd)
    os.close(fd)
