"""The judge of a run: which promises of a room were broken, from its files alone.

    torn      a line of a transcript is no record
    differ    two hosts' transcripts are not the same bytes
    stamp     a record is older than the one before it
    foreign   something stands there that nobody typed
    twice     a line stands there twice
    lost      a line that was not told as undelivered does not stand there
    told      a line was told as not recorded, and stands there
    order     a client's lines stand in another order than it said them
    hole      a client's transcript is not a piece of the room's
    unheard   it ends before the client's own last line
    shown     standard output is not what the transcript has
    ending    a client did not end as it should
    process   something of the room is still there, or went wrong in it

people.py has the rest: who is called what, and private messages. Pure functions: no file is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from .evidence import RECORD, REFUSED, TAG, Client, Evidence, Fault, Line, records
from .people import People, letters


def judge(evidence: Evidence) -> list[Fault]:
    """Every fault that there is."""
    found: list[Fault] = []
    for transcript in evidence.transcripts:
        found += whole(transcript)
    found += same(evidence.transcripts)
    transcript = max(evidence.transcripts, key=len)
    found += stamps(transcript)
    found += said_once(transcript, evidence.clients)
    people = People(evidence)
    found += people.faults
    room = Pieces(transcript)
    for client in evidence.clients:
        if not client.given_up:  # it was in no room
            found += stream(room, client)
            found += shown(client, people.renames.get(client.name, set()))
        found += ended(client)
    found += letters(evidence, people)
    found += [Fault("process", text) for text in [*evidence.processes, *evidence.rooms]]
    return found


def whole(transcript: bytes) -> Iterator[Fault]:
    for line in records(transcript):
        if not RECORD.fullmatch(line):
            yield Fault("torn", f"no record: {line[:200]!r}")


def same(transcripts: list[bytes]) -> Iterator[Fault]:
    for number, (one, other) in enumerate(pairwise(transcripts)):
        if one != other:
            at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), -1)
            at = at if at >= 0 else min(len(one), len(other))
            lengths = f"{len(one)} and {len(other)} bytes"
            yield Fault("differ", f"hosts {number} and {number + 1} from byte {at} on, {lengths}")


def stamps(transcript: bytes) -> Iterator[Fault]:
    last = b""
    for line in records(transcript):
        if match := RECORD.fullmatch(line):
            if match[1] < last:
                yield Fault("stamp", f"after {last.decode()}: {line[:80]!r}")
            last = max(last, match[1])


# Lines:


def said_once(transcript: bytes, clients: list[Client]) -> Iterator[Fault]:
    """What is said stands there once, in each client's order, and nothing else does."""
    typed: dict[str, Line] = {}
    for client in clients:
        typed.update((line.argument, line) for line in client.script if not line.command)
    places: dict[str, list[int]] = {}
    for at, record in enumerate(records(transcript)):
        match = RECORD.fullmatch(record)
        if match and match[2] is not None:
            text = match[3].decode(errors="backslashreplace")
            if text in typed:
                places.setdefault(text, []).append(at)
            else:
                yield Fault("foreign", f"nobody typed this: {record[:200]!r}")
    for client in clients:
        yield from _of_client(client, places)


def _of_client(client: Client, places: dict[str, list[int]]) -> Iterator[Fault]:
    told = {line.argument: what for what, line in client.told() if not line.command}
    before = -1, ""
    for number, line in enumerate(client.script):
        if line.command:
            continue
        found = places.get(line.argument, [])
        name, short = client.name, line.typed[:60]
        what = told.get(line.argument)
        if len(found) > 1:
            yield Fault("twice", f"{name} said once, and there are {len(found)}: {short}")
        if found and number >= len(client.script) - client.unread:
            yield Fault("foreign", f"{name} never read this: {short}")
        if found and what == REFUSED:
            yield Fault("told", f"{name} was told that this is not recorded: {short}")
        if not found and not what and must_stand(client, number):
            yield Fault("lost", f"{name} said this, and was not told that it is lost: {short}")
        # What was given up may still be on its way, and come after what was said later.
        if found and (not what or not client.rejoined):
            if found[0] < before[0]:
                yield Fault("order", f"{name}: {short} stands before {before[1]}")
            before = max(before, (found[0], short))


