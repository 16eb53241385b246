"""The code channel: its handshake, its frames, and whoever is in between, sans I/O."""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings, strategies as st
from nacl.bindings import (
    crypto_secretstream_xchacha20poly1305_init_pull as init_pull,
    crypto_secretstream_xchacha20poly1305_init_push as init_push,
    crypto_secretstream_xchacha20poly1305_pull as pull,
    crypto_secretstream_xchacha20poly1305_push as push,
    crypto_secretstream_xchacha20poly1305_state as State,
)
from spake2 import ed25519_basic as curve
from tls_support import join

from duplex.channel import base, code

CODE = b"walrus-dexterity-zookeeper-kangaroo"
OTHER = b"walrus-dexterity-zookeeper-kayak"
HEADER, OVERHEAD = code.HEADER, 2 + code.ABYTES  # bytes: of a stream, and of a frame
DIFFER = "the codes differ, or somebody is in between"


def ends(with_code: bytes = CODE) -> tuple[base.Channel, base.Channel]:
    """A listener's channel and its caller's."""
    return join(code.Server(with_code), code.Client(with_code))


def halves() -> tuple[code.Sender, code.Receiver]:
    """One direction, without the handshake."""
    key = os.urandom(32)
    return code.Sender(key), code.Receiver(key)


def frames(on_the_wire: bytes) -> list[bytes]:
    """A direction's bytes as they are cut: the header with the first frame, and the others."""
    cut, at = [], HEADER
    while at < len(on_the_wire):
        size = 2 + int.from_bytes(on_the_wire[at : at + 2], "big")
        cut.append(on_the_wire[at : at + size])
        at += size
    return [on_the_wire[:HEADER] + cut[0], *cut[1:]]


def feed(victim: base.Handshake, data: bytes, size: int = 1 << 20) -> None:
    """In pieces, and it must have nothing to say to any of them."""
    for at in range(0, len(data), size):
        assert victim.feed(data[at : at + size]) == b""


def the_frames(sender: base.Sender, count: int) -> list[bytes]:
    return [sender.send(b"line %d\n" % number) for number in range(count)]


def shaken(client: bytes, server: bytes) -> tuple[base.HandshakeError, base.HandshakeError]:
    """How it ends for a listener and a caller whose codes differ."""
    listening, calling = code.Server(server), code.Client(client)
    proof = calling.feed(listening.feed(calling.feed(listening.start())))
    with pytest.raises(base.HandshakeError) as at_listener:
        listening.feed(proof)
    with pytest.raises(base.HandshakeError) as at_caller:
        calling.feed(at_listener.value.reply)
    assert listening.channel is None
    assert calling.channel is None
    return at_listener.value, at_caller.value


# The handshake


def test_the_lengths_of_the_handshake_are_what_the_page_says() -> None:
    server, client = code.Server(CODE), code.Client(CODE)
    banner = server.start()
    assert client.start() == b""
    hello = client.feed(banner)
    answer = server.feed(hello)
    proof = client.feed(answer)
    confirmation = server.feed(proof)
    assert client.feed(confirmation) == b""
    assert banner == (
        b"! duplex code 1: only who knows the code comes in here: duplex connect --code HOST PORT\n"
    )
    assert hello.startswith(b"duplex code 1\nA")
    assert answer.startswith(b"B")
    assert list(map(len, (banner, hello, answer, proof, confirmation))) == [88, 47, 33, 32, 32]
    assert client.channel
    assert server.channel
    assert client.channel.name == server.channel.name == "encrypted, code"
    assert len(client.channel.sender.send(b"hello\n")) == 24 + 2 + 128 + 17
    assert len(client.channel.sender.send(b"hello\n")) == 2 + 128 + 17


def test_nothing_of_a_handshake_is_the_same_twice() -> None:
    seen: set[bytes] = set()
    for _ in range(20):
        server, client = code.Server(CODE), code.Client(CODE)
        hello = client.feed(server.start())
        answer = server.feed(hello)
        proof = client.feed(answer)
        confirmation = server.feed(proof)
        client.feed(confirmation)
        assert server.channel
        assert client.channel
        header = server.channel.sender.send(b"same\n")
        seen |= {hello, answer, proof, confirmation, header}
    assert len(seen) == 100


