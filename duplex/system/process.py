"""Processes and signals: the one fork, what is known of a child, and waiting for events.

Knows nothing of sockets, transcripts or what the processes do.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from duplex.system.errors import (
    EXIT_SIGNAL,
    DuplexError,
    UnableToFork,
    in_form,
    reason_of,
    say_status,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
EXIT_INTERNAL = 70  # EX_SOFTWARE of sysexits.h: the child met a bug of ours
EXIT_UNSERVED = 73  # a member's that lacks what it needs; its seat says what
EXIT_WRONG_CODE = 71  # a member's whose client gave a wrong code: the server counts them
kept_open: set[int] = set()  # what is never closed by `close_all_but` (reach.py)
PIPE_BUF = select.PIPE_BUF  # bytes a pipe that polls writable takes without blocking: pipe(7)


class Interrupted(DuplexError):
    """A signal asked this process to end; the exit status says which. Nothing is printed."""

    def __init__(self, number: int) -> None:
        super().__init__("")
        self.exit_status = EXIT_SIGNAL + number


class Signals:
    """The signals that end a session. The handler only records; the loop polls `fd` and acts.

    Make one in each process after its last fork or `exec`. Signals in `ignored` are left to the
    other process: a terminal sends SIGINT and SIGHUP to both, but one of them decides. A signal
    that was ignored already (nohup) stays so.
    """

    def __init__(self, ignored: tuple[signal.Signals, ...] = ()) -> None:
        self.received = 0
        self.hangups = 0  # only after `count_hangups`
        self.fd, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._caught = []
        for number in _ENDING:
            if number in ignored:
                signal.signal(number, signal.SIG_IGN)
            elif signal.getsignal(number) != signal.SIG_IGN:
                self._caught.append(number)
        self.catch()
        self.arm()

    def catch(self) -> None:
        """Record the signals from now on."""
        for number in self._caught:
            signal.signal(number, self._note)

    def let_go(self) -> None:
        """Let them end the process by themselves, while it waits for what no loop can poll."""
        for number in self._caught:
            signal.signal(number, signal.SIG_DFL)

    def count_hangups(self) -> None:
        """SIGHUP ends nothing from now on: `fd` wakes, and `hangups` has grown.

        Also if it was ignored: nohup asks for no more than not to be ended by it.
        """
        if signal.SIGHUP in self._caught:
            self._caught.remove(signal.SIGHUP)
        signal.signal(signal.SIGHUP, self._count_hangup)

    def wake_at_child(self) -> None:
        """Wake `fd` when a child ends, too; call `settle` before looking for it."""
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def settle(self) -> None:
        """Take what has woken `fd` out of it; what came is in `received`."""
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            return

    def arm(self) -> None:
        """Wake `fd` from C, before Python runs the handler: no signal slips in before a poll.

        An event loop takes this over while it runs; call it again after one.
        """
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self.received:
            raise Interrupted(self.received)

    def _count_hangup(self, _number: int, _frame: object) -> None:
        self.hangups += 1  # `arm` has woken `fd`

    def _note(self, number: int, _frame: object) -> None:
        self.received = self.received or number
        try:
            os.write(self._wake, b"\0")
        except BlockingIOError:
            return  # the pipe is full: whoever polls it is awake


def wait(events: dict[int, int], seconds: float | None = None) -> dict[int, int]:
    """poll(2) on descriptors and the events wanted of each; those that happened, {} at time-out."""
    poll = select.poll()
    for fd, wanted in events.items():
        poll.register(fd, wanted)
    return dict(poll.poll(None if seconds is None else max(0, seconds * 1000)))


def in_foreground(tty: int) -> bool:
    """Whether this process may read the terminal: one in the background would be stopped."""
    try:
        return os.tcgetpgrp(tty) == os.getpgrp()
    except OSError:
        return True  # it controls nobody: there are no jobs


def pause(seconds: float, signals: Signals) -> None:
    """Wait that long. Raises Interrupted when a signal comes."""
    wait({signals.fd: select.POLLIN}, seconds)
    signals.check()


def how_it_ended(status: int) -> str:
    """What became of a process with that wait status, in words for the user."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"


