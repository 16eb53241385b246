"""Protection: who can read and speak on a port, as the command line asks for it.

    none   anybody who reaches it; nc and telnet
    code   who knows a short spoken code (spoken.py, wire/code.py)
    tls    anybody, but nobody in between: a certificate says whose port it is (wire/tls.py)

Makes one handshake for each connection. What is not asked for is not imported: all of it is heavy.
"""

from __future__ import annotations

from duplex import spoken
from duplex.errors import UsageError
from duplex.wire import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from duplex import wire
    from duplex.process import Signals
    from duplex.wire import tls


class Protection:
    """None at all; the others say what they do otherwise."""

    kind = "none"  # in one word, as a room in a store says it
    name = plain.NAME  # of the channels it makes, as far as that is known before
    is_on = False
    is_open = True  # anybody may come: web pages and the like, too
    hosts = "127.0.0.1"  # to listen on unless told otherwise: "" for all addresses
    flag = ""  # what the other side types, before the address

    def answer(self) -> wire.Handshake | None:
        """The handshake for who has called. None: a plain channel, which needs none."""
        return None

    def calls(self, host: str) -> None:
        """The next `call` is for that host."""

    def call(self) -> wire.Handshake | None:
        """The handshake for calling."""
        return None

    def rehearse(self) -> wire.Handshake | None:
        """That of somebody who calls here and is let in."""
        return None


class Code(Protection):
    """`code` as spoken.py has made it normal."""

    kind = "code"
    is_on = True
    is_open = False
    hosts = ""  # who does not know the code has no use of it
    flag = "--code "

    def __init__(self, code: bytes) -> None:
        from duplex.wire import code as channel

        self._channel = channel
        self.name = channel.NAME
        self._code = code

    def answer(self) -> wire.Handshake:
        return self._channel.Server(self._code)

    def call(self) -> wire.Handshake:
        return self._channel.Client(self._code)

    def rehearse(self) -> wire.Handshake:
        return self.call()


class Certified(Protection):
    """TLS for the side that listens."""

    kind = "tls"
    is_on = True

    def __init__(self, cert: str, key: str) -> None:
        from duplex.wire import certificate, tls

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

    def answer(self) -> wire.Handshake:
        return self._tls.Server(self._context)

    def rehearse(self) -> wire.Handshake:
        context = self._certificate.client_context(None, pinned=True)
        return self._tls.Client(context, "localhost", self._certificate.parse_pin(self._pin))


class Certifying(Protection):
    """TLS for the side that calls."""

    is_on = True

    def __init__(self, host: str, ca: str | None, pin: str | None) -> None:
        from duplex.wire import certificate, tls

        self._tls = tls
        self._host = host
        self._pin = certificate.parse_pin(pin) if pin else None
        self._context = certificate.client_context(ca, pinned=pin is not None)

    def calls(self, host: str) -> None:
        self._host = host

    def call(self) -> tls.Client:
        return self._tls.Client(self._context, self._host, self._pin)


def add_listening_arguments(parser: argparse.ArgumentParser) -> None:
    spoken.add_arguments(parser)
    parser.add_argument(
        "--tls-cert", metavar="FILE", help="speak TLS with the certificate in this PEM file"
    )
    parser.add_argument(
        "--tls-key", metavar="FILE", help="the key of the certificate, in a PEM file"
    )


def add_calling_arguments(parser: argparse.ArgumentParser) -> None:
    spoken.add_arguments(parser)
    parser.add_argument("--tls", action="store_true", help="speak TLS, and check the certificate")
    parser.add_argument(
        "--tls-ca",
        metavar="FILE",
        help="speak TLS, and trust these authorities instead of the system's",
    )
    parser.add_argument(
        "--tls-pin",
        metavar="sha256:HEX",
        help="speak TLS, and trust the one certificate with this fingerprint",
    )


def listening(
    options: argparse.Namespace, signals: Signals | None = None
) -> tuple[Protection, str]:
    """What the options of `listen` and `room` ask for, and the code if one was made just now."""
    with_tls = options.tls_cert or options.tls_key
    if with_tls and not (options.tls_cert and options.tls_key):
        raise UsageError("cannot use TLS: --tls-cert and --tls-key go together")
    if with_tls and spoken.asked_for(options):
        raise UsageError("cannot use --code with --tls-cert: a port takes a code or speaks TLS")
    if with_tls:
        certified = Certified(options.tls_cert, options.tls_key)
        spoken.set_aside(options)
        return certified, ""
    if spoken.wanted(options):
        given = spoken.given(options, signals)
        made = "" if given else spoken.make()
        return Code(spoken.normal(given or made)), made
    spoken.set_aside(options)
    return Protection(), ""


def calling(options: argparse.Namespace, signals: Signals) -> Protection:
    """What the options of `connect` ask for; the code is asked for where it has to be."""
    with_tls = options.tls or options.tls_ca or options.tls_pin
    if with_tls and spoken.asked_for(options):
        raise UsageError("cannot use --code with --tls: a connection uses one of them")
    if options.tls_ca and options.tls_pin:
        raise UsageError("cannot use --tls-ca with --tls-pin: the pin alone decides")
    if with_tls:
        certifying = Certifying(options.host, options.tls_ca, options.tls_pin)
        spoken.set_aside(options)
        return certifying
    if spoken.wanted(options):
        code = spoken.given(options, signals)
        if code is None:
            from duplex.asking import ask  # for a terminal only

            code = ask(signals)
        return Code(spoken.normal(code))
    spoken.set_aside(options)
    return Protection()