def test_hkdf_gives_what_rfc_5869_says() -> None:
    """Appendix A.1, and of its 42 bytes the first 32."""
    okm = code.hkdf(bytes([0x0B]) * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)))
    assert okm.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_codes_that_differ_are_told_on_both_sides_in_the_same_words() -> None:
    for client, server in ((CODE, OTHER), (CODE, b""), (b"", CODE), (CODE, CODE + b"\0")):
        if not client:
            continue  # channel/passphrase.py lets nobody call with none
        at_listener, at_caller = shaken(client, server)
        assert isinstance(at_listener, base.WrongCode)
        assert isinstance(at_caller, base.WrongCode)
        assert str(at_listener) == str(at_caller) == DIFFER
        assert at_listener.reply == f"! {DIFFER}\n".encode()


def test_who_has_not_proved_to_know_the_code_is_sent_no_proof() -> None:
    """Without the listener's proof a guesser cannot tell a right guess from a wrong one."""
    server, client = code.Server(CODE), code.Client(OTHER)
    server.feed(client.feed(server.start()))
    with pytest.raises(base.WrongCode) as caught:
        server.feed(bytes(32))
    assert caught.value.reply == f"! {DIFFER}\n".encode()
    assert server.feed(b"again") == b""
    assert server.channel is None


def test_a_caller_is_exposed_from_its_proof_until_it_is_answered() -> None:
    server, client = code.Server(CODE), code.Client(CODE)
    hello = client.feed(server.start())
    assert not client.exposed
    proof = client.feed(server.feed(hello))
    assert client.exposed
    client.feed(server.feed(proof))
    assert not client.exposed
    assert not server.exposed, "a listener proves nothing to whoever has not proved it before"


def test_a_caller_whose_guess_was_wrong_was_exposed() -> None:
    server, client = code.Server(OTHER), code.Client(CODE)
    proof = client.feed(server.feed(client.feed(server.start())))
    with pytest.raises(base.WrongCode):
        server.feed(proof)
    with pytest.raises(base.WrongCode):
        client.feed(bytes(32))
    assert client.exposed


def test_whatever_comes_after_the_wrong_proof_is_not_looked_at() -> None:
    server, client = code.Server(CODE), code.Client(CODE)
    proof = client.feed(server.feed(client.feed(server.start())))
    damaged = bytes([proof[0] ^ 1]) + proof[1:]
    with pytest.raises(base.WrongCode):
        server.feed(damaged + proof)
    assert server.feed(proof) == b""
    assert server.channel is None


@pytest.mark.parametrize("at", range(32))
def test_a_proof_with_one_bit_changed_is_none(at: int) -> None:
    server, client = code.Server(CODE), code.Client(CODE)
    proof = bytearray(client.feed(server.feed(client.feed(server.start()))))
    proof[at] ^= 1 << at % 8
    with pytest.raises(base.WrongCode):
        server.feed(bytes(proof))


# Who is in between


def swapped(message: bytes, side: bytes) -> bytes:
    return side + message[1:]


def test_two_callers_cannot_be_made_to_talk() -> None:
    for side in (b"A", b"B"):
        one, other = code.Client(CODE), code.Client(CODE)
        to_other = swapped(one.feed(code.BANNER)[len(code.HELLO) :], side)
        to_one = swapped(other.feed(code.BANNER)[len(code.HELLO) :], side)
        if side == b"A":  # as they sent them
            for client, message in ((one, to_one), (other, to_other)):
                with pytest.raises(base.HandshakeError, match="broke the protocol"):
                    client.feed(message)
            continue
        proofs = one.feed(to_one), other.feed(to_other)
        for client, proof in ((one, proofs[1]), (other, proofs[0])):
            with pytest.raises(base.WrongCode):
                client.feed(proof)


def test_two_listeners_cannot_be_made_to_talk() -> None:
    for side in (b"A", b"B"):
        one, other = code.Server(CODE), code.Server(CODE)
        to_other = one.feed(code.HELLO + code.Client(CODE).feed(code.BANNER)[-33:])
        if side == b"B":  # as it sent it
            with pytest.raises(base.HandshakeError, match="broke the protocol"):
                other.feed(code.HELLO + to_other)
            continue
        other.feed(code.HELLO + swapped(to_other, side))
        for server in (one, other):
            with pytest.raises(base.WrongCode):
                server.feed(bytes(32))
    with pytest.raises(base.HandshakeError, match="does not use --code"):
        code.Server(CODE).feed(code.Server(CODE).start())


