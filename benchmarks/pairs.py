"""The pairs that are compared: who listens and who calls, and what of their channel they are told.

The certificate is signed by itself and made for this run, in the bench's directory; so is the code.
What is measured it does not know.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

from programs import HOST, Bench, NotMeasured, duplex, missing

if TYPE_CHECKING:
    from collections.abc import Callable

CODE = "walrus-dexterity-zookeeper-kangaroo"
CODE_ARGUMENTS = ("--code",)  # and DUPLEX_CODE
PATIENCE = 60.0  # s for openssl
# As openssl makes one for a server: ECDSA, P-256.
_NEW = ("openssl", "req", "-x509", "-nodes", "-days", "2")
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Pair(NamedTuple):
    """Two programs, each with a log: arguments from a port, as text, and the log's path."""

    listen: Callable[[str, str], tuple[str, ...]]
    call: Callable[[str, str], tuple[str, ...]]
    show: Callable[[str, str], tuple[str, ...]]  # listen, and take what is typed here, too
    stamps: bool = False  # each line in the listener's log
    stdin: int = subprocess.DEVNULL  # of who listens
    fails: bool = False  # at the end, though everything is there


class Certificate(NamedTuple):
    """Paths of PEM files."""

    cert: str
    key: str


def certificate(bench: Bench) -> Certificate:
    if missing("openssl"):
        raise NotMeasured("openssl is missing, and no certificate can be made")
    made = Certificate(bench.path("cert.pem"), bench.path("key.pem"))
    names = ("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=IP:{HOST}")
    command = (*_NEW, *_KEY, *names, "-out", made.cert, "-keyout", made.key)
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise NotMeasured(f"openssl made no certificate: {done.stderr.decode(errors='replace')}")
    return made


def _duplex(listening: tuple[str, ...] = (), calling: tuple[str, ...] = ()) -> Pair:
    def listen(port: str, log: str) -> tuple[str, ...]:
        return duplex(), "listen", "--host", HOST, *listening, port, "--log", log

    def call(port: str, log: str) -> tuple[str, ...]:
        return duplex(), "connect", *calling, HOST, port, "--log", log

    return Pair(listen, call, listen, stamps=True)


def _ncat(listening: tuple[str, ...] = ()) -> Pair:
    def show(port: str, log: str) -> tuple[str, ...]:
        return "ncat", "-l", *listening, "-o", log, HOST, port

    def listen(port: str, log: str) -> tuple[str, ...]:
        return *show(port, log), "--recv-only"

    def call(port: str, _log: str) -> tuple[str, ...]:
        return "ncat", "--send-only", HOST, port

    return Pair(listen, call, show)


def tls_arguments(made: Certificate) -> tuple[str, ...]:
    """Of who listens."""
    return "--tls-cert", made.cert, "--tls-key", made.key


DUPLEX = _duplex()
NCAT = _ncat()


def with_code(bench: Bench) -> Pair:
    bench.environment["DUPLEX_CODE"] = CODE
    return _duplex(CODE_ARGUMENTS, CODE_ARGUMENTS)


def with_tls(made: Certificate) -> Pair:
    return _duplex(tls_arguments(made), ("--tls", "--tls-ca", made.cert))


def ncat_ssl(made: Certificate) -> Pair:
    def call(port: str, _log: str) -> tuple[str, ...]:
        return "ncat", "--ssl", "--ssl-verify", "--ssl-trustfile", made.cert, HOST, port

    # ncat 7.93 ends a session without close_notify, and may take such an end for an error. So
    # neither side may be first to shut its half but who sends: with --recv-only the listener is.
    # With --send-only the caller leaves TLS 1.3's tickets unread, so that its close resets the
    # connection: of 30 MB the last 2 or so are lost then, in most runs.
    show = _ncat(("--ssl", "--ssl-cert", made.cert, "--ssl-key", made.key)).show
    return Pair(show, call, show, stdin=subprocess.PIPE, fails=True)
