"""A question to who sits at the screen, on a row above the input line: one key answers it.

Runs in the parent, with the screen. Knows what keys mean, and nothing of what is asked.
"""

from __future__ import annotations

from prompt_toolkit.keys import Keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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
