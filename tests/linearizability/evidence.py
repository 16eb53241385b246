"""What a run leaves, to be judged: what was typed, what the programs wrote, and how they ended.

Pure data and its parsing; opens nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Of a record: when, who (None: an event), what.
RECORD = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?:<([^<> \n]+)> |\* )(.*)\n")
TAG = re.compile(r"\b(c\d+)-(\d+)\b")  # in whatever is typed: the client's name, and a number

# What a client tells of lines that it could not deliver.
UNKNOWN = "not known to have arrived"  # perhaps they stand in the transcript
REFUSED = "not recorded by the room"  # they do not
_TOLD = re.compile(rf"(?:.*: )?({UNKNOWN}|{REFUSED}): (.*)")
_MORE = re.compile(r"(\d+) more lines")


@dataclass(frozen=True)
class Fault:
    """One promise that was broken: of which kind, and how."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True)
class Line:
    """One line that a client typed."""

    typed: str
    command: str = ""  # "nick", "msg", "who", "history"; "" for what will be said
    argument: str = ""  # of the command; of what will be said the text of its record

    @property
    def recorded(self) -> bool:
        """Whether the transcript shows that the room has taken it."""
        return self.command in ("", "nick")


@dataclass
class Client:
    """One `duplex connect`, from its start to its end."""

    name: str  # stands in its tags
    script: list[Line]
    unread: int = 0  # of the script's last lines: it ended before it had read them
    status: int | None = 0  # None: it did not end
    killed: str = ""  # "parent" or "child", if the run has killed it
    log: bytes = b""
    out: bytes = b""
    err: str = ""

    @property
    def read(self) -> list[Line]:
        return self.script[: len(self.script) - self.unread]

    @property
    def given_up(self) -> bool:
        """Its first connection was lost before a room had answered: it says so, and ends."""
        return self.status == 1 and "this is room " not in self.err

    @property
    def rejoined(self) -> int:
        """How often it came in anew, with the history once more."""
        return len(re.findall(r"(?m)^(?:.*: )?not resumed: ", self.err))

    def told(self) -> list[tuple[str, Line]]:
        """(UNKNOWN or REFUSED, line) for each that it could not deliver, in the order of telling.

        Ten of a batch are named, and the rest of it counted: those are the next that would be
        recorded.
        """
        found: list[tuple[str, Line]] = []
        last = {UNKNOWN: -1, REFUSED: -1}  # of the lines told, which is the last one
        for match in filter(None, map(_TOLD.fullmatch, self.err.splitlines())):
            what, text = match[1], match[2]
            following = range(last[what] + 1, len(self.script))
            if more := _MORE.fullmatch(text):
                batch = [at for at in following if self.script[at].recorded][: int(more[1])]
            else:
                batch = [at for at in following if self.script[at].typed == text][:1]
            found += [(what, self.script[at]) for at in batch]
            last[what] = batch[-1] if batch else last[what]
        return found


@dataclass
class Evidence:
    """All of a run. `transcripts` is one for each host."""

    transcripts: list[bytes]
    clients: list[Client]
    restarts: list[int] = field(default_factory=list)  # offsets at which nobody was here any more
    addresses: dict[str, str] = field(default_factory=dict)  # of clients: which, by where from
    processes: list[str] = field(default_factory=list)  # that should be gone, and are not
    rooms: list[str] = field(default_factory=list)  # what a room did wrong, as the run saw it


def records(data: bytes) -> list[bytes]:
    """The lines of a file, each with its newline, but for a last one that has none."""
    *whole, rest = data.split(b"\n")
    return [part + b"\n" for part in whole] + ([rest] if rest else [])
