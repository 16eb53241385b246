"""The judge of names and of private messages.

    people    the events contradict each other: a nick has two holders, or one who is not here
    letter    a private message reached somebody else, or came twice

A person is who has entered, until it leaves; `is back` makes it the same person again. The address
in an event tells which client that is, and so do the tags of what is said. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .evidence import RECORD, TAG, Client, Evidence, Fault, records

_ENTERED = re.compile(r"(\S+) entered the room \((.*):\d+\)")
_BACK = re.compile(r"(\S+) is back \((.*):\d+\)")
_RENAMED = re.compile(r"(\S+) is now (\S+)")
_GUEST = re.compile(rb"\S+ \* guest-\d+ is now ")  # who was late to say what it is called
_GONE = re.compile(r"(\S+) (?:left|was dropped|was kicked by)\b.*")
_ALL_GONE = re.compile(r"everybody was dropped \(the room's hub .*\)")  # they may come back
_CLOSED = re.compile(r"the room closed.*")
_LETTER = re.compile(r"-(\S+)- (.*)")


class Person:
    """Somebody here. `client` is "" until it is known."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.is_gone = False  # with the room, or its hub, that was killed; it may come back


class People:
    """Reads the events of a transcript in their order."""

    def __init__(self, evidence: Evidence) -> None:
        self.faults: list[Fault] = []
        self.renames: dict[str, set[bytes]] = {}  # of each client: the records
        self.holds: list[tuple[str, Person, int, int]] = []  # nick, who, from which record, to
        self._holders: dict[str, tuple[Person, int]] = {}
        self._renamed: list[tuple[Person, str, bytes]] = []
        self._typed = {client.name: _wishes(client) for client in evidence.clients}
        self._addresses = evidence.addresses
        self.places: dict[str, int] = {}  # of what was said: the tag, and which record
        transcript = max(evidence.transcripts, key=len)
        restarts = sorted(evidence.restarts)
        offset = 0
        for self._at, record in enumerate(records(transcript)):
            while restarts and restarts[0] <= offset:
                restarts.pop(0)
                self._all_are_gone()
            offset += len(record)
            self._record = record
            if match := RECORD.fullmatch(record):
                text = match[3].decode(errors="backslashreplace")
                if match[2] is None:
                    self._on_event(text)
                else:
                    self._on_said(match[2].decode(), text)
        for nick in list(self._holders):
            self._free(nick)
        self._look_at_renames()

    def holders(self, nick: str, first: int, last: int) -> set[str]:
        """The clients that had the nick at any time between two records.

        If nobody had it: who had it last, and who has it next. Such a one is just changing its
        nick, or coming in, and that is not recorded at the instant at which it is so.
        """
        held = [hold[1:] for hold in self.holds if hold[0] == nick]
        if now := {who.client for who, start, end in held if start <= last and end >= first}:
            return now
        before = max((hold for hold in held if hold[2] < first), key=lambda x: x[2], default=None)
        after = min((hold for hold in held if hold[1] > last), key=lambda x: x[1], default=None)
        return {hold[0].client for hold in (before, after) if hold}

    def _fault(self, text: str) -> None:
        self.faults.append(Fault("people", f"{text}: {self._record[:120]!r}"))

    def _hold(self, nick: str, person: Person) -> None:
        if nick in self._holders:
            self._free(nick)
        self._holders[nick] = (person, self._at)

    def _free(self, nick: str) -> Person:
        person, since = self._holders.pop(nick)
        self.holds.append((nick, person, since, self._at))
        return person

    def _all_are_gone(self) -> None:
        for person, _ in self._holders.values():
            person.is_gone = True

    def _here(self, nick: str) -> Person | None:
        held = self._holders.get(nick)
        return held[0] if held and not held[0].is_gone else None

    def _on_event(self, text: str) -> None:
        if _ALL_GONE.fullmatch(text):
            self._all_are_gone()
        elif match := _ENTERED.fullmatch(text):
            if self._here(match[1]):
                self._fault("somebody has that nick")
            self._hold(match[1], Person(self._addresses.get(match[2], "")))
        elif match := _BACK.fullmatch(text):
            self._on_back(match[1], self._addresses.get(match[2], ""))
        elif match := _RENAMED.fullmatch(text):
            self._on_renamed(match[1], match[2])
        elif match := _GONE.fullmatch(text):
            if self._here(match[1]):
                self._free(match[1])
            else:
                self._fault("nobody has that nick")
        elif _CLOSED.fullmatch(text):
            for nick in list(self._holders):
                self._free(nick)
        else:
            self._fault("what does this tell?")

    def _on_back(self, nick: str, client: str) -> None:
        person, _ = self._holders.get(nick, (None, 0))
        if person and person.is_gone and client and client != person.client:
            person = None
        if person is None:
            person = self._last_of(client, nick) or Person(client)
            for other, (holder, _) in list(self._holders.items()):
                if holder is person:  # it had renamed itself, and not heard of that
                    self._free(other)
        elif client and person.client and client != person.client:
            self._fault(f"{person.client} has that nick, and {client} takes it")
        person.is_gone = False
        person.client = person.client or client
        self._hold(nick, person)

    def _last_of(self, client: str, nick: str) -> Person | None:
        """Which of a client's persons had the nick last: it may have come in more than once."""
        held = [who for called, who, _, _ in self.holds if (called, who.client) == (nick, client)]
        return held[-1] if client and held else None

    def _on_renamed(self, former: str, nick: str) -> None:
        person = self._here(former)
        if person is None:
            self._fault("nobody has that nick")
            person = Person("")
        else:
            self._free(former)
        if self._here(nick):
            self._fault("somebody has that nick")
        self._hold(nick, person)
        self._renamed.append((person, nick, self._record))

    def _look_at_renames(self) -> None:
        """Each is what its client asked for, once for each time that it did."""
        for person, nick, record in self._renamed:
            self._record = record
            self.renames.setdefault(person.client, set()).add(self._record)
            wishes = self._typed.get(person.client, [])
            if nick in wishes:
                wishes.remove(nick)
            elif person.client and not _GUEST.match(record):
                self._fault(f"{person.client} has not asked for it so often")

    def _on_said(self, nick: str, text: str) -> None:
        tag = TAG.search(text)
        if tag is None:
            return
        self.places.setdefault(tag[0], self._at)
        person = self._here(nick)
        if person is None:
            self._fault("nobody has that nick")
        elif not person.client:
            person.client = tag[1]
        elif person.client != tag[1]:
            self._fault(f"{person.client} has that nick, and {tag[1]} says this")


