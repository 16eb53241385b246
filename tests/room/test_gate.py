"""Who keeps coming and going, and who guesses, is kept out of a room, and nobody else is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from room_support import Client, Room
from support import ROOM, Duo, Program, port_of, records, room_log, until

OpenRoom = Callable[..., Room]

# A room whose every member ends as one does whose client gave a wrong code.
ONLY_WRONG_CODES = """\
from duplex.cli.main import main
from duplex.room import life
from duplex.system import process
life.Life.run = lambda self, become: process.EXIT_WRONG_CODE
main()
"""


def test_who_comes_and_goes_without_end_is_refused_and_others_are_not(open_room: OpenRoom) -> None:
    room = open_room("--max-per-address", "2")  # so 8 at once, and 1 a second
    refused = "! your address comes too often: wait a few seconds (--max-per-address)"

    def is_refused() -> bool:
        client = room.connect(address="127.0.0.9")
        client.shut()
        return client.reads_to_the_end() == [refused]

    until(is_refused)
    room.enter("ann", "bob")
    until(lambda: f": {refused[2:]}" in room.host.err)


def test_who_is_told_that_it_comes_too_often_does_not_take_the_room_for_a_person(
    open_room: OpenRoom, duo: Duo
) -> None:
    room = open_room("--max-per-address", "1")  # so 4 at once, and one each 2 s
    why = "your address comes too often: wait a few seconds (--max-per-address)"

    def comes() -> list[str]:
        client = room.connect()
        client.shut()
        return client.reads_to_the_end()

    def eve_is_refused() -> Program | None:
        until(lambda: comes() == [f"! {why}"])
        eve = duo.connect(room.port)
        eve.end_input()  # nothing is typed: from a room it would go
        eve.status()
        return eve if why in eve.err else None

    eve = until(eve_is_refused)
    assert eve.status() == 1
    assert eve.err.splitlines()[1:] == [f"refused: {why}"]
    assert eve.out == b""
    said = [nick for nick, _ in records(duo.heard_by_connector) if nick]
    assert said == [], "nobody there is a person"


def test_after_a_wrong_code_its_address_waits_and_the_host_is_told(duo: Duo) -> None:
    command = [sys.executable, "-c", ONLY_WRONG_CODES, *ROOM[3:], "0", "--plain"]
    host = duo.start(command, "room")
    port = port_of(host)

    def tries(address: str) -> list[str]:
        return Client(port, address).reads_to_the_end()

    assert tries("127.0.0.9") == []
    until(lambda: "wrong code from 127.0.0.9, the 1st from there: refused for 1 s\n" in host.err)
    assert tries("127.0.0.9") == ["! wrong codes came from your address: wait 1 s"]
    assert tries("127.0.0.8") == []
    until(lambda: "wrong code from 127.0.0.8, the 1st from there: refused for 1 s\n" in host.err)
    until(lambda: tries("127.0.0.9") == [])
    until(lambda: "wrong code from 127.0.0.9, the 2nd from there: refused for 2 s\n" in host.err)
    waits = tries("127.0.0.9")
    assert re.fullmatch(r"! wrong codes came from your address: wait [12] s", waits[0]), waits
    log = room_log(host.cwd)
    assert log.read_bytes() == b""  # nobody has seen any of it
