"""The code channel: a short spoken code makes the keys, and every byte after that is sealed.

SPAKE2 (the `spake2` package: Ed25519's group) turns the code, which is short, into a key, which is
not: who listens learns nothing of either, and who is in between has one guess for each connection.
Then each side proves that it has the key, the one who called first, and only then anything is said:
libsodium's secretstream (PyNaCl), one key for each direction. docs/security.md has every byte.

    who listens                                     who called
    a line that explains, with the version   ──►
                                             ◄──    HELLO, and its message of SPAKE2
    its message of SPAKE2                    ──►
                                             ◄──    its confirmation
    its confirmation, or that it is wrong    ──►
    a header of secretstream, and frames     ◄─►    the same

A frame is its length (2 bytes, big-endian) and one sealed message of secretstream: whole lines or
parts of them, filled up to the next of STEPS, so that the length of a line tells little. The last
frame bears the final tag: what ends without it was cut off. Runs wherever the other half is not;
knows no socket, no clock, and not where a code comes from (passphrase.py).
"""

from __future__ import annotations

import hashlib
import hmac

from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_ABYTES as ABYTES,
    crypto_secretstream_xchacha20poly1305_HEADERBYTES as HEADER,
    crypto_secretstream_xchacha20poly1305_init_pull as init_pull,
    crypto_secretstream_xchacha20poly1305_init_push as init_push,
    crypto_secretstream_xchacha20poly1305_pull as pull,
    crypto_secretstream_xchacha20poly1305_push as push,
    crypto_secretstream_xchacha20poly1305_state as State,
    crypto_secretstream_xchacha20poly1305_TAG_FINAL as FINAL,
    crypto_secretstream_xchacha20poly1305_TAG_MESSAGE as MESSAGE,
    crypto_secretstream_xchacha20poly1305_TAG_REKEY as REKEY,
)
from nacl.exceptions import RuntimeError as SodiumError
from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

from duplex.channel import base
from duplex.protocol import messages, refusals
from duplex.protocol.lines import text
from duplex.transcript.sanitize import visible

NAME = "encrypted, code"
VERSION = b"duplex code 1"
BANNER = f"! {refusals.code_wanted(VERSION.decode())}\n".encode()
HELLO = VERSION + b"\n"
DIFFER = refusals.CODES_DIFFER
_WRONG = b"! %b\n" % DIFFER.encode()

_MESSAGE = 33  # bytes of SPAKE2: the side, and a point
_PROOF = 32  # bytes of a confirmation
_BANNER_LIMIT = 1024  # bytes of a first line, and more

# What a frame holds, in bytes, its filling included. A line of chat is nearly always in the first.
STEPS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_FULL = STEPS[-1] - 1  # the filling has one byte at least (ISO/IEC 7816-4, as sodium_pad)
_FILLED = b"\x80"
_SIZES = frozenset(step + ABYTES for step in STEPS)
# secretstream changes its keys by itself before its counter of 2**32 messages wraps. A REKEY tag
# makes it forget the present ones earlier: what was said stays secret from who gets them later.
REKEY_EVERY = 256  # frames: 4 MiB at most

_NOT_SPAKE2 = (SPAKEError, ValueError, AssertionError, NotOnCurve)


class Sender(base.Sender):
    """Lines to frames. Holds the key of this direction, and nothing of the other."""

    def __init__(self, key: bytes) -> None:
        self._state = State()
        self._out = init_push(self._state, key)  # the header goes out with the first frame
        self._frames = 0

    def send(self, lines: bytes) -> bytes:
        if not lines:
            return b""
        frames, self._out = [self._out], b""
        for at in range(0, len(lines), _FULL):
            self._frames += 1
            tag = MESSAGE if self._frames % REKEY_EVERY else REKEY
            frames.append(self._frame(lines[at : at + _FULL], tag))
        return b"".join(frames)

    def end(self) -> bytes:
        header, self._out = self._out, b""
        return header + self._frame(b"", FINAL)

    def _frame(self, content: bytes, tag: int) -> bytes:
        size = next(step for step in STEPS if len(content) < step)
        filled = (content + _FILLED).ljust(size, b"\0")
        sealed: bytes = push(self._state, filled, tag=tag)
        return len(sealed).to_bytes(2, "big") + sealed


