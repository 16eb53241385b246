"""The front: the process that a shell has started, where a room has a terminal.

The shell's job control is for this process, the operator's screen and its child, which are one
process group; the server and its children are another, which no key and no terminal stops. So
Ctrl-Z suspends the screen alone, and in the background nothing stops at all.

    shell's job   front ─────── waits for the server, passes signals on, puts the terminal in order
                  └─ server ─── a group of its own, with the hub, the members and other helpers
                     └─ screen  of the front's group, with its child

If the front is killed the server closes the room; if that is killed the front says so by its
status. Owns what the terminal was set to. Reads and writes nothing else; knows nothing of rooms.
"""

from __future__ import annotations

import os
import select
import signal
import termios

from duplex.system.errors import EXIT_SIGNAL
from duplex.system.process import Signals, fork, is_in_background, load_prctl, unblock_signals, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_TERMINAL = 0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STOPS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
# What a screen that was killed has left on: bracketed paste off, the cursor visible, no colours.
_LEFT_BY_A_DEAD_SCREEN = b"\x1b[?2004l\x1b[?25h\x1b[0m"


def is_wanted() -> bool:
    """Whether a terminal may want to control this process."""
    return os.isatty(_TERMINAL)


def is_not_stopped() -> None:
    """From now on no use of the terminal stops this process, nor those that it forks."""
    for number in (signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)


class Front:
    """`stand` forks the room, and returns its exit status. `group` is the process group's."""

    def __init__(self) -> None:
        self.group = os.getpgrp()
        self._pid = os.getpid()
        self._prctl = load_prctl()
        self._before = _mode()

    def stand(self, room: Callable[[], int], let_go: Callable[[], None]) -> int:
        """`let_go` of what is the room's alone."""
        child = fork(lambda: self._be_the_host(room))
        let_go()
        hangs_up = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
        signals = Signals()
        signals.count_hangups()
        passed = 0
        while not child.ended(0):
            wait({child.fd: select.POLLIN, signals.fd: select.POLLIN})
            signals.settle()
            if signals.hangups != passed:
                passed = signals.hangups
                # The room's own may mean something else (count_hangups)
                child.send(signal.SIGTERM if hangs_up and self._is_gone() else signal.SIGHUP)
            if signals.received:
                child.send(signal.Signals(signals.received))
                signals.received = 0
        self._restore()
        if hangs_up and self._is_gone():
            return EXIT_SIGNAL + signal.SIGHUP
        return child.status if child.status >= 0 else EXIT_SIGNAL - child.status

    def _be_the_host(self, room: Callable[[], int]) -> int:
        """Only the server runs this."""
        os.setpgid(0, 0)
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        unblock_signals()
        return room()

    def watched(self) -> None:
        """The server, once it is who it will be (prctl(2)): the room closes when the front ends."""
        self._prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != self._pid:
            os.kill(os.getpid(), signal.SIGTERM)

    def take_in(self) -> None:
        """The screen: from now on it is stopped, and goes on, as a part of the shell's job."""
        for number in _STOPS:
            signal.signal(number, signal.SIG_DFL)
        os.setpgid(0, self.group)

    def _is_gone(self) -> bool:
        """The terminal's window was closed, say."""
        return self._before is not None and _mode() is None

    def _restore(self) -> None:
        """The terminal is as it was, if it is ours: a screen that was killed could not do that."""
        if self._before is None or is_in_background(_TERMINAL) or _mode() in (self._before, None):
            return
        os.write(_TERMINAL, _LEFT_BY_A_DEAD_SCREEN)
        termios.tcsetattr(_TERMINAL, termios.TCSANOW, self._before)


def _mode() -> list[Any] | None:
    """What the terminal is set to; None if it has hung up."""
    try:
        return termios.tcgetattr(_TERMINAL)
    except termios.error:
        return None
