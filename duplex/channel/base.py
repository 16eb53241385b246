"""Channels: what turns lines into bytes for the wire, and back. No channel touches a socket.

A `Handshake` makes a `Channel`: a `Sender` and a `Receiver` that part. In a talk the parent keeps
the one and the child the other, and neither holds anything of the other half. Each is plain
computation, so the same object works in whichever process it ends up in.

    plain   nothing is agreed on, and the channel is there at once
    code    a short spoken code makes the keys (code.py)
    tls     for openssl, ncat --ssl and duplex (tls.py)

What can go wrong is the peer's doing, and an error tells it in one line for the user:

    HandshakeError      no channel was made; `reply` is what the peer is still to be sent
    ├─ WrongCode        because the codes differ: somebody has guessed
    └─ Stranger         because the peer speaks something else, HTTP say (sniff.py)
    Tampered            what came is not what was sent, or not in a form that can be gone on with
"""

from __future__ import annotations

from duplex.system.errors import DuplexError
from duplex.transcript.record import LINE_LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.sniff import Sniffer
    from duplex.transcript.sanitize import Text

_boundary: list[type[Text]] = []  # the class, once it has been needed: see Receiver


class HandshakeError(DuplexError):
    """No channel was made. `reply` goes to the peer before its connection is closed."""

    def __init__(self, text: str, reply: bytes = b"") -> None:
        super().__init__(text)
        self.reply = reply


class WrongCode(HandshakeError):
    """The peer's code is another one. It costs whoever guessed one of few guesses."""


class Tampered(DuplexError):
    """Bytes that no peer of ours would have sent, or not in this place. The session is over."""


class Sender:
    """Lines to bytes. Call `send` any number of times, then `end` once."""

    def send(self, lines: bytes) -> bytes:
        """What to write to the socket for `lines`, one or many, newline-ended."""
        raise NotImplementedError

    def end(self) -> bytes:
        """What to write last, before the socket's sending half is shut."""
        raise NotImplementedError


class Receiver:
    """Bytes to lines. Call `receive` for all that arrives, then `end` once.

    A protected channel overrides `decode` and `ended`; lines are made here, the same for all. The
    handshake may have read more than its own: so the first call is `receive(b"")`.
    """

    parted = False  # the Sender is in another process: nothing can be answered from here
    sniffer: Sniffer | None = None  # until it is known that a person speaks, where that is asked

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self.limit_lines(limit)

    def limit_lines(self, limit: int) -> None:
        """From here on, which is the start of a line, each has `limit` bytes at most."""
        if not _boundary:  # only a process that receives loads it, and only once looks for it
            from duplex.transcript.sanitize import Text

            _boundary.append(Text)
        self._text = _boundary[0](limit)

    def receive(self, data: bytes) -> bytes:
        """The lines that `data` completes, as safe text (transcript/sanitize.py), newline-ended.

        Raises Tampered; or Stranger, where there is a sniffer.
        """
        return self.lines(self.decode(data))

    def decode(self, data: bytes) -> bytes:
        """What the peer has said, as it said it.

        Raises Tampered, at the next call if there is something to be given first: so call it once
        more, with b"", when that has been taken.
        """
        return data

    def urgent(self) -> None:
        """Urgent data has come into the stream (tcp(7), MSG_OOB): only telnet sends any there."""
        self._text.telnet = True

    def lines(self, said: bytes) -> bytes:
        """The lines that what was decoded completes. Raises Stranger, where there is a sniffer."""
        if self.sniffer:
            said = self.sniffer.feed(said)
            if self.sniffer.known:
                self.sniffer = None
        return self._text.feed(said)

    @property
    def midline(self) -> bool:
        """Whether a line has begun that is not complete yet."""
        return self.undecided or self._text.unfinished()

    @property
    def undecided(self) -> bool:
        """Whether something was said that may be the beginning of what no person says."""
        return self.sniffer is not None and self.sniffer.undecided

    @property
    def ended(self) -> bool:
        """Whether the peer's end is proper if its bytes end here; else they were cut off."""
        return True

    def take_answer(self) -> bytes:
        """What the peer's program waits for after what was received, nearly always b"".

        Bytes for the wire as they are, to be sent once, between two lines. Several questions that
        came since the last call have one answer, so that no peer can make a pile of them.
        """
        return b""

    def end(self, cut_off: bool) -> bytes:
        """The last line if the stream stopped in the middle of one, else b"".

        `cut_off` tells that the connection was lost, so that the rest of this line was, too.
        """
        lines = self._text.feed(self.sniffer.end()) if self.sniffer else b""
        if cut_off and self._text.unfinished():
            self._text.feed("…".encode())  # the same mark as for any line that was cut
        return lines + self._text.end()


class Channel:
    """What a handshake has made; `name` says to the user what it is."""

    __slots__ = ("name", "receiver", "sender")

    def __init__(self, sender: Sender, receiver: Receiver, name: str) -> None:
        self.sender = sender
        self.receiver = receiver
        self.name = name


class Handshake:
    """How a channel is made: write what `start` gives, then what `feed` gives for all that comes.

    `channel` is there once it is made; what is fed too much of is in its receiver.
    """

    channel: Channel | None = None
    exposed = False  # who answers has had one guess at the code, and not proved it to be right
    patience = 10.0  # s from the beginning for all of it

    def start(self) -> bytes:
        """What to send before anything has come."""
        return b""

    def feed(self, data: bytes) -> bytes:
        """What to send after `data` has come. Raises HandshakeError."""
        raise NotImplementedError

    def waited(self) -> bool:
        """Nothing more comes, or not in time. Whether the channel is there nevertheless."""
        return False

    def stopped(self, why: str) -> HandshakeError:
        """The error for a peer that says no more: `why` is "it ended the connection", say."""
        raise NotImplementedError
