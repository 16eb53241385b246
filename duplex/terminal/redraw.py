"""Drawing the input line and the bar again when the terminal's size has changed.

prompt_toolkit erases what it has drawn by the rows that it has drawn. But a terminal that is made
narrower cuts these rows anew, most of them at least, and what then stands further up would stay: a
copy of prompt and bar for each new size. So here the rows are counted as they are now. Runs in the
parent, with the screen; knows nothing of what is drawn.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, TypeVar, cast

from prompt_toolkit.application import Application
from prompt_toolkit.data_structures import Point
from prompt_toolkit.layout import Layout
from prompt_toolkit.layout.screen import Char, Screen
from prompt_toolkit.renderer import Renderer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# A window that is drawn larger has many sizes, one after another, and each is only true when it is
# the last one for now: tmux tells a new size up to 250 ms after it has cut the rows.
SETTLE = 0.4  # s without another size, until all is drawn again
LONGEST = 2.0  # s that this may take
_Result = TypeVar("_Result")


class Redrawing(Application[_Result]):
    """Waits until the size has settled; what is typed meanwhile is taken, and drawn then.

    `stays`: what is drawn is there for long, and may be put where resizing harms it least.
    """

    def __init__(self, *, stays: bool, **options: Any) -> None:
        super().__init__(terminal_size_polling_interval=None, **options)
        self.renderer = _Renderer(self.renderer, goes_down=stays and _is_tmux())
        self._settled = asyncio.Event()
        self._settled.set()
        self._timer: asyncio.TimerHandle | None = None
        self._unsettled_since = 0.0  # on the loop's clock
        self._clears = False  # once it has settled

    def clear(self) -> None:
        """Clear the screen, with what is drawn at its end."""
        self._clears = True
        if self._settled.is_set() and not self._size_has_changed():
            self._settle()

    async def settled(self) -> None:
        """Wait until something may be printed above."""
        if self._size_has_changed() and self._settled.is_set():
            self._on_resize()
        await self._settled.wait()

    def _size_has_changed(self) -> bool:
        return cast(_Renderer, self.renderer).size_has_changed

    def _on_resize(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._settled.is_set():
            self._unsettled_since = now
        self._settled.clear()
        if self._timer:
            self._timer.cancel()
        due = min(now + SETTLE, self._unsettled_since + LONGEST)
        self._timer = asyncio.get_running_loop().call_at(due, self._settle)

    def _settle(self) -> None:
        self._settled.set()
        if self.is_running and not self.is_done:
            if self._clears:
                self.renderer.clear()
            self._clears = False
            super()._redraw()

    def _redraw(self, render_as_done: bool = False) -> None:
        if self._size_has_changed() and self._settled.is_set() and not render_as_done:
            self._on_resize()
        if self._settled.is_set() or render_as_done:
            super()._redraw(render_as_done)


class _Renderer(Renderer):
    """Instead of `former`, with which it has all in common but the counting."""

    def __init__(self, former: Renderer, *, goes_down: bool) -> None:
        super().__init__(former.style, former.output)
        # Where tmux cuts rows anew it pushes others out at the top, though there are empty ones
        # below; and what has gone into its scrollback nobody can erase. So the bar is kept in the
        # last row there.
        self._goes_down = goes_down
        self._at_bottom = False

    @property
    def size_has_changed(self) -> bool:
        return self._last_size not in (None, self.output.get_size())

    def render(self, app: Application[Any], layout: Layout, is_done: bool = False) -> None:
        if self.size_has_changed:
            self.erase()
            self._at_bottom = False
        if self._goes_down and not self._at_bottom and not is_done:
            self._go_down(layout)
            self._at_bottom = True
        super().render(app, layout, is_done)

    def _is_seen(self, cell: Char) -> bool:
        has_style = self._style_string_has_style
        return cell.char != " " or bool(has_style and has_style[cell.style])

    def clear(self) -> None:
        super().clear()
        self._at_bottom = False

    def _go_down(self, layout: Layout) -> None:
        """To where what is drawn ends in the terminal's last row."""
        size = self.output.get_size()
        wanted = layout.container.preferred_height(size.columns, size.rows).preferred
        above = min(wanted, size.rows) - 1
        self.output.write_raw("\r\n" * above)  # it may have to scroll
        self.output.cursor_down(size.rows)
        self.output.cursor_up(above)

    def erase(self, leave_alternate_screen: bool = True) -> None:
        if self._last_screen and self.size_has_changed and _cuts_rows_anew():
            columns = self.output.get_size().columns
            y = _row_of(self._cursor_pos, self._last_screen, columns, self._is_seen)
            self._cursor_pos = Point(x=0, y=y)
        self.output.write_raw("\r")  # wherever in its row the terminal has put the cursor
        self._cursor_pos = Point(x=0, y=self._cursor_pos.y)
        super().erase(leave_alternate_screen)


def _cuts_rows_anew() -> bool:
    """Whether this terminal does. Nearly all do; these are known not to."""
    if _is_tmux():
        return True
    term = os.environ.get("TERM", "")
    others = os.environ.get("XTERM_VERSION") or os.environ.get("STY")  # xterm, GNU screen
    return not (others or term == "linux" or term.startswith("st-"))


def _is_tmux() -> bool:
    """Also on another machine: GNU screen has its name for terminals, and says more here."""
    term = os.environ.get("TERM", "")
    is_screen = term.startswith("screen") and os.environ.get("STY")
    return bool(os.environ.get("TMUX")) or (term.startswith(("tmux", "screen")) and not is_screen)


def _row_of(cursor: Point, screen: Screen, columns: int, is_seen: Callable[[Char], bool]) -> int:
    """The row that the cursor is in, counted from the first, now that rows are so long.

    Of a row the cells after the last that `is_seen` have not been drawn, and take no room.
    """
    y = -1
    for row in range(cursor.y + 1):
        cells = screen.data_buffer[row]
        used = max((x for x, cell in cells.items() if is_seen(cell)), default=0)
        last = used if row < cursor.y else min(used, cursor.x)
        y, x, at = y + 1, 0, 0
        while at <= last:
            width = cells[at].width or 1
            if x + width > columns:
                x, y = 0, y + 1
            x, at = x + width, at + width
    return y
