"""The outbox: the lines said here that the room has not recorded yet, in their order.

Runs in the parent, which sends. A line stays until it comes back as a record, or the room answers
that it cannot be; so whatever happens to the connection, it is known what has to be said again.
Pure computation on lines of safe text; knows no socket, no nick and no screen.

    say ─► waiting ─ take ─► sent ─ recorded ─► gone
              ▲               │
              └─ say_again ───┤ a connection was lost, and the next has shown all that was recorded
                              └─ give_up ─► what is not known to have arrived

The room takes lines one after another, so a record that is not the first one's tells that those
before it were answered without one.
"""

from __future__ import annotations

from collections import deque

from duplex import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 1 << 20  # bytes of lines, beyond which nothing more is to be read from the user
_RENAME = "nick"


class Line:
    """One line said, and what will tell that the room has taken it."""

    __slots__ = ("renames", "text", "wire")

    def __init__(self, wire: bytes) -> None:
        command, argument = commands.split(wire[:-1])
        self.wire = wire  # as it goes to the room, newline included
        self.renames = command == _RENAME and bool(argument)
        self.text = argument if not command else None  # of its record; None: there will be none

    @property
    def private(self) -> bool:
        """Nothing in the transcript will tell of it."""
        return self.text is None and not self.renames

    def __str__(self) -> str:
        return self.wire[:-1].decode(errors="replace")


class Outbox:
    """All that is said and not yet recorded, of one client of a room."""

    def __init__(self) -> None:
        self._waiting: deque[Line] = deque()
        self._sent: deque[Line] = deque()
        self._size = 0  # bytes of all lines
        self._refused = 0  # answers that a sent line was not recorded: which, its neighbours tell

    def __bool__(self) -> bool:
        return bool(self._sent or self._waiting)

    @property
    def awaits_records(self) -> bool:
        """Not only answers."""
        return next(iter(self), None) is not None

    def __iter__(self) -> Iterator[Line]:
        """What will be recorded, in order: private commands are not shown as pending."""
        for lines in (self._sent, self._waiting):
            yield from (line for line in lines if not line.private)

    @property
    def full(self) -> bool:
        return self._size >= LIMIT

    def say(self, lines: bytes, *, sent: bool = False) -> None:
        """Whole lines, newline-ended; `sent` if they went to the room before this was one."""
        into = self._sent if sent else self._waiting
        into.extend(Line(line + b"\n") for line in lines.split(b"\n")[:-1])
        self._size += len(lines)

    def ask(self, command: bytes) -> None:
        """A command of ours, not the user's, before all that waits."""
        self._waiting.appendleft(Line(command))
        self._size += len(command)

    def take(self, size: int) -> bytes:
        """The next lines to be sent, of about `size` bytes; b"" if there is none."""
        taken = []
        while self._waiting and size > 0:
            line = self._waiting.popleft()
            self._sent.append(line)
            taken.append(line.wire)
            size -= len(line.wire)
        return b"".join(taken)

    def recorded(self, text: bytes) -> list[Line]:
        """One's own record has come, with this text: crosses it off.

        Returns the lines before it that will have no record: the room has answered them otherwise.
        """
        return self._cross_off(lambda line: line.text == text)

    def renamed(self) -> list[Line]:
        """One's own change of nick is recorded. Returns what `recorded` does."""
        return self._cross_off(lambda line: line.renames)

    def answered(self) -> None:
        """An answer to this client alone: the first command has been carried out, or cannot be.

        It can overtake the records of the lines before that command, as `refused` says.
        """
        for at, line in enumerate(self._sent):
            if line.text is None:
                del self._sent[at]
                self._drop(line)
                return

    def refused(self) -> list[Line]:
        """The answer that a line was not recorded. Returns those that are thereby known to be.

        It can overtake the records of the lines before that line; so it is known which one it means
        only when as many lines are left as were refused.
        """
        self._refused += 1
        return self._all_refused()

    def lost(self, untaken: int) -> list[Line]:
        """The connection is: of what was taken last, `untaken` bytes were never sent.

        Returns the private commands of which nobody can tell whether they arrived.
        """
        self._refused = 0
        while self._sent and untaken >= len(self._sent[-1].wire):
            line = self._sent.pop()
            untaken -= len(line.wire)
            self._waiting.appendleft(line)
        private = [line for line in self._sent if line.private]
        self._sent = deque(line for line in self._sent if not line.private)
        for line in private:
            self._drop(line)
        return private

    def say_again(self) -> None:
        """All that was recorded has come: what is left of the sent lines is to be sent again."""
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()

    def give_up(self) -> list[Line]:
        """Nothing will tell what became of the sent lines. Returns them; the others wait on."""
        lines = list(self._sent)
        for line in lines:
            self._drop(line)
        self._sent.clear()
        self._refused = 0
        return lines

    def _cross_off(self, is_it: Callable[[Line], bool]) -> list[Line]:
        at = next((at for at, line in enumerate(self._sent) if is_it(line)), None)
        if at is None:
            return []
        passed = [self._sent.popleft() for _ in range(at + 1)]
        for line in passed:
            self._drop(line)
        without = [line for line in passed[:-1] if line.text is not None]
        self._refused -= min(self._refused, len(without))
        return without + self._all_refused()

    def _all_refused(self) -> list[Line]:
        if not self._refused:
            return []
        left = [line for line in self._sent if line.text is not None]
        if not left or self._refused < len(left):
            return []
        self.give_up()
        return left

    def _drop(self, line: Line) -> None:
        self._size -= len(line.wire)
