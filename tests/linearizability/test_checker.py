"""The judge: evidence of a room that is well has no fault, and each way to doctor it is noticed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from linearizability.checker import judge
from linearizability.evidence import REFUSED, UNKNOWN, Client, Evidence, Line

ANN, BOB = "127.2.0.1", "127.2.0.2"


def said(tag: str) -> Line:
    return Line(tag, argument=tag)


def message(nick: str, text: str) -> Line:
    return Line(f"/msg {nick} {text}", "msg", f"{nick} {text}")


def nick(name: str) -> Line:
    return Line(f"/nick {name}", "nick", name)


ROOM = [
    f"* ann entered the room ({ANN}:1001)",
    f"* bob entered the room ({BOB}:1002)",
    "<ann> c0-0",
    "<bob> c1-0",
    "<ann> * c0-1",
    "* bob is now rob",
    "<rob> c1-3",
    "<ann> /c0-3",
    "* ann was dropped (connection lost)",
    "<rob> c1-4",
    f"* ann is back ({ANN}:1001)",
    "<ann> c0-4",
    "* ann left",
    "* rob left",
]
SCRIPT = {
    "c0": [
        said("c0-0"),
        Line("/me c0-1", argument="* c0-1"),
        message("rob", "c0-2"),
        Line("//c0-3", argument="/c0-3"),
        said("c0-4"),
    ],
    "c1": [said("c1-0"), Line("/who", "who"), nick("rob"), said("c1-3"), said("c1-4")],
}


def transcript(lines: list[str], first: int = 0) -> bytes:
    """Each a millisecond after the one before."""
    stamps = [f"2026-11-26T10:00:00.{first + at:03}Z" for at in range(len(lines))]
    return "".join(f"{at} {line}\n" for at, line in zip(stamps, lines, strict=True)).encode()


def kept(data: bytes, first: int, last: int) -> bytes:
    return b"".join(data.splitlines(keepends=True)[first:last])


def without(log: bytes, *patterns: str) -> bytes:
    lines = log.decode().splitlines(keepends=True)
    return "".join(x for x in lines if not any(re.search(p, x) for p in patterns)).encode()


def well() -> Evidence:
    """A small room: ann is c0, bob is c1 and then rob; one message goes to rob."""
    room = transcript(ROOM)
    ann, bob = kept(room, 0, 12), kept(room, 1, 13)
    clients = [
        Client("c0", list(SCRIPT["c0"]), log=ann, out=without(ann, "<ann>")),
        Client(
            "c1",
            list(SCRIPT["c1"]),
            log=bob,
            out=without(bob, "<bob>", "<rob>", "is now rob") + b"-ann- c0-2\n! 2 are here: ann\n",
        ),
    ]
    for client in clients:
        client.err = "this is room lobby, and you are somebody\n"
    return Evidence([room, room], clients, addresses={ANN: "c0", BOB: "c1"})


def lines_of(evidence: Evidence) -> list[str]:
    return evidence.transcripts[0].decode().splitlines(keepends=True)


def doctor_all(evidence: Evidence, change: Callable[[str], str]) -> None:
    """In the room's files and in what clients keep and were shown."""

    def changed(data: bytes) -> bytes:
        return change(data.decode()).encode()

    evidence.transcripts = [changed(data) for data in evidence.transcripts]
    for client in evidence.clients:
        client.log, client.out = changed(client.log), changed(client.out)


def swap(text: str, one: str, other: str) -> str:
    """Two lines' places, each line told by its end."""
    lines = text.splitlines(keepends=True)
    a = next((n for n, line in enumerate(lines) if line.endswith(one + "\n")), None)
    b = next((n for n, line in enumerate(lines) if line.endswith(other + "\n")), None)
    if a is not None and b is not None:
        lines[a], lines[b] = lines[b], lines[a]
    return "".join(lines)


def kinds(evidence: Evidence) -> set[str]:
    return {fault.kind for fault in judge(evidence)}


def test_a_room_that_is_well_has_no_fault() -> None:
    assert judge(well()) == []


def test_an_acknowledged_line_that_is_nowhere_is_lost() -> None:
    evidence = well()
    doctor_all(evidence, lambda text: without(text.encode(), "c1-3").decode())
    assert kinds(evidence) == {"lost"}


def test_a_line_that_was_told_as_unknown_may_be_there_or_not() -> None:
    for there in (True, False):
        evidence = well()
        evidence.clients[1].err += f"connect: {UNKNOWN}: c1-3\n"
        evidence.clients[1].status = 1
        if not there:
            doctor_all(evidence, lambda text: without(text.encode(), "c1-3").decode())
        assert judge(evidence) == []


def test_a_line_told_as_refused_is_not_to_be_there() -> None:
    evidence = well()
    evidence.clients[1].err += f"{REFUSED}: c1-3\n"
    evidence.clients[1].status = 1
    assert kinds(evidence) == {"told"}


