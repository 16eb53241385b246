"""The attacks that docs/security.md lists, each tried with the real programs.

An attacker who can do anything with the bytes on their way, and who can call as often as it likes,
reads nothing, is believed nothing, and is told of.
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import signal
import socket
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from client_support import start_room
from protected_support import (
    CHANGED,
    CODE,
    CUT_OFF,
    DIFFER,
    WRONG,
    Between,
    Kind,
    Tap,
    accepted,
    between,
    call,
    carry,
    code_file,
    environment,
    exactly,
    hostile_listener,
)
from support import (
    DEADLINE,
    Duo,
    Program,
    connected,
    events,
    needs,
    peak,
    port_of,
    read_all,
    readable,
    said,
    until,
)
from tls_support import certificates, shake

from duplex.channel import base, code, tls

CANNOT = "duplex connect: cannot connect: "
LINES = [f"line {number}: nobody else is to read this" for number in range(100)]


@pytest.fixture(params=["code", "tls"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return Kind(request.param)


def talk(listening: Program, calling: Program) -> None:
    """See that a line gets through each way, and end it."""
    calling.type("from the caller\n")
    until(lambda: b"from the caller\n" in listening.out)
    listening.type("from the listener\n")
    until(lambda: b"from the listener\n" in calling.out)
    calling.end_input()
    listening.end_input()
    assert (calling.status(), listening.status()) == (0, 0), calling.err + listening.err


# Guesses


def test_three_wrong_codes_end_the_listener_and_each_is_told_on_both_sides(duo: Duo) -> None:
    listening, port = Kind("code").listen(duo, "--keep")
    for number, left in enumerate(("2 more wrong codes", "1 more wrong code", ""), 1):
        guesser = call(duo, port, f"guesser {number}", "--code", spoken=WRONG)
        guesser.type("never sent\n")
        assert guesser.status() == 1
        assert guesser.err == f"{CANNOT}{DIFFER}\n"
        told = until(
            lambda n=number: [x for x in listening.err.splitlines() if DIFFER in x][n - 1 :]
        )
        assert told[0].endswith(f"{DIFFER}; {left} will end this" if left else DIFFER)
        assert told[0].startswith("127.0.0.1:")
    assert listening.status() == 1
    last = (
        "duplex listen: cannot go on: 3 wrong codes came, and somebody may be guessing; "
        "start again for a new code"
    )
    assert listening.err.splitlines()[-1] == last
    fourth = call(duo, port, "a fourth", "--code")
    assert fourth.status() == 1
    assert "Connection refused" in fourth.err
    assert said(duo.heard_by_listener) == events(duo.heard_by_listener) == []


def test_a_guesser_who_hangs_up_before_proving_has_had_no_guess_and_learns_nothing(
    duo: Duo,
) -> None:
    listening, port = Kind("code").listen(duo)
    for _ in range(10):
        guess = code.Client(WRONG.encode())
        with connected(port) as sock:
            sock.sendall(guess.feed(exactly(sock, len(code.BANNER))))
            answer = exactly(sock, 33)
            guess.feed(answer)  # it could prove now, and does not
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == b"", "no proof, from which to tell whether the guess was right"
    assert DIFFER not in listening.err
    talk(listening, Kind("code").connect(duo, port))


def test_guesses_made_at_the_same_time_are_no_more_than_three(duo: Duo) -> None:
    listening, port = Kind("code").listen(duo)
    with ExitStack() as stack:
        proofs = []
        for number in range(8):
            guess = code.Client(CODE.encode() if number == 7 else f"{WRONG}-{number}".encode())
            sock = stack.enter_context(connected(port))
            sock.sendall(guess.feed(exactly(sock, len(code.BANNER))))
            proofs.append((sock, guess.feed(exactly(sock, 33))))
        # The processes' turn comes when all of them are there.
        for sock, proof in proofs:
            sock.sendall(proof)
        assert listening.status() == 1
        answers = [ending_of(sock) for sock, _ in proofs]
    wrong = f"! {DIFFER}\n".encode()
    assert answers.count(wrong) <= 3
    assert all(answer in (b"", wrong) for answer in answers), answers
    assert listening.err.count(DIFFER) == 3


def ending_of(sock: socket.socket) -> bytes:
    try:
        return read_all(sock)
    except ConnectionResetError:
        return b""


# Replay, reflection, and what else can be done with bytes on their way


def test_a_recorded_session_is_worth_nothing_to_a_listener_with_the_same_code(
    duo: Duo, tmp_path: Path
) -> None:
    path = code_file(tmp_path)
    with between(duo) as (listening, calling, middle):
        calling.type("pay ann 100\n")
        middle.listener.sendall(middle.frame(middle.caller))
        until(lambda: said(duo.heard_by_listener) == ["pay ann 100"])
        recorded = middle.from_caller
        listening.stop()
    again, port = duo.listen("--code-file", path, "--log", "again.log")
    with connected(port) as sock:
        exactly(sock, len(code.BANNER))
        sock.sendall(recorded[0])
        exactly(sock, 33)
        sock.sendall(b"".join(recorded[1:]))
        assert read_all(sock) == f"! {DIFFER}\n".encode()
    until(lambda: f"{DIFFER}; 2 more wrong codes" in again.err)
    assert said(tmp_path / "listener" / "again.log") == []


def test_a_recorded_session_is_worth_nothing_to_a_caller_with_the_same_code(
    duo: Duo, tmp_path: Path
) -> None:
    path = code_file(tmp_path)
    with between(duo) as (listening, _, middle):
        listening.type("the key is under the mat\n")
        middle.caller.sendall(middle.frame(middle.listener))
        until(lambda: said(duo.heard_by_connector) == ["the key is under the mat"])
        recorded = middle.from_listener
    with hostile_listener() as (server, port):
        again = call(duo, port, "again", "--code-file", path, spoken=None)
        again.type("never sent\n")
        with accepted(server) as sock:
            sock.sendall(recorded[0])
            exactly(sock, len(code.HELLO) + 33)
            sock.sendall(recorded[1])
            exactly(sock, 32)
            sock.sendall(b"".join(recorded[2:]))
            assert again.status() == 1
            assert ending_of(sock) == b"", "nothing of what was typed"
    assert again.err == f"{CANNOT}{DIFFER}\n"
    assert again.out == b""


@pytest.mark.parametrize("to", ["listener", "caller"])
def test_what_a_side_says_is_not_taken_from_the_other_when_sent_back(duo: Duo, to: str) -> None:
    with between(duo) as (listening, calling, middle):
        victim, sock = victim_of(to, listening, calling, middle)
        victim.type("say it again\n")
        sock.sendall(middle.frame(sock))
        assert_tampered(victim)
    assert said(duo.heard_by_listener) == said(duo.heard_by_connector) == []


def victim_of(
    to: str, listening: Program, calling: Program, middle: Between
) -> tuple[Program, socket.socket]:
    return (listening, middle.listener) if to == "listener" else (calling, middle.caller)


def assert_tampered(victim: Program) -> None:
    assert victim.status() == 1
    assert victim.err.splitlines()[-1] == f"connection closed: {CHANGED}"


@pytest.mark.parametrize(
    ("order", "heard"),
    [
        ([1, 0, 2], []),
        ([0, 2, 1], ["0"]),
        ([0, 2], ["0"]),
        ([1, 2], []),
        ([0, 0, 1, 2], ["0"]),
        ([0, 1, 2, 1], ["0", "1", "2"]),
    ],
    ids=["swapped", "swapped later", "one dropped", "first dropped", "doubled", "again later"],
)
def test_frames_that_are_reordered_dropped_or_doubled_end_the_session(
    duo: Duo, order: list[int], heard: list[str]
) -> None:
    with between(duo) as (listening, calling, middle):
        frames = []
        for number in range(3):
            calling.type(f"{number}\n")
            frames.append(middle.frame(middle.caller))
        header, frames[0] = frames[0][: code.HEADER], frames[0][code.HEADER :]
        middle.listener.sendall(header + b"".join(frames[number] for number in order))
        assert_tampered(listening)
    assert said(duo.heard_by_listener) == heard
    assert events(duo.heard_by_listener)[-1] == f"connection closed: {CHANGED}"


def test_a_bit_changed_in_a_frame_ends_the_session_and_what_came_before_is_kept(
    duo: Duo, rng: random.Random
) -> None:
    with between(duo) as (listening, calling, middle):
        calling.type("whole\n")
        first = middle.frame(middle.caller)
        calling.type("pay ann 100\n")
        second = bytearray(middle.frame(middle.caller))
        second[rng.randrange(2, len(second))] ^= 1 << rng.randrange(8)
        middle.listener.sendall(first + second)
        assert_tampered(listening)
    assert said(duo.heard_by_listener) == ["whole"]
    assert listening.out == b"whole\n"


@pytest.mark.parametrize("to", ["listener", "caller"])
def test_an_end_that_the_other_side_has_not_said_is_told_as_cut_off(duo: Duo, to: str) -> None:
    with between(duo) as (listening, calling, middle):
        victim, sock = victim_of(to, listening, calling, middle)
        other, source = victim_of(
            "caller" if to == "listener" else "listener", listening, calling, middle
        )
        other.type("pay 100\n")
        sock.sendall(middle.frame(source))
        until(lambda: victim.out == b"pay 100\n")
        other.type("no, do not\n")
        sock.sendall(middle.frame(source)[:-1])
        sock.shutdown(socket.SHUT_WR)
        assert victim.status() == 1
    assert victim.err.splitlines()[-1].startswith(f"connection lost: {CUT_OFF}; ")
    assert victim.out == b"pay 100\n"


def test_an_end_is_told_as_cut_off_through_tls_too(duo: Duo) -> None:
    listening, port = Kind("tls").listen(duo)
    tap = Tap(port)
    calling = Kind("tls").connect(duo, tap.port)
    calling.type("pay 100\n")
    listening.type("yes\n")
    tap.run(until=lambda: (listening.out, calling.out) == (b"pay 100\n", b"yes\n"))
    for victim in (listening, calling):
        assert victim.status() == 1
        assert f"connection lost: {CUT_OFF}; " in victim.err


def test_a_bit_changed_in_a_record_of_tls_ends_the_session(duo: Duo) -> None:
    listening, port = Kind("tls").listen(duo)
    tap = Tap(port)
    calling = Kind("tls").connect(duo, tap.port)
    calling.type("whole\n")
    carried = threading.Thread(target=tap.run)
    carried.start()
    until(lambda: listening.out == b"whole\n")
    tap.damages = True
    calling.type("pay ann 100\n")
    assert_tampered(listening)
    calling.stop()
    carried.join(DEADLINE)
    assert said(duo.heard_by_listener) == ["whole"]


# Downgrade


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"! welcome to room 5000: you are guest-1, 1 is here\n", "this is a room without a code"),
        (b"hello, who is there?\n", "the other side does not ask for a code"),
        (b"! duplex code 0: come in\n", "the other side speaks another version of --code"),
        (b"! the code is not needed any more\n", "refused: the code is not needed any more"),
        (code.BANNER[:-1], "the other side does not ask for a code: it ended the connection"),
        (b"", "the other side does not ask for a code: it ended the connection"),
    ],
)
def test_a_caller_with_a_code_says_nothing_to_who_answers_in_plain(
    duo: Duo, answer: bytes, told: str
) -> None:
    with hostile_listener() as (server, port):
        calling = call(duo, port, "calling", "--code")
        calling.type("a secret\n")
        with accepted(server) as sock:
            sock.sendall(answer)
            sock.shutdown(socket.SHUT_WR)
            assert ending_of(sock) == b""
    assert calling.status() == 1
    assert calling.err.startswith(CANNOT + told)
    assert calling.err.count("\n") == 1
    assert b"secret" not in log_of(calling)


def log_of(calling: Program) -> bytes:
    path = calling.cwd / "logs" / "server_input.log"
    return path.read_bytes() if path.exists() else b""


def test_a_caller_with_a_code_waits_ten_seconds_for_a_silent_plain_listener_and_no_longer(
    duo: Duo,
) -> None:
    listening, port = duo.listen()
    calling = Kind("code").connect(duo, port)
    calling.type("a secret\n")
    assert calling.status() == 1
    assert (
        calling.err == CANNOT + "the other side does not ask for a code: it took longer than 10 s\n"
    )
    until(lambda: "client left" in listening.err)
    assert listening.out == b""
    assert said(duo.heard_by_listener) == []


def test_a_caller_with_tls_says_nothing_to_who_answers_in_plain(duo: Duo) -> None:
    with hostile_listener() as (server, port):
        calling = Kind("tls").connect(duo, port)
        calling.type("a secret\n")
        with accepted(server) as sock:
            sock.sendall(b"hello\n")
            came = read_all(sock)
    assert calling.status() == 1
    assert calling.err == CANNOT + "the other side does not speak TLS\n"
    assert b"secret" not in came


def test_plain_callers_read_one_line_and_are_closed(duo: Duo, kind: Kind) -> None:
    listening, port = kind.listen(duo)
    line = {"code": code.BANNER, "tls": tls.PLAIN_REPLY}[kind.kind]
    plain = call(duo, port, "plain")
    plain.type("is anybody there?\n")
    assert plain.status() == 1
    told = line.decode().strip().removeprefix("! ").removeprefix("duplex code 1: ")
    assert plain.err.splitlines()[-1] == f"refused: {told}"
    with connected(port) as sock:
        sock.sendall(b"is anybody there?\n")
        assert read_all(sock) == line
    nc = duo.start([needs("nc"), "127.0.0.1", str(port)], "nc")
    nc.type("is anybody there?\n")
    until(lambda: nc.out == line)
    nc.end_input()
    nc.status()
    assert nc.out == line
    assert said(duo.heard_by_listener) == events(duo.heard_by_listener) == []
    assert DIFFER not in listening.err, "it is no guess"
    talk(listening, kind.connect(duo, port))


# Somebody in between who takes part


@pytest.mark.parametrize(
    "knows", [secrets.token_bytes(16), WRONG.encode()], ids=["nothing", "other"]
)
def test_a_man_in_the_middle_who_does_not_know_the_code_gets_one_wrong_guess_of_each(
    duo: Duo, knows: bytes
) -> None:
    listening, port = Kind("code").listen(duo)
    with hostile_listener() as (server, at):
        calling = Kind("code").connect(duo, at)
        calling.type("a secret\n")
        with accepted(server) as to_caller, connected(port) as to_listener:
            with pytest.raises(base.WrongCode):
                shake(to_caller, code.Server(knows))
            with pytest.raises(base.WrongCode):
                shake(to_listener, code.Client(knows))
            to_caller.shutdown(socket.SHUT_WR)
            assert read_all(to_caller) == b""
    assert calling.status() == 1
    assert calling.err == f"{CANNOT}{DIFFER}\n"
    until(lambda: f"{DIFFER}; 2 more wrong codes" in listening.err)
    assert said(duo.heard_by_listener) == events(duo.heard_by_listener) == []


def test_a_man_in_the_middle_cannot_make_one_key_of_two(duo: Duo) -> None:
    """It puts in a message of its own on one way alone, as who tries to share in the key."""
    for replaced in ("to listener", "to caller"):
        listening, port = Kind("code").listen(duo)
        with hostile_listener() as (server, at):
            calling = Kind("code").connect(duo, at)
            with accepted(server) as to_caller, connected(port) as to_listener:
                to_caller.sendall(exactly(to_listener, len(code.BANNER)))
                hello = exactly(to_caller, len(code.HELLO) + 33)
                own = code.Client(CODE[:-1].encode()).feed(code.BANNER)
                to_listener.sendall(own if replaced == "to listener" else hello)
                answer = exactly(to_listener, 33)
                if replaced == "to caller":
                    answer = code.Server(CODE[:-1].encode()).feed(own)
                to_caller.sendall(answer)
                to_listener.sendall(exactly(to_caller, 32))
                told = exactly(to_listener, 100)
                assert told == f"! {DIFFER}\n".encode()
                to_caller.sendall(told)
        assert calling.status() == 1
        assert calling.err == f"{CANNOT}{DIFFER}\n"
        assert f"{DIFFER}; 2 more wrong codes" in listening.err
        listening.stop()


def test_a_man_in_the_middle_who_breaks_off_has_three_guesses_of_a_caller_that_comes_back(
    duo: Duo,
) -> None:
    """It cuts the connection to a room, and then answers in the room's place, up to the proof."""
    _, port = start_room(duo, "--code", env=environment())
    with hostile_listener() as (server, at):
        ann = call(duo, at, "ann", "--code", "--nick", "ann")
        with accepted(server) as to_caller, connected(port) as to_room:
            carry(to_caller, to_room, until=lambda: "you are ann" in ann.err)
        guesses = 0
        while ann.process.poll() is None:
            if not readable(server.fileno(), 0.1):
                continue
            with accepted(server) as to_caller:
                guess = code.Server(f"{WRONG}-{guesses}".encode())
                to_caller.sendall(guess.start())
                to_caller.sendall(guess.feed(exactly(to_caller, len(code.HELLO) + 33)))
                guesses += len(exactly(to_caller, 32)) == 32
    assert guesses == 3
    assert ann.status() == 1
    assert ann.err.splitlines()[-1] == (
        "the handshake of the code failed: it ended the connection"
    ), ann.err


