"""What members, hub and server say to each other: one datagram each, made and read here.

    member ─ request ─► hub      a verb, a number, words          one under way at a time
    member ◄─ reply ─── hub      a word, a count, seconds, text   one a request; CLOSING unasked
    server ◄─ note ───► hub      a kind, a seat's number, words

Words are parted by NUL, which nothing that passed the text boundary has; the last one takes the
rest. The hub believes no member: what is not in this form is Malformed, and costs the member its
life. Pure computation; knows no socket.
"""

from __future__ import annotations

import struct

SAY_LIMIT = 64 * 1024  # bytes of lines that one request says
LIMIT = 192 * 1024  # bytes of a datagram: a line's worth that was made visible, and a head

# Requests:
HELLO = b"h"  # a client is there: its descriptor comes along. number: flags
NUMBERS = b"#"  # answers are to be numbered. number: the first line of which they are
ENTER = b"e"  # as the guest that it is
JOIN = b"j"  # nick, or "" where none was asked for that can be; number: the line, 0 on arrival
RESUME = b"r"  # nick, key, offset; number: as with JOIN
SAY = b"s"  # lines; number: of the first of them
RENAME = b"n"  # nick
POST = b"m"  # nick, text: for that one alone
WHO = b"w"
HISTORY = b"y"  # how many records
ANSWER = b"a"  # lines for its own client, as they are
WIRE = b"b"  # bytes for its client's program, as they are; a plain client's alone
LAST = b"l"  # the same, and nothing else after them
OPERATE = b"o"  # word, argument: of who keeps the room
LEAVE = b"q"  # an ending, a reason. number: how many lines were not said

_WORDS = {JOIN: 1, RESUME: 3, RENAME: 1, POST: 2, OPERATE: 2, LEAVE: 2, HISTORY: 1}

# Flags of HELLO:
FILTER = 1  # the descriptor is a stream to the member, which encodes

# How it ends:
LEFT, LOST, KICKED, CLOSED, UNSERVED = "left", "lost", "kicked", "closed", "unserved"

# Replies:
OK = b"k"  # done, or its client was told why not
IN = b"i"  # it is in: from now on it says
ECHO = b"e"  # the same, and its client is sent its own records
SLOWLY = b"s"  # `count` lines were said: the rest, or the command, again after `seconds`
CLOSING = b"c"  # say nothing more; leave

# Notes, from the server:
ARRIVED = b"A"  # ip, where, pid; the hub's end of the pair comes along. seat 0: the operator
ENDED = b"E"  # how: its process was reaped
CLOSE = b"C"  # the event that ends the room
BANNED = b"B"  # an address that was, when there was another hub
DROPPED = b"D"  # how the hub before ended
TELL = b"T"  # a line for the operator
# and from the hub:
SEATED = b"S"  # its handshake is over
OVER = b"O"  # it is not heeded any more, and has to end soon
BAN, UNBAN = b"b", b"u"
CLOSES = b"c"  # the operator closes the room: why
NOTICE = b"n"  # a kind, a line for the operator: of each kind not too many at once
SEGMENT = b"s"  # the transcript's new segment comes along
CLOSED_NOW = b"x"  # all that was to be sent was sent
BEAT = b"h"  # it does not stand still

_REQUEST = struct.Struct("<cQ")
_REPLY = struct.Struct("<cId")
_NUL = b"\0"


class Malformed(Exception):
    """No member of ours makes such a datagram."""


class Request:
    """`verb`, `number`, and `body`: its words, or what it says."""

    __slots__ = ("body", "number", "verb")

    def __init__(self, data: bytes) -> None:
        """Raises Malformed."""
        try:
            self.verb, self.number = _REQUEST.unpack_from(data)
        except struct.error:
            raise Malformed from None
        self.body = data[_REQUEST.size :]

    def words(self) -> list[str]:
        """As many as the verb has. Raises Malformed."""
        return _texts(self.body, _WORDS[self.verb])


def request(verb: bytes, number: int = 0, *words: str) -> bytes:
    return _REQUEST.pack(verb, number) + _NUL.join(map(_encoded, words))


def said(lines: bytes, number: int, verb: bytes = SAY) -> bytes:
    """A request whose body is bytes as they are."""
    return _REQUEST.pack(verb, number) + lines


class Reply:
    __slots__ = ("count", "seconds", "text", "word")

    def __init__(self, data: bytes) -> None:
        self.word, self.count, self.seconds = _REPLY.unpack_from(data)
        self.text = data[_REPLY.size :].decode()


def reply(word: bytes, text: str = "", count: int = 0, seconds: float = 0.0) -> bytes:
    """`text` tells the nick that the client has got."""
    return _REPLY.pack(word, count, seconds) + text.encode()


def note(kind: bytes, seat: int = 0, *words: str) -> bytes:
    return _REQUEST.pack(kind, seat) + _NUL.join(map(_encoded, words))


def read_note(data: bytes) -> tuple[bytes, int, list[str]]:
    """(kind, seat, words). Raises Malformed."""
    if len(data) < _REQUEST.size:
        raise Malformed
    kind, seat = _REQUEST.unpack_from(data)
    return kind, seat, _texts(data[_REQUEST.size :], -1)


def _encoded(word: str) -> bytes:
    return word.encode("utf-8", "backslashreplace")


def _texts(body: bytes, count: int) -> list[str]:
    words = body.split(_NUL)
    if 0 < count != len(words):
        raise Malformed
    try:
        return [word.decode() for word in words]
    except UnicodeDecodeError:
        raise Malformed from None
