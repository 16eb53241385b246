"""The opening: what may be said before it is known whether a person or a room answers."""

from __future__ import annotations

import random

import pytest

from duplex.client.holdback import EARLY, Holdback


def test_whole_lines_go_at_once_and_the_rest_waits() -> None:
    opening = Holdback(verbatim=False)
    assert opening.feed(b"one\ntwo\nthr") == b"one\ntwo\n"
    assert not opening.holds
    assert opening.feed(b"ee\n") == b"three\n"


@pytest.mark.parametrize("line", [b"bye", b"quit", b"bye\r", b"/quit", b"/QUIT now", b"a\xffb"])
def test_what_means_another_thing_in_a_room_waits_with_all_that_follows(line: bytes) -> None:
    opening = Holdback(verbatim=False)
    assert opening.feed(b"one\n" + line + b"\ntwo\n") == b"one\n"
    assert opening.holds
    assert opening.release() == line + b"\ntwo\n"


@pytest.mark.parametrize("line", [b"goodbye", b"bye bye", b" quit", b"say /quit"])
def test_what_only_looks_like_it_goes(line: bytes) -> None:
    assert Holdback(verbatim=False).feed(line + b"\n") == line + b"\n"


def test_of_a_file_only_what_a_room_would_take_for_a_command_waits() -> None:
    opening = Holdback(verbatim=True)
    assert opening.feed(b"bye\n# /x\n/usr\n") == b"bye\n# /x\n"
    assert opening.release() == b"/usr\n"


def test_no_more_goes_than_a_room_keeps() -> None:
    opening = Holdback(verbatim=False)
    sent = opening.feed(b"x\n" * EARLY)
    opening.went_out(sent)
    assert len(sent) == EARLY
    assert opening.holds
    assert opening.feed(b"y\n") == b""


def test_it_is_not_whole_once_something_else_went_out() -> None:
    opening = Holdback(verbatim=False)
    opening.went_out(b"one\n")
    assert opening.is_whole
    opening.went_out(b"tw")
    assert not opening.is_whole
    opening = Holdback(verbatim=False)
    opening.went_out(b"x" * EARLY + b"\n")
    assert not opening.is_whole


@pytest.mark.parametrize("verbatim", [False, True])
def test_nothing_is_lost_or_moved_however_it_comes(rng: random.Random, verbatim: bool) -> None:
    pieces = [b"bye\n", b"quit", b"\n", b"/quit\n", b"/x", b"\xff", b"hello ", b"a\n", b"x" * 9000]
    for _ in range(1000):
        opening = Holdback(verbatim)
        typed = b""
        for _ in range(rng.randrange(30)):
            data = b"".join(rng.choices(pieces, k=rng.randrange(4)))
            typed += data
            out = opening.feed(data)
            opening.went_out(out)
            assert opening.is_whole
        assert len(opening.said) <= EARLY
        assert opening.said + opening.release() == typed