def test_a_proof_sent_back_proves_nothing() -> None:
    server, client = code.Server(CODE), code.Client(CODE)
    proof = client.feed(server.feed(client.feed(server.start())))
    with pytest.raises(base.WrongCode):
        client.feed(proof)


def test_its_own_message_sent_back_is_no_message() -> None:
    for side in (b"A", b"B"):
        client = code.Client(CODE)
        message = client.feed(code.BANNER)[len(code.HELLO) :]
        with pytest.raises(base.HandshakeError, match="broke the protocol"):
            client.feed(swapped(message, side))


def test_every_byte_that_is_agreed_on_is_bound_in() -> None:
    """Changed on its way, it ends the handshake on both sides, at the proofs at the latest."""
    for at in range(len(code.HELLO), len(code.HELLO) + 33):
        server, client = code.Server(CODE), code.Client(CODE)
        hello = bytearray(client.feed(server.start()))
        hello[at] ^= 0x40
        try:
            proof = client.feed(server.feed(bytes(hello)))
            server.feed(proof)
        except base.HandshakeError:
            assert server.channel is None
        else:
            pytest.fail(f"byte {at} may be changed")


def test_the_proofs_and_both_keys_follow_from_all_that_was_said_before() -> None:
    """Also from the first line, which has the version, and which SPAKE2 knows nothing of."""
    key, took = bytes(32), code.BANNER + code.HELLO + bytes(66)
    kept = vars(code._Keys(key, took))
    assert len({*kept.values()}) == 4
    for at in (0, len(code.BANNER), len(took) - 1):
        other = took[:at] + bytes([took[at] ^ 1]) + took[at + 1 :]
        assert not {*vars(code._Keys(key, other)).values()} & {*kept.values()}


def test_a_recorded_call_is_worth_nothing_to_another_listener() -> None:
    server, client = code.Server(CODE), code.Client(CODE)
    hello = client.feed(server.start())
    proof = client.feed(server.feed(hello))
    client.feed(server.feed(proof))
    assert client.channel
    said = client.channel.sender.send(b"said once\n")
    for size in (1, 1 << 20):
        again = code.Server(CODE)
        again.start()
        assert len(again.feed(hello)) == 33
        recorded = proof + said
        with pytest.raises(base.WrongCode):
            feed(again, recorded, size)
        assert again.channel is None


def test_a_recorded_listener_is_worth_nothing_to_another_caller() -> None:
    server, client = code.Server(CODE), code.Client(CODE)
    banner = server.start()
    answer = server.feed(client.feed(banner))
    confirmation = server.feed(client.feed(answer))
    again = code.Client(CODE)
    again.feed(banner)
    again.feed(answer)
    with pytest.raises(base.WrongCode):
        again.feed(confirmation)
    assert again.channel is None


# What is no handshake, and what is no point