def test_a_man_in_the_middle_with_a_wrong_code_ends_a_caller_that_comes_back_at_once(
    duo: Duo,
) -> None:
    _, port = start_room(duo, "--code", env=environment())
    with hostile_listener() as (server, at):
        ann = call(duo, at, "ann", "--code", "--nick", "ann")
        with accepted(server) as to_caller, connected(port) as to_room:
            carry(to_caller, to_room, until=lambda: "you are ann" in ann.err)
        with accepted(server) as to_caller, pytest.raises(base.WrongCode):
            shake(to_caller, code.Server(WRONG.encode()))
    assert ann.status() == 1
    assert ann.err.splitlines()[-1] == DIFFER, ann.err


# Who keeps others out


def test_a_silent_caller_keeps_nobody_out(duo: Duo, kind: Kind) -> None:
    listening, port = kind.listen(duo)
    with connected(port):
        talk(listening, kind.connect(duo, port))


def test_a_hundred_half_open_callers_keep_nobody_out(duo: Duo, kind: Kind) -> None:
    listening, port = kind.listen(duo)
    with ExitStack() as stack:
        for number in range(100):
            sock = stack.enter_context(connected(port))
            if number % 2:
                sock.sendall(code.HELLO if kind.kind == "code" else b"\x16\x03\x01")
        assert len(os.listdir(f"/proc/{listening.pid}/fd")) < 40
        talk(listening, kind.connect(duo, port))


