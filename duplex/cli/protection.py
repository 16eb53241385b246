"""Protection as the command line asks for it: a code, TLS, or none.

A code comes from the environment, from the code file, or from who is asked at the terminal. Runs
before the first fork. Knows nothing of what is done with a code (channel/code.py).
"""

from __future__ import annotations

import os
import select
import stat
import unicodedata

from duplex.channel import passphrase
from duplex.channel.passphrase import check
from duplex.channel.protection import Certified, Certifying, Code, Protection
from duplex.system.errors import UsageError, reason_of, say_status
from duplex.system.process import wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from duplex.system.process import Signals

VARIABLE = "DUPLEX_CODE"
LINE_LIMIT = 1024  # bytes of a code in a file: more is not a code, but the wrong file


def add_listening_arguments(parser: argparse.ArgumentParser) -> None:
    add_code_arguments(parser)
    parser.add_argument(
        "--tls-cert", metavar="FILE", help="speak TLS with the certificate in this PEM file"
    )
    parser.add_argument(
        "--tls-key", metavar="FILE", help="the key of the certificate, in a PEM file"
    )


def add_calling_arguments(parser: argparse.ArgumentParser) -> None:
    add_code_arguments(parser)
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
    if with_tls and asks_for_code(options):
        raise UsageError("cannot use --code with --tls-cert: a port takes a code or speaks TLS")
    if with_tls:
        certified = Certified(options.tls_cert, options.tls_key)
        set_code_aside(options)
        return certified, ""
    if wants_code(options):
        given = given_code(options, signals)
        made = "" if given else passphrase.make()
        return Code(passphrase.normal(given or made)), made
    set_code_aside(options)
    return Protection(), ""


def calling(options: argparse.Namespace, signals: Signals) -> Protection:
    """What the options of `connect` ask for; the code is asked for where it has to be."""
    with_tls = options.tls or options.tls_ca or options.tls_pin
    if with_tls and asks_for_code(options):
        raise UsageError("cannot use --code with --tls: a connection uses one of them")
    if options.tls_ca and options.tls_pin:
        raise UsageError("cannot use --tls-ca with --tls-pin: the pin alone decides")
    if with_tls:
        certifying = Certifying(options.host, options.tls_ca, options.tls_pin)
        set_code_aside(options)
        return certifying
    if wants_code(options):
        code = given_code(options, signals)
        if code is None:
            from duplex.terminal.code_prompt import ask  # for a terminal only

            code = ask(signals)
        return Code(passphrase.normal(code))
    set_code_aside(options)
    return Protection()


def add_code_arguments(parser: argparse.ArgumentParser) -> None:
    """What all commands with a code take; never the code, for `ps` shows arguments to all."""
    parser.add_argument(
        "--code",
        action="store_true",
        help="encrypt, and talk only to those who know a code; "
        f"the environment variable {VARIABLE} holds it for scripts, and means --code",
    )
    parser.add_argument(
        "--code-file", metavar="FILE", help="use the code in the first line of FILE; means --code"
    )
    parser.add_argument(
        "--no-code", action="store_true", help=f"use no code, even if {VARIABLE} is set"
    )


def asks_for_code(options: argparse.Namespace) -> bool:
    """Whether the command line asks for a code. Raises UsageError if it also asks for none."""
    asked = bool(options.code) or options.code_file is not None
    if asked and options.no_code:
        raise UsageError("cannot use --code with --no-code: they contradict each other")
    return asked


def wants_code(options: argparse.Namespace) -> bool:
    """Whether a code is asked for at all: by the command line, or else by DUPLEX_CODE being set.

    Also if the variable is empty: `given_code` tells that as an error.
    """
    return asks_for_code(options) or (VARIABLE in os.environ and not options.no_code)


def set_code_aside(options: argparse.Namespace) -> None:
    """Nothing is done with DUPLEX_CODE: told, unless that was asked for, and never handed on."""
    if os.environ.pop(VARIABLE, None) is not None and not options.no_code:
        say_status(f"{VARIABLE} is not used, because this is TLS (--no-code hides this line)")


def given_code(options: argparse.Namespace, signals: Signals | None = None) -> str | None:
    """The code of --code-file or else of DUPLEX_CODE, checked; None if there is neither.

    The variable is removed, so that no program started from here inherits it. This does not hide
    it from its owner: /proc/PID/environ goes on showing what the process was started with.
    Raises UsageError; Interrupted with `signals`, for FILE can be a pipe whose writer takes long.
    """
    variable = os.environ.pop(VARIABLE, None)
    if options.code_file is not None:
        return check(_first_line(options.code_file, signals))
    if variable is None:
        return None
    # Not taken for none at all: a script that failed to find its code would go on without it.
    if not variable.strip():
        raise UsageError(f"cannot use {VARIABLE}: it is empty; set it to the code, or unset it")
    if not _is_text(variable):
        raise UsageError(f"cannot use {VARIABLE}: it is not UTF-8; set it to the code, or unset it")
    return check(variable)


def _is_text(line: str) -> bool:
    """Whether a person can have meant it: no control characters, no bytes that are not UTF-8."""
    return not any(unicodedata.category(c) in ("Cc", "Cs") for c in line.replace("\t", " "))


def _first_line(path: str, signals: Signals | None) -> str:
    try:
        # Without waiting for a pipe's writer to come: that is waited for with the signals.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            data = _read_line(fd, signals)
            told = os.fstat(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise UsageError(f"cannot read the code from {path}: {reason_of(error)}") from None
    try:
        line = data.decode("utf-8-sig").partition("\n")[0].strip()
    except UnicodeDecodeError:
        line = "\0"
    if len(data) > LINE_LIMIT or not _is_text(line):
        raise UsageError(f"cannot read the code from {path}: its first line is not text")
    if not line:
        raise UsageError(f"cannot read the code from {path}: its first line is empty")
    if stat.S_ISREG(told.st_mode) and told.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        say_status(f"other users can read the code in {path}: chmod 600 makes it yours alone")
    return line


def _read_line(fd: int, signals: Signals | None) -> bytes:
    """The bytes up to the first newline or the end; of a longer line, more than LINE_LIMIT."""
    data = b""
    while b"\n" not in data and len(data) <= LINE_LIMIT:
        wait({fd: select.POLLIN, **({signals.fd: select.POLLIN} if signals else {})})
        if signals:
            signals.settle()
            signals.check()
        try:
            more = os.read(fd, LINE_LIMIT + 1 - len(data))
        except BlockingIOError:
            continue
        if not more:
            break
        data += more
    return data.partition(b"\n")[0]
