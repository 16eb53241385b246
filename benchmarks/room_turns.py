"""What is measured of one room in one turn, by room.py: each opens a room of its own, and ends it.

Raises NotMeasured or OSError. It knows nothing of tables, or of who is compared with whom.
"""

from __future__ import annotations

from functools import partial
from statistics import mean
from typing import TYPE_CHECKING, NamedTuple

import handshakes
import pairs
from programs import Bench, NotMeasured
from room_contenders import CONTENDERS, Room, room as open_room, start_duplex
from room_figures import (
    CODE,
    DUPLEX,
    LAST,
    LAST_ONLY,
    MIB,
    SPEAKERS,
    Crowd,
    Figures,
    Stopped,
)
from room_load import Load
from sealed_load import SealedLoad

if TYPE_CHECKING:
    from collections.abc import Callable

CROWDED = 100  # members, where memory and one who never reads are looked at
WARM_UP = 0.3  # s
JOINING = 500  # at a time: a plain client waits 0.2 s until the room knows what it is
CROWD_LINES = 100  # that each member of a very large room gets


class Effort(NamedTuple):
    """How long each figure is looked at."""

    talk: float  # s
    lines: int  # one by one
    gap: float  # s of silence before each


THOROUGH = Effort(1.5, 100, 0.05)
QUICK = Effort(0.5, 10, 0.05)


class Turns:
    """All of them, in one place and with the same effort; what they find goes into `figures`."""

    def __init__(self, bench: Bench, load: str, effort: Effort, figures: Figures) -> None:
        """`load` is the load generator's path."""
        self._bench, self._load, self._effort = bench, load, effort
        self._figures = figures

    def attempt(self, what: str, measure: Callable[[], None]) -> None:
        """Go on with what there is if it fails."""
        try:
            measure()
        except (NotMeasured, OSError) as error:
            self._bench.end_all()
            self._figures.failed.append(f"{what} could not be measured: {error}")

    def talk(self, name: str, members: int) -> None:
        contender, effort, figures = CONTENDERS[name], self._effort, self._figures
        with open_room(self._bench, self._load, name) as room:
            crowd = self._crowd(name, room)
            crowd.join(members)
            if members == CROWDED and name == DUPLEX:
                figures.private[name].append(room.memory().median / MIB)
            figures.add_single((members, LAST, name), crowd.single(effort.lines, effort.gap))
            for speakers in SPEAKERS:
                if members != LAST_ONLY and speakers < members:
                    crowd.talk(speakers, WARM_UP, contender.window)
                    talk = crowd.talk(speakers, effort.talk, contender.window)
                    figures.add_talk((members, speakers, name), talk)

    def code_memory(self) -> None:
        pairs.with_code(self._bench)
        start = partial(start_duplex, self._bench, protection=pairs.CODE_ARGUMENTS)
        with (
            Room(self._bench, start) as room,
            SealedLoad(room.port, lambda: handshakes.with_code()[1]) as load,
        ):
            load.join(CROWDED)
            self._figures.private[CODE].append(room.memory().median / MIB)
        del self._bench.environment["DUPLEX_CODE"]  # it would protect the next rooms, too

    def joins(self, name: str, members: int) -> None:
        with open_room(self._bench, self._load, name) as room:
            seconds = self._crowd(name, room).join(members, JOINING)
            self._figures.joins[f"{name}, {members:,}"].append(seconds)

    def crowd(self, members: int) -> None:
        with open_room(self._bench, self._load, DUPLEX) as room:
            crowd = self._crowd(DUPLEX, room)
            joined = crowd.join(members, JOINING)
            got = crowd.lines(CROWD_LINES)
            if got.faults:
                raise NotMeasured(", ".join(got.faults))
            self._figures.crowds.append(Crowd(joined, got.times[0], room.memory()))

    def stopped(self) -> None:
        """Beside one who never reads."""
        contender, effort = CONTENDERS[DUPLEX], self._effort
        speakers = max(SPEAKERS)
        with open_room(self._bench, self._load, DUPLEX) as room:
            crowd = self._crowd(DUPLEX, room)
            crowd.join(CROWDED)
            crowd.talk(speakers, WARM_UP, contender.window)
            without = [crowd.talk(speakers, effort.talk, contender.window)]
            crowd.stop_reading()
            before, unread = room.memory(), -room.kept()
            beside = crowd.talk(speakers, effort.talk, contender.window)
            after, unread = room.memory(), unread + room.kept()
            if after.processes != before.processes:
                raise NotMeasured(f"of {before.processes} processes {after.processes} are left")
            crowd.go_away()
            without.append(crowd.talk(speakers, effort.talk, contender.window))
            if faults := [fault for talk in (*without, beside) for fault in talk.faults]:
                raise NotMeasured(", ".join(faults))
            both = mean(talk.rate for talk in without) / 1e6
            found = Stopped(both, beside.rate / 1e6, beside.cpu, before, after, unread)
            self._figures.stopped.append(found)

    def _crowd(self, name: str, room: Room) -> Load:
        return Load(self._bench, self._load, room.port, CONTENDERS[name].protocol)