def test_a_flood_of_garbage_keeps_nobody_out_and_fills_no_memory(
    duo: Duo, kind: Kind, rng: random.Random
) -> None:
    listening, port = kind.listen(duo)
    with connected(port) as sock:
        sock.sendall(b"garbage")
        ending_of(sock)
    before = peak(listening.pid)
    for start in (b"", code.HELLO, code.HELLO + b"A", b"\x16\x03\x01\x40\x00", b"\x16\x03\x01") * 6:
        with connected(port) as sock:
            try:
                sock.sendall(start + rng.randbytes(1_000_000))
            except OSError:
                continue
            ending_of(sock)
    assert peak(listening.pid) - before < 4000, "kB"
    assert listening.err.count("\n") < 12, "a flood of callers is none on the terminal"
    talk(listening, kind.connect(duo, port))


# What can be seen from outside


def test_nothing_that_was_said_can_be_found_in_a_recorded_conversation(
    duo: Duo, kind: Kind
) -> None:
    listening, port = kind.listen(duo)
    tap = Tap(port)
    calling = kind.connect(duo, tap.port)
    carried = threading.Thread(target=tap.run)
    carried.start()
    both = [*LINES, *["the same line, again and again"] * 100, "x" * 20_000]
    for line in both:
        calling.type(f"{line}\n")
        listening.type(f"{line}\n")
    text = "".join(f"{line}\n" for line in both).encode()
    until(lambda: listening.out == calling.out == text)
    calling.end_input()
    listening.end_input()
    assert (calling.status(), listening.status()) == (0, 0)
    carried.join(DEADLINE)
    both_ways = [bytes(tap.to_listener), bytes(tap.to_caller)]
    for recorded in both_ways:
        assert len(recorded) > len(text)
        assert not pieces(text, 8) & pieces(recorded, 8)
        assert not any(word.encode() in recorded for word in CODE.split("-"))
    if kind.kind == "tls":  # what comes before is public, and has zeros in it
        both_ways = [*map(sealed_in, both_ways)]
    assert_no_repeated_pattern(b"".join(both_ways))
    if kind.kind == "code":
        assert_sizes_are_steps(both_ways[0][len(code.HELLO) + 33 + 32 + code.HEADER :])
        assert_sizes_are_steps(both_ways[1][len(code.BANNER) + 33 + 32 + code.HEADER :])


