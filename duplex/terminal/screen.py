"""The interactive screen: an input line that stays whole while the talk scrolls by above it.

Runs in the parent, after its fork, because prompt_toolkit brings an event loop. It keeps the
terminal's own scrollback, knows the keyboard and the bar, and leaves what is said to the Talk: it
calls the Talk's methods and prints what they return. It opens no socket and no file.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TextIO, cast

from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input.typeahead import get_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
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

from duplex.terminal.draft import Draft, Line, Plainer
from duplex.terminal.keyboard import Keyboard
from duplex.terminal.paint import Painter
from duplex.terminal.question import OnceMore, Question
from duplex.terminal.redraw import Redrawing
from duplex.terminal.talk_view import Face
from duplex.terminal.tty import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from duplex.client.participant import Joined
    from duplex.talk.session import Talk

PASTE_LIMIT = 10  # lines of a paste, beyond which it may be a mistake
REDRAW_EVERY = 1.0  # s: the bar shows how long the talk has lasted
_STDOUT = 1
_NO_WRAP, _WRAP = b"\x1b[?7l", b"\x1b[?7h"  # DECAWM


class Screen:
    """One talk on one terminal. `run` returns when the talk is over, or nothing more is typed."""

    def __init__(self, talk: Talk) -> None:
        self.running = False
        self._talk = talk
        self._painter = Painter(lambda: self._app.output.get_size().columns)
        self._face = Face(talk, self._painter)
        self._completions: list[str] = []  # what a further Tab comes to, the present one first
        self._writing_fd = -1  # the socket that is waited for to take more
        self._half_fd = -1  # readable once a peer that says no more has gone
        self._timer: asyncio.TimerHandle | None = None
        self._question: Question | None = None
        self._pasted_rest = ""  # what a paste of several lines has left at the prompt
        self._unprinted = b""
        self._printing: asyncio.Task[None] | None = None
        self._terminal = Terminal(_STDOUT, sys.stdout.encoding, talk.signals)
        self._keyboard = Keyboard(sys.stdin, self._terminal)
        self._plainer = Plainer()
        self._typed = Draft(history=InMemoryHistory(), accept_handler=self._accept)
        self._app = self._application()

    def _application(self) -> Redrawing[None]:
        terminal = cast(TextIO, self._terminal)  # as far as the output needs it
        output = Vt100_Output.from_pty(terminal, term=os.environ.get("TERM"))
        # Never ask the terminal for the cursor's position: not each one answers, and without it
        # the bar stands right below the input line, and nothing waits for an answer.
        output.enable_cpr = False
        search = SearchToolbar(backward_search_prompt="search: ", ignore_case=True)
        line = Window(
            Line(
                self._typed,
                input_processors=[self._plainer, BeforeInput("> ")],
                search_buffer_control=search.control,
                preview_search=True,
            ),
            wrap_lines=True,
            dont_extend_height=True,
        )
        pending = Window(FormattedTextControl(self._pending), dont_extend_height=True, style="dim")
        bar = Window(FormattedTextControl(self._bar), height=1, style="reverse")
        above = ConditionalContainer(pending, Condition(lambda: bool(self._face.pending())))
        question = Window(FormattedTextControl(self._asked), height=1, style="bold")
        asked = ConditionalContainer(question, Condition(lambda: self._question is not None))
        return Redrawing(
            stays=True,
            layout=Layout(HSplit([above, asked, search, line, bar]), focused_element=line),
            key_bindings=self._keys(),
            refresh_interval=REDRAW_EVERY,
            erase_when_done=True,
            input=self._keyboard,
            output=output,
        )

    def run(self) -> None:
        asyncio.run(self._run())

    def enter_room(self, joined: Joined) -> None:
        """The peer is a room."""
        from duplex.terminal.room_view import RoomFace

        self._face = RoomFace(joined, self._painter)

    def tell(self, text: str) -> None:
        """Print a line of our own above the input line."""
        self._print(self._painter.told(text).encode("utf-8", "replace"))

    def echo(self, lines: bytes) -> None:
        """Show what this side has said."""
        texts = lines.decode("utf-8", "replace").split("\n")[:-1]
        shown = b"".join(map(self._face.echo, texts))
        if self.running:
            self._print(shown)
        else:
            self._write(shown)

    def take_draft(self) -> bytes:
        """What was typed and not said when `run` has returned."""
        typed = "".join(key.data for key in get_typeahead(self._app.input))
        return (self._typed.text + typed).replace("\r", "\n").encode("utf-8", "replace")

    def show_late(self, records: bytes) -> None:
        """Show what still comes when `run` has returned."""
        self._write(self._face.painted(records))

    def close(self) -> None:
        self._terminal.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        talk = self._talk
        loop.add_reader(talk.signals.fd, self._on_signal)
        loop.add_reader(talk.report_fd, self._on_report)
        ticking = loop.create_task(self._tick())
        self.running = True
        try:
            await self._app.run_async(handle_sigint=False, pre_run=self._begin_soon)
        except EOFError:  # the terminal has hung up, and its SIGHUP was for somebody else
            talk.interrupted(signal.SIGHUP)
        finally:
            self.running = False
            ticking.cancel()
            for fd in {talk.signals.fd, talk.report_fd, self._half_fd} - {-1}:
                loop.remove_reader(fd)
            if self._timer:
                self._timer.cancel()
            self._wait_to_write(-1)
        if self._printing:
            await self._printing
        self._write_unprinted()

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add(Keys.Any, filter=Condition(lambda: self._question is not None), eager=True)
        def _answer(event: KeyPressEvent) -> None:
            self._answer(event)

        @keys.add("c-c", filter=~is_searching)
        def _clear_or_end(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.reset()
            else:
                text = f"Ctrl-C once more {self._face.leaving()}"
                self._question = OnceMore(text, Keys.ControlC, self._interrupt)

        @keys.add("c-d", filter=~is_searching & Condition(lambda: not self._typed.text))
        def _stop_saying(_event: KeyPressEvent) -> None:
            self._unless_asked_before("quit", self._end_saying)

        @keys.add("c-l")
        def _clear(_event: KeyPressEvent) -> None:
            self._app.clear()

        @keys.add("c-z")
        def _suspend(event: KeyPressEvent) -> None:
            run_in_terminal(self._stop)

        @keys.add("enter", filter=~is_searching)
        def _enter(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.validate_and_handle()

        @keys.add("tab", filter=~is_searching)
        def _complete(event: KeyPressEvent) -> None:
            self._complete(event.current_buffer)

        @keys.add(Keys.BracketedPaste, filter=~is_searching)
        def _paste(event: KeyPressEvent) -> None:
            *lines, rest = event.data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            count = len(lines) + bool(rest)
            if count > PASTE_LIMIT:
                text = f"paste {count} lines?"
                self._question = Question(text, lambda: self._paste(lines, rest), default=True)
            else:
                self._paste(lines, rest)

        return keys

    def _answer(self, event: KeyPressEvent) -> None:
        """A key has been pressed while something is asked."""
        question, pressed = self._question, event.key_sequence[0]
        assert question
        answer = question.answer(pressed.key)
        if answer is None:
            return
        self._question = None
        if answer:
            question.yes()
        if question.types(pressed.key):
            event.key_processor.feed(pressed, first=True)

    def _unless_asked_before(self, line: str, do: Callable[[], None]) -> None:
        """Do what this line means, once it is certain that it is meant."""
        if text := self._face.asks_before(line):
            self._question = Question(text, do, default=False)
        else:
            do()

    def _asked(self) -> str:
        return self._question.text if self._question else ""

    def _interrupt(self) -> None:
        self._talk.interrupted(signal.SIGINT)
        self._leave_if_over()

    def _end_saying(self) -> None:
        self._talk.end_saying()
        self._go_on()

    def _begin_soon(self) -> None:
        """Once the screen is there."""
        asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Say what was typed before there was somebody to say it to."""
        self._talk.say(self._talk.take_ahead())
        self._go_on()

    def _accept(self, buffer: Buffer) -> bool:
        """Enter: say the line. Returns False, so that the input line is cleared."""
        text, is_pasted = buffer.text, buffer.text and buffer.text == self._pasted_rest
        self._pasted_rest = ""
        say = self._talk.say_text if is_pasted else self._talk.say

        def go_on() -> None:
            say(text.encode("utf-8", "replace") + b"\n")
            self._go_on()

        self._unless_asked_before("" if is_pasted else text, go_on)
        return False

    def _paste(self, lines: list[str], rest: str) -> None:
        """Say the lines as text, whatever they are; the last one waits for its Enter."""
        buffer = self._typed
        if lines:
            buffer.insert_text(lines[0])
            lines = [buffer.text, *lines[1:]]
            buffer.reset()
            for line in filter(None, lines):
                buffer.history.append_string(line)
            self._talk.say_text("".join(line + "\n" for line in lines).encode("utf-8", "replace"))
        buffer.insert_text(rest)
        self._pasted_rest = buffer.text if lines else ""
        self._go_on()

    def _on_signal(self) -> None:
        if self._talk.signals.received:
            self._talk.interrupted(self._talk.signals.received)
        self._leave_if_over()

    def _on_report(self) -> None:
        self._print(self._face.painted(self._talk.read_report()))
        if not self._talk.reports:
            asyncio.get_running_loop().remove_reader(self._talk.report_fd)
        self._go_on()

    def _on_time(self) -> None:
        self._talk.look()
        self._go_on()

    def _go_on(self) -> None:
        """After whatever happened: wait for what may happen next, or leave."""
        loop = asyncio.get_running_loop()
        self._wait_to_write(self._talk.sock.fileno() if self._talk.outgoing else -1)
        if self._talk.half and self._half_fd < 0:
            self._half_fd = self._talk.half.fd
            loop.add_reader(self._half_fd, self._on_time)
        if self._timer:
            self._timer.cancel()
        due = self._talk.due()
        self._timer = None if due is None else loop.call_later(due, self._on_time)
        self._leave_if_over()

    def _wait_to_write(self, fd: int) -> None:
        """Be called when that descriptor takes more, and no other; -1: none."""
        loop = asyncio.get_running_loop()
        if self._writing_fd not in (-1, fd):
            loop.remove_writer(self._writing_fd)
        if fd not in (-1, self._writing_fd):
            loop.add_writer(fd, self._on_writable)
        self._writing_fd = fd

    def _on_writable(self) -> None:
        self._talk.pump()
        self._go_on()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(REDRAW_EVERY)
            self._on_time()

    def _leave_if_over(self) -> None:
        if self._talk.ending and self._app.is_running and not self._app.is_done:
            self._app.exit()

    def _print(self, lines: bytes) -> None:
        """Print above the input line, together with all else that comes until that is done.

        Meanwhile no more reports are read, so that a peer that floods is slowed and fills nothing.
        """
        self._unprinted += lines
        if self._unprinted and self._printing is None and self.running:
            asyncio.get_running_loop().remove_reader(self._talk.report_fd)
            self._printing = asyncio.get_running_loop().create_task(self._print_above())

    async def _print_above(self) -> None:
        while self._unprinted and self.running:
            await self._app.settled()
            await run_in_terminal(self._write_unprinted)
        self._printing = None
        if self.running and self._talk.reports and not self._talk.ending:
            asyncio.get_running_loop().add_reader(self._talk.report_fd, self._on_report)

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
        return "\n".join(map(self._plainer.drawn, self._face.pending()))

    def _bar(self) -> str:
        return self._plainer.drawn(self._face.bar())

    def _complete(self, buffer: Buffer) -> None:
        """Tab: complete to the first candidate, then to the next ones in turn."""
        before = buffer.document.text_before_cursor
        if self._completions and before == self._completions[0]:
            self._completions.append(self._completions.pop(0))
        else:
            self._completions = self._face.candidates(before)
        if self._completions:
            buffer.delete_before_cursor(len(before))
            buffer.insert_text(self._completions[0])