@pytest.mark.parametrize(
    ("first_line", "text"),
    [
        (b"! duplex code 2: only who\n", "the other side speaks another version of --code"),
        (
            b"! welcome to room 5000: you are guest-1, 1 is here\n",
            "this is a room without a code; to join it without: leave out --code",
        ),
        (b"! this room is full\n", "refused: this room is full"),
        (b"! \x1b[2J\xff\n", "refused: \\x1b[2J\\xff"),
        (b"! one\rtwo\xc2\x85\n", "refused: one\\x0dtwo"),
        (b"! no newline" + b"!" * 1100, "refused: no newline" + "!" * 1012),
        (b"hello\n", "the other side does not ask for a code"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the other side does not ask for a code"),
        (b"\x16\x03\x01", "the other side does not ask for a code"),
        (b"\n", "the other side does not ask for a code"),
        (b"!\n", "the other side does not ask for a code"),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_caller_says_what_it_is_that_answers_without_a_code(
    first_line: bytes, text: str, size: int
) -> None:
    client = code.Client(CODE)
    assert client.start() == b""
    with pytest.raises(base.HandshakeError) as caught:
        feed(client, first_line, size)
    assert not isinstance(caught.value, base.WrongCode)
    assert str(caught.value) == text
    assert caught.value.reply == b""
    assert not client.exposed


@pytest.mark.parametrize("at", range(len(code.BANNER)))
def test_a_caller_goes_on_with_no_banner_but_its_own(at: int) -> None:
    banner = bytearray(code.BANNER)
    banner[at] ^= 1
    client = code.Client(CODE)
    with pytest.raises(base.HandshakeError) as caught:
        client.feed(bytes(banner) + b"\n")  # the newline itself may be what was changed
    assert not isinstance(caught.value, base.WrongCode)
    assert client.channel is None


@pytest.mark.parametrize(
    "said",
    [b"hello\n", b"\n", b"quit\n", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"duplex code 2\n" * 9],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_caller_without_a_code_is_known_by_its_first_wrong_byte(said: bytes, size: int) -> None:
    server = code.Server(CODE)
    server.start()
    with pytest.raises(base.HandshakeError) as caught:
        feed(server, said, size)
    assert not isinstance(caught.value, base.WrongCode), "it is not a guess"
    assert caught.value.reply == b"", "the banner has told why"


def test_who_stops_is_told_as_far_as_it_had_come() -> None:
    why = "it ended the connection"
    server, client = code.Server(CODE), code.Client(CODE)
    before = f"the other side does not ask for a code: {why}"
    assert str(client.stopped(why)) == before
    hello = client.feed(server.start())
    assert str(client.stopped(why)) == f"the handshake of the code failed: {why}"
    client.feed(server.feed(hello))
    assert str(client.stopped(why)) == f"the handshake of the code failed: {why}"
    assert str(server.stopped(why)) == f"the handshake of the code failed: {why}"


def points_that_are_none() -> Iterator[tuple[str, bytes]]:
    """Encodings (RFC 8032, 5.1.2) of what is no element of the group, each with its name."""
    yield "nothing but zeros", bytes(32)
    yield "nothing but ones", b"\xff" * 32
    yield "the neutral element", (1).to_bytes(32, "little")
    yield "the neutral element, with a sign", (1 | 1 << 255).to_bytes(32, "little")
    y = next(y for y in range(2, 100) if not on_curve(y))
    yield "off the curve", y.to_bytes(32, "little")
    torsion = curve.ElementOfUnknownGroup(curve.xform_affine_to_extended(odd_point()))
    eighth = torsion.scalarmult(curve.L)
    for number in range(1, 8):
        yield f"of small order, {number}", eighth.scalarmult(number).to_bytes()
    yield "in a coset", curve.Base.add(eighth).to_bytes()
    for y in (0, 1, curve.Q - 1):
        yield f"of small order, not reduced, {y}", (y + curve.Q).to_bytes(33, "little")[:32]
    for y in range(2, 19):
        if on_curve(y):
            yield f"not reduced, {y}", (y + curve.Q).to_bytes(32, "little")


def on_curve(y: int) -> bool:
    return bool(curve.isoncurve([curve.xrecover(y), y]))


def odd_point() -> list[int]:
    """A point whose multiple by L has the order 8."""
    for y in range(2, 100):
        point = [curve.xrecover(y), y]
        element = curve.ElementOfUnknownGroup(curve.xform_affine_to_extended(point))
        if on_curve(y) and element.scalarmult(4 * curve.L).to_bytes()[0] != 1:
            return point
    raise AssertionError("one of two points of the curve is such")


POINTS = dict(points_that_are_none())


@pytest.mark.parametrize("name", POINTS)
def test_what_is_no_point_of_the_group_ends_the_handshake_on_either_side(name: str) -> None:
    for side in (b"A", b"B", b"S", b"\0"):
        assert_ends_without_a_channel(side + POINTS[name])


@given(side=st.sampled_from([b"A", b"B"]), point=st.binary(min_size=32, max_size=32))
@settings(max_examples=200, deadline=None)
def test_random_messages_end_the_handshake_on_either_side(side: bytes, point: bytes) -> None:
    assert_ends_without_a_channel(side + point)


@given(whole=st.binary(min_size=33, max_size=33), rest=st.binary(max_size=100))
@settings(max_examples=100, deadline=None)
def test_random_bytes_instead_of_messages_end_the_handshake(whole: bytes, rest: bytes) -> None:
    assert_ends_without_a_channel(whole, rest)


def assert_ends_without_a_channel(message: bytes, proof: bytes = b"") -> None:
    """With HandshakeError and no other, at the latest when what is no proof has come."""
    server, client = code.Server(CODE), code.Client(CODE)
    client.feed(server.start())
    for victim, said in ((server, code.HELLO + message), (client, message)):
        with pytest.raises(base.HandshakeError) as caught:
            agree(victim, said, (proof + bytes(32))[: max(32, len(proof))])
        assert "\n" not in str(caught.value)
        assert victim.channel is None


def agree(victim: base.Handshake, message: bytes, proof: bytes) -> None:
    victim.feed(message)
    victim.feed(proof)


@given(pieces=st.lists(st.binary(max_size=60), max_size=8), begins=st.booleans())
@settings(max_examples=200, deadline=None)
def test_hostile_bytes_in_a_handshake_raise_nothing_else(pieces: list[bytes], begins: bool) -> None:
    server, client = code.Server(CODE), code.Client(CODE)
    starts = ((server, code.HELLO), (client, code.BANNER))
    for victim, start in starts:
        victim.start()
        try:
            for piece in [start if begins else b"", *pieces]:
                victim.feed(piece)
        except base.HandshakeError:
            continue
        finally:
            assert victim.channel is None


# Frames


def test_all_lengths_round_trip_and_few_are_seen() -> None:
    sender, receiver = halves()
    receiver.decode(sender.send(b"x"))
    seen = set()
    for length in range(1, code.STEPS[-1]):
        frame = sender.send(b"x" * length)
        seen.add(len(frame))
        assert len(frame) - OVERHEAD > length, "a byte of filling at least"
        assert len(receiver.decode(frame)) == length
    assert seen == {step + OVERHEAD for step in code.STEPS}


@pytest.mark.parametrize("length", [16382, 16383, 16384, 32766, 32767, 60_000, 65_536, 1_000_001])
def test_what_is_longer_than_a_frame_goes_in_several(length: int) -> None:
    sender, receiver = halves()
    said = random.Random(length).randbytes(length)
    on_the_wire = sender.send(said)
    sizes = [len(frame) for frame in frames(on_the_wire)]
    assert {size - OVERHEAD for size in sizes[1:]} <= set(code.STEPS)
    assert len(sizes) == -(-length // 16383)
    assert receiver.decode(on_the_wire) == said


def test_what_looks_like_filling_is_not_taken_for_it() -> None:
    sender, receiver = halves()
    for said in (b"\x80", b"\0", b"\x80\0\0", b"\0" * 127, b"\x80" * 128, b"x\x80" + b"\0" * 125):
        assert receiver.decode(sender.send(said)) == said


def test_short_lines_look_all_the_same() -> None:
    sender, _ = halves()
    sender.send(b"the header\n")
    lines = (b"y\n", b"n\n", b"yes\n", b"no\n", b"a" * 126 + b"\n")
    assert len({len(sender.send(line)) for line in lines}) == 1
    assert len(sender.end()) == len(sender.send(b"y\n")), "and so does the end"


def test_the_keys_are_changed_every_so_many_frames() -> None:
    key = os.urandom(32)
    sender, state = code.Sender(key), State()
    count = 2 * code.REKEY_EVERY + 10
    sealed = frames(b"".join(the_frames(sender, count)) + sender.end())
    init_pull(state, sealed[0][:HEADER], key)
    sealed[0] = sealed[0][HEADER:]
    tags, changes = [], []
    for number, frame in enumerate(sealed, 1):
        before = key_in(state)
        tags.append(pull(state, frame[2:])[1])
        if key_in(state) != before:
            changes.append(number)
    assert {number for number, tag in enumerate(tags, 1) if tag == code.REKEY} == {256, 512}
    assert set(changes) >= {256, 512}
    assert tags.count(code.MESSAGE) == count - 2
    assert tags[-1] == code.FINAL


def key_in(state: State) -> bytes:
    """The key that a stream has at present, which stands first in its state."""
    return bytes(state.statebuf)[:32]


def test_the_keys_that_were_are_not_in_either_half_any_more() -> None:
    key = os.urandom(32)
    sender, receiver = code.Sender(key), code.Receiver(key)
    first = key_in(sender._state)
    for frame in the_frames(sender, code.REKEY_EVERY):
        receiver.decode(frame)
    for half in (sender, receiver):
        assert key_in(half._state) != first
        assert first not in bytes(half._state.statebuf)
        held = [value for value in vars(half).values() if isinstance(value, bytes)]
        assert key not in held


def test_only_the_final_tag_is_the_end() -> None:
    sender, receiver = halves()
    assert receiver.decode(sender.send(b"hello\n")) == b"hello\n"
    assert not receiver.ended
    end = sender.end()
    for at in range(len(end)):
        receiver.decode(end[at : at + 1])
        assert receiver.ended == (at == len(end) - 1)


def test_a_side_that_says_nothing_ends_properly_too() -> None:
    sender, receiver = halves()
    assert receiver.decode(sender.end()) == b""
    assert receiver.ended


def test_nothing_counts_after_the_end() -> None:
    sender, receiver = halves()
    whole = sender.send(b"hello\n") + sender.end()
    assert receiver.decode(whole + b"\0\0and noise" * 100) == b"hello\n"
    assert receiver.decode(b"\xff" * 100_000) == b""
    assert receiver.ended


def test_the_stream_cut_anywhere_is_cut_off_and_gives_what_was_whole() -> None:
    key = os.urandom(32)
    sender = code.Sender(key)
    parts = [*the_frames(sender, 3), sender.end()]
    whole = b"".join(parts)
    for cut in range(len(whole)):
        receiver = code.Receiver(key)
        got = receiver.decode(whole[:cut])
        arrived = sum(cut >= len(b"".join(parts[: i + 1])) for i in range(3))
        assert got == b"".join(b"line %d\n" % number for number in range(arrived))
        assert not receiver.ended


# Frames that were changed


def test_a_byte_changed_anywhere_is_noticed_and_what_came_before_is_given(
    rng: random.Random,
) -> None:
    key = os.urandom(32)
    sender = code.Sender(key)
    first, second = sender.send(b"first\n"), sender.send(b"second\n")
    rest = sender.send(b"x" * 40_000)
    for at in range(len(first) + len(second)):
        damaged = bytearray(first + second + rest)
        damaged[at] ^= 1 << rng.randrange(8)
        receiver = code.Receiver(key)
        before = b"first\n" if at >= len(first) else b""
        assert given_before_tampered(receiver, bytes(damaged)) == before
        assert not receiver.ended


def given_before_tampered(receiver: base.Receiver, data: bytes) -> bytes:
    """What is given of `data`, which must end with Tampered; and with it for good."""
    said = b""
    with suppress(base.Tampered):
        said = receiver.decode(data)
    for more in (b"", b"more", data):
        with pytest.raises(base.Tampered) as caught:
            receiver.decode(more)
        told = "what came was changed on its way, or is not from the other side"
        assert str(caught.value) == told
    return said


@pytest.mark.parametrize("length", [*code._SIZES, 0, 1, 17, 144, 146, 16400, 16402, 65535])
def test_another_length_is_noticed(length: int) -> None:
    sender, receiver = halves()
    first, second = sender.send(b"first\n"), sender.send(b"second" * 30 + b"\n")
    rest = sender.send(b"x" * 40_000)
    assert len(second) - 2 == 256 + code.ABYTES
    if length == len(second) - 2:
        length -= 1
    said = given_before_tampered(receiver, first + length.to_bytes(2, "big") + second[2:] + rest)
    assert said == b"first\n"


def test_frames_that_are_swapped_left_out_or_doubled_are_noticed(rng: random.Random) -> None:
    key = os.urandom(32)
    sender = code.Sender(key)
    header, *cut = frames_apart(b"".join(the_frames(sender, 20)) + sender.end())
    for _ in range(200):
        order = list(range(len(cut)))
        at, other = rng.sample(order[:-1], 2)
        match rng.choice(["swap", "drop", "double", "again, later"]):
            case "swap":
                order[at], order[other] = order[other], order[at]
            case "drop":
                del order[at]
            case "double":
                order.insert(at, at)
            case _:
                order.insert(max(at, other), min(at, other))
        receiver = code.Receiver(key)
        said = given_before_tampered(receiver, header + b"".join(cut[n] for n in order))
        good = next(
            n for n, (is_, was) in enumerate(zip(order, range(21), strict=False)) if is_ != was
        )
        assert said == b"".join(b"line %d\n" % number for number in range(good))
        assert not receiver.ended


def frames_apart(on_the_wire: bytes) -> list[bytes]:
    first, *rest = frames(on_the_wire)
    return [first[:HEADER], first[HEADER:], *rest]


def test_the_end_alone_cannot_be_put_earlier() -> None:
    sender, receiver = halves()
    first, _lost, end = sender.send(b"pay 100\n"), sender.send(b"not\n"), sender.end()
    assert given_before_tampered(receiver, first + end) == b"pay 100\n"
    assert not receiver.ended


def test_what_a_side_has_said_is_not_taken_from_the_other() -> None:
    for channel in ends():
        own = channel.sender.send(b"mine\n") + channel.sender.send(b"mine, too\n")
        assert given_before_tampered(channel.receiver, own) == b""


def test_frames_of_another_session_are_not_taken() -> None:
    _, one = ends()
    server, other = ends()
    started = other.sender.send(b"started\n")
    one.sender.send(b"started\n")
    foreign = one.sender.send(b"of another session\n")
    assert given_before_tampered(server.receiver, started + foreign) == b"started\n"


def test_a_wrong_key_opens_nothing() -> None:
    sender, _ = halves()
    receiver = code.Receiver(os.urandom(32))
    assert given_before_tampered(receiver, sender.send(b"hello\n")) == b""


@pytest.mark.parametrize("content", [b"", b"\0" * 128, b"x" * 128])
def test_a_frame_without_filling_is_not_taken_even_with_the_right_key(content: bytes) -> None:
    key, state = os.urandom(32), State()
    header = init_push(state, key)
    size = (128 + code.ABYTES).to_bytes(2, "big")
    frame = size + push(state, content.ljust(128, b"\0"), tag=code.MESSAGE)
    assert given_before_tampered(code.Receiver(key), header + frame) == b""


# Memory


def test_a_peer_that_announces_much_and_sends_it_slowly_fills_nothing() -> None:
    key = os.urandom(32)
    sender, receiver = code.Sender(key), code.Receiver(key)
    receiver.decode(sender.send(b"start\n"))
    longest = (code.STEPS[-1] + code.ABYTES).to_bytes(2, "big")
    tracemalloc.start()
    try:
        receiver.decode(longest)
        with suppress(base.Tampered):
            for _ in range(1000):
                receiver.decode(bytes(100))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    with pytest.raises(base.Tampered):
        receiver.decode(bytes(100))
    assert len(receiver._came) < OVERHEAD + code.STEPS[-1], "less than the frame it might be"
    assert peak < 200_000, "bytes: a frame, a few times"


def test_a_length_that_no_frame_has_is_refused_before_anything_is_kept() -> None:
    sender, receiver = halves()
    receiver.decode(sender.send(b"start\n"))
    with pytest.raises(base.Tampered):
        receiver.decode(b"\xff\xff")
    assert receiver._came == b""


def test_nothing_is_kept_once_something_was_wrong_or_all_is_said() -> None:
    sender, receiver = halves()
    receiver.decode(sender.send(b"hello\n") + sender.end() + bytes(100_000))
    assert receiver._came == b""
    sender, receiver = halves()
    receiver.decode(sender.send(b"hello\n") + b"\xff" * 100_000)
    assert receiver._came == b""


def test_a_handshake_keeps_no_more_than_it_has_use_for() -> None:
    for start, piece in ((b"! ", b"x" * 100), (b"", code.HELLO[:1] * 100)):
        victim = code.Client(CODE) if start else code.Server(CODE)
        with pytest.raises(base.HandshakeError):
            feed(victim, start + piece * 1000, 100)
        assert len(victim._came) < 2048