def sealed_in(records: bytes) -> bytes:
    """What the records of type application_data hold: RFC 8446, 5.2."""
    sealed, at = b"", 0
    while at < len(records):
        size = int.from_bytes(records[at + 3 : at + 5], "big")
        if records[at] == 0x17:
            sealed += records[at + 5 : at + 5 + size]
        at += 5 + size
    return sealed


def pieces(data: bytes, size: int) -> set[bytes]:
    return {data[at : at + size] for at in range(len(data) - size + 1)}


def assert_no_repeated_pattern(recorded: bytes) -> None:
    patterns = [recorded[at : at + 16] for at in range(len(recorded) - 15)]
    assert len(set(patterns)) == len(patterns)


def assert_sizes_are_steps(frames: bytes) -> None:
    while frames:
        size = int.from_bytes(frames[:2], "big")
        assert size - code.ABYTES in code.STEPS
        assert len(frames) >= 2 + size
        frames = frames[2 + size :]


def test_two_recorded_sessions_with_the_same_code_have_nothing_in_common(duo: Duo) -> None:
    seen = []
    for number in range(2):
        listening, port = Kind("code").listen(duo, "--log", f"{number}.log")
        tap = Tap(port)
        calling = Kind("code").connect(duo, tap.port)
        calling.type("the same line\n")
        calling.end_input()
        listening.end_input()
        tap.run()
        assert listening.status() == 0
        start = len(code.BANNER)
        shorter = bytes(tap.to_caller[start:]), bytes(tap.to_listener[len(code.HELLO) + 1 :])
        seen.append(shorter)
    assert not pieces(b"".join(seen[0]), 8) & pieces(b"".join(seen[1]), 8)


