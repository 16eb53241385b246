"""The interactive screen: an input line that stays whole while the talk scrolls by above it.

Runs in the parent, after its fork, because prompt_toolkit brings an event loop. It keeps the
terminal's own scrollback and the bar. Of what the talk waits for it knows only the descriptors
(talk/ui.py): whenever something happens there it calls the talk's `turn`, and asks anew.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from typing import TextIO, cast

from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.filters import Condition
from prompt_toolkit.input.typeahead import get_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings
from prompt_toolkit.layout import (
    ConditionalContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.widgets import SearchToolbar

from duplex.terminal.draft import Line, Plainer
from duplex.terminal.keyboard import Keyboard
from duplex.terminal.paint import Painter
from duplex.terminal.prompt import Prompt
from duplex.terminal.redraw import Redrawing
from duplex.terminal.talk_view import TalkView
from duplex.terminal.tty import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.talk import ui

REDRAW_EVERY = 1.0  # s: the bar shows how long the talk has lasted
_STDOUT = 1
_NO_WRAP, _WRAP = b"\x1b[?7l", b"\x1b[?7h"  # DECAWM


class Screen:
    """One talk on one terminal. `run` returns when the talk is over, or nothing more is typed."""

    def __init__(self, talk: ui.Talk) -> None:
        self.running = False
        self._talk = talk
        self._painter = Painter(lambda: self._app.output.get_size().columns)
        self._view = TalkView(talk, self._painter)
        self._prompt = Prompt(talk, lambda: self._view, self._go_on)
        self._waits: select.epoll | None = None  # for what the talk wants
        self._timer: asyncio.TimerHandle | None = None
        self._unprinted = b""
        self._printing: asyncio.Task[None] | None = None
        self._terminal = Terminal(_STDOUT, sys.stdout.encoding, talk.signals)
        self._keyboard = Keyboard(sys.stdin, self._terminal)
        self._plainer = Plainer()
        self._app = self._application()

    def _application(self) -> Redrawing[None]:
        terminal = cast(TextIO, self._terminal)  # as far as the output needs it
        output = Vt100_Output.from_pty(terminal, term=os.environ.get("TERM"))
        # Never ask the terminal for the cursor's position: not each one answers, and without it
        # the bar stands right below the input line, and nothing waits for an answer.
        output.enable_cpr = False
        search = SearchToolbar(backward_search_prompt="search: ", ignore_case=True)
        prompt = self._prompt
        line = Window(
            Line(
                prompt.typed,
                input_processors=[self._plainer, BeforeInput("> ")],
                search_buffer_control=search.control,
                preview_search=True,
            ),
            wrap_lines=True,
            dont_extend_height=True,
        )
        pending = Window(FormattedTextControl(self._pending), dont_extend_height=True, style="dim")
        bar = Window(FormattedTextControl(self._bar), height=1, style="reverse")
        above = ConditionalContainer(pending, Condition(lambda: bool(self._view.pending())))
        question = Window(FormattedTextControl(prompt.asked), height=1, style="bold")
        asked = ConditionalContainer(question, Condition(lambda: prompt.question is not None))
        return Redrawing(
            stays=True,
            layout=Layout(HSplit([above, asked, search, line, bar]), focused_element=line),
            key_bindings=merge_key_bindings([self._keys(), prompt.keys()]),
            refresh_interval=REDRAW_EVERY,
            erase_when_done=True,
            input=self._keyboard,
            output=output,
        )

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("c-l")
        def _clear(_event: KeyPressEvent) -> None:
            self._app.clear()

        @keys.add("c-z")
        def _suspend(_event: KeyPressEvent) -> None:
            run_in_terminal(self._stop)

        return keys

    # What the session calls:

    @property
    def busy(self) -> bool:
        """So a peer that floods is slowed, and fills nothing."""
        return self._printing is not None

    def run(self) -> None:
        asyncio.run(self._run())

    def enter_room(self, room: ui.Room) -> None:
        from duplex.terminal.room_view import RoomView

        self._view = RoomView(self._talk, room, self._painter)

    def tell(self, text: str) -> None:
        self._print(self._painter.told(text).encode("utf-8", "replace"))

    def echo(self, lines: bytes) -> None:
        texts = lines.decode("utf-8", "replace").split("\n")[:-1]
        self._print(b"".join(map(self._view.echo, texts)))

    def show(self, records: bytes) -> None:
        self._print(self._view.painted(records))

    def take_draft(self) -> bytes:
        typed = "".join(key.data for key in get_typeahead(self._app.input))
        return (self._prompt.typed.text + typed).replace("\r", "\n").encode("utf-8", "replace")

    def close(self) -> None:
        self._terminal.close()

    # The loop:

    async def _run(self) -> None:
        self.running = True
        try:
            await self._app.run_async(handle_sigint=False, pre_run=self._begin_soon)
        except EOFError:  # the terminal has hung up, and its SIGHUP was for somebody else
            self._talk.interrupted(signal.SIGHUP)
        finally:
            self.running = False
            self._stop_waiting()
        if self._printing:
            await self._printing
        self._write_unprinted()

    def _begin_soon(self) -> None:
        """Once the screen is there."""
        asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._talk.policy.say(self._talk.ahead)
        self._go_on()

    def _turn(self) -> None:
        self._talk.turn(0)
        self._go_on()

    def _go_on(self) -> None:
        """After whatever happened: wait for what may happen next, or leave.

        What is waited for is registered anew each time: a descriptor that was closed since, and
        whose number another one has, is not what was registered.
        """
        self._stop_waiting()
        if not self._app.is_running or self._app.is_done:
            return
        if self._talk.ending is not None:
            self._app.exit()
            return
        self._waits = select.epoll()
        for fd, events in self._talk.wanted().items():
            self._waits.register(fd, events)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._waits.fileno(), self._turn)
        due = self._talk.due()
        seconds = REDRAW_EVERY if due is None else min(due, REDRAW_EVERY)
        self._timer = loop.call_later(seconds, self._turn)

    def _stop_waiting(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._waits:
            asyncio.get_running_loop().remove_reader(self._waits.fileno())
            self._waits.close()
        self._timer = self._waits = None

    def _print(self, lines: bytes) -> None:
        """Print above the input line, together with all else that comes until that is done."""
        if not self.running:
            self._write(lines)
            return
        self._unprinted += lines
        if self._unprinted and self._printing is None:
            self._printing = asyncio.get_running_loop().create_task(self._print_above())

    async def _print_above(self) -> None:
        while self._unprinted and self.running:
            await self._app.settled()
            await run_in_terminal(self._write_unprinted)
        self._printing = None
        self._go_on()

    def _stop(self) -> None:
        """Until the shell lets it go on; with the terminal as it was before."""
        with self._keyboard.shells_mode():
            os.kill(0, signal.SIGTSTP)

    def _write_unprinted(self) -> None:
        lines, self._unprinted = self._unprinted, b""
        self._write(lines)

    def _write(self, lines: bytes) -> None:
        """What is wider than we think is cut by the terminal, and does not go on in a new row."""
        if lines:
            self._terminal.write_bytes(_NO_WRAP + lines + _WRAP)

    def _pending(self) -> str:
        """Each on a row, cut at the screen's edge."""
        return "\n".join(map(self._plainer.drawn, self._view.pending()))

    def _bar(self) -> str:
        return self._plainer.drawn(self._view.bar())