class Receiver(base.Receiver):
    """Frames to lines. Holds the key of this direction, and nothing of the other."""

    def __init__(self, key: bytes, came: bytes = b"") -> None:
        """`came` is what was received before."""
        super().__init__()
        self._key = key  # until the header has come
        self._state = State()
        self._came = came
        self._ended = False
        self._fault: base.Tampered | None = None

    @property
    def ended(self) -> bool:
        return self._ended

    def decode(self, data: bytes) -> bytes:
        """What whole frames hold: no byte of one that is not wholly there, and proved."""
        if self._fault:
            raise self._fault
        data = self._came + data
        at = 0
        if self._key and len(data) >= HEADER:
            init_pull(self._state, data[:HEADER], self._key)
            self._key, at = b"", HEADER
        said = []
        while not self._key and len(data) - at >= 2 and not self._ended:
            size = int.from_bytes(data[at : at + 2], "big")
            if size in _SIZES and len(data) - at < 2 + size:
                break
            try:
                said.append(self._open(data[at + 2 : at + 2 + size], size))
            except base.Tampered as fault:
                self._fault = fault
                if not said:
                    raise
                break
            at += 2 + size
        over = self._ended or self._fault  # what comes after the end counts nothing
        self._came = b"" if over else data[at:]
        return b"".join(said)

    def _open(self, sealed: bytes, size: int) -> bytes:
        if size not in _SIZES:
            raise _tampered()
        try:
            filled, tag = pull(self._state, sealed)
        except SodiumError:
            raise _tampered() from None
        self._ended = tag == FINAL
        content: bytes = filled.rstrip(b"\0")
        if not content.endswith(_FILLED):  # sealed with the right key by a program with a fault
            raise _tampered()
        return content[:-1]


class _Handshake(base.Handshake):
    """What both sides do: `_took` is all that was agreed on, in its order."""

    def __init__(self) -> None:
        self._came = b""
        self._took = b""

    def feed(self, data: bytes) -> bytes:
        self._came += data
        return self._go_on() if self.channel is None else b""

    def stopped(self, why: str) -> base.HandshakeError:
        return base.HandshakeError(f"the handshake of the code failed: {why}")

    def _go_on(self) -> bytes:
        raise NotImplementedError

    def _take(self, count: int) -> bytes:
        """The next `count` bytes, which have come."""
        part, self._came = self._came[:count], self._came[count:]
        self._took += part
        return part


class Server(_Handshake):
    """The side that listens. `code` is normal (passphrase.py), and the other side's, too."""

    def __init__(self, code: bytes) -> None:
        super().__init__()
        self._spake: SPAKE2_B | None = SPAKE2_B(code, *_SIDES)
        self._keys: _Keys | None = None

    def start(self) -> bytes:
        self._took = BANNER
        return BANNER

    def _go_on(self) -> bytes:
        if self._spake:
            hello = HELLO[: len(self._came)]
            if not self._came.startswith(hello):
                raise base.HandshakeError("it does not use --code")
            if len(self._came) < len(HELLO) + _MESSAGE:
                return b""
            return self._answer(self._spake)
        if self._keys and len(self._came) >= _PROOF:
            return self._judge(self._keys)
        return b""

    def _answer(self, spake: SPAKE2_B) -> bytes:
        self._spake = None
        ours: bytes = spake.start()
        self._take(len(HELLO))
        try:
            key = spake.finish(self._take(_MESSAGE))
        except _NOT_SPAKE2:
            raise base.HandshakeError("it broke the protocol") from None
        self._keys = _Keys(key, self._took + ours)
        return ours

    def _judge(self, keys: _Keys) -> bytes:
        self._keys = None
        if not hmac.compare_digest(self._take(_PROOF), keys.callers_proof):
            raise base.WrongCode(DIFFER, _WRONG)
        receiver = Receiver(keys.to_listener, self._came)
        self.channel = base.Channel(Sender(keys.to_caller), receiver, NAME)
        self._came = b""
        return keys.listeners_proof