def _wishes(client: Client) -> list[str]:
    return [line.argument for line in client.script if line.command == "nick"]


def letters(evidence: Evidence, people: People) -> Iterator[Fault]:
    """Each private message reaches one person at most, once, and nobody it is not for."""
    sent = {}
    for client in evidence.clients:
        for number, line in enumerate(client.script):
            if line.command == "msg":
                nick, _, text = line.argument.partition(" ")
                sent[text] = (client, number, nick)
    came: set[str] = set()
    for reader in evidence.clients:
        for shown in reader.out.decode(errors="replace").split("\n"):
            match = _LETTER.fullmatch(shown)
            if match is None or not TAG.search(match[2]):
                continue
            text = match[2]
            if text not in sent:
                yield Fault("letter", f"{reader.name} was told what nobody said: {shown[:80]}")
                continue
            if text in came:
                yield Fault("letter", f"{reader.name} was told what was told before: {shown[:80]}")
            came.add(text)
            client, number, nick = sent[text]
            first, last = _while(client, number, people)
            may = people.holders(nick, first, last)
            if reader.name not in may and "" not in may:
                yield Fault("letter", f"{reader.name} was told what is for {nick}: {shown[:80]}")
            says = people.holders(match[1], first, last)
            if client.name not in says and "" not in says:
                yield Fault("letter", f"{says} is said to say {client.name}'s: {shown[:80]}")


def _while(client: Client, number: int, people: People) -> tuple[int, int]:
    """Between which records a line without one was carried out: those of its neighbours."""

    def place(lines: list[int], default: int) -> int:
        for at in lines:
            tag = TAG.search(client.script[at].argument)
            if not client.script[at].command and tag and tag[0] in people.places:
                return people.places[tag[0]]
        return default

    before = list(range(number - 1, -1, -1))
    return place(before, 0), place(list(range(number, len(client.script))), 1 << 60)
