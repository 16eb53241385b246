"""Where `duplex log` writes to: standard output, or a pager that opens at the end.

Takes what is written whole, whatever standard output is: also a pipe that somebody has made
non-blocking. Raises BrokenPipeError when its reader has gone, and DuplexError when it cannot write.
"""

from __future__ import annotations

import os
import shlex
import shutil

from duplex.system.environment import for_others
from duplex.system.errors import EXIT_OK, DuplexError, reason_of, say_status
from duplex.system.stdio import EXIT_PIPE, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

_BUFFER = 64 * 1024  # bytes of output gathered, whatever PYTHONUNBUFFERED says
_LESS = "less"
_SHELLS_OWN = set(";&|<>()$`")  # where one stands in PAGER, what it starts is the shell's affair


class Output:
    """Give `write` what is to be shown, and `close` in the end."""

    def __init__(self, pager: bool) -> None:
        self._pager = _start_pager() if pager else None
        self._fd = 1
        if self._pager:
            assert self._pager.stdin
            self._fd = self._pager.stdin.fileno()
        self._waiting: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        data = b"".join(self._waiting)
        self._waiting, self._size = [], 0
        try:
            write_all(self._fd, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DuplexError(f"cannot write: {reason_of(error)}") from None

    def close(self) -> None:
        self.flush()
        if self._pager:
            assert self._pager.stdin
            self._pager.stdin.close()
            self._pager.wait()

    def abandon(self) -> int:
        """Nobody reads any more; the exit status. A pager that has been left is no failure."""
        self._waiting, self._size = [], 0
        if self._pager is None:
            return EXIT_PIPE
        assert self._pager.stdin
        _in_peace(self._pager.stdin.close)
        while self._pager.poll() is None:
            _in_peace(self._pager.wait)
        return EXIT_OK


def _start_pager() -> subprocess.Popen[bytes] | None:
    """What PAGER says, or less; None where it is to be none, or there is none."""
    command = os.environ.get("PAGER", _LESS)
    if command in ("", "cat"):
        return None
    program = _program_of(command)
    if not _SHELLS_OWN & set(command) and shutil.which(program) is None:
        if "PAGER" in os.environ:
            say_status(f"duplex log: cannot start the pager {program!r}: it is not there")
        return None
    if os.path.basename(program) == _LESS:
        command += " +G"  # the latest is what one looks for first
    import subprocess

    environment = {"LESS": "FRX", **for_others()}
    return subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, env=environment)


def _program_of(command: str) -> str:
    """The first word of a shell's command that is no assignment."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    return next((word for word in words if "=" not in word), command)


def _in_peace(action: Callable[[], object]) -> None:
    """Call it; that the pager reads no more, or that a Ctrl-C was meant for it, is no error."""
    try:
        action()
    except (BrokenPipeError, KeyboardInterrupt):
        return
