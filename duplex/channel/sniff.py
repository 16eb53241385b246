"""Sniffing: whether who has called is a person, or a program that speaks something else.

A web page can make its reader's browser post to any port of the reader's machine, and scanners and
mistyped addresses bring others. They say who they are with their first bytes, so that until those
are known nothing is said, recorded or shown of it:

    HTTP, RTSP, SIP   METHOD SP TARGET SP HTTP/1.1      any method, and no less than the whole line
    SSH               SSH-2.0-
    TLS               a record with a client's hello, where no TLS is spoken
    SMTP              EHLO name, HELO mail.example

Anything else is a person's, also `GET up`. Pure computation on the bytes that a channel has given;
knows no socket and no clock.
"""

from __future__ import annotations

import re

from duplex.channel.base import HandshakeError
from duplex.protocol.refusals import speaks_no

LONGEST = 8000  # bytes of a request line: what servers should take at least (RFC 9110, 4.1)
_METHOD = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]{1,32}"  # a token (RFC 9110, 5.6.2), and no endless one
_REQUEST = re.compile(rb"(%b) [^\s\0-\x1f]+ (HTTP|RTSP|SIP)/\d(?:\.\d)?\r?\n" % _METHOD)
_ENDLESS = re.compile(rb"(%b) (?:/|[A-Za-z]+://)[^\s\0-\x1f]+\Z" % _METHOD)
# What can still become one of these, as long as it has no newline.
_BEGINNING = re.compile(
    rb"%b?(?: (?:[^\s\0-\x1f]+(?: (?:[HRS][A-Z]{0,3}(?:/[\d.]{0,3})?\r?)?|\r)?)?|\r)?" % _METHOD
)
_SSH = re.compile(rb"SSH-\d\.\d+-")
# HELO is also how people greet: a machine's name has a dot, or is an address in brackets.
_SMTP = re.compile(rb"(?i:(?:EHLO|LHLO) \S+|HELO (?:\S+\.\S+|\[\S+\]|localhost))\r?\n")
# A record's type, its version, its length; the hello's type (RFC 8446, 5.1 and 4).
_HELLO = re.compile(rb"\x16\x03[\0-\4]..\x01", re.DOTALL)
_RECORD, _HELLO_LENGTH = b"\x16\x03", 6

_PAGE = b"This is no web server: duplex talks here, and only with who speaks its lines.\n"


class Stranger(HandshakeError):
    """Who has called speaks something else. `reply` is what it is to be sent before its end."""

    def __init__(self, protocol: str, reply: bytes) -> None:
        super().__init__(f"it speaks {protocol}", reply)
        self.protocol = protocol


class Sniffer:
    """`feed` it all that comes; it gives it back once that is known to be a person's."""

    def __init__(self) -> None:
        self.known = False
        self._held = b""

    @property
    def undecided(self) -> bool:
        """Whether something has come that could be the beginning of either."""
        return bool(self._held) and not self.known

    def look(self, said: bytes) -> None:
        """What has come. Raises Stranger."""
        self._held += said
        if not self.known and self._held:
            try:
                self.known = _is_a_persons(self._held)
            except Stranger:
                self._held = b""
                raise

    def feed(self, said: bytes) -> bytes:
        """The same; what may be taken for said of all that has come so far."""
        self.look(said)
        return self.end() if self.known else b""

    def end(self) -> bytes:
        """What is left, when nothing more comes."""
        held, self._held = self._held, b""
        return held


def http_answer(request: bytes, status: bytes = b"400 Bad Request") -> bytes:
    """What a client that speaks HTTP, or as HTTP does, is told; `request` is its first line."""
    protocol = b"RTSP/1.0" if b" RTSP/" in request else b"SIP/2.0" if b" SIP/" in request else b""
    page = b"" if request.startswith(b"HEAD ") else _PAGE
    return (
        b"%b %b\r\nConnection: close\r\nCache-Control: no-store\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
        b"Content-Length: %d\r\n\r\n%b"
    ) % (protocol or b"HTTP/1.1", status, len(_PAGE), page)


def answer_to(came: bytes, otherwise: bytes) -> bytes:
    """What who speaks something else than this port does is told: HTTP in HTTP."""
    return http_answer(came) if _REQUEST.match(came) else otherwise


def _speaks_no(protocol: str) -> bytes:
    return f"! {speaks_no(protocol)}\n".encode()


def _has_no_sign(came: bytes) -> bool:
    """Whether it is a line in which there is none of what strangers say: looked at with nothing
    that a member would not touch anyway, for each page of memory is one a client."""
    return b"\n" in came and b"/" not in came and came[:1] not in b"SEHLsehl\x16"


def _is_a_persons(came: bytes) -> bool:
    """True if it is, False if that cannot be told yet. Raises Stranger."""
    if _has_no_sign(came):
        return True
    if came.startswith(_RECORD[: len(came)]):
        if _HELLO.match(came):
            raise Stranger("TLS", _speaks_no("TLS"))
        return len(came) >= _HELLO_LENGTH
    if _SSH.match(came):
        raise Stranger("SSH", _speaks_no("SSH"))
    if request := _REQUEST.match(came):
        raise Stranger(request[2].decode(), http_answer(request[0]))
    if _SMTP.match(came):
        raise Stranger("SMTP", b"554 This is no mail server\r\n")
    if b"\n" in came or not _BEGINNING.fullmatch(came):
        return True
    if len(came) < LONGEST:
        return False
    if _ENDLESS.match(came):
        raise Stranger("HTTP", http_answer(came, b"414 URI Too Long"))
    return True
