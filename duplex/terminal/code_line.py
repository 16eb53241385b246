"""The line on which a code is typed: a mark for each character, and words that complete themselves.

Runs in the process that code_prompt.py forks for it, because prompt_toolkit brings an event loop.
Shows nothing of the code but its length, and whether what is typed begins listed words. Keeps no
history, and takes itself off the screen. Knows nothing of where the answer goes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import DummyHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.processors import BeforeInput, PasswordProcessor
from prompt_toolkit.output.vt100 import Vt100_Output

from duplex.channel.passphrase import ENOUGH, WORDS, candidates, listed, normal, split
from duplex.terminal.keyboard import Keyboard
from duplex.terminal.redraw import Redrawing
from duplex.terminal.tty import CTRL_C, CTRL_D

_FIRST_HINT = f"{WORDS} words, or {ENOUGH} letters of each; Tab completes a word, Ctrl-C gives up"


class CodeLine:
    """One question on the terminal `tty`; `run` returns when it is answered or `asker` ends."""

    def __init__(self, prompt: str, tty: int, asker: int) -> None:
        self._prompt = prompt
        self._tty = tty
        self._asker = asker  # a descriptor: its end is that of the process that asks
        self._typed = Buffer(history=DummyHistory(), multiline=False)
        self._answer: bytes | None = None  # once there is one

    def run(self) -> bytes:
        """The code, or the key that was pressed instead; nothing when the asker has ended."""
        with ExitStack() as files:
            reading, writing = (
                files.enter_context(open(self._tty, mode, closefd=False, encoding=_encoding()))
                for mode in ("r", "w")
            )
            output = Vt100_Output.from_pty(writing, term=os.environ.get("TERM"))
            output.enable_cpr = False  # as on the screen of a talk
            app = self._application(Keyboard(reading), output)
            try:
                return asyncio.run(self._run(app))
            except EOFError:  # the terminal is gone
                return CTRL_D

    async def _run(self, app: Application[bytes]) -> bytes:
        loop = asyncio.get_running_loop()

        def end() -> None:
            loop.remove_reader(self._asker)
            self._end(app, b"")

        loop.add_reader(self._asker, end)
        return await app.run_async(handle_sigint=False)

    def _end(self, app: Application[bytes], answer: bytes) -> None:
        """End with that answer, once an empty line is drawn.

        Erased at once, it could be kept: a terminal that is erased from its first line on may
        take what was there into its scrollback, as tmux does.
        """
        if self._answer is None:
            self._answer = answer
        app.invalidate()

    def _drawn(self, app: Application[bytes]) -> None:
        if self._answer is not None and not app.is_done:
            app.exit(result=self._answer)

    def _application(self, source: Keyboard, output: Vt100_Output) -> Application[bytes]:
        line = Window(
            BufferControl(
                self._typed, input_processors=[PasswordProcessor(), BeforeInput(self._prompt)]
            ),
            wrap_lines=True,
            dont_extend_height=True,
        )
        style = "" if os.environ.get("NO_COLOR") else "dim"
        hint = Window(
            FormattedTextControl(lambda: hint_for(self._typed.text)), height=1, style=style
        )
        asking = Condition(lambda: self._answer is None)
        return Redrawing(
            stays=False,
            layout=Layout(ConditionalContainer(HSplit([line, hint]), asking)),
            key_bindings=self._keys(),
            erase_when_done=True,
            after_render=self._drawn,
            input=source,
            output=output,
        )

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        keys.add("enter")(self._enter)
        keys.add("tab")(self._complete)
        keys.add(" ")(lambda _event: self._typed.insert_text("-"))
        keys.add(Keys.BracketedPaste)(self._paste)
        keys.add("c-c")(lambda event: self._end(event.app, CTRL_C))
        keys.add("c-d")(self._give_up)
        for key in ("c-z", "c-q", "c-v"):  # they would type control characters, which nobody sees
            keys.add(key)(lambda _event: None)
        return keys

    def _enter(self, event: KeyPressEvent) -> None:
        text = self._typed.text
        if normal(text):
            self._end(event.app, text.encode("utf-8", "surrogateescape"))
        else:
            event.app.output.bell()

    def _complete(self, event: KeyPressEvent) -> None:
        rest = rest_of_word(self._typed.text)
        if rest is None or self._typed.document.text_after_cursor:
            event.app.output.bell()
        else:
            self._typed.insert_text(rest)

    def _paste(self, event: KeyPressEvent) -> None:
        words = "-".join(event.data.split())
        self._typed.insert_text("".join(filter(str.isprintable, words)))

    def _give_up(self, event: KeyPressEvent) -> None:
        if self._typed.text:
            self._typed.delete()
        else:
            self._end(event.app, CTRL_D)


def rest_of_word(text: str) -> str | None:
    """What Tab adds to what has been typed; None if it cannot say."""
    parts = split(text)
    word = parts[-1]
    found = candidates(word) if word else []
    if len(found) != 1:
        return None
    typed = sum(map(bool, parts))
    return found[0][len(word) :] + ("-" if typed < WORDS else "")


def hint_for(text: str) -> str:
    """How far one is, and which word may be mistyped, without a letter of it."""
    *before, last = split(text)
    done = [word for word in before if word]
    if not done and not last:
        return _FIRST_HINT
    unlisted = next((n for n, word in enumerate(done, 1) if not listed(word)), 0)
    count = len(done) + bool(listed(last))
    told = f"{count} of {WORDS} words" if count <= WORDS else f"{count} words"
    if last and not candidates(last):
        return f"{told}; no listed word begins so"
    if unlisted:
        return f"{told}; word {unlisted} is not a listed one"
    return f"{told}; Enter" if count == WORDS else told


def _encoding() -> str:
    return getattr(sys.stdin, "encoding", None) or "utf-8"
