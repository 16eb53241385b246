"""Telnet's commands (RFC 854) among what somebody says, and how to tell a telnet at all.

A command begins with the byte 0xFF, which is a letter in CP1251 (`я`), KOI8-R and Latin-1, and in
CP1251 the letters after it are commands' numbers: `ясно` begins like IAC NOP. So nobody is taken
for a telnet who has not shown to be one, by something that no text has in any encoding:

* A negotiation of one of telnet's own options: IAC WILL, WONT, DO or DONT, or SB, and a control
  character. A telnet that is called at its port begins so; another sends one with its interrupt
  (Ctrl-C: IAC IP, IAC DO TIMING-MARK). The commands right before it are commands, too.
* A line that begins with commands, is UTF-8 but for them and not only ASCII, and ends in CR: in a
  letter's place 0xFF would stand among others of its encoding.
* Urgent data (RFC 854, Synch), which whoever reads the socket sees.

From then on all of what it says is telnet's. Pure computation on bytes.
"""

from __future__ import annotations

import re

LIMIT = 1024  # bytes of a subnegotiation; a longer one is taken for text
_RUN = 16  # commands in a row that the proof behind them makes some
_LONGEST = 4096  # bytes of a line that proves something

_IAC, _SB, _SE = 0xFF, 0xFA, 0xF0
_DO_TIMING_MARK = b"\xff\xfd\x06"  # RFC 860
_WILL_TO_DONT = range(0xFB, 0xFF)  # these take an option: three bytes in all
_TWO_BYTES = range(0xEC, 0xFA)  # EOF (RFC 1184) to GA
_NO_COMMAND = -1


# No text has a control character behind a letter, but for the three that end or part its lines.
# A doubled 0xFF would be a quoted one.
_NEGOTIATION = re.compile(rb"(?<!\xff)\xff[\xfa-\xfe][\x00-\x08\x0b\x0c\x0e-\x1f]")
_COMMAND_LINE = re.compile(
    rb"(?:\A|(?<=[\r\n]))(?:\xff[\xec-\xf9]){1,%d}([^\xff\r\n]{1,%d})\r" % (_RUN, _LONGEST)
)
_PERHAPS = re.compile(rb"(?:\xff[\xec-\xf9]){0,%d}(?:\xff[\xfa-\xfe]?)?\Z" % _RUN)


def begins(come: bytes, *, since: int, at_start: bool, limit: int) -> int:
    """Where somebody begins to speak telnet; -1 if he does not.

    `come` is all of the last line and, from `since` on, what has come now; `at_start`: with the
    line's beginning. A longer line than `limit` proves nothing: some of it may have been given out.
    """
    places = []
    if proof := _NEGOTIATION.search(come, max(0, since - 2)):
        start = proof.start()
        for _ in range(_RUN):
            if start < 2 or come[start - 2] != _IAC or come[start - 1] not in _TWO_BYTES:
                break
            start -= 2
        places.append(start)
    for line in _COMMAND_LINE.finditer(come, 0 if since <= _LONGEST else since):
        if len(line[0]) > min(limit, _LONGEST) or (line.start() == 0 and not at_start):
            continue
        if _is_utf_8(line[1]):
            places.append(line.start())
            break
    return min(places, default=-1)


def perhaps(data: bytes) -> int:
    """Where what may be the beginning of a proof begins, at the end of `data`."""
    found = _PERHAPS.search(data, max(0, len(data) - 2 * _RUN - 2))
    return found.start() if found else len(data)


def _is_utf_8(text: bytes) -> bool:
    """And not only ASCII, which all encodings share."""
    try:
        return not text.isascii() and bool(text.decode())
    except UnicodeDecodeError:
        return False


def without(data: bytes) -> tuple[bytes, bytes, bool]:
    """`data` without telnet commands, the beginning of one that is not complete yet, and whether
    one of them was DO TIMING-MARK.
    """
    kept, start, asked = [], 0, False
    while (at := data.find(_IAC, start)) >= 0:
        kept.append(data[start:at])
        length = _length(data, at)
        if length == 0:
            return b"".join(kept), data[at:], asked
        if length == _NO_COMMAND:
            kept.append(b"\xff")
            length = 1
        elif data[at + 1] == _IAC:  # a quoted 0xff
            kept.append(b"\xff")
        start = at + length
        asked = asked or data[at:start] == _DO_TIMING_MARK
    kept.append(data[start:])
    return b"".join(kept), b"", asked


def _length(data: bytes, at: int) -> int:
    """The bytes of the telnet command at `at`; 0 if it is incomplete, _NO_COMMAND if it is none."""
    available = len(data) - at
    if available == 1:
        return 0
    command = data[at + 1]
    if command == _IAC or command in _TWO_BYTES:
        return 2
    if command in _WILL_TO_DONT:
        return 3 if available >= 3 else 0
    if command != _SB:
        return _NO_COMMAND
    end = at + 2
    while (end := data.find(_IAC, end, at + LIMIT)) >= 0:
        if end + 1 == len(data):
            return 0
        if data[end + 1] == _SE:
            return end + 2 - at
        if data[end + 1] != _IAC:
            return _NO_COMMAND
        end += 2
    return 0 if available < LIMIT else _NO_COMMAND