@pytest.mark.parametrize("given", ["made", "file", "variable"])
def test_the_code_stands_nowhere_that_others_can_look(duo: Duo, tmp_path: Path, given: str) -> None:
    path = code_file(tmp_path)
    if given == "made":
        listening, port = duo.listen("--code", env=environment(None))
        spoken = listening.err.partition("the code: ")[2].partition("\n")[0]
        calling = call(duo, port, "calling", "--code", spoken=spoken)
    elif given == "file":
        spoken = CODE
        listening, port = duo.listen("--code-file", path, env=environment(None))
        calling = call(duo, port, "calling", "--code-file", path, spoken=None)
    else:
        spoken = CODE
        listening, port = Kind("code").listen(duo)
        calling = call(duo, port, "calling", "--code")
    calling.type("hello\n")
    until(lambda: listening.out == b"hello\n")
    for program in (listening, calling):
        for pid in (program.pid, program.child()):
            assert spoken.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
            environ = Path(f"/proc/{pid}/environ")
            if given == "file":
                assert spoken.encode() not in environ.read_bytes()
            assert environ.stat().st_mode & 0o077 == 0
        # a caller's, once it is known whether a person or a room has answered
        logs = until(lambda program=program: [*program.cwd.rglob("*.log")])
        assert not any(spoken.encode() in log.read_bytes() for log in logs)
    talk(listening, calling)