def must_stand(client: Client, number: int) -> bool:
    """Whether the client has promised the line with that number, unless it told otherwise."""
    if client.killed == "parent" or client.given_up:
        return False
    return number < len(client.script) - client.unread


# Streams:


class Pieces:
    """A transcript, to find pieces of it in what clients keep."""

    def __init__(self, transcript: bytes) -> None:
        self.lines = records(transcript)
        self._places: dict[bytes, list[int]] = {}
        for at, line in enumerate(self.lines):
            self._places.setdefault(line, []).append(at)

    def longest(self, lines: list[bytes], start: int) -> tuple[int, int]:
        """(where, how many lines): the longest piece with which `lines` go on at `start`."""
        best = -1, 0
        for place in self._places.get(lines[start], []):
            count = 0
            while self.lines[place + count : place + count + 1] == lines[start + count :][:1]:
                count += 1
                if start + count == len(lines):
                    break
            best = max(best, (place, count), key=lambda piece: piece[1])
        return best


def stream(room: Pieces, client: Client) -> Iterator[Fault]:
    """What a client keeps is the room's transcript from its coming in on, without a hole."""
    lines = records(client.log)
    if lines and not lines[-1].endswith(b"\n"):
        if client.killed != "child":
            yield Fault("torn", f"{client.name} keeps {lines[-1][:200]!r}")
        lines.pop()
    at, pieces = 0, 0
    previous = -1
    while at < len(lines):
        place, count = room.longest(lines, at)
        if not count:
            yield Fault("hole", f"{client.name} keeps what is not there: {lines[at][:200]!r}")
            place, count = previous, 1
        else:
            pieces += 1
            if pieces > 1 + client.rejoined:
                missing = place - previous
                what = f"{missing} lines miss" if missing > 0 else f"{-missing} come again"
                yield Fault("hole", f"{client.name}: {what} before {lines[at][:120]!r}")
        at += count
        previous = place + count
    yield from _has_its_own(client, set(lines), room)


def _has_its_own(client: Client, kept: set[bytes], room: Pieces) -> Iterator[Fault]:
    """A line is known to be recorded because its record has come."""
    if client.killed:
        return
    told = {line.argument for _, line in client.told()}
    for line in room.lines:
        match = RECORD.fullmatch(line)
        if match and match[2] is not None and line not in kept:
            text = match[3].decode(errors="replace")
            tag = TAG.search(text)
            if tag and tag[1] == client.name and text not in told:
                yield Fault("unheard", f"{client.name} has not heard its own {text[:60]}")


def shown(client: Client, renames: set[bytes]) -> Iterator[Fault]:
    """Standard output has all that the client keeps but its own lines, once each."""
    out = [line for line in records(client.out) if RECORD.fullmatch(line)]
    own = _is_own(client, renames)
    at = 0
    for line in records(client.log):
        if at < len(out) and out[at] == line:
            at += 1
            if own(line) and not client.rejoined:
                yield Fault("shown", f"{client.name} was shown its own {line[:120]!r}")
        elif not own(line) and not (client.killed and at == len(out)):
            yield Fault("shown", f"{client.name} was not shown {line[:120]!r}")
            return
    for line in out[at : at + 1]:
        yield Fault("shown", f"{client.name} does not keep, or was shown twice: {line[:120]!r}")


def _is_own(client: Client, renames: set[bytes]) -> Callable[[bytes], bool]:
    def own(record: bytes) -> bool:
        match = RECORD.fullmatch(record)
        if match is None:
            return False
        if match[2] is None:
            return record in renames
        tag = TAG.search(match[3].decode(errors="replace"))
        return tag is not None and tag[1] == client.name

    return own


def ended(client: Client) -> Iterator[Fault]:
    """With status 0 when all was delivered, with 1 when not all was, and only when it was to."""
    if client.killed or client.given_up:
        return
    last = client.err.splitlines()[-1:]
    if client.status is None:
        yield Fault("ending", f"{client.name} did not end: {last}")
    elif client.status != (1 if client.told() else 0):
        yield Fault("ending", f"{client.name} ended with {client.status}: {last}")
    elif client.unread:
        yield Fault("ending", f"{client.name} ended before it had read all: {last}")
