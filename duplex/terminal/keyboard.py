"""The keyboard: what is typed and pasted, as prompt_toolkit's keys, and never frozen.

A terminal puts what is pasted between two marks (bracketed paste). Where the second one does not
come, prompt_toolkit takes all that is typed from then on for pasted text. Here the paste is over
when a key is pressed: Ctrl-C and Ctrl-D at once, and the paste is dropped; another one once nothing
has come for a while, and what came is pasted.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

from prompt_toolkit.input.vt100 import Vt100Input, cooked_mode, raw_mode
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from duplex.terminal.tty import Terminal

_END = "\x1b[201~"
_ENDING_KEYS = "\x03\x04"  # Ctrl-C, Ctrl-D
_KEY_LENGTH = 8  # characters at most that a key sends; a paste comes in larger pieces


class Keyboard(Vt100Input):
    """Echoes nothing while lines are printed: what is typed then would be shown among them."""

    def __init__(self, stdin: TextIO, terminal: Terminal | None = None) -> None:
        super().__init__(stdin)
        self._terminal = terminal
        self.vt100_parser = _Parser(lambda key: self._buffer.append(key))

    def cooked_mode(self) -> AbstractContextManager[None]:
        return nullcontext()

    def raw_mode(self) -> AbstractContextManager[None]:
        return _Mode(raw_mode(self.fileno()), self._terminal)

    def shells_mode(self) -> AbstractContextManager[None]:
        """What the terminal is set to while the shell has it."""
        return _Mode(cooked_mode(self.fileno()), self._terminal)


class _Mode(AbstractContextManager[None]):
    """What a terminal is set to for a while; nothing is set back in one that is given up."""

    def __init__(self, mode: AbstractContextManager[None], terminal: Terminal | None) -> None:
        self._mode = mode
        self._terminal = terminal

    def __enter__(self) -> None:
        self._mode.__enter__()

    def __exit__(self, *error: Any) -> None:
        if not (self._terminal and self._terminal.given_up):
            self._mode.__exit__(*error)


class _Parser(Vt100Parser):
    """What is pasted is gathered here instead, in pieces: to join them each time takes long."""

    _pieces: list[str]
    _tail = ""  # the last characters of them, in which the end's mark may have begun
    _quiet = False  # nothing has come for a while
    _end_is_late = False  # the mark may still come, and is no key

    def _call_handler(self, key: str | Keys | tuple[Keys, ...], insert_text: str) -> None:
        if key == Keys.BracketedPaste:
            self._pieces, self._tail, self._quiet = [], "", False
        super()._call_handler(key, insert_text)

    def feed(self, data: str) -> None:
        """What was read at once."""
        if self._in_bracketed_paste and data and not data.strip(_ENDING_KEYS):
            self._end_paste("", data)
            return
        if self._end_is_late and not self._in_bracketed_paste and _END in data:
            self._end_is_late = False
            data = data.replace(_END, "", 1)
        for at, character in enumerate(data):
            if self._in_bracketed_paste:
                self._paste(data[at:])
                break
            self._input_parser.send(character)

    def _paste(self, data: str) -> None:
        seen = self._tail + data
        if (at := seen.find(_END)) >= 0:
            pasted = "".join([*self._pieces, data])
            after = len(seen) - at - len(_END)
            end = len(pasted) - after
            self._end_paste(pasted[: end - len(_END)], pasted[end:], late=False)
        elif self._quiet and len(data) <= _KEY_LENGTH:
            self._end_paste("".join(self._pieces), data)
        else:
            self._pieces.append(data)
            self._tail = seen[1 - len(_END) :]
            self._quiet = False

    def flush(self) -> None:
        """Nothing has come for half a second."""
        if not self._in_bracketed_paste:
            super().flush()
        elif keys := self._keys_at_the_end():
            self._end_paste("", keys)
        else:
            self._quiet = True

    def _keys_at_the_end(self) -> str:
        """Keys that end a paste, if they came together with the last of it."""
        return self._tail[len(self._tail.rstrip(_ENDING_KEYS)) :]

    def _end_paste(self, pasted: str, keys: str, *, late: bool = True) -> None:
        self._in_bracketed_paste = False
        self._end_is_late = late
        self._pieces, self._tail = [], ""
        if pasted:
            self.feed_key_callback(KeyPress(Keys.BracketedPaste, pasted))
        self.feed(keys)