# Certificates


@pytest.mark.parametrize(
    ("cert", "options", "told"),
    [
        ("good", ["--tls-ca", "alone"], "from no authority that is known here"),
        ("good", ["--tls"], "from no authority that is known here"),
        ("alone", ["--tls"], "from no authority that is known here"),
        ("elsewhere", ["--tls-ca", "ca"], "for another host than 127.0.0.1"),
        ("expired", ["--tls-ca", "ca"], "has expired"),
        ("good", ["--tls-pin", "sha256:" + "ab" * 32], "another one than the pin's: sha256:"),
    ],
    ids=["wrong authority", "unknown authority", "self-signed", "wrong name", "expired", "pin"],
)
def test_a_caller_says_nothing_to_a_certificate_that_is_not_right(
    duo: Duo, cert: str, options: list[str], told: str
) -> None:
    certs = certificates()
    args = ["--tls-cert", certs.cert(cert), "--tls-key", certs.key(cert)]
    listening, port = duo.listen(*args)
    options = [certs.cert(part) if part in ("alone", "ca") else part for part in options]
    calling = call(duo, port, "calling", *options)
    calling.type("a secret\n")
    assert calling.status() == 1
    assert told in calling.err
    assert calling.err.count("\n") == 1
    until(lambda: "was refused: " in listening.err)
    assert said(duo.heard_by_listener) == events(duo.heard_by_listener) == []
    pinned = call(duo, port, "pinned", "--tls-pin", pin_in(listening))
    talk(listening, pinned)


def pin_in(listening: Program) -> str:
    """What the listener says that the other side is to type."""
    return "sha256:" + listening.err.partition("--tls-pin sha256:")[2].partition(" ")[0]


# What each process holds

