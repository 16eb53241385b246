"""How a talk ended, and what its user is told of it. For the parent; knows no connection."""

from __future__ import annotations


class Ending:
    """How a talk ended: the exit status, and the text for the user and the transcript."""

    def __init__(
        self,
        status: int,
        text: str,
        *,
        ours: bool = False,
        told: bool = True,
        stranger: bool = False,
        word: bytes = b"",
        unsaid: bytes = b"",
    ) -> None:
        self.status = status
        self.text = text
        self.ours = ours  # this side ended it, so that --keep does not wait for another peer
        self.told = told  # the user is to be told; who ended it himself need not be
        self.stranger = stranger  # who had come speaks something else: nothing is lost by waiting
        self.word = word  # among what was said, that has ended it
        self.unsaid = unsaid  # what stood after that