def test_lines_that_are_only_counted_when_they_are_told_are_the_next_ones() -> None:
    evidence = well()
    evidence.clients[1].err += f"{UNKNOWN}: c1-0\n{UNKNOWN}: 2 more lines\n"
    evidence.clients[1].status = 1
    told = [line.typed for _, line in evidence.clients[1].told()]
    assert told == ["c1-0", "/nick rob", "c1-3"]
    doctor_all(evidence, lambda text: without(text.encode(), "c1-3").decode())
    assert judge(evidence) == []
    doctor_all(evidence, lambda text: without(text.encode(), "c1-4").decode())
    assert kinds(evidence) == {"lost"}


def test_a_line_that_stands_there_twice_is_a_fault_even_if_it_was_told_as_unknown() -> None:
    for err in ("", f"{UNKNOWN}: c0-4\n"):
        evidence = well()
        evidence.clients[0].err += err
        evidence.clients[0].status = 1 if err else 0
        again = lines_of(evidence)[11]
        doctor_all(evidence, lambda text, again=again: text.replace(again, again + again))
        assert "twice" in kinds(evidence)


def test_what_nobody_typed_is_foreign() -> None:
    for change in (("c1-3", "c1-33"), ("c1-3\n", "c1-3 \n"), ("<ann> /c0-3", "<ann> //c0-3")):
        evidence = well()
        doctor_all(evidence, lambda text, change=change: text.replace(*change))
        assert "foreign" in kinds(evidence)


def test_what_a_client_never_read_of_its_pipe_is_foreign() -> None:
    evidence = well()
    evidence.clients[1].unread = 1
    assert kinds(evidence) == {"foreign", "ending"}


def test_lines_in_another_order_are_a_fault() -> None:
    evidence = well()
    doctor_all(evidence, lambda text: swap(text, "c1-3", "c1-4"))
    assert "order" in kinds(evidence)


def test_a_record_that_is_torn_is_a_fault() -> None:
    for end in (b"2026-11-26T10:00:00.9", b"2026-11-26T10:00:00.999Z what\n", b"\0\0\n"):
        evidence = well()
        evidence.transcripts = [data + end for data in evidence.transcripts]
        assert kinds(evidence) == {"torn"}


def test_a_stamp_that_goes_back_is_a_fault() -> None:
    evidence = well()
    doctor_all(evidence, lambda text: text.replace("00.006Z", "00.004Z"))
    assert kinds(evidence) == {"stamp"}


def test_hosts_that_differ_are_a_fault() -> None:
    evidence = well()
    evidence.transcripts[1] = evidence.transcripts[1][:-10]
    assert "differ" in kinds(evidence)
    evidence.transcripts[1] = evidence.transcripts[0].replace(b"c1-3", b"c1-4")
    assert "differ" in kinds(evidence)


def test_a_hole_in_what_a_client_keeps_is_a_fault() -> None:
    for pattern in ("c1-0", "dropped"):  # somebody else's line, and an event
        evidence = well()
        ann = evidence.clients[0]
        ann.log, ann.out = without(ann.log, pattern), without(ann.out, pattern)
        assert kinds(evidence) == {"hole"}


def test_a_line_that_a_client_keeps_twice_is_a_fault() -> None:
    evidence = well()
    ann = evidence.clients[0]
    again = lines_of(evidence)[3].encode()
    ann.log, ann.out = (data.replace(again, again + again) for data in (ann.log, ann.out))
    assert kinds(evidence) == {"hole"}


def test_what_a_client_keeps_and_the_room_has_not_is_a_fault() -> None:
    evidence = well()
    ann = evidence.clients[0]
    ann.log, ann.out = (data.replace(b"c1-0", b"c1-9") for data in (ann.log, ann.out))
    assert "hole" in kinds(evidence)


def test_who_came_in_anew_may_have_the_history_once_more() -> None:
    evidence = well()
    bob = evidence.clients[1]
    history = kept(evidence.transcripts[0], 3, 10)
    bob.log = kept(bob.log, 0, 9) + history + bob.log[len(kept(bob.log, 0, 9)) :]
    bob.out = (
        without(kept(bob.log, 0, 9), "<bob>", "<rob>", "is now rob")
        + history
        + without(kept(bob.log, 16, 99), "<rob>")
    )
    assert "hole" in kinds(evidence)
    bob.err += "not resumed: somebody else is rob now\n"
    assert judge(evidence) == []


def test_a_client_that_ends_before_its_own_last_line_has_come_is_a_fault() -> None:
    evidence = well()
    bob = evidence.clients[1]
    bob.log = kept(bob.log, 0, 8)
    bob.out = without(bob.out, "left", "is back", "<ann> c0-4")
    assert kinds(evidence) == {"unheard"}
    bob.killed, bob.status = "child", 1
    assert judge(evidence) == []


def test_what_is_not_shown_or_shown_twice_is_a_fault() -> None:
    line = lines_of(well())[2].encode()
    for change in (b"", line + line):
        evidence = well()
        evidence.clients[1].out = evidence.clients[1].out.replace(line, change)
        assert kinds(evidence) == {"shown"}


