"""The TLS channel: for openssl s_client, ncat --ssl and duplex itself. TLS 1.2 and 1.3.

Sans I/O: an SSLObject between two MemoryBIOs. Whose certificate is good is in certificate.py, what
OpenSSL's errors mean in alert.py. Knows no socket, no process, no file.

    network ──► incoming ──► SSLObject.read  ──► Receiver
    network ◄── outgoing ◄── SSLObject.write ◄── Sender

In a room's member both halves stay together. In a talk they part: after the fork each process has
an SSLObject of its own, one that only reads and one that only writes. That is sound, because in TLS
the two directions have keys and sequence numbers of their own and nothing that is read changes what
is written, with two exceptions, which a `parted` receiver takes care of:

    TLS 1.3     a key update with a request (RFC 8446, 4.6.3) must be answered by the half that
                writes, in its sequence. The half that reads cannot: this ends the session.
    TLS 1.2     a renegotiation (RFC 5246, 7.4.1) is refused in the same sequence. A client may
                leave the question unanswered, and does; a server ends the session, because the
                client that asked would wait for ever.

Unlike with the code channel, each process does have the other half's keys: they are in one object.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
from contextlib import suppress

from duplex.channel import base
from duplex.channel.alert import in_words, why_it_ended, why_not_valid
from duplex.channel.certificate import (
    client_context,
    fingerprint,
    name_in,
    parse_pin,
    server_context,
)
from duplex.channel.sniff import answer_to
from duplex.protocol.refusals import SPEAKS_TLS
from duplex.system.errors import UsageError

__all__ = ["Client", "Receiver", "Sender", "Server"]
__all__ += ["client_context", "fingerprint", "parse_pin", "server_context"]

SERVER_NAME = "encrypted, TLS"
PLAIN_REPLY = b"! %b\n" % SPEAKS_TLS.encode()
NEW_KEYS = "the other side asked for new keys (a TLS {}), which a talk cannot give; connect again"
CHUNK = 16 * 1024  # bytes a read: all that a record holds (RFC 8446, 5.1), so none is left half
# Bytes that what was asked may leave unsent: refusals of renegotiation are 31 bytes each, and
# nobody in earnest is refused a hundred times between two lines.
UNSENT_LIMIT = 4096

_HANDSHAKE, _ALERT = 0x16, 0x15  # a record's first byte, its type
# A fatal alert, bad_certificate, not encrypted: what OpenSSL sends, too, before its Finished.
_BAD_CERTIFICATE = b"\x15\x03\x03\x00\x02\x02\x2a"


class Sender(base.Sender):
    """Lines to records. What the reading half left unsent comes first, for so it is numbered."""

    def __init__(
        self, session: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self._session = session
        self._incoming = incoming
        self._outgoing = outgoing

    def send(self, lines: bytes) -> bytes:
        """Only an alert, or nothing, if the session has failed: the Receiver has told of it."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[self._session.write(rest) :]
        except ssl.SSLError:
            pass  # never that it should read first: OP_NO_RENEGOTIATION, and the memory is enough
        return self._outgoing.read()

    def end(self) -> bytes:
        """The close_notify alert."""
        # `unwrap` goes on to look for the other side's, and what it finds instead is lost.
        unread = self._incoming.read()
        with suppress(ssl.SSLError):
            self._session.unwrap()
        self._incoming.write(unread)
        return self._outgoing.read()


