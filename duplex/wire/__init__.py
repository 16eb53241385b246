"""Channels: what turns lines into bytes for the wire, and back. No channel touches a socket.

A channel is a `Sender` and a `Receiver` that part after the handshake: in a talk the parent keeps
the one and the child the other, and neither holds anything of the other half. Each is plain
computation, so the same object works in whichever process it ends up in.
"""


class Sender:
    """Lines to bytes. Call `send` any number of times, then `end` once."""

    def send(self, lines: bytes) -> bytes:
        """What to write to the socket for `lines`, one or many, newline-ended."""
        raise NotImplementedError

    def end(self) -> bytes:
        """What to write last, before the socket's sending half is shut."""
        raise NotImplementedError


class Receiver:
    """Bytes to lines. Call `receive` for all that arrives, then `end` once."""

    def receive(self, data: bytes) -> bytes:
        """The lines that `data` completes, as safe text (see text.py), newline-ended."""
        raise NotImplementedError

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
        raise NotImplementedError
