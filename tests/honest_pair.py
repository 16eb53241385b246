"""Two who talk in a room: a program of its own, which measures how long their lines take.

    python honest_pair.py JSON    the fields of Target (attackers.py)

It says `ready` when both are in. Then each says a numbered line every 50 ms, with the moment in it,
until the end of the standard input; each line of that is the name of what happens from then on. It
says a line of JSON in the end: for each name the latencies, in seconds, and how many lines each has
said.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time

from attackers import HOST, Target, Voice, enter

EVERY = 0.05  # s
ENDING = 30.0  # s for what is on its way to arrive
NICKS = ("ann", "bob")


class Pair:
    def __init__(self, target: Target) -> None:
        self._voices: list[Voice] = [enter(target, HOST, nick) for nick in NICKS]
        self._said = 0  # lines, each
        self._heard = [0, 0]  # of the other's, in their order
        self._latencies: dict[str, list[float]] = {}
        self._names = ["before"]
        self._poll = select.poll()
        for voice in self._voices:
            self._poll.register(voice.sock.fileno(), select.POLLIN)

    def run(self) -> None:
        self._poll.register(0, select.POLLIN)
        due = time.monotonic()
        open_ = True
        while open_:
            if time.monotonic() >= due:
                due += EVERY
                self._speak()
            if 0 in self._turn(due - time.monotonic()):
                data = os.read(0, 1000)
                self._names += data.decode().split()
                open_ = bool(data)
        self._poll.unregister(0)
        deadline = time.monotonic() + ENDING
        while self._heard != [self._said] * 2 and time.monotonic() < deadline:
            self._turn(ENDING)

    def _speak(self) -> None:
        for voice in self._voices:
            voice.say(b"%d %d %.6f\n" % (self._said, len(self._names) - 1, time.monotonic()))
        self._said += 1

    def _turn(self, seconds: float) -> set[int]:
        """Hear both; what else has happened."""
        ready = {fd for fd, _ in self._poll.poll(max(0.0, seconds) * 1000)}
        for which, voice in enumerate(self._voices):
            if voice.sock.fileno() in ready:
                voice.flush()
                lines = voice.hear()
                now = time.monotonic()
                mark = b"Z <%b> " % NICKS[1 - which].encode()
                for line in lines:
                    if mark in line:
                        self._heard_one(which, line.partition(mark)[2].split(), now)
        return ready

    def _heard_one(self, which: int, words: list[bytes], now: float) -> None:
        assert int(words[0]) == self._heard[which], (words, self._heard)
        self._heard[which] += 1
        self._latencies.setdefault(self._names[int(words[1])], []).append(now - float(words[2]))

    def tell(self) -> None:
        assert self._heard == [self._said] * 2, (self._heard, self._said)
        print(json.dumps({"said": self._said, "latencies": self._latencies}), flush=True)


if __name__ == "__main__":
    pair = Pair(Target(**json.loads(sys.argv[1])))
    print("ready", flush=True)
    pair.run()
    pair.tell()
