"""The roster: who is here. A nick is a Unix datagram socket bound in the room's private directory.

So that a nick is free, is somebody's, and takes private mail is one thing: bind(2) is atomic, and
fails for all but one. The host makes the directory and removes what a member leaves behind; members
bind, rename and send. The names of the sockets are digests of the nicks, as short as a path has to
be (unix(7): 108 bytes). Who is who stands in the page. Knows nothing of the transcript.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket

from duplex.errors import DuplexError, reason_of
from duplex.page import Page
from duplex.text import visible

# All of a nick's rules, as nicknames have them (RFC 8266), and ours.
NICK_LIMIT = 32  # characters
HOST = "host"  # the operator's
_TYPED_LIMIT = 8 * NICK_LIMIT  # characters that could become a nick; the answer repeats no more
_FORBIDDEN = "<>"
_SIMPLE = re.compile(f"[A-Za-z0-9_][-A-Za-z0-9_.]{{0,{NICK_LIMIT - 1}}}")

MAIL_LIMIT = 128 * 1024  # bytes of one letter: a line and its sender
_CONTROL = "control"  # the host's own mailbox: what an operator wants of it
_PAGE = "page"
_KEY_SIZE = 16  # bytes of a key's signature


class NickError(DuplexError):
    """It cannot be a nick; the text says why."""


class Taken(DuplexError):
    """Somebody else is called that."""

    def __init__(self, nick: str) -> None:
        super().__init__(f"somebody else is {nick} now")


class Undeliverable(DuplexError):
    """A letter was not put in its mailbox; the text says why."""


class Full(Undeliverable):
    """Whoever reads that mailbox has not read what is in it."""

    def __init__(self, nick: str) -> None:
        super().__init__(f"{nick} has a full mailbox; try again later")


class Nobody(Undeliverable):
    """There is no such mailbox here."""

    def __init__(self, nick: str) -> None:
        super().__init__(f"nobody here is called {nick}")


def prepare_nick(text: str) -> str:
    """`text` as a nick is written (RFC 8266, case preserved). Raises NickError."""
    return _by_profile("NicknameCasePreserved", text)


def same_nick(nick: str) -> str:
    """What two nicks have in common that count as the same (RFC 8266, case mapped)."""
    return _by_profile("NicknameCaseMapped", nick)


def _by_profile(profile: str, text: str) -> str:
    if _SIMPLE.fullmatch(text):  # nothing to prepare, and so a member need not touch the tables
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
        raise NickError(f"{text!r} cannot be a nick: it has too many marks on one letter")
    return nick


def runtime_directory() -> str:
    """Where the rooms' directories are: this user's alone. Raises DuplexError."""
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/duplex-{os.getuid()}"
    path = os.path.join(base, "duplex") if "XDG_RUNTIME_DIR" in os.environ else base
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.lstat(path)
    except OSError as error:
        raise DuplexError(f"Unable to use {path}: {reason_of(error)}") from None
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise DuplexError(f"Unable to use {path}: it has to be yours alone (mode 0700)")
    return path


def rooms(port: int) -> dict[str, Page]:
    """This user's rooms that run at `port` on this machine: their pages, by their directories."""
    found = {}
    base = runtime_directory()
    for name in sorted(os.listdir(base)):
        if not name.startswith(f"room-{port}-"):
            continue
        try:
            fd = os.open(os.path.join(base, name, _PAGE), os.O_RDWR | os.O_CLOEXEC)
            found[os.path.join(base, name)] = Page(fd)
        except (OSError, ValueError):
            continue  # its host is gone, or its process id is somebody else's now
    return found


