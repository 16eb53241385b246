"""An entry of the room's stream, and the records that every host makes of it.

The stream is what decides, so a record's bytes follow from the entry alone: an entry holds the
records without their stamps, and the stamp is the time in the entry's id, which the store's clock
has made and which never goes back. So neither do the hosts' clocks matter, nor when a line is said
again after a lost answer. A stamp has a fixed length, so that whoever says something knows how long
it will be, and the store can count offsets:

    id  1764000000123-0     field o  the offset of its first record, in bytes, as a decimal number
                            field b  b"<ann> hello\n<bob> hi\n"        stamped by each host
                            or    s  b"2026-11-24T… <ann> hello\n"     put back (replicator.py)

Pure functions; knows no store and no file.
"""

from __future__ import annotations

import re

from duplex.transcript import record

HEAD = record.STAMP_LENGTH + 1  # bytes that a stamp adds to a line
BODY_LIMIT = 64 * 1024  # bytes of lines said at once; a single longer line is not cut
# What a letter begins with: a private line, what a room says to one alone, a kick, a taking over.
PRIVATE, ANSWER, KICK, TAKE_OVER = b"-", b"!", b"k", b"t"
FIRST = "0-0"  # before every id


def said(nick: str, lines: bytes) -> bytes:
    """The body for whole `lines`, one or many, said by `nick`."""
    prefix = b"<%s> " % nick.encode()
    return prefix + lines[:-1].replace(b"\n", b"\n" + prefix) + b"\n"


def fitting(nick: str, lines: bytes) -> int:
    """How many of the whole `lines` one body takes: one at least."""
    head = len(nick.encode()) + 3
    count = lines.count(b"\n")
    if len(lines) + count * head <= BODY_LIMIT:
        return count
    count = at = 0
    while (end := lines.find(b"\n", at) + 1) and end + (count + 1) * head <= BODY_LIMIT:
        count, at = count + 1, end
    return max(1, count)


def event(text: str) -> bytes:
    """The body for an event."""
    return b"* %b\n" % text.encode()


def length(body: bytes) -> int:
    """How many bytes of a transcript it will be."""
    return len(body) + HEAD * body.count(b"\n")


_HEAD = rb"(?:<[^<> \n]+> |\* )"
_BODY = re.compile(rb"(?:%b[^\n]*\n)+" % _HEAD)
_RECORDS = re.compile(rb"(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z %b[^\n]*\n)+" % _HEAD)


class Entry:
    """One entry as a host reads it: `data` are the bytes of the transcript at `start`.

    Raises ValueError or KeyError for what no room has put into the stream.
    """

    __slots__ = ("data", "id", "start")

    def __init__(self, entry_id: bytes, fields: dict[bytes, bytes]) -> None:
        self.id = entry_id.decode()
        self.start = int(fields[b"o"])
        stamped = b"s" in fields
        body = fields[b"s" if stamped else b"b"]
        if self.start < 0 or not (_RECORDS if stamped else _BODY).fullmatch(body):
            raise ValueError(self.id)
        if stamped:
            self.data = body
        else:
            prefix = record.stamp(int(entry_id.partition(b"-")[0]) * 1_000_000) + b" "
            self.data = prefix + body[:-1].replace(b"\n", b"\n" + prefix) + b"\n"

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class Letter:
    """What a member has written to `nick` on this host.

    `reader` and `sender` are connections: who had the nick when it was written, and who wrote it.
    """

    __slots__ = ("id", "nick", "reader", "sender", "text")

    def __init__(self, letter_id: bytes, fields: dict[bytes, bytes]) -> None:
        """Raises ValueError or KeyError for what no room has put there."""
        if b"\0" in b"".join(fields.values()):
            raise ValueError(letter_id)
        self.id = letter_id.decode()
        self.nick = fields[b"n"].decode()
        self.text = fields[b"l"]
        self.reader = fields[b"c"].decode()
        self.sender = fields[b"f"].decode()

    def packed(self) -> list[bytes]:
        """What `unpacked` makes it of again."""
        words = self.id, self.nick, self.reader, self.sender
        return [*(word.encode() for word in words), self.text]

    @classmethod
    def unpacked(cls, parts: list[bytes]) -> Letter:
        letter_id, nick, reader, sender, text = parts
        return cls(letter_id, {b"n": nick, b"c": reader, b"f": sender, b"l": text})
