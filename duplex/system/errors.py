"""What can go wrong, as a small tree, and the exit statuses.

    DuplexError                 one line for the user, exit status 1
    ├─ UsageError               the command line asks for what cannot be; exit status 2
    ├─ UnableToConnect          no address of the host answered
    ├─ UnableToListen           the address cannot be bound
    ├─ UnableToFork             no process can be made
    └─ TranscriptError          the transcript cannot be opened or written
       ├─ Closed                its room's end stands there
       └─ Locked                somebody else does not let go of it

The text of an error is written for the person who reads it: "cannot …: reason", and where it helps
what to do. `cli.main` is the one place that prints one and chooses the exit status; `in_form` puts
the command before it, and what the command cannot do where the text is a reason alone. This file
knows nothing of sockets or files: whoever catches an OSError brings its words along.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Exit statuses. 130, 143 and 129 are what a shell shows for a program ended by that signal.
EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_SIGNAL = 128  # plus the signal's number

# What a command cannot do, if an error tells nothing but the reason.
_LEADS = {
    "listen": "cannot listen",
    "connect": "cannot connect",
    "room": "cannot keep the room",
    "who": "cannot tell who is there",
    "log": "cannot show the log",
}
_command: list[str] = []  # the one that runs, once it is known

_PATIENCE = 5.0  # s that a standard error which is not read has, where it can be waited for


class DuplexError(Exception):
    """A failure the user is told in one line."""

    exit_status = EXIT_FAILURE


class UsageError(DuplexError):
    """The command line cannot be carried out as it stands."""

    exit_status = EXIT_USAGE


class UnableToConnect(DuplexError):
    """No address of the other side answered."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"cannot connect to {where}: {reason}")


class UnableToListen(DuplexError):
    """The address cannot be listened on."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"cannot listen on {where}: {reason}")


class UnableToFork(DuplexError):
    """No process can be made: there are as many as there may be, or no memory."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no process can be made: {reason}")
        self.reason = reason


class TranscriptError(DuplexError):
    """The transcript cannot be opened, read or written.

    `reason` is the system's own word for it ("No space left on device").
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot write the transcript {path}: {reason}")
        self.reason = reason


class Closed(TranscriptError):
    """The room's end stands there, and nothing comes after it."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "the room closed")


class Locked(TranscriptError):
    """Somebody else holds the transcript's lock, and has for longer than it is waited for."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "another program holds its lock")


def speak_for(command: str) -> None:
    """From now on all errors of this process, and of those that it forks, are this command's."""
    _command[:] = [command]


def in_form(error: DuplexError) -> str:
    """The line that the user reads: `duplex connect: cannot …: reason`."""
    text = str(error)
    if not _command:
        return f"duplex: {text}"
    lead = "" if text.startswith("cannot ") else f"{_LEADS[_command[0]]}: "
    return f"duplex {_command[0]}: {lead}{text}"


def reason_of(error: OSError) -> str:
    """The system's words for `error`, without the errno number and the file's name."""
    return error.strerror or str(error)


def say_status(text: str) -> None:
    """Tell the user something that is not part of what is said: one line on standard error."""
    try:
        write_status(text.encode(errors="backslashreplace") + b"\n")
    except OSError:
        return  # closed, or its reader is gone: nobody to tell, and no reason to end a talk


def write_patiently(line: bytes) -> None:
    """On standard error, for whose reader this process may wait a moment."""
    from duplex.system.stdio import write_all

    write_all(2, line, seconds=_PATIENCE)


# A room has one that never waits (status.py).
write_status: Callable[[bytes], object] = write_patiently
