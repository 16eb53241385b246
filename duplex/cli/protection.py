"""Protection as the command line asks for it: a code, TLS, or none."""

from __future__ import annotations

from duplex.channel import passphrase
from duplex.channel.protection import Certified, Certifying, Code, Protection
from duplex.cli import code_options
from duplex.system.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from duplex.system.process import Signals


def add_listening_arguments(parser: argparse.ArgumentParser) -> None:
    code_options.add_arguments(parser)
    parser.add_argument(
        "--tls-cert", metavar="FILE", help="speak TLS with the certificate in this PEM file"
    )
    parser.add_argument(
        "--tls-key", metavar="FILE", help="the key of the certificate, in a PEM file"
    )


def add_calling_arguments(parser: argparse.ArgumentParser) -> None:
    code_options.add_arguments(parser)
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
    if with_tls and code_options.asked_for(options):
        raise UsageError("cannot use --code with --tls-cert: a port takes a code or speaks TLS")
    if with_tls:
        certified = Certified(options.tls_cert, options.tls_key)
        code_options.set_aside(options)
        return certified, ""
    if code_options.wanted(options):
        given = code_options.given(options, signals)
        made = "" if given else passphrase.make()
        return Code(passphrase.normal(given or made)), made
    code_options.set_aside(options)
    return Protection(), ""


def calling(options: argparse.Namespace, signals: Signals) -> Protection:
    """What the options of `connect` ask for; the code is asked for where it has to be."""
    with_tls = options.tls or options.tls_ca or options.tls_pin
    if with_tls and code_options.asked_for(options):
        raise UsageError("cannot use --code with --tls: a connection uses one of them")
    if options.tls_ca and options.tls_pin:
        raise UsageError("cannot use --tls-ca with --tls-pin: the pin alone decides")
    if with_tls:
        certifying = Certifying(options.host, options.tls_ca, options.tls_pin)
        code_options.set_aside(options)
        return certifying
    if code_options.wanted(options):
        code = code_options.given(options, signals)
        if code is None:
            from duplex.terminal.code_prompt import ask  # for a terminal only

            code = ask(signals)
        return Code(passphrase.normal(code))
    code_options.set_aside(options)
    return Protection()
