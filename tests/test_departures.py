"""What is done of a member that has ended, and in which order."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support import events

from duplex.departures import Departures
from duplex.page import HERE, LEFT, Page
from duplex.transcript import Transcript


def test_a_nick_is_free_only_when_it_is_recorded_that_it_was_left(tmp_path: Path) -> None:
    """Or somebody could come in with it, and be the one who left."""
    log = tmp_path / "t.log"
    page, transcript = Page.make(2), Transcript.open(str(log))
    transcript.share(page, synced=False)
    freed: list[tuple[str, list[str]]] = []
    roster = SimpleNamespace(free_of_dead=lambda nick: freed.append((nick, events(log))))
    room: Any = SimpleNamespace(
        page=page,
        transcript=transcript,
        roster=roster,
        bell=SimpleNamespace(ring=lambda: None),
        tell_log=lambda _text: None,
    )
    seat = page.seat(0)
    seat.take("127.0.0.1:1")
    seat.nick = "guest-1"
    seat.nick = "ann"
    seat.state = HERE
    seat.end(LEFT)
    Departures(room).of(seat, 0, closing=False)
    transcript.close()
    assert sorted(freed) == [("ann", ["ann left"]), ("guest-1", ["ann left"])]
    assert not page.taken()