class Child:
    """A forked process, as its parent knows it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._status: int | None = None

    @property
    def fd(self) -> int:
        """Readable once it has ended; closed when `ended` has told so."""
        return self._pidfd

    @property
    def status(self) -> int:
        """Its exit status, negative for a signal. Ask once it has ended."""
        assert self._status is not None
        return os.waitstatus_to_exitcode(self._status)

    def ended(self, seconds: float) -> bool:
        """Whether it has ended, waiting for it that long at most. Reaps it."""
        if self._status is None and wait({self._pidfd: select.POLLIN}, seconds):
            self._status = os.waitpid(self.pid, 0)[1]
            os.close(self._pidfd)
        return self._status is not None

    def ask_to_end(self) -> None:
        """Send SIGTERM, unless it has ended."""
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send that, unless it has ended."""
        if not self.ended(0):
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """Kill and reap it, unless it has ended."""
        if not self.ended(0):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            while not self.ended(1):  # it dies when its system call returns
                pass

    def how_it_ended(self) -> str:
        """What became of it, in words for the user. Call it once it has ended."""
        assert self._status is not None
        return how_it_ended(self._status)


def fork(run: Callable[[], int]) -> Child:
    """Fork a child that calls `run` and exits with what it returns; it never returns here.

    The ending signals are held back meanwhile, so that none arrives in the child before it has
    handlers of its own: `run` makes its Signals and then calls `unblock_signals`, or leaves them
    blocked where the parent is to decide.
    """
    pid = spawn(run)
    try:
        return Child(pid)
    except OSError as error:  # no descriptor: nobody would know of its end
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise UnableToFork(reason_of(error)) from None


def spawn(run: Callable[[], int]) -> int:
    """The same for a parent that has many children and reaps them all: only the process id.

    Both raise UnableToFork.
    """
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        pid = os.fork()
    except OSError as error:
        unblock_signals()
        raise UnableToFork(reason_of(error)) from None
    if pid:
        unblock_signals()
        return pid
    status = EXIT_INTERNAL
    try:
        status = run()
    except DuplexError as error:
        say_status(in_form(error))
        status = error.exit_status
    except BaseException as error:  # a bug: whoever meets it gets one line, and the way to more
        say_status(f"duplex: internal error in process {os.getpid()}: {error!r}")
        if os.environ.get("DUPLEX_DEBUG"):
            import traceback

            traceback.print_exc()
    finally:
        os._exit(status)


def unblock_signals() -> None:
    """Let the ending signals in again, in each process after its side of a fork is set up."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def prepare_to_die_with_parent() -> Callable[[], None]:
    """What a child calls to be killed when this process ends (PR_SET_PDEATHSIG, prctl(2)).

    Call this before the fork: what it loads is then shared by all children.
    """
    parent, prctl = os.getpid(), load_prctl()

    def die_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it has ended before that
            os._exit(EXIT_INTERNAL)

    return die_with_parent


def load_prctl() -> Callable[..., int]:
    """prctl(2), which Python does not have. Loaded only where it is needed, before a fork."""
    import ctypes

    prctl: Callable[..., int] = ctypes.CDLL(None).prctl
    return prctl


def is_in_background(terminal: int) -> bool:
    """Whether the terminal open as `terminal` is another job's just now."""
    try:
        return os.tcgetpgrp(terminal) != os.getpgrp()
    except OSError:
        return False  # it controls nobody here


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor of this process that is not in `kept`, nor in `kept_open`."""
    below = 0
    for fd in sorted(kept | kept_open):
        if fd > below:  # os.closerange(0, 0) closes them all: it asks close_range(2) for 0 to -1
            os.closerange(below, fd)
        below = fd + 1
    os.closerange(below, os.sysconf("SC_OPEN_MAX"))


def close_kept_open() -> None:
    """Nor what that keeps, from now on."""
    for fd in kept_open:
        os.close(fd)
    kept_open.clear()


def seconds_left(deadline: float) -> float:
    """Seconds until `deadline` on the monotonic clock, 0 if it is over."""
    return max(0.0, deadline - time.monotonic())