class Roster:
    """The room's directory, as the host makes it and every member inherits it."""

    def __init__(self, name: str, page: Page) -> None:
        base = runtime_directory()
        for other in os.listdir(base):
            if not os.path.exists(f"/proc/{other.rpartition('-')[2]}"):
                _remove(os.path.join(base, other))  # its host was killed
        self.page = page
        self.path = os.path.join(base, f"{name}-{os.getpid()}")
        _remove(self.path)
        os.mkdir(self.path, 0o700)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.symlink(f"/proc/{os.getpid()}/fd/{page.fd}", os.path.join(self.path, _PAGE))

    def remove(self) -> None:
        """The host, at its end."""
        os.close(self.fd)
        _remove(self.path)

    def open_control(self) -> socket.SocketType:
        """The host's mailbox."""
        return self._bind(_CONTROL)

    def bind(self, nick: str) -> socket.SocketType:
        """Take `nick` and get its mailbox. Raises Taken."""
        try:
            return self._bind(_digest(nick))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise Taken(nick) from None

    def inherit(self, nick: str) -> socket.SocketType:
        """Take a nick whose holder has ended, and that the host keeps for the caller alone.

        At no instant can anybody else bind it.
        """
        name = _digest(nick)
        mailbox = self._bind(f"{name}.{os.getpid()}")
        os.rename(self._place(f"{name}.{os.getpid()}"), self._place(name))
        return mailbox

    def free(self, nick: str) -> None:
        """Let somebody else have it; its mailbox is closed or closes with its process."""
        try:
            os.unlink(self._place(_digest(nick)))
        except FileNotFoundError:
            return  # a member that was killed between taking a nick and binding it, or after

    def free_of_dead(self, nick: str) -> None:
        """The same by the host, for a member that has ended: unless it is somebody else's now.

        While the name is there nobody else can bind it, so that nothing happens between the two.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(self._place(_digest(nick)))
            except ConnectionRefusedError:
                self.free(nick)
            except (FileNotFoundError, NickError):  # not bound yet, or not even written whole
                return

    def send(self, nick: str, letter: bytes) -> None:
        """Put a letter into a mailbox. Raises Undeliverable."""
        self._send(_digest(nick), nick, letter)

    def tell_host(self, letter: bytes) -> None:
        self._send(_CONTROL, "the host", letter)

    def who(self) -> list[str]:
        return sorted((seat.nick for seat in self.page.taken()), key=str.casefold)

    def _bind(self, name: str) -> socket.SocketType:
        mailbox = socket.SocketType(socket.AF_UNIX, socket.SOCK_DGRAM)
        mailbox.setblocking(False)
        try:
            mailbox.bind(self._place(name))
        except OSError:
            mailbox.close()
            raise
        return mailbox

    def _send(self, name: str, nick: str, letter: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(letter, self._place(name))
            except BlockingIOError:
                raise Full(nick) from None
            except (FileNotFoundError, ConnectionRefusedError):
                raise Nobody(nick) from None
            except OSError as error:
                raise Undeliverable(f"not delivered to {nick}: {reason_of(error)}") from None

    def _place(self, name: str) -> str:
        return f"/proc/self/fd/{self.fd}/{name}"


def _digest(nick: str) -> str:
    return hashlib.blake2b(same_nick(nick).encode(), digest_size=16).hexdigest()


def _remove(directory: str) -> None:
    """A room's directory, in which there are only sockets and a link."""
    try:
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
        os.rmdir(directory)
    except OSError:
        return  # somebody else is removing it, too


class Keys:
    """Signs who is who, so that somebody who comes back can prove it, also to a room restarted.

    The secret lies beside the transcript, for the user alone; whoever holds the lock on it is the
    transcript's one room.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def key(self, nick: str, session: int) -> str:
        return f"{session:016x}{self._sign(nick, session)}"

    def session(self, nick: str, key: str) -> int | None:
        """The session that `key` was made for; None if it is not a key of this room for `nick`."""
        try:
            session = int(key[:16], 16)
            right = self._sign(nick, session)
        except (ValueError, OverflowError):  # no number, or one below 0
            return None
        from hmac import compare_digest  # needed by those who come back alone

        return session if compare_digest(key[16:].encode(), right.encode()) else None

    def _sign(self, nick: str, session: int) -> str:
        text = session.to_bytes(8, "big") + same_nick(nick).encode()
        return hashlib.blake2b(text, key=self._secret, digest_size=_KEY_SIZE).hexdigest()


def new_session() -> int:
    return int.from_bytes(os.urandom(8), "big")
