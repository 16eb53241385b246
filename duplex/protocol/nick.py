"""Nicks: what can be one, which are the same, and which look the same.

As RFC 8266 has nicknames, and more: no nick can forge a record, and none looks like another's
(lookalikes.py). Pure computation on what passed the text boundary; in the hub, and in clients.
"""

from __future__ import annotations

import re

from duplex.protocol.lookalikes import look, why_not
from duplex.system.errors import DuplexError
from duplex.transcript.record import NICK_LIMIT
from duplex.transcript.sanitize import visible

HOST = "host"  # the operator's
_TYPED_LIMIT = 8 * NICK_LIMIT  # characters that could become a nick; the answer repeats no more
_FORBIDDEN = "<>"
NUMBERED_LIMIT = 28  # characters of a nick that gets a number
_SIMPLE = re.compile(f"[A-Za-z0-9_][-A-Za-z0-9_.]{{0,{NICK_LIMIT - 1}}}")


class NickError(DuplexError):
    """It cannot be a nick; the text says why."""


class Taken(DuplexError):
    """Somebody else is called that."""

    def __init__(self, nick: str) -> None:
        super().__init__(f"somebody else is {nick} now")


class Alike(Taken):
    """Somebody is called what looks like it."""

    def __init__(self, nick: str, other: str) -> None:
        DuplexError.__init__(self, f"{nick} looks like {other}, who is here")


def refusal(nick: str, other: str) -> Taken:
    """Why `nick` cannot be had while somebody is called `other`, if that is known."""
    return Alike(nick, other) if other and same_nick(other) != same_nick(nick) else Taken(nick)


def prepare_nick(text: str) -> str:
    """`text` as a nick is written (RFC 8266, case preserved). Raises NickError."""
    return _by_profile("NicknameCasePreserved", text)


def same_nick(nick: str) -> str:
    """What two nicks have in common that count as the same (RFC 8266, case mapped)."""
    return _by_profile("NicknameCaseMapped", nick)


def _by_profile(profile: str, text: str) -> str:
    if _SIMPLE.fullmatch(text):  # nothing to prepare: the tables are not touched
        return text.lower() if profile == "NicknameCaseMapped" else text
    if len(text) > _TYPED_LIMIT:
        shown = f"{text[:NICK_LIMIT]!r}…"
        raise NickError(f"{shown} cannot be a nick: it has more than {NICK_LIMIT} characters")
    from precis_i18n import get_profile

    try:
        nick: str = get_profile(profile).enforce(text)
    except UnicodeEncodeError as error:
        reason = "it is empty" if "empty" in error.reason else "a character in it is not allowed"
        raise NickError(f"{text!r} cannot be a nick: {reason}") from None
    if len(nick) > NICK_LIMIT:
        raise NickError(f"{text!r} cannot be a nick: it has more than {NICK_LIMIT} characters")
    if any(character in _FORBIDDEN or character.isspace() for character in nick):
        raise NickError(f"{text!r} cannot be a nick: it can hold no <, > or space")
    if nick.startswith(("/", "!", "-", "*")):
        raise NickError(f"{text!r} cannot be a nick: it begins with {nick[0]}")
    # The profile has composed and decomposed: a record holds nothing that whoever reads it with the
    # same boundary would change, or offsets would be counted differently on both sides.
    if visible(nick) != nick:
        reason = "it has too many marks on one letter, or what is not seen"
        raise NickError(f"{text!r} cannot be a nick: {reason}")
    return nick


def free_nick(text: str) -> str:
    """`text` as a nick that anybody may take. Raises NickError."""
    nick = prepare_nick(text)
    if same_nick(nick) == HOST:
        raise NickError(f"{HOST} is who keeps this room")
    if why := why_not(nick):
        raise NickError(f"{text!r} cannot be a nick: {why}")
    if look(nick) == HOST:
        raise NickError(f"{nick} looks like {HOST}, who keeps this room")
    return nick


def numbered(nick: str, number: int) -> str:
    """`nick`, or with that number behind it from 2 on. Raises NickError."""
    ending = str(number) if number > 1 else ""
    return free_nick(nick[: NUMBERED_LIMIT - len(ending)] + ending) if ending else nick


def guest(number: int) -> str:
    """The nick of who has not said another."""
    return f"guest-{number}"


def compared(nick: str) -> str:
    """`same_nick`, of any name: what can be no nick in a room is the same only as itself."""
    try:
        return same_nick(nick)
    except NickError:
        return nick
