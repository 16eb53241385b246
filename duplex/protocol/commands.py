"""What a client says in a room, and what it means: something said, or a command.

Shared by the member that carries a line out and by the client that waits for its record, so that
both read a line alike. Pure computation on safe text; knows no socket and no transcript.
"""

from __future__ import annotations

import re

# What a client says that wants more than nc does; how the room answers stands in messages.py.
NUMBERS = "/numbers"  # to be told which of its lines each answer answers
WHO = "/who"
RENAME = "nick"  # as `split` gives it
REQUESTS = (b"/join ", b"/resume ")  # what lets a client in as more than a guest


def join(nick: str) -> str:
    return f"/join {nick}"


def resume(nick: str, key: str, offset: int) -> str:
    return f"/resume {nick} {key} {offset}"


def read_resume(argument: str) -> tuple[str, str, int] | None:
    """What `split` finds behind the command; an offset has 18 digits at most."""
    words = argument.split()
    if len(words) != 3 or not words[2].isdecimal() or len(words[2]) > 18:
        return None
    return words[0], words[1], int(words[2])


HELP = (
    "/who: who is here",
    "/nick NAME: be called NAME",
    "/me ACTION: say what you do",
    "/msg NICK TEXT: to NICK alone",
    "/history [N]: the last N records once more",
    "/quit: leave",
    "//TEXT: say /TEXT",
)
HELP_OPERATOR = (
    "/kick NICK [WHY]: close one client",
    "/ban ADDRESS: refuse an address, or an IPv6 /64, and close its clients",
    "/unban ADDRESS: let it in again",
    "/bans: which addresses are refused",
    "/close [WHY]: end the room",
)
_SLASH = re.compile(rb"^/", re.MULTILINE)
ACTION = b"* "  # an action is something said, so that nobody can forge an event by it


def names(*, operator: bool) -> list[str]:
    """Of all commands that somebody may type: "/who"."""
    helps = (*HELP, *HELP_OPERATOR) if operator else HELP
    return [line.partition(":")[0].split()[0] for line in helps]


def as_text(lines: bytes) -> bytes:
    """Whole lines that say just this, whatever they begin with."""
    return _SLASH.sub(b"//", lines)


def split(line: bytes) -> tuple[str, bytes]:
    """(command, argument) of a line without its newline; the command is "" for something said.

    An action is something said, too: b"/me waves" gives ("", b"* waves").
    """
    if not line.startswith(b"/"):
        return "", line
    if line.startswith(b"//"):
        return "", line[1:]
    word, _, argument = line[1:].partition(b" ")
    name = word.decode().lower()
    if name == "me" and argument.strip():
        return "", ACTION + argument.strip()
    return name or "/", argument.strip()
