"""Events: the texts of a room's records about itself, `* …`: how each is made, and read.

The stamp and the star are the record's (transcript/record.py). One reader reads all of them: for
what it has to know of one nick in very many records, a client has patterns besides. Pure text;
knows no state.
"""

from __future__ import annotations

import re

from duplex.protocol.requests import KICKED, LEFT, LOST

ENTERED, BACK, RENAMED = "entered", "back", "renamed"
ALL_DROPPED, CLOSED = "all_dropped", "closed"
_EVENT = re.compile(
    rb"everybody was dropped \(the room's hub (?P<all_dropped>.*)\)"
    rb"|the room closed(?:: )?(?P<closed>.*)"
    rb"|(?P<nick>\S+) (?:entered the room \((?P<entered>.*)\)|is back \((?P<back>.*)\)"
    rb"|is now (?P<renamed>\S+)|(?P<left>left)"
    rb"|was dropped \((?P<lost>.*)\)|was kicked by (?P<kicked>.*))"
)


def entered(nick: str, where: str) -> str:
    return f"{nick} entered the room ({where})"


def back(nick: str, where: str) -> str:
    return f"{nick} is back ({where})"


def renamed(nick: str, to: str) -> str:
    return f"{nick} is now {to}"


def left(nick: str, how: str) -> str:
    """`how`: an ending."""
    return f"{nick} {how}"


def ending(kind: str, reason: str) -> str:
    """How somebody left: `kind` as a member says it (requests.py)."""
    if kind == LEFT:
        return "left"
    if kind == KICKED:
        return f"was kicked by {reason}"
    return f"was dropped ({reason})"


NOT_BACK = ending(LOST, "its client came back, and is somebody else")


def all_dropped(how: str) -> str:
    """The hub has ended, and with it every connection. `how`: "was killed by SIGKILL"."""
    return f"everybody was dropped (the room's hub {how})"


def closed(why: str) -> str:
    return f"the room closed{f': {why}' if why else ''}"


def read(text: bytes) -> tuple[str, str, str] | None:
    """(kind, nick, where or why or its new nick) of an event's text; None: it is no room's.

    The kind is one of the above, or, of who has left, LEFT, KICKED or LOST (requests.py). The nick
    of what concerns all is "".
    """
    if not (found := _EVENT.fullmatch(text)):
        return None
    kind = found.lastgroup or ""
    detail = "" if kind == LEFT else found[kind].decode()
    return kind, (found["nick"] or b"").decode(), detail


def taking(nick: bytes) -> bytes:
    """Pattern of the texts of events by which somebody comes to be called `nick`."""
    name = re.escape(nick)
    return rb"%b entered the room .*|%b is back .*|\S+ is now %b" % (name, name, name)


def changing(nick: bytes) -> bytes:
    """Pattern of the text of the event by which `nick` comes to be called its group `new`."""
    return rb"%b is now (?P<new>\S{1,128})" % re.escape(nick)
