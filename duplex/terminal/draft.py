"""The line that is being typed: edited by graphemes, and drawn in a form that is right everywhere.

A grapheme is what a person takes for one character, and may be many (an emoji that is joined from
others, a letter and its accents). Of some of them each terminal has its own opinion how wide they
are, so here they are drawn as their parts, or plainer; what is said is what was typed. Runs in the
parent, with the screen.
"""

from __future__ import annotations

import os
import re

from prompt_toolkit import utils
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import fragment_list_to_text
from prompt_toolkit.layout.controls import BufferControl, GetLinePrefixCallable, UIContent
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments
from wcwidth import iter_graphemes

from duplex.transcript.width import grapheme_end, grapheme_start, on_terminal

_FLAG_LETTERS = re.compile("[\U0001f1e6-\U0001f1ff]+")
# What changes the looks of the character before it, and on some terminals its width: variation
# selectors, tones of skin, and the tags of flags.
_CHANGES = "\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
_JOINED = re.compile(f"(?!^)[{_CHANGES}]|\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])")
_CONTROLS = "\x9f"  # the last of them
_UNKNOWN = "\ufffd"
_POSITION: property = vars(Buffer)["cursor_position"]
_PLAINER = "underline"  # the style of letters that stand for others


class Draft(Buffer):
    """A line whose cursor stands between graphemes, and which loses them as a whole."""

    _inserting = False

    @property
    def cursor_position(self) -> int:
        return super().cursor_position

    @cursor_position.setter
    def cursor_position(self, value: int) -> None:
        if not self._inserting:  # a grapheme is typed in parts
            text, former = self.text, self.cursor_position
            value = (grapheme_start if value < former else grapheme_end)(text, value)
        _POSITION.__set__(self, value)

    def insert_text(
        self,
        data: str,
        overwrite: bool = False,
        move_cursor: bool = True,
        fire_event: bool = True,
    ) -> None:
        self._inserting = True
        try:
            super().insert_text(data, overwrite, move_cursor, fire_event)
        finally:
            self._inserting = False

    def delete_before_cursor(self, count: int = 1) -> str:
        start = grapheme_start(self.text, max(0, self.cursor_position - count))
        return super().delete_before_cursor(self.cursor_position - start)

    def delete(self, count: int = 1) -> str:
        end = grapheme_end(self.text, min(self.cursor_position + count, len(self.text)))
        return super().delete(end - self.cursor_position)

    def swap_characters_before_cursor(self) -> None:
        text, end = self.text, self.cursor_position
        second = grapheme_start(text, end - 1)
        if second > 0:
            first = grapheme_start(text, second - 1)
            self.text = text[:first] + text[second:end] + text[first:second] + text[end:]


class Line(BufferControl):
    """The same on the screen, with as many rows as it takes.

    prompt_toolkit divides its width by that of a row. But where only one cell is left in a row, a
    wide character goes into the next.
    """

    def create_content(self, width: int, height: int, preview_search: bool = False) -> UIContent:
        content = super().create_content(width, height, preview_search)
        return _Content(
            content.get_line,
            content.line_count,
            content.cursor_position,
            content.menu_position,
            content.show_cursor,
        )


class _Content(UIContent):
    def get_height_for_line(
        self,
        lineno: int,
        width: int,
        get_line_prefix: GetLinePrefixCallable | None,
        slice_stop: int | None = None,
    ) -> int:
        text = fragment_list_to_text(self.get_line(lineno))
        if slice_stop is not None:
            text = text[: slice_stop + 1]  # with the cursor, which may stand in the next row
        if text.isascii():
            return max(1, -(-len(text) // max(1, width)))
        rows, x = 1, 0
        for cells in map(utils.get_cwidth, text):
            if x + cells > width:
                rows, x = rows + 1, 0
            x += cells
        return rows


class Plainer(Processor):
    """Draws each grapheme so that everybody agrees how many cells it takes."""

    def __init__(self) -> None:
        self._knows_widths = on_terminal("é") == 1  # the C library does, in this locale
        asked = os.environ.get("TERM", "").startswith(("tmux", "screen"))
        self._hides_unknown = self._knows_widths and asked

    def apply_transformation(self, given: TransformationInput) -> Transformation:
        text = fragment_list_to_text(given.fragments)
        if text.isascii():
            return Transformation(given.fragments)
        typed = explode_text_fragments(given.fragments)
        drawn: StyleAndTextTuples = []
        to_display: list[int] = []
        to_source: list[int] = []
        length = 0
        for grapheme in iter_graphemes(text):
            at = len(to_display)
            plainer = self.plainer(grapheme)
            style = typed[at][0]
            if _FLAG_LETTERS.match(grapheme):
                style += f" {_PLAINER}"
            drawn.append((style, plainer))
            to_display += [length] * len(grapheme)
            to_source += [at] * len(plainer)
            length += len(plainer)
        to_display.append(length)
        to_source.append(len(text))
        return Transformation(
            drawn,
            source_to_display=lambda at: to_display[min(at, len(to_display) - 1)],
            display_to_source=lambda at: to_source[min(at, len(to_source) - 1)],
        )

    def drawn(self, text: str) -> str:
        """Any text in that form."""
        return text if text.isascii() else "".join(map(self.plainer, iter_graphemes(text)))

    def plainer(self, grapheme: str) -> str:
        """The text that is drawn for it."""
        if grapheme.isascii():
            return grapheme
        if _FLAG_LETTERS.match(grapheme):
            return "".join(chr(ord(c) - 0x1F1E6 + ord("A")) for c in grapheme)
        plainer = _JOINED.sub("", grapheme)
        if self._knows_widths:
            plainer = "".join(map(self._of_known_width, plainer))
        return plainer

    def _of_known_width(self, character: str) -> str:
        """The same, once prompt_toolkit has been told the terminal's width of it."""
        width = on_terminal(character)
        if width < 0:
            return _UNKNOWN if self._hides_unknown and character > _CONTROLS else character
        getattr(utils, "_CHAR_SIZES_CACHE", {})[character] = width
        return character