LOOKING = """\
import gc, json, os, signal, sys
from duplex.channel import code, tls

def remembering(key, salt, info, made=code.hkdf):
    out = made(key, salt, info)
    with open("key." + info.decode().replace(" ", "-"), "w") as file:
        file.write(out.hex())
    return out

code.hkdf = remembering  # in files, so that it is not this that holds them

def look(_number, frame):
    wanted = {}
    for name in os.listdir("."):
        if name.startswith("key."):
            with open(name) as file:
                wanted[name[4:]] = bytes.fromhex(file.read())
    tracked, local = gc.get_objects(), []
    while frame:
        local += frame.f_locals.values()
        frame = frame.f_back
    parts = [part for one in tracked if one is not wanted for part in gc.get_referents(one)]
    held = {
        name
        for part in parts + local
        if isinstance(part, (bytes, bytearray))
        for name, key in wanted.items()
        if key in part and part is not key
    }
    kinds = [type(one).__module__ + "." + type(one).__qualname__ for one in tracked]
    channels = tuple(f"duplex.channel.{name}." for name in ("base", "code", "plain", "tls"))
    seen = sorted(kind for kind in kinds if kind.startswith((*channels, "spake2.spake2")))
    states = sum(type(one) is code.State for one in tracked)
    with open(f"{os.getpid()}.tmp", "w") as file:
        json.dump({"objects": seen, "keys": sorted(held), "states": states}, file)
    os.rename(f"{os.getpid()}.tmp", f"{os.getpid()}.json")

signal.signal(signal.SIGUSR1, look)
from duplex.cli.main import main
sys.exit(main())
"""


def objects_of(pid: int, program: Program) -> dict[str, Any]:
    """What stands in the process's memory as objects that something can be done with."""
    path = program.cwd / f"{pid}.json"
    path.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    until(path.exists)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def reads_nothing(pid: int) -> bool:
    """Whether the child has let go of all that is its parent's, of which this is the last."""
    try:
        return os.readlink(f"/proc/{pid}/fd/0") == os.devnull
    except FileNotFoundError:  # it has just closed what was there before
        return False


@pytest.mark.parametrize("side", ["listen", "connect"])
@pytest.mark.parametrize("spoke", [True, False], ids=["in a talk", "before anything is said"])
def test_the_parent_can_only_seal_and_the_child_can_only_open(
    duo: Duo, tmp_path: Path, side: str, spoke: bool
) -> None:
    script = tmp_path / "looking.py"
    script.write_text(LOOKING)
    looking = [sys.executable, str(script), side]
    if side == "listen":
        ours = duo.start([*looking, "0", *Kind("code").listening], "ours", env=environment())
        theirs = call(duo, port_of(ours), "theirs", "--code")
    else:
        theirs, port = Kind("code").listen(duo)
        where = ["127.0.0.1", str(port)]
        ours = duo.start([*looking, "--code", *where], "ours", env=environment())
    child = ours.child()
    until(lambda: reads_nothing(child))
    if spoke:
        theirs.type("hello\n")
        until(lambda: ours.out == b"hello\n")
        ours.type("hello\n")
        until(lambda: theirs.out == b"hello\n")
    # The parent first: a child takes any signal for one that is to end it.
    # It lets go of the other half right after its fork, which it may not have come back from yet.
    seals = until(lambda: (one := objects_of(ours.pid, ours))["states"] == 1 and one)
    opens = objects_of(child, ours)
    names = ("caller's-proof", "listener's-proof", "caller-to-listener", "listener-to-caller")
    assert {path.name for path in ours.cwd.glob("key.*")} == {f"key.{name}" for name in names}
    # The key, until the stream's header has come.
    opens_with = names[2] if side == "listen" else names[3]
    waits_for = [] if spoke else [opens_with]
    assert seals == {"objects": ["duplex.channel.code.Sender"], "keys": [], "states": 1}
    assert opens == {"objects": ["duplex.channel.code.Receiver"], "keys": waits_for, "states": 1}


# The page


def test_each_attack_of_the_page_is_tried() -> None:
    here = Path(__file__).parent
    page = (here.parent / "docs" / "security.md").read_text()
    tests = "".join(path.read_text() for path in here.rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 40
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []
    assert [
        name for name in re.findall(r"`(tests/[\w/.]+)`", page) if not (here.parent / name).exists()
    ] == []
    own = re.findall(r"^def (test_\w+)", Path(__file__).read_text(), re.MULTILINE)
    assert [name for name in own[:-1] if name not in named] == []
