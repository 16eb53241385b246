"""The outbox: the lines said here that the room has not recorded yet, in their order.

Runs in the parent, which sends. A line stays until it comes back as a record, or the room answers
that it cannot be; so whatever happens to the connection, it is known what has to be said again.
Pure computation on lines of safe text; knows no socket, no nick and no screen.

    say ─► waiting ─ take ─► sent ─ recorded, done ─► gone
              ▲               │
              └─ say_again ───┤ a connection was lost, and the next has shown all that was recorded
                              └─ give_up ─► what is not known to have arrived

A line's number is its place among all that was sent in this connection. The room says which numbers
each answer and each of one's own records has (`expect`, `done`). What it has recorded of an earlier
connection, and of lines that it took before it was asked for numbers, is known by its text and its
order: the room takes lines one after another, so a record that is not the first one's tells that
those before it were answered without one. A room of before 0.2 gives no numbers at all.
"""

from __future__ import annotations

from collections import deque

from duplex.protocol import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 1 << 20  # bytes of lines, beyond which nothing more is to be read from the user
_NEVER = 1 << 62


class Disagreement(Exception):
    """The room's record is not the line that it says it is."""


class Line:
    """One line said, and what will tell that the room has taken it."""

    __slots__ = ("number", "ours", "text", "wanted", "wire")

    def __init__(self, wire: bytes) -> None:
        command, argument = commands.split(wire[:-1])
        self.wire = wire  # as it goes to the room, newline included
        self.number = 0  # in this connection; 0 while it is not sent, or was in another
        self.ours = False  # asked by this program, and not by who sits here
        self.wanted = argument.decode(errors="replace") if command == commands.RENAME else ""
        self.text = argument if not command else None  # of its record; None: there will be none

    @property
    def renames(self) -> bool:
        return bool(self.wanted)

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
        self._count = 0  # lines sent in this connection
        self._numbered = _NEVER  # from which one on the room says which it means
        self._expected: Iterator[int] = iter(())  # the numbers of one's own records that come next
        self._refused = 0  # answers that a sent line was not recorded: which, its neighbours tell

    def __bool__(self) -> bool:
        return bool(self._sent or self._waiting)

    def __iter__(self) -> Iterator[Line]:
        """What will be recorded, in order: private commands are not shown as pending."""
        for lines in (self._sent, self._waiting):
            yield from (line for line in lines if not line.private)

    @property
    def full(self) -> bool:
        return self._size >= LIMIT

    def say(self, lines: bytes, *, sent: bool = False) -> None:
        """Whole lines, newline-ended; `sent` if they went to the room before this was one."""
        for wire in lines.split(b"\n")[:-1]:
            line = Line(wire + b"\n")
            if sent:
                self._number(line)
            else:
                self._waiting.append(line)
        self._size += len(lines)

    def ask(self, command: bytes) -> None:
        """A command of ours, not the user's, before all that waits; once, however often."""
        if self._waiting and self._waiting[0].ours:
            return
        line = Line(command)
        line.ours = True
        self._waiting.appendleft(line)
        self._size += len(command)

    def take(self, size: int) -> bytes:
        """The next lines to be sent, of about `size` bytes; b"" if there is none."""
        taken = []
        while self._waiting and size > 0:
            line = self._waiting.popleft()
            self._number(line)
            taken.append(line.wire)
            size -= len(line.wire)
        return b"".join(taken)

    def passes(self, lines: int) -> None:
        """So many were sent that are no lines of this outbox."""
        self._count += lines

    # What the room says with numbers:

    def numbered_from(self, number: int) -> None:
        """It numbers what answers lines from there on. It has taken those before."""
        self._numbered = number
        self._drop_all(lambda line: line.private and 0 < line.number < number)

    @property
    def is_numbered(self) -> bool:
        return self._numbered < _NEVER

    def find(self, number: int) -> Line | None:
        """The sent line with that number, above 0."""
        return next((line for line in self._sent if line.number == number), None)

    def expect(self, first: int, last: int) -> list[Line]:
        """One's own records that come next are these lines.

        Returns those from before there were numbers of which no record has come: there is none.
        """
        self._expected = iter(range(max(1, first), min(last, self._count) + 1))
        old = self._drop_all(lambda line: 0 < line.number < self._numbered)
        return [line for line in old if line.text is not None]

    def done(self, number: int) -> Line | None:
        """That line is answered, whatever with. Returns it, if it was not crossed off before."""
        line = self.find(number)
        if line:
            self._sent.remove(line)
            self._drop(line)
        return line

    # What is recorded:

    def recorded(self, text: bytes) -> list[Line]:
        """One's own record has come, with this text: crosses it off. Raises Disagreement.

        Returns the lines before it that will have no record: the room has answered them otherwise.
        """
        if number := next(self._expected, 0):
            line = self.find(number)
            if line and line.text != text:
                raise Disagreement
            self.done(number)
            return []
        return self._cross_off(lambda line: line.text == text)

    def renamed(self, nick: str = "") -> list[Line]:
        """One's own change of nick, to that one, is recorded. Returns what `recorded` does.

        Only that crosses it off, and no answer: or after a lost connection its record would be
        taken for that of a later change.
        """
        if number := next(self._expected, 0):
            self.done(number)
            return []
        lines = [line for line in self._sent if not line.private]
        exact = next((line for line in lines if line.wanted == nick != ""), None)
        first = lines[0] if lines and lines[0].renames else None  # as the room writes nicks
        change = exact or first
        return self._cross_off(lambda line: line is change, numbered=True) if change else []

    # What a room says that gives no numbers:

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

    # When the connection is lost:

    def lost(self, untaken: int) -> list[Line]:
        """The connection is: of what was taken last, `untaken` bytes were never sent.

        Returns the private commands of which nobody can tell whether they arrived.
        """
        self._refused = 0
        self._count, self._numbered, self._expected = 0, _NEVER, iter(())
        while self._sent and untaken >= len(self._sent[-1].wire):
            line = self._sent.pop()
            untaken -= len(line.wire)
            self._waiting.appendleft(line)
        private = self._drop_all(lambda line: line.private)
        for line in self._sent:
            line.number = 0
        return private

    def say_again(self) -> None:
        """All that was recorded has come: what is left of the sent lines is to be sent again."""
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()

    def give_up(self) -> list[Line]:
        """Nothing will tell what became of the sent lines. Returns them; the others wait on."""
        self._refused = 0
        return self._drop_all(lambda _line: True)

    def _number(self, line: Line) -> None:
        self._count += 1
        line.number = self._count
        self._sent.append(line)

    def _cross_off(self, is_it: Callable[[Line], bool], *, numbered: bool = False) -> list[Line]:
        """By what it is, and with it those before that have no number that the room knows.

        Unless it may be `numbered` it is one of those itself.
        """
        passed = []
        for line in self._sent:
            is_old = line.number < self._numbered
            if is_found := (is_old or numbered) and is_it(line):
                break
            passed += [line] if is_old else []
        else:
            return []
        assert is_found
        passed.append(line)
        for line in passed:
            self._sent.remove(line)
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

    def _drop_all(self, is_it: Callable[[Line], bool]) -> list[Line]:
        dropped = [line for line in self._sent if is_it(line)]
        if dropped:
            self._sent = deque(line for line in self._sent if not is_it(line))
            for line in dropped:
                self._drop(line)
        return dropped

    def _drop(self, line: Line) -> None:
        self._size -= len(line.wire)
