"""The code as people say it: made of listed words, typed in many ways, given by scripts.

The list is the EFF's second short wordlist (eff.org/dice: 1,296 words, Electronic Frontier
Foundation, CC BY 3.0 US), no two of whose words begin with the same three letters, and which are
at least three typing errors apart. One is changed: "yo-yo" is "yoyo", so that a hyphen stands only
between words. Four words drawn from it are worth 41.4 bits: far more than can be tried, for the
key exchange allows one guess a connection.

Runs before the first fork. Knows the command line, the environment and the code file; nothing of
terminals (asking.py), nor of what is done with a code (wire/code.py).
"""

from __future__ import annotations

import functools
import os
import re
import select
import stat
import unicodedata

from duplex.errors import UsageError, reason_of, say_status
from duplex.process import wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from duplex.process import Signals

WORDS = 4  # of a code that is made here
ENOUGH = 3  # letters that tell a listed word from all others
SHORTEST = 8  # characters of a code that was chosen
VARIABLE = "DUPLEX_CODE"
LINE_LIMIT = 1024  # bytes of a code in a file: more is not a code, but the wrong file
# Word processors and messengers make other dashes of a hyphen: U+2010 to U+2015, U+2212.
_SEPARATORS = re.compile(r"[\s\-_,\u2010-\u2015\u2212]+")
_LIST = os.path.join(os.path.dirname(__file__), "wordlist.txt")


@functools.cache
def words() -> dict[str, str]:
    """The listed words by their first three letters."""
    with open(_LIST, encoding="ascii") as file:
        return {line[:ENOUGH]: line.strip() for line in file if not line.startswith("#")}


def candidates(start: str) -> list[str]:
    """The listed words that begin so."""
    return [word for word in words().values() if word.startswith(start)]


def listed(word: str) -> str:
    """The listed word that these letters stand for, or ""."""
    found = words().get(word[:ENOUGH], "")
    return found if len(word) >= ENOUGH and found.startswith(word) else ""


def split(text: str) -> list[str]:
    """The words typed, in lower case; the last is "" after a separator."""
    return _SEPARATORS.split(re.sub(r"\byo-yo\b", "yoyo", text.casefold()))


def make() -> str:
    """A new code, as it is shown and said: `walrus-dexterity-zookeeper-kangaroo`."""
    import secrets  # and with it OpenSSL's library: only for this

    chosen_from = list(words().values())
    return "-".join(secrets.choice(chosen_from) for _ in range(WORDS))


def normal(text: str) -> bytes:
    """What both sides feed to the key exchange, however the code was typed.

    Compatible and upper-case letters become plain ones (NFKC_Casefold but for what it ignores:
    Unicode, D146), whatever stands between words becomes one hyphen, and three letters and more of
    a listed word become that word, if all words of the code are such. Idempotent.
    """
    text = _tidy(text)
    known = [listed(word) for word in split(text)]
    if all(known):
        text = "-".join(known)
    return text.encode("utf-8", "surrogatepass")  # what is no Unicode must not be a traceback


def check(text: str) -> str:
    """Raise UsageError unless this chosen code is long enough; the code itself.

    A listed word counts as the three letters that stand for it: "abdomen" is no more than "abd".
    """
    parts = normal(text).decode("utf-8", "surrogatepass").split("-")
    if all(map(listed, parts)):
        parts = [word[:ENOUGH] for word in parts]
    if len("-".join(parts)) < SHORTEST:
        raise UsageError(
            "cannot use this code: it is too easily guessed; take 3 listed words or more, or "
            f"{SHORTEST} characters of your own, or let `duplex listen --code` make one"
        )
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
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


def asked_for(options: argparse.Namespace) -> bool:
    """Whether the command line asks for a code. Raises UsageError if it also asks for none."""
    asked = bool(options.code) or options.code_file is not None
    if asked and options.no_code:
        raise UsageError("cannot use --code with --no-code: they contradict each other")
    return asked


def wanted(options: argparse.Namespace) -> bool:
    """Whether a code is asked for at all: by the command line, or else by DUPLEX_CODE being set.

    Also if the variable is empty: `given` tells that as an error.
    """
    return asked_for(options) or (VARIABLE in os.environ and not options.no_code)


def set_aside(options: argparse.Namespace) -> None:
    """Nothing is done with DUPLEX_CODE: told, unless that was asked for, and never handed on."""
    if os.environ.pop(VARIABLE, None) is not None and not options.no_code:
        say_status(f"{VARIABLE} is not used, because this is TLS (--no-code hides this line)")


def given(options: argparse.Namespace, signals: Signals | None = None) -> str | None:
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


def _tidy(text: str) -> str:
    text = unicodedata.normalize("NFD", text)
    for _ in range(2):
        text = unicodedata.normalize("NFKC", text.casefold())
    return _SEPARATORS.sub("-", text).strip("-")


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