class Client(_Handshake):
    """The side that calls."""

    def __init__(self, code: bytes) -> None:
        super().__init__()
        self._code = code
        self._spake: SPAKE2_A | None = None
        self._keys: _Keys | None = None

    def stopped(self, why: str) -> base.HandshakeError:
        if self._spake or self._keys:
            return super().stopped(why)
        return base.HandshakeError(f"the other side does not ask for a code: {why}")

    def _go_on(self) -> bytes:
        if self._code:
            return self._read_banner()
        if self._spake and len(self._came) >= _MESSAGE:
            return self._prove(self._spake)
        if self._keys and len(self._came) >= _PROOF:
            self._judge(self._keys)
        return b""

    def _read_banner(self) -> bytes:
        came = self._came
        if not came.startswith(BANNER):
            whole = b"\n" in came or len(came) > _BANNER_LIMIT
            if not whole and came.startswith(messages.ANSWER[: len(came)]):
                return b""  # if it is not the banner, it may say why
            raise base.HandshakeError(_what_answers(came))
        code, self._code = self._code, b""
        self._take(len(BANNER))
        self._spake = SPAKE2_A(code, *_SIDES)
        message: bytes = self._spake.start()
        self._took += HELLO + message
        return HELLO + message

    def _prove(self, spake: SPAKE2_A) -> bytes:
        self._spake = None
        try:
            key = spake.finish(self._take(_MESSAGE))
        except _NOT_SPAKE2:
            raise base.HandshakeError("the other side broke the protocol") from None
        self._keys = _Keys(key, self._took)
        self.exposed = True
        return self._keys.callers_proof

    def _judge(self, keys: _Keys) -> None:
        self._keys = None
        if not hmac.compare_digest(self._take(_PROOF), keys.listeners_proof):
            raise base.WrongCode(DIFFER)
        self.exposed = False
        receiver = Receiver(keys.to_caller, self._came)
        self.channel = base.Channel(Sender(keys.to_listener), receiver, NAME)
        self._came = b""


class _Keys:
    """What follows from the key agreed on, bound to all that was said on the way to it."""

    def __init__(self, key: bytes, took: bytes) -> None:
        salt = hashlib.sha256(took).digest()
        self.callers_proof = hkdf(key, salt, b"caller's proof")
        self.listeners_proof = hkdf(key, salt, b"listener's proof")
        self.to_listener = hkdf(key, salt, b"caller to listener")
        self.to_caller = hkdf(key, salt, b"listener to caller")


_SIDES = (VERSION + b" caller", VERSION + b" listener")


def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    """32 bytes: HKDF with SHA-256, RFC 5869, whose expansion has one round for that many."""
    extracted = hmac.digest(salt, key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def _what_answers(came: bytes) -> str:
    """What a first line is that is not the banner. It is not proved by anything: only told."""
    line = came[:_BANNER_LIMIT].partition(b"\n")[0]
    if refusals.read_code_wanted(line):
        return "the other side speaks another version of --code"
    if messages.read_welcome(line):
        return "this is a room without a code; to join it without: leave out --code"
    if line.startswith(messages.ANSWER):
        return f"refused: {visible(text(line[len(messages.ANSWER) :]).rstrip())}"
    return "the other side does not ask for a code"


def _tampered() -> base.Tampered:
    return base.Tampered("what came was changed on its way, or is not from the other side")
