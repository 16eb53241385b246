"""What is done of a member that has ended, and in which order."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support import events

from duplex.protocol.nick import Taken
from duplex.room.departures import Departures
from duplex.room.page import HERE, LEFT, Page
from duplex.room.roster import Roster
from duplex.transcript.file import Transcript


def test_a_nick_is_free_only_when_it_is_recorded_that_it_was_left(tmp_path: Path) -> None:
    """Or somebody could come in with it, and be the one who left."""
    log = tmp_path / "t.log"
    page, transcript = Page.make(2), Transcript.open(str(log))
    transcript.share(page, synced=False)
    roster = Roster(page)
    seat, other = page.seat(0), page.seat(1)

    def free(nick: str) -> bool:
        try:
            roster.take(other, nick)
        except Taken:
            return False
        roster.free(other, nick)
        return True

    free_when_recorded = []
    write = transcript.write

    def written(records: bytes) -> int:
        free_when_recorded.extend([free("guest-1"), free("ann")])
        return write(records)

    transcript.write = written  # type: ignore[method-assign]
    room: Any = SimpleNamespace(
        page=page,
        transcript=transcript,
        roster=roster,
        bell=SimpleNamespace(ring=lambda: None),
        tell_log=lambda _text: None,
    )
    seat.take("127.0.0.1:1")
    roster.take(seat, "guest-1")
    roster.take(seat, "ann")
    seat.nick = "ann"
    seat.state = HERE
    seat.end(LEFT)
    Departures(room).of(seat, 0, closing=False)
    transcript.close()
    assert events(log) == ["ann left"]
    assert free_when_recorded == [False, False]
    assert free("guest-1")
    assert free("ann")
    assert not page.taken()
