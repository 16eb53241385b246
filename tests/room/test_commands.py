"""The commands of a room, typed by plain clients, and the rules of nicks."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from threading import Barrier, Thread

from room_support import Client, Room
from support import connected, peak, probes, records, said, until

OpenRoom = Callable[..., Room]


def test_help_lists_every_command_of_a_member(room: Room) -> None:
    (ann,) = room.enter("ann")
    ann.say("/help", "/HELP me")
    for _ in range(2):
        for command in ("/who", "/nick NAME", "/me ACTION", "/msg NICK TEXT", "/history [N]"):
            assert ann.sees(command).startswith(f"! {command}: ")
        assert ann.sees("/quit") == "! /quit: leave"
        assert ann.sees("//TEXT") == "! //TEXT: say /TEXT"
    assert b"/kick" not in ann.heard


def test_who_tells_all_that_are_here_in_order(room: Room) -> None:
    ann, *_ = room.enter("ann", "Zoe", "bob")
    ann.say("/who")
    assert ann.sees("are here") == "! 3 are here: ann, bob, Zoe"


def test_many_are_told_in_several_lines(room: Room) -> None:
    nicks = [f"n{number:02}" for number in range(53)]
    first, *_ = room.enter(*nicks)
    first.say("/who")
    assert first.sees("53 are here:") == f"! 53 are here: {', '.join(nicks[:50])}"
    assert first.sees("! and: ") == f"! and: {', '.join(nicks[50:])}"


def test_what_begins_with_two_slashes_is_said_with_one(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    bob.say("//who is it?", "///", "// ", " /who")
    for text in ("/who is it?", "//", "/ ", " /who"):
        assert ann.sees("<bob>").endswith(f"<bob> {text}")


def test_an_unknown_command_is_an_answer_and_is_not_said(room: Room) -> None:
    lines = ["/dance", "/", "/ me waves", "/kick bob", "/close", "/ban 127.0.0.1", "/größe", "/\t"]
    ann, bob = room.enter("ann", "bob")
    for line in lines:
        bob.say(line)
        answer = bob.sees("no command")
        assert answer.startswith("! there is no command /")
        assert answer.endswith("; /help lists them, //… says /…")
    bob.say("the end")
    ann.sees("<bob> the end")
    assert said(room.log) == ["the end"]
    assert room.host.process.poll() is None


def test_an_action_is_something_said(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    bob.say("/me waves", "/ME  left ", "/me")
    assert ann.sees("waves").endswith("<bob> * waves")
    assert ann.sees("left").endswith("<bob> * left")
    bob.sees("! there is no command /me")


def test_lines_and_commands_in_one_packet_keep_their_order(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    bob.say("one", "/me two", "/nick bobby", "three", "//four", "/msg ann psst", "five")
    ann.sees("five")
    assert ann.said == [
        "<bob> one",
        "<bob> * two",
        "<bobby> three",
        "<bobby> /four",
        "<bobby> five",
    ]
    if b"-bobby- psst\n" not in ann.heard:  # a letter may come before the last line or after it
        ann.sees("-bobby- psst")


def test_quit_leaves_and_nothing_after_it_is_said(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    bob.say("bye", "/quit now", "not this")
    assert bob.reads_to_the_end()[-1].endswith("that is all")
    ann.sees("* bob left")
    assert said(room.log) == ["bye"]


# /history


def test_history_shows_the_last_records_once_more(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    ann.say(*(f"line {number}" for number in range(30)))
    bob.sees("line 29")
    bob.say("/history 3", "/history", "/history 500", "/who")
    bob.sees("are here")
    lines = [line.encode() for line in bob.heard.decode().splitlines() if line[:3] == "! 2"]
    recorded = [b"! " + line for line in room.log.read_bytes().splitlines()]
    lines.pop()  # the answer to /who
    assert lines == [*recorded[-3:], *recorded[-20:], *recorded]


def test_history_takes_a_number(room: Room) -> None:
    (ann,) = room.enter("ann")
    for count in ("0", "501", "-1", "x", "1.5", "1 2", "٣x", "9" * 5000):
        ann.say(f"/history {count}")
        assert ann.sees("/history") == "! /history takes a number from 1 to 500"


# /msg


def test_a_private_message_is_for_one_alone_and_in_no_transcript(room: Room) -> None:
    ann, bob, eve = room.enter("ann", "bob", "eve")
    bob.say("/msg ANN psst <hello>\ttab", "aloud")
    assert ann.sees("psst") == "-bob- psst <hello>\ttab"
    assert bob.sees("psst") == "! you told ANN: psst <hello>\ttab"
    eve.sees("<bob> aloud")
    assert b"psst" not in eve.heard
    assert b"psst" not in room.log.read_bytes()


def test_a_private_message_needs_a_nick_and_a_text(room: Room) -> None:
    (ann,) = room.enter("ann")
    for line in ("/msg", "/msg ann", "/msg ann  "):
        ann.say(line)
        assert ann.sees("takes") == "! /msg takes NICK TEXT"


def test_a_private_message_to_nobody_is_told(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    bob.say("/quit")
    ann.sees("* bob left")
    for nick in ("bob", "guest-2", "nobody", "größe"):
        ann.say(f"/msg {nick} hello")
        assert ann.sees("nobody here") == f"! nobody here is called {nick}"
    ann.say("/msg <> hello")
    assert "cannot be a nick" in ann.sees("! '<>'")


def test_the_sender_is_told_when_a_mailbox_is_full(room: Room) -> None:
    """A client that does not read its letters costs a bounded mailbox, and its sender an answer."""
    (ann,) = room.enter("ann")
    (deaf,) = room.enter("deaf", buffer=4096)
    letter = "x" * 60_000
    sent = 0
    while True:
        ann.say(f"/msg deaf {sent} {letter}", "/msg nobody x")
        ann.sees("! nobody here")
        answers = ann.heard.decode().splitlines()
        if answers[-2] == "! deaf has a full mailbox; try again later":
            break
        assert answers[-2] == f"! you told deaf: {sent} {letter}"
        sent += 1
        assert sent < 1000
    for number in range(sent):  # and none of those that were taken is lost
        assert deaf.sees("-ann- ") == f"-ann- {number} {letter}"
    until(lambda: try_to_tell(ann))
    assert deaf.sees("again").endswith("-ann- once again")


def try_to_tell(ann: Client) -> bool:
    ann.say("/msg deaf once again")
    return ann.sees("deaf").startswith("! you told deaf")


# Nicks


def test_a_nick_may_be_32_characters_of_any_script(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    for nick in ("x" * 32, "größe", "日本語", "мир", "o'neill", "a.b-c_d", "😀"):
        bob.say(f"/nick {nick}", "me")
        bob.sees(f"! you are {nick} now")
        assert ann.sees(" me").endswith(f"<{nick}> me")


NO_NICKS = [
    ("", "cannot be a nick: it is empty"),
    ("x" * 33, "cannot be a nick: it has more than 32 characters"),
    ("ü" * 33, "cannot be a nick: it has more than 32 characters"),
    ("a\u00ad" * 9999, "\\u0'… cannot be a nick: it has more than 32 characters"),
    ("a b", "cannot be a nick: it can hold no <, > or space"),
    ("a\u00a0b", "cannot be a nick: it can hold no <, > or space"),
    ("<ann>", "cannot be a nick: it can hold no <, > or space"),
    ("a\tb", "cannot be a nick: "),
    ("a\u2800b", "cannot be a nick: a character in it is not seen"),
    ("аnn", "cannot be a nick: it mixes letters that look alike: Cyrillic and Latin"),
    ("h0st", "h0st looks like host, who keeps this room"),
    ("x" + "\u0344" * 8, "cannot be a nick: it has too many marks on one letter"),
    ("*", "cannot be a nick: it begins with *"),
    ("!ann", "cannot be a nick: it begins with !"),
    ("-ann-", "cannot be a nick: it begins with -"),
    ("/ann", "cannot be a nick: it begins with /"),
    ("host", "host is who keeps this room"),
    ("HoSt", "host is who keeps this room"),
    ("ｈｏｓｔ", "host is who keeps this room"),
    ("ann", "somebody else is ann now"),
    ("ANN", "somebody else is ANN now"),
    ("ａｎｎ", "somebody else is ann now"),
]


def test_what_cannot_be_a_nick_is_told(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    for wanted, why in NO_NICKS:
        bob.say(f"/nick {wanted}")
        assert why in bob.sees("! ")
    bob.say("me")
    assert ann.sees(" me").endswith("<bob> me")
    assert len(room.events()) == 4  # two came in and took their names


def test_a_control_character_is_visible_before_it_could_be_in_a_nick(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    bob.say("/nick a\x1bb", "me")
    bob.sees("! you are a\\x1bb now")
    assert ann.sees(" me").endswith("<a\\x1bb> me")


def test_letters_that_look_the_same_are_the_same_nick(room: Room) -> None:
    ann, bob = room.enter("Ångström", "bob")
    bob.say("/nick A\u030angstro\u0308m")
    assert bob.sees("somebody") == "! somebody else is Ångström now"
    bob.say("/nick åNGSTRÖM")
    bob.sees("! somebody else is åNGSTRÖM now")
    bob.say("/msg ÅNGSTRÖM psst")
    ann.sees("-bob- psst")


def test_the_case_of_ones_own_nick_can_change(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    bob.say("/nick BOB", "/nick BOB")
    bob.sees("! you are BOB now")
    assert bob.sees("you are") == "! you are BOB"
    ann.sees("* bob is now BOB")
    ann.say("/msg bob psst")
    bob.sees("-ann- psst")


def test_a_former_nick_is_free_at_once(room: Room) -> None:
    ann, bob = room.enter("ann", "bob")
    ann.say("/nick anna")
    ann.sees("! you are anna now")
    bob.say("/nick ann")
    bob.sees("! you are ann now")
    ann.say("/msg ann psst")
    bob.sees("-anna- psst")


def test_a_nick_that_another_has_taken_up_stays_with_it(room: Room) -> None:
    """When the one who had it before leaves, or is killed."""
    ann, bob, eve, joe = room.enter("ann", "bob", "eve", "joe")
    pid = room.member_of(joe)
    for client, nick in ((ann, "anna"), (bob, "ann"), (joe, "joey"), (eve, "joe")):
        client.say(f"/nick {nick}")
        client.sees(f"! you are {nick} now")
    ann.say("/quit")
    bob.sees("* anna left")
    os.kill(pid, signal.SIGKILL)
    bob.sees("* joey was dropped")
    (zoe,) = room.enter("zoe")
    for client, nick in ((bob, "ann"), (eve, "joe")):
        zoe.say(f"/nick {nick}")
        zoe.sees(f"! somebody else is {nick} now")
        zoe.say(f"/msg {nick} psst")
        client.sees("-zoe- psst")


def test_a_guests_name_that_is_taken_is_passed_over(room: Room) -> None:
    room.enter("guest-2")
    assert ": you are guest-3, 2 are here; " in room.connect().sees("welcome")


def test_of_many_who_want_a_nick_at_the_same_instant_exactly_one_gets_it(room: Room) -> None:
    clients = room.enter("n1", "n2", "n3", "n4")
    rounds = 100
    barrier = Barrier(len(clients))

    def race(client: Client, number: int) -> None:
        for turn in range(rounds):
            barrier.wait(30)
            # Some in other letters: it is the same nick all the same.
            client.say(f"/nick {'WANTED' if (number + turn) % 2 else 'wanted'}-{turn}")
            client.sees(f"-{turn} now")

    threads = [Thread(target=race, args=pair) for pair in zip(clients, range(4), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    won = 0
    for client in clients:
        lines = client.heard.decode().splitlines()
        answers = [line for line in lines if line.startswith("! ") and line.lower().count("wanted")]
        assert len(answers) == rounds
        won += sum(line.startswith("! you are ") for line in answers)
    assert won == rounds
    changes = [text for text in room.events() if "wanted" in text.lower()]
    assert [text.rpartition("-")[2] for text in changes] == [str(n) for n in range(rounds)]
    clients[0].say("/who")
    assert "! 4 are here: " in clients[0].sees("are here")


def test_of_many_who_join_by_one_nick_at_the_same_instant_each_gets_its_own(room: Room) -> None:
    clients = [room.connect() for _ in range(12)]
    for client in clients:
        client.say("/join Ann")
    got = sorted(client.sees("! joined ").split(" as ")[1].partition(":")[0] for client in clients)
    assert got == sorted(["Ann", *(f"Ann{number}" for number in range(2, 13))])
    until(lambda: len(records(room.log)) == 12)
    assert sorted(room.events()) == sorted(f"{nick} entered the room" for nick in got)


def test_a_nick_whose_member_is_killed_is_free_again(room: Room, rng: random.Random) -> None:
    """Also when it is killed while it takes a nick."""
    (ann,) = room.enter("ann")
    for turn in range(3):
        (bob,) = room.enter("bob")
        pid = room.member_of(bob)
        bob.say(*(f"/nick bob{rng.choice(['', '-'])}{number}" for number in range(5)), "/nick bob")
        os.kill(pid, signal.SIGKILL)
        assert ann.sees("dropped").endswith(" was dropped (its process was killed by SIGKILL)"), (
            turn
        )
        bob.close()
    ann.say("/who")
    ann.sees("! 1 is here: ann")
    until(lambda: room.held() == 1)  # ann's


NO_WAYS_BACK = [
    "ann",
    "ann key",
    "ann key 0 more",
    "ann key -1",
    f"ann {'f' * 48} 0",
    f"ann -{'1' * 47} 0",
    "ann +_ 0",
    f"ann key {'9' * 5000}",
    f"{'x' * 60_000} key 0",
    "<> key 0",
    "größe ü 0",
    "\x00 \x1b \t",
]


def test_whoever_cannot_resume_is_told_and_may_still_join(room: Room) -> None:
    client = room.client()
    for rest in NO_WAYS_BACK:
        client.say(f"/resume {rest}")
        client.sees("! not resumed: ")
    client.say("/join ann")
    client.sees(f"! joined {room.port} as ann: key ")


def test_commands_whose_answers_nobody_reads_pile_up_no_answers(open_room: OpenRoom) -> None:
    """Thousands of commands in each read, and not one answer taken: the commands wait instead."""
    room = open_room("--rate", "0")
    (ann,) = room.enter("ann")
    ann.say(*["x" * 100] * 500)
    until(lambda: len(said(room.log)) == 500)
    with connected(room.port) as flood:
        flood.sendall(b"/join eve\n")
        ann.sees("* eve entered")
        eve = room.seat("eve").pid
        before = peak(eve)
        flood.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                flood.send(b"/history 500\n" * 5_000)
        until(lambda: probes(os.getpid()))
        assert peak(eve) < before + 4_000  # kB; all the answers would take 300,000
        ann.say("still here")
        until(lambda: said(room.log)[500:] == ["still here"])
