"""The input line: what its keys do, what Tab completes, and what is asked before a line is said.

Runs in the parent, with the screen. Tells the talk what was typed, and then calls `go_on`. Draws
nothing; knows no descriptor.
"""

from __future__ import annotations

import signal

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from duplex.terminal.draft import Draft

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.talk import ui
    from duplex.terminal.talk_view import TalkView

PASTE_LIMIT = 10  # lines of a paste, beyond which it may be a mistake

_ENTER = (Keys.ControlM, Keys.ControlJ)
_NO = ("n", "N", Keys.Escape, Keys.ControlC, Keys.ControlD)


class Question:
    """`text [Y/n]`: `yes` is called if that is the answer; Enter answers with the default."""

    def __init__(self, text: str, yes: Callable[[], None], *, default: bool) -> None:
        self.text = f"{text} {'[Y/n]' if default else '[y/N]'}"
        self.yes = yes
        self._default = default

    def answer(self, key: Keys | str) -> bool | None:
        """What this key answers; None: nothing, and the question stays."""
        if key in _ENTER:
            return self._default
        if key in ("y", "Y"):
            return True
        return False if key in _NO else None

    def types(self, _key: Keys | str) -> bool:
        """Whether a key that has answered it is typed as well."""
        return False


class OnceMore(Question):
    """The same key once more is the answer; any other one is typed, and the question is gone."""

    def __init__(self, text: str, key: Keys, yes: Callable[[], None]) -> None:
        super().__init__(text, yes, default=False)
        self.text = text
        self._key = key

    def answer(self, key: Keys | str) -> bool | None:
        return key == self._key

    def types(self, key: Keys | str) -> bool:
        return key != self._key


class Prompt:
    """`typed` is the line; `question` is asked before anything else is typed."""

    def __init__(
        self, talk: ui.Talk, view: Callable[[], TalkView], go_on: Callable[[], None]
    ) -> None:
        self.typed = Draft(history=InMemoryHistory(), accept_handler=self._accept)
        self.question: Question | None = None
        self._talk = talk
        self._view = view
        self._go_on = go_on
        self._completions: list[str] = []  # what a further Tab comes to, the present one first
        self._pasted_rest = ""  # what a paste of several lines has left at the prompt

    def keys(self) -> KeyBindings:
        keys = KeyBindings()
        asked = Condition(lambda: self.question is not None)
        nothing_typed = Condition(lambda: not self.typed.text)
        keys.add(Keys.Any, filter=asked, eager=True)(self._answer)
        keys.add("c-c", filter=~is_searching)(self._clear_or_end)
        keys.add("c-d", filter=~is_searching & nothing_typed)(self._end_saying)
        keys.add("enter", filter=~is_searching)(self._enter)
        keys.add("tab", filter=~is_searching)(self._complete)
        keys.add(Keys.BracketedPaste, filter=~is_searching)(self._on_paste)
        return keys

    def asked(self) -> str:
        return self.question.text if self.question else ""

    def _answer(self, event: KeyPressEvent) -> None:
        """A key has been pressed while something is asked."""
        question, pressed = self.question, event.key_sequence[0]
        assert question
        answer = question.answer(pressed.key)
        if answer is None:
            return
        self.question = None
        if answer:
            question.yes()
        if question.types(pressed.key):
            event.key_processor.feed(pressed, first=True)

    def _unless_asked_before(self, line: str, do: Callable[[], None]) -> None:
        """Do what this line means, once it is certain that it is meant."""

        def act() -> None:
            do()
            self._go_on()

        if text := self._view().asks_before(line):
            self.question = Question(text, act, default=False)
        else:
            act()

    def _clear_or_end(self, _event: KeyPressEvent) -> None:
        if self.typed.text:
            self.typed.reset()
        else:
            text = f"Ctrl-C once more {self._view().leaving()}"
            self.question = OnceMore(text, Keys.ControlC, self._interrupt)

    def _interrupt(self) -> None:
        self._talk.interrupted(signal.SIGINT)
        self._go_on()

    def _end_saying(self, _event: KeyPressEvent) -> None:
        self._unless_asked_before("quit", self._talk.end_saying)

    def _enter(self, _event: KeyPressEvent) -> None:
        if self.typed.text:
            self.typed.validate_and_handle()

    def _accept(self, buffer: Buffer) -> bool:
        """Enter: say the line. Returns False, so that the input line is cleared."""
        text, is_pasted = buffer.text, buffer.text and buffer.text == self._pasted_rest
        self._pasted_rest = ""
        say = self._talk.policy.say_text if is_pasted else self._talk.policy.say
        line = text.encode("utf-8", "replace") + b"\n"
        self._unless_asked_before("" if is_pasted else text, lambda: say(line))
        return False

    def _on_paste(self, event: KeyPressEvent) -> None:
        *lines, rest = event.data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        count = len(lines) + bool(rest)
        if count > PASTE_LIMIT:
            text = f"paste {count} lines?"
            self.question = Question(text, lambda: self._paste(lines, rest), default=True)
        else:
            self._paste(lines, rest)

    def _paste(self, lines: list[str], rest: str) -> None:
        """Say the lines as text, whatever they are; the last one waits for its Enter."""
        buffer = self.typed
        if lines:
            buffer.insert_text(lines[0])
            lines = [buffer.text, *lines[1:]]
            buffer.reset()
            for line in filter(None, lines):
                buffer.history.append_string(line)
            said = "".join(line + "\n" for line in lines).encode("utf-8", "replace")
            self._talk.policy.say_text(said)
        buffer.insert_text(rest)
        self._pasted_rest = buffer.text if lines else ""
        self._go_on()

    def _complete(self, _event: KeyPressEvent) -> None:
        """Tab: complete to the first candidate, then to the next ones in turn."""
        before = self.typed.document.text_before_cursor
        if self._completions and before == self._completions[0]:
            self._completions.append(self._completions.pop(0))
        else:
            self._completions = self._view().candidates(before)
        if self._completions:
            self.typed.delete_before_cursor(len(before))
            self.typed.insert_text(self._completions[0])
