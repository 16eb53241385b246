"""Nobody in a room is called what looks like somebody else who is here, or like its host."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest
from room_support import Client, Room


@pytest.mark.parametrize(
    ("holder", "wanted"),
    [("bill", "bi11"), ("bill", "BiIl"), ("tom", "torn"), ("coco", "сосо"), ("сосо", "coco")],
)
def test_what_looks_like_somebody_who_is_here_is_refused_until_that_one_leaves(
    room: Room, holder: str, wanted: str
) -> None:
    ann, bob = room.enter("ann", holder)
    ann.say(f"/nick {wanted}")
    assert ann.sees("looks like") == f"! {wanted} looks like {holder}, who is here"
    ann.say("still ann")
    bob.sees("<ann> still ann")
    bob.say("/quit")
    ann.sees(f"* {holder} left")
    ann.say(f"/nick {wanted}")
    ann.sees(f"! you are {wanted} now")


def test_who_joins_as_what_looks_like_somebody_gets_a_number_and_is_told_why(room: Room) -> None:
    room.enter("bill")
    other = room.client()
    other.say("/join bi11")
    other.sees("! bi11 looks like bill, who is here, so you are bi112")
    other.sees("as bi112: key ")


@pytest.mark.parametrize("wanted", ["hоst", "h0st", "НОЅТ"])
def test_what_looks_like_the_host_is_refused(room: Room, wanted: str) -> None:
    (ann,) = room.enter("ann")
    ann.say(f"/nick {wanted}", "/who")
    ann.sees("! ")
    assert ann.sees("is here") == "! 1 is here: ann"
    joining = room.client()
    joining.say(f"/join {wanted}")
    assert " as guest-" in joining.sees("! joined ")
    assert not any("now h" in text or "now н" in text.lower() for text in room.events())


@pytest.mark.parametrize("wanted", ["аnn", "\u2800", "an\u2800n", "иван\u0301n"])
def test_mixed_scripts_and_what_is_not_seen_are_refused_in_one_line(
    room: Room, wanted: str
) -> None:
    (ann,) = room.enter("eve")
    ann.say(f"/nick {wanted}", "/who")
    assert " cannot be a nick: " in ann.sees("! ")
    assert ann.sees("is here") == "! 1 is here: eve"


@pytest.mark.parametrize("unseen", ["\u200b", "\u061c", "\u206a", "\U000e0041"])
def test_what_is_not_seen_is_seen_in_a_nick_too(room: Room, unseen: str) -> None:
    (ann,) = room.enter("ann")
    bob = room.client()
    bob.say(f"/nick a{unseen}nn")
    shown = ascii(unseen).strip("'")
    bob.sees(f"! you are a{shown}nn now")
    ann.sees(f"is now a{shown}nn")


def test_a_letter_goes_to_nobody_who_only_looks_so(room: Room) -> None:
    ann, _tom = room.enter("ann", "tom")
    ann.say("/msg torn psst")
    assert ann.sees("nobody") == "! nobody here is called torn"


def test_a_nick_can_be_spelled_otherwise_unless_it_then_looks_like_another(room: Room) -> None:
    neil, nell = room.enter("neil", "nell")
    neil.say("/nick NEIL")  # whose I looks like Nell's l
    assert neil.sees("looks like") == "! NEIL looks like nell, who is here"
    neil.say("/nick Neil")
    neil.sees("! you are Neil now")
    nell.say("/nick NEll")
    nell.sees("! you are NEll now")
    nell.say("/nick other")
    nell.sees("! you are other now")
    neil.sees("* NEll is now other")
    neil.say("/nick NEIL")
    neil.sees("! you are NEIL now")
    lan, ian = room.enter("lan", "ian")
    ian.say("/nick Ian")
    assert ian.sees("looks like") == "! Ian looks like lan, who is here"
    lan.say("/quit")
    ian.sees("* lan left")
    ian.say("/nick Ian")
    ian.sees("! you are Ian now")


def test_of_many_who_want_what_looks_the_same_exactly_one_gets_it(room: Room) -> None:
    spellings = ["bill", "bi11", "biI1", "Bi||"]
    clients = room.enter("n2", "n3", "n4", "n5")
    rounds = 40
    barrier = Barrier(len(clients))

    def race(client: Client, spelling: str) -> None:
        for turn in range(rounds):
            barrier.wait(30)
            client.say(f"/nick {spelling}x{turn}")
            while not client.sees(f"{spelling}x{turn}").startswith("! "):
                pass  # the record of the change, which may come before its answer

    threads = [Thread(target=race, args=pair) for pair in zip(clients, spellings, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    won: list[str] = []
    for client in clients:
        lines = client.heard.decode().splitlines()
        mine = [line for line in lines if line.startswith("! you are ") and "x" in line]
        won += [line.rpartition("x")[2].split()[0] for line in mine]
    assert sorted(won, key=int) == [str(turn) for turn in range(rounds)]