class Receiver(base.Receiver):
    """Records to lines.

    Set `parted` where the Sender is used in another process. An error is raised when all that was
    said before it has been given: so call `decode(b"")` again after what a `decode` has given.
    """

    def __init__(
        self, session: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        super().__init__()
        self.parted = False
        self._session = session
        self._incoming = incoming
        self._outgoing = outgoing
        self._ended = False
        self._failed: base.Tampered | None = None

    @property
    def ended(self) -> bool:
        """Whether the close_notify has come. Whoever cuts the connection cannot forge it."""
        return self._ended

    def decode(self, data: bytes) -> bytes:
        """What whole records hold: no longer than they are, for there is no compression."""
        if self._ended:
            return b""  # what comes after the end counts nothing: RFC 8446, 6.1
        said: list[bytes] = []
        if self._failed is None:
            self._incoming.write(data)
            self._read(said)
            self._look_for_questions()
        if self._failed and not said:
            raise self._failed
        return b"".join(said)

    def take_answer(self) -> bytes:
        """What was asked for, where it can be given: new keys, or a refusal to renegotiate."""
        if self.parted:
            return b""  # its number would be wrong: the other side would see a damaged record
        self._write_new_keys()
        return self._outgoing.read()

    def _read(self, said: list[bytes]) -> None:
        try:
            while part := self._session.read(CHUNK):
                said.append(part)
            self._ended = True
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:  # instead of b"" once our close_notify is out, too
            self._ended = True
        except ssl.SSLError as error:
            self._failed = base.Tampered(why_it_ended(error))

    def _look_for_questions(self) -> None:
        if self._failed or self._ended:
            return
        if self.parted:
            refusal = self._outgoing.read()
            self._write_new_keys()
            if self._outgoing.pending:
                self._failed = base.Tampered(NEW_KEYS.format("key update"))
            elif refusal and self._session.server_side:
                self._failed = base.Tampered(NEW_KEYS.format("renegotiation"))
        elif self._outgoing.pending > UNSENT_LIMIT:
            self._failed = base.Tampered("the other side asks for new keys again and again")

    def _write_new_keys(self) -> None:
        """Put our key update into `outgoing`, one for all requests that came: SSL_write_ex(3) has
        it that nothing else is sent where there is nothing to send.
        """
        try:
            self._session.write(b"")
        except ssl.SSLError:
            return  # the session is over, or our half of it


class _Handshake(base.Handshake):
    """What both sides do. A failure's `reply` is the alert that OpenSSL has for it."""

    def __init__(self, context: ssl.SSLContext, name: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(
            self._incoming, self._outgoing, server_side=name is None, server_hostname=name
        )
        self._silent = True  # nothing has come so far

    def feed(self, data: bytes) -> bytes:
        if self._silent and data:
            self._silent = False
            self._look_at(data)
        self._incoming.write(data)
        if self.channel is None:
            self._go_on()
        return self._outgoing.read()

    def stopped(self, why: str) -> base.HandshakeError:
        return base.HandshakeError(f"the TLS handshake failed: {why}")

    def _go_on(self) -> None:
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            raise base.HandshakeError(self._why(error), self._outgoing.read()) from None
        name = self._judge()
        receiver = Receiver(self._session, self._incoming, self._outgoing)
        self.channel = base.Channel(
            Sender(self._session, self._incoming, self._outgoing), receiver, name
        )

    def _look_at(self, came: bytes) -> None:
        """Raise HandshakeError if what the other side says cannot begin so."""
        raise NotImplementedError

    def _why(self, error: ssl.SSLError) -> str:
        return in_words(error)

    def _judge(self) -> str:
        """The channel's name, if the other side is who it should be. Raises HandshakeError."""
        raise NotImplementedError


class Server(_Handshake):
    """The side that has a certificate; `context` is from `server_context`."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context, None)

    def stopped(self, why: str) -> base.HandshakeError:
        error = super().stopped(why)
        error.reply = PLAIN_REPLY if self._silent else b""
        return error

    def _look_at(self, came: bytes) -> None:
        if came[0] != _HANDSHAKE:
            reply = answer_to(came, PLAIN_REPLY)
            raise base.HandshakeError("it does not speak TLS", reply)

    def _judge(self) -> str:
        return SERVER_NAME


class Client(_Handshake):
    """The side that calls `host`; `context` is from `client_context`, `pin` from `parse_pin`.

    Raises UsageError if no certificate could have the host's name.
    """

    def __init__(self, context: ssl.SSLContext, host: str, pin: bytes | None) -> None:
        self._host = host
        self._pin = pin
        try:  # a certificate has neither a scope (fe80::1%eth0) nor the DNS's last dot
            super().__init__(context, host.partition("%")[0].removesuffix("."))
        except ValueError:
            raise UsageError(f"cannot use TLS: no certificate can name {host}") from None

    def start(self) -> bytes:
        return self.feed(b"")

    def _look_at(self, came: bytes) -> None:
        if came[0] not in (_HANDSHAKE, _ALERT):
            raise base.HandshakeError("the other side does not speak TLS")

    def _why(self, error: ssl.SSLError) -> str:
        if isinstance(error, ssl.SSLCertVerificationError):
            return why_not_valid(error, self._host)
        return super()._why(error)

    def _judge(self) -> str:
        if self._pin is None:
            return f"{SERVER_NAME}, certificate of {name_in(self._session)}"
        digest = hashlib.sha256(self._session.getpeercert(True) or b"").digest()
        if not hmac.compare_digest(digest, self._pin):
            text = f"its certificate is another one than the pin's: sha256:{digest.hex()}"
            raise base.HandshakeError(text, self._refusal())
        return f"{SERVER_NAME}, pinned certificate"

    def _refusal(self) -> bytes:
        if self._session.version() == "TLSv1.3":
            return _BAD_CERTIFICATE  # instead of our Finished: the other side has no session, too
        return Sender(
            self._session, self._incoming, self._outgoing
        ).end()  # it has one, and takes sealed bytes
