"""The words that mean something to this side of a talk, each alone on a line.

`quit` ends this side and is not sent; `bye` is sent, and both sides end. Who types may also say
`/quit` and `/help`, as in a room. Pure computation.
"""

from __future__ import annotations

import re

from duplex.transcript.record import LINE_LIMIT

QUIT, BYE = b"quit", b"bye"
HELP = (
    "quit, or /quit: end; the other side is told that you left",
    "bye: say bye, and end both sides",
    "Ctrl-D: say no more, and go on listening",
    "Ctrl-C: clear the line; on an empty line, twice: end",
    "//quit, //help: say /quit, /help",
)
# What is typed in a room, too: `duplex connect` does not know at once which of the two it is.
ROOM_QUIT = rb"/(?i:quit)(?: .*)?"
_PIPED = re.compile(rb"^(?:(?P<quit>quit)|(?P<bye>bye))\r?\n", re.MULTILINE)
_BY_HAND = re.compile(
    rb"^(?:(?P<quit>quit|"
    + ROOM_QUIT
    + rb")|(?P<bye>bye)|(?P<help>/(?i:help))|/(?P<said>/(?i:quit|help)))\r?\n",
    re.MULTILINE,
)


def ends_with(lines: bytes, word: bytes) -> bool:
    """Whether the last of these lines is `word` alone."""
    return lines == word + b"\n" or lines.endswith(b"\n" + word + b"\n")


class Typed:
    """What this side says: bytes from stdin in, bytes to send out, until a word ends it.

    `word` is QUIT or BYE once that has been said, else None; CRLF ends a line, too. With `verbatim`
    everything is passed on at once and as it is, for files; otherwise whole lines are, and the last
    one gets a newline. `by_hand`: a person types, and what he means by a slash is done.
    """

    def __init__(self, verbatim: bool, by_hand: bool = False) -> None:
        self.word: bytes | None = None
        self.rest = b""  # what followed it
        self._verbatim = verbatim
        self._by_hand = by_hand
        self._wants_help = False
        self._tail = b""  # an unfinished line, of LINE_LIMIT bytes at most
        self._inside = False  # its beginning has been passed on already

    def feed(self, data: bytes) -> bytes:
        """What of `data`, and of what was kept, is to be sent now."""
        if self._verbatim:
            return data
        data = self._tail + data
        end = data.rfind(b"\n") + 1
        lines, self._tail = data[:end], data[end:]
        if lines:
            lines = self._until_word(lines)
            self._inside = False
        if len(self._tail) > LINE_LIMIT:
            lines, self._tail, self._inside = lines + self._tail, b"", True
        return lines

    def end(self) -> bytes:
        """What is to be sent when there is no more to come."""
        return self.feed(b"\n") if self._tail or self._inside else b""

    def take_tail(self) -> bytes:
        """The unfinished line: somebody else has it from now on."""
        tail, self._tail = self._tail, b""
        return tail

    def take_help(self) -> bool:
        """Whether `/help` was typed."""
        wanted, self._wants_help = self._wants_help, False
        return wanted

    def _until_word(self, lines: bytes) -> bytes:
        if not self._by_hand and QUIT not in lines and BYE not in lines:
            return lines  # a search for a line takes ten times as long
        said, done = [], 0
        first = lines.find(b"\n") + 1 if self._inside else 0
        for match in (_BY_HAND if self._by_hand else _PIPED).finditer(lines, first):
            said.append(lines[done : match.start()])
            done = match.end()
            if match.lastgroup == "help":
                self._wants_help = True
            elif match.lastgroup == "said":
                said.append(match["said"] + b"\n")
            else:
                self.word = BYE if match.lastgroup == "bye" else QUIT
                self.rest, self._tail = lines[done:] + self._tail, b""
                return b"".join([*said, match[0] if self.word == BYE else b""])
        return b"".join([*said, lines[done:]])