def test_an_own_line_that_is_shown_is_a_fault() -> None:
    for number in (2, 4, 7, 11):
        evidence = well()
        evidence.clients[0].out = without(evidence.clients[0].log, "<ann>(?! c0)")
        own = lines_of(evidence)
        own = [line for at, line in enumerate(own) if at == number or "<ann>" not in line]
        evidence.clients[0].out = "".join(own[: len(own) - 2]).encode()
        assert kinds(evidence) == {"shown"}


def test_who_was_killed_may_have_been_shown_less() -> None:
    evidence = well()
    ann = evidence.clients[0]
    ann.killed, ann.status = "parent", -9
    ann.out = kept(ann.out, 0, 3)
    assert judge(evidence) == []
    ann.out = without(ann.out, "c1-0")
    ann.out += lines_of(evidence)[6].encode()
    assert kinds(evidence) == {"shown"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            (f"* bob entered the room ({BOB}:1002)", f"* ann entered the room ({BOB}:1002)"),
            "two are ann",
        ),
        (("<bob> c1-0", "<ann> c1-0"), "ann says what c1 said"),
        (("* bob is now rob", "* bob is now ann"), "a nick that somebody has"),
        (("* ann left", "* bob left"), "one leaves who is not here"),
        ((f"* ann is back ({ANN}:1001)", f"* rob is back ({ANN}:1001)"), "c0 takes what c1 has"),
        (("* ann was dropped (connection lost)", "* bob is somebody"), "no event at all"),
        (("* bob is now rob", "* bob is now eve"), "what c1 never asked for"),
    ],
)
def test_events_that_contradict_each_other_are_a_fault(change: tuple[str, str], told: str) -> None:
    evidence = well()
    doctor_all(evidence, lambda text: text.replace(*change))
    assert "people" in kinds(evidence), told


def test_after_a_restart_all_may_come_back_or_not() -> None:
    evidence = well()
    doctor_all(evidence, lambda text: without(text.encode(), "dropped").decode())
    assert judge(evidence) == []  # c0 took its own place over
    away = [line.replace("* bob entered the room", "* ann is back") for line in lines_of(evidence)]
    evidence.transcripts = ["".join(away).encode()] * 2
    assert "people" in kinds(evidence)
    evidence.restarts = [len(away[0])]
    assert "c0 has that nick" not in str([f for f in judge(evidence) if "back" in f.text])


def test_after_another_hub_all_may_come_back_or_not() -> None:
    evidence = well()
    dropped = "* everybody was dropped (the room's hub was killed by SIGKILL)\n"
    was = "* ann was dropped (connection lost)\n"
    doctor_all(evidence, lambda text: text.replace(was, dropped))
    assert [f for f in judge(evidence) if "rob" not in f.text] == []
    assert "nobody has that nick" in str(judge(evidence))  # rob speaks, and is not back


@pytest.mark.parametrize(
    ("reader", "line", "is_fault"),
    [
        (1, "", False),  # it was lost with a connection
        (1, "-ann- c0-2\n-ann- c0-2\n", True),
        (1, "-rob- c0-2\n", True),
        (1, "-ann- c0-9\n", True),
        (0, "-ann- c0-2\n", True),
    ],
)
def test_a_message_reaches_whom_it_is_for_and_once(reader: int, line: str, is_fault: bool) -> None:
    evidence = well()
    evidence.clients[1].out = evidence.clients[1].out.replace(b"-ann- c0-2\n", b"")
    evidence.clients[reader].out += line.encode()
    assert kinds(evidence) == ({"letter"} if is_fault else set())


def test_a_message_to_who_had_the_nick_before_is_a_fault_if_another_has_it_now() -> None:
    evidence = well()
    evidence.clients[0].script.insert(4, message("bob", "c0-2"))
    del evidence.clients[0].script[2]
    assert judge(evidence) == []  # nobody is bob any more
    for data in ("ann", "rob"):
        evidence.clients[0].script[3] = message(data, "c0-2")
        assert kinds(evidence) == ({"letter"} if data == "ann" else set())


def test_how_a_client_has_to_end() -> None:
    for change in ({"status": 1}, {"status": None}, {"err": f"{UNKNOWN}: c0-4\n"}):
        evidence = well()
        evidence.clients[0] = replace(evidence.clients[0], **change)
        assert kinds(evidence) == {"ending"}


def test_who_never_came_into_a_room_and_says_so_has_promised_nothing() -> None:
    evidence = well()
    eve = Client(
        "c2", [said("c2-0")], status=1, log=b"* connected\n", err="connection lost: reset\n"
    )
    evidence.clients.append(eve)
    assert judge(evidence) == []
    eve.status = 0
    assert kinds(evidence) == {"lost", "hole", "shown"}


def test_what_is_left_of_a_room_is_a_fault() -> None:
    evidence = well()
    evidence.processes = ["process 1 is still there"]
    assert kinds(evidence) == {"process"}
