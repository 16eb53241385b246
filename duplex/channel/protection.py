"""Protection: who can read and speak on a port.

    none   anybody who reaches it; nc and telnet
    code   who knows a short spoken code (passphrase.py, code.py)
    tls    anybody, but nobody in between: a certificate says whose port it is (tls.py)

Makes one handshake for each connection. What is not asked for is not imported: all of it is heavy.
"""

from __future__ import annotations

from duplex.channel import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel import base, tls


class Protection:
    """None at all; the others say what they do otherwise."""

    kind = "none"  # in one word, as a room in a store says it
    name = plain.NAME  # of the channels it makes, as far as that is known before
    is_on = False
    is_open = True  # anybody may come: web pages and the like, too
    hosts = "127.0.0.1"  # to listen on unless told otherwise: "" for all addresses
    flag = ""  # what the other side types, before the address

    def answer(self) -> base.Handshake | None:
        """The handshake for who has called. None: a plain channel, which needs none."""
        return None

    def calls(self, host: str) -> None:
        """The next `call` is for that host."""

    def call(self) -> base.Handshake | None:
        """The handshake for calling."""
        return None

    def rehearse(self) -> base.Handshake | None:
        """That of somebody who calls here and is let in."""
        return None


class Code(Protection):
    """`code` as passphrase.py has made it normal."""

    kind = "code"
    is_on = True
    is_open = False
    hosts = ""  # who does not know the code has no use of it
    flag = "--code "

    def __init__(self, code: bytes) -> None:
        from duplex.channel import code as channel

        self._channel = channel
        self.name = channel.NAME
        self._code = code

    def answer(self) -> base.Handshake:
        return self._channel.Server(self._code)

    def call(self) -> base.Handshake:
        return self._channel.Client(self._code)

    def rehearse(self) -> base.Handshake:
        return self.call()


class Certified(Protection):
    """TLS for the side that listens."""

    kind = "tls"
    is_on = True

    def __init__(self, cert: str, key: str) -> None:
        from duplex.channel import certificate, tls

        self._tls = tls
        self._certificate = certificate
        self._files = cert, key
        self.name = tls.SERVER_NAME
        self.reload()

    def reload(self) -> None:
        """Read the certificate again, for connections from now on. Raises a DuplexError."""
        context = self._certificate.server_context(*self._files)
        self._pin = self._certificate.fingerprint(self._files[0])
        self.flag = f"--tls-pin {self._pin} "
        self._context = context

    def answer(self) -> base.Handshake:
        return self._tls.Server(self._context)

    def rehearse(self) -> base.Handshake:
        context = self._certificate.client_context(None, pinned=True)
        return self._tls.Client(context, "localhost", self._certificate.parse_pin(self._pin))


class Certifying(Protection):
    """TLS for the side that calls."""

    is_on = True

    def __init__(self, host: str, ca: str | None, pin: str | None) -> None:
        from duplex.channel import certificate, tls

        self._tls = tls
        self._host = host
        self._pin = certificate.parse_pin(pin) if pin else None
        self._context = certificate.client_context(ca, pinned=pin is not None)

    def calls(self, host: str) -> None:
        self._host = host

    def call(self) -> tls.Client:
        return self._tls.Client(self._context, self._host, self._pin)
