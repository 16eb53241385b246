"""The post: puts what was written to this host's members into their mailboxes.

Part of the mirror's process. A mailbox that is full is tried again for a while; what is for it
afterwards waits behind, and what is for others does not. What cannot be delivered is told to its
sender, on whatever host. A letter stays in the store until one of the two is done, so that it also
outlives the mirror; then it may come twice. Knows no transcript.
"""

from __future__ import annotations

import time
from contextlib import suppress

from duplex.protocol import messages
from duplex.room.member import ANSWER, KICK, PRIVATE
from duplex.room.roster import Full, Undeliverable
from duplex.store.errors import Refused, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.store.entry import Letter
    from duplex.store.shared import Shared

PATIENCE = 5.0  # s that a full mailbox is tried for
AGAIN = 0.02  # s between two times
KEPT = 1 << 20  # bytes of letters that wait; beyond, a full mailbox is tried once


class Post:
    """`send` puts a letter into its reader's mailbox here, or raises Undeliverable."""

    def __init__(self, shared: Shared, send: Callable[[Letter], None]) -> None:
        self._shared = shared
        self._send = send
        self._waiting: list[tuple[float, Letter]] = []  # until when

    def wait(self, seconds: float) -> float:
        """How many of these may go by until `deliver` is called again."""
        return min(seconds, AGAIN) if self._waiting else seconds

    def deliver(self, letters: list[Letter]) -> None:
        """These, after those that wait."""
        now = time.monotonic()
        waiting = self._waiting + [(now + PATIENCE, letter) for letter in letters]
        self._waiting, kept, full = [], 0, set()
        for until, letter in waiting:
            patient = now < until and kept < KEPT
            if not (patient and letter.nick in full) and self._done(letter, patient):
                continue
            full.add(letter.nick)
            kept += len(letter.text)
            self._waiting.append((until, letter))

    def _done(self, letter: Letter, patient: bool) -> bool:
        """Whether it is delivered, or its sender told that it cannot be."""
        try:
            try:
                self._send(letter)
            except Undeliverable as error:
                if patient and isinstance(error, Full):
                    return False
                if told := _why_not(letter, error):
                    self._shared.tell(letter.sender, ANSWER + f"! {told}".encode())
        except (Unreachable, Refused):
            return False
        with suppress(Unreachable, Refused):
            self._shared.taken(letter.id)
        return True


def _why_not(letter: Letter, error: Undeliverable) -> str:
    """What its sender is told; of a letter that nobody has written it is ""."""
    kind, said = letter.text[:1], letter.text.partition(b"- ")[2].decode(errors="replace")
    if kind == PRIVATE:
        return messages.lost(letter.nick, str(error), said)
    return messages.not_kicked(letter.nick, str(error)) if kind == KICK else ""
