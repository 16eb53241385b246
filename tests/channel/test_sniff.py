"""What a person says is a person's; what programs say that announce themselves is told from it."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given, strategies as st

from duplex.channel.sniff import LONGEST, Sniffer, Stranger


def hello() -> bytes:
    """What a client of TLS says first."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


STRANGERS = [
    (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n\r\n", "HTTP"),
    (b"POST /x?y=%0A HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "HTTP"),
    (b"GET / HTTP/1.0\n\n", "HTTP"),
    (b"OPTIONS * HTTP/1.1\r\n", "HTTP"),
    (b"brew /pot HTTP/1.1\r\n", "HTTP"),
    (b"M-SEARCH * HTTP/1.1\r\n", "HTTP"),
    (b"CONNECT example.org:443 HTTP/1.1\r\n", "HTTP"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"),
    ("GET /größe HTTP/1.1\r\n".encode(), "HTTP"),
    (b"GET /" + b"a" * 2 * LONGEST + b" HTTP/1.1\r\n", "HTTP"),
    (b"OPTIONS rtsp://camera/ RTSP/1.0\r\n", "RTSP"),
    (b"REGISTER sip:example.org SIP/2.0\r\n", "SIP"),
    (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "SSH"),
    (b"SSH-1.99-x\n", "SSH"),
    (b"EHLO mail.example.org\r\n", "SMTP"),
    (b"ehlo [127.0.1.1]\r\n", "SMTP"),
    (b"HELO mail.example.org\r\n", "SMTP"),
    (b"LHLO localhost\n", "SMTP"),
    (hello(), "TLS"),
]
PERSONS = [
    b"hello\n",
    b"GET up\n",
    b"GET up HTTP/x.y\n",
    b"GET / HTTP\n",
    b"GET / HTTP/1.1 is what a browser says\n",
    b" GET / HTTP/1.1\r\n",
    b"say GET / HTTP/1.1\r\n",
    b"GET  / HTTP/1.1\r\n",
    b"HELO bob\n",
    b"EHLO\n",
    b"ehlo dear all\n",
    b"SSH-keys are where?\n",
    b"\x16\n",
    b"\x16\x03\x01\n\n\n",
    b"\n",
    b"/join ann\n",
    b"\xff\xfd\x01\xff\xfb\x1fhello\n",
    "größe\n".encode(),
    b"http://example.org/\n",
    b"a" * 3 * LONGEST,
    b"GET " + b"a" * 3 * LONGEST,
    b"duplex code 1\n",
]


@pytest.mark.parametrize(("came", "protocol"), STRANGERS)
def test_a_stranger_is_told_whole_and_byte_by_byte(came: bytes, protocol: str) -> None:
    with pytest.raises(Stranger, match=f"it speaks {protocol}"):
        Sniffer().feed(came)
    with pytest.raises(Stranger) as told:
        hears_nothing_of(came)
    assert told.value.protocol == protocol
    assert told.value.reply


def test_nothing_of_a_stranger_is_given_at_the_end_either() -> None:
    sniffer = Sniffer()
    with pytest.raises(Stranger):
        sniffer.look(b"GET / HTTP/1.1\r\n")
    assert sniffer.end() == b""


def hears_nothing_of(came: bytes) -> None:
    sniffer = Sniffer()
    for byte in came:
        assert sniffer.feed(bytes([byte])) == b"", "nothing of it is taken for said"


@pytest.mark.parametrize("came", PERSONS)
def test_a_person_is_heard_whole_and_byte_by_byte(came: bytes) -> None:
    assert Sniffer().feed(came) == came
    sniffer, given = Sniffer(), b""
    for byte in came:
        given += sniffer.feed(bytes([byte]))
        assert len(sniffer._held) <= LONGEST
    assert given == came
    assert sniffer.known


@given(st.lists(st.binary(max_size=20)))
def test_nothing_that_a_person_says_is_lost_or_doubled(parts: list[bytes]) -> None:
    sniffer, given = Sniffer(), b""
    try:
        for part in parts:
            given += sniffer.feed(part)
    except Stranger:
        return
    assert given + sniffer.end() == b"".join(parts)


def test_half_a_word_may_be_either_and_an_empty_connection_neither() -> None:
    sniffer = Sniffer()
    assert not sniffer.undecided
    assert sniffer.feed(b"GET / HT") == b""
    assert sniffer.undecided
    assert sniffer.feed(b"ML\n") == b"GET / HTML\n"
    assert not sniffer.undecided


def test_an_http_client_gets_an_answer_that_it_can_read() -> None:
    for request, length in ((b"POST / HTTP/1.1\r\n", None), (b"HEAD / HTTP/1.1\r\n", 0)):
        with pytest.raises(Stranger) as told:
            Sniffer().feed(request)
        head, _, page = told.value.reply.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"HTTP/1.1 400 Bad Request"
        assert b"Connection: close" in lines
        assert not any(line.lower().startswith(b"access-control") for line in lines)
        if length is None:
            assert b"Content-Length: %d" % len(page) in lines
        else:
            assert page == b""
