"""Asking for the code on the terminal: nothing of it is shown, kept, or left behind.

    the asking process          prompt_toolkit's line (code_line.py)
    ─ hides what is typed       in a process forked for it alone, because an event loop must not
    ─ waits for the answer ◄─── run here before the forks that are still to come. One pair of
    ─ restores the terminal     sockets: the answer comes this way, and its end goes that way.

Without a terminal as standard input, or with one that can do nothing (TERM=dumb), a plain line is
read here. Owns what the terminal is set to meanwhile. Knows nothing of what is done with a code.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import termios

from duplex.channel.passphrase import normal
from duplex.system import process
from duplex.system.errors import EXIT_FAILURE, EXIT_OK, DuplexError, UsageError
from duplex.system.process import Interrupted, Signals, wait
from duplex.terminal.tty import CTRL_C, CTRL_D

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

PROMPT = "code: "
_GRACE = 1.0  # s for the line's process to take its line off the screen
_LFLAG, _CC = 3, 6  # where tcgetattr(3) has them in Python's list
_OFF = b"\0"  # _POSIX_VDISABLE on Linux: no key does this
_LEFT_BY_A_DEAD_LINE = b"\r\x1b[J\x1b[?2004l\x1b[?25h"  # erase it; no bracketed paste; the cursor
_NO_TERMINAL = "cannot ask for the code: there is no terminal; set DUPLEX_CODE, or use --code-file"


def ask(signals: Signals, plain: bool = False) -> str:
    """The code that a person types; never empty. `plain`: without prompt_toolkit anyway.

    Call it in a process that has no threads. Raises UsageError without a terminal, Interrupted
    at Ctrl-C or a signal, DuplexError when nothing is given.
    """
    tty, is_stdin = _terminal()
    plain = plain or not is_stdin or os.environ.get("TERM", "dumb") == "dumb"
    try:
        with _Hidden(tty):
            return _plain(tty, signals) if plain else _line(tty, signals)
    except (OSError, termios.error):  # it has hung up, and SIGHUP says so if it was ours
        signals.check()
        raise DuplexError("cannot get the code: the terminal is gone") from None
    finally:
        if not is_stdin:
            os.close(tty)


def _terminal() -> tuple[int, bool]:
    """A terminal to read and write, and whether it is standard input."""
    if os.isatty(0) and fcntl.fcntl(0, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR:
        return 0, True
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY), False
    except OSError:
        raise UsageError(_NO_TERMINAL) from None


class _Hidden:
    """While in it, the terminal shows nothing of what is typed, from before a prompt is seen.

    Ctrl-Z and Ctrl-\\ are only characters meanwhile: they would leave the shell a terminal that
    shows nothing. What was typed ahead stays to be read, before and after an answer.
    """

    def __init__(self, tty: int) -> None:
        self._tty = tty
        self._before = termios.tcgetattr(tty)

    def __enter__(self) -> None:
        hidden = termios.tcgetattr(self._tty)
        hidden[_LFLAG] &= ~(termios.ECHO | termios.ECHONL)
        hidden[_LFLAG] |= termios.ICANON | termios.ISIG
        hidden[_CC][termios.VSUSP] = hidden[_CC][termios.VQUIT] = _OFF
        termios.tcsetattr(self._tty, termios.TCSANOW, hidden)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error:  # or the shell would read, and show, what was typed of the code by then
                termios.tcflush(self._tty, termios.TCIFLUSH)
            # Not TCSADRAIN: a terminal that nobody reads would hold up a signal's end.
            termios.tcsetattr(self._tty, termios.TCSANOW, self._before)
        except termios.error:
            return  # it is gone


def _plain(tty: int, signals: Signals) -> str:
    while True:
        os.write(tty, PROMPT.encode())
        try:
            code = _read_line(tty, signals)
        finally:
            os.write(tty, b"\n")
        if normal(code):
            return code


def _read_line(tty: int, signals: Signals) -> str:
    line = b""
    while not line.endswith(b"\n"):
        happened = wait({tty: select.POLLIN, signals.fd: select.POLLIN})
        _heed(signals)
        if tty in happened:
            try:
                more = os.read(tty, 4096)
            except BlockingIOError:
                continue  # others read it, too, and one of them was faster
            if not more and not line:
                raise DuplexError("cannot get the code: none was typed")
            line += more or b"\n"  # Ctrl-D after text ends it as Enter does
    text = line.decode("utf-8", "replace")
    return "".join(c for c in text if c == "\t" or c.isprintable())


def _line(tty: int, signals: Signals) -> str:
    ours, theirs = socket.socketpair()
    child = process.fork(lambda: _be_line(tty, theirs))
    theirs.close()
    try:
        answer = _answer(ours, signals)
    finally:
        ours.close()  # so that the line is taken away, if it is still there
        if not child.ended(_GRACE):
            child.kill()
    if answer == CTRL_C:  # the key that was pressed instead: no code is one
        raise Interrupted(signal.SIGINT)
    if answer == CTRL_D:
        raise DuplexError("cannot get the code: none was typed")
    if not answer:
        os.write(tty, _LEFT_BY_A_DEAD_LINE)
        raise DuplexError(f"cannot get the code: the process that asks {child.how_it_ended()}")
    return answer.decode("utf-8", "surrogateescape")


def _answer(ours: socket.socket, signals: Signals) -> bytes:
    answer = b""
    while True:
        happened = wait({ours.fileno(): select.POLLIN, signals.fd: select.POLLIN})
        _heed(signals)
        if ours.fileno() in happened:
            more = ours.recv(4096)
            if not more:
                return answer
            answer += more


def _heed(signals: Signals) -> None:
    signals.settle()
    signals.check()


def _be_line(tty: int, theirs: socket.socket) -> int:
    """The forked process. The ending signals stay blocked in it: the asking process decides."""
    signal.set_wakeup_fd(-1)  # its pipe is closed by the next line
    process.close_all_but({0, 1, 2, tty, theirs.fileno()})
    from duplex.terminal.code_line import CodeLine

    answer = CodeLine(PROMPT, tty, theirs.fileno()).run()
    try:
        theirs.sendall(answer)
    except OSError:
        return EXIT_FAILURE  # whoever asked is gone
    return EXIT_OK
