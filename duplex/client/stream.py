"""The stream of a room, as the child that follows it reads it: records, and lines for us alone.

Records are appended to the transcript as they are, their bytes counted (docs/protocol.md: the
offset), and shown unless they are one's own. What comes before `! joined` is nothing to be kept: a
room that has not heard yet who we are sends what it sends to a guest, and all of it once more. Only
who stays a guest, because it can say no more, keeps what it is sent.

Reports what follower.py lists. Knows no socket, and nothing of how a connection is made.
"""

from __future__ import annotations

from duplex.client.ownership import Ownership
from duplex.protocol import messages
from duplex.talk.report import Output, Stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from duplex.channel.base import Receiver
    from duplex.talk.report import Report
    from duplex.transcript.recording import Recording

LINE_LIMIT = 1 << 20  # bytes: more than the longest record that is made visible
UNSURE_LIMIT = 1 << 20  # bytes kept since the room has said where it is: it does each 16 KiB or so


class Offset:
    """How far a client knows its room's transcript, and since when that is sure. Pure computation.

    It is counted from the bytes of the records, as the room counts it; a room that says numbers
    (protocol/messages.py) says every so often where it is. Where the two differ, the client asks
    again from where they agreed last, and what comes once more is not recorded again. `at` is the
    offset, in bytes; `is_told` is set once the room says it.
    """

    def __init__(self) -> None:
        self.at = 0
        self.is_told = False
        self.sure = 0  # how far it is surely the room's
        self._since = b""  # the records since then
        self._once_more = b""  # of what was kept before it was asked again, what has still to come
        self._asked_from = -1  # where it was sure when it was asked again

    def begin(self, at: int) -> None:
        """The room has let us in, and will send the records from there on."""
        if at != self.at:
            self._once_more = b""
        self.at = at
        self._is_sure()

    def agrees(self, theirs: int) -> bool:
        """Whether the room's is ours. If not, `at` is where to ask again from.

        It is asked once: a room that says the same after that is right.
        """
        if theirs != self.at and self._asked_from != self.sure:
            self._asked_from = self.sure
            self.at, self._once_more, self._since = self.sure, self._since, b""
            return False
        self.at = theirs
        self._is_sure()
        return True

    def new(self, records: bytes) -> bytes:
        """Those of these records that were not had before; `at` is where they begin."""
        if self.is_told:
            self._since = (self._since + records)[:UNSURE_LIMIT]
        if not self._once_more:
            return records
        same = 0
        while end := records.find(b"\n", same) + 1:
            if self._once_more[same:end] != records[same:end]:
                self._once_more = b""
                break
            same = end
        self._once_more = self._once_more[same:]
        self.at += same
        return records[same:]

    def _is_sure(self) -> None:
        self.sure, self._since = self.at, b""


class Stream:
    """One room's, over all connections; without `to_stdout` all is handed on to the parent."""

    def __init__(self, recording: Recording, report: Report, to_stdout: Output | None) -> None:
        self.offset = Offset()
        self.let_in = False  # on this connection
        self.is_guest = False  # for good: the parent can say no more
        self.over = False
        self._recording = recording
        self._report = report
        self._to_parent = Output(report.fd, report)
        self._to_stdout = to_stdout
        self._shows = True
        self._ownership = Ownership()
        self._before = -1  # what was recorded before we were let in ends here; -1: it has been read
        self._may_resume = False
        self._begun_line = b""  # what has come of one

    def begin(self) -> None:
        """On another connection."""
        self.let_in = self.offset.is_told = False
        self._begun_line = b""

    def take(self, said: bytes, receiver: Receiver) -> str:
        """What has come; the report of how it ended, or "" to go on.

        The offset counts what is on the wire, whatever the boundary makes of it: a room of
        another version may have another one.
        """
        end = said.rfind(b"\n") + 1
        whole, self._begun_line = self._begun_line + said[:end], said[end:]
        if not end:
            whole, self._begun_line = b"", whole + said[end:]
            too_long = len(self._begun_line) > LINE_LIMIT
            return ".lost the room says a line without an end" if too_long else ""
        lines = receiver.lines(whole)
        if lines == whole:
            return self._read(lines)
        ending = ""
        for line in whole.split(b"\n")[:-1]:  # parted at newlines alone
            at = self.offset.at
            ending = ending or self._read(receiver.lines(line + b"\n"))
            if self.offset.at != at and not messages.NO_RECORD.match(line + b"\n"):
                self.offset.at = at + len(line) + 1
        return ending

    def _read(self, lines: bytes) -> str:
        done = 0
        for match in messages.NO_RECORD.finditer(lines):
            if match.start() > done:
                self._on_records(lines[done : match.start()])
            at = messages.read_at(match[0]) if self.let_in else None
            if at and not self._is_at(at[0]):
                return ".lost the room and this side count differently"
            self._on_private(match[0])
            done = match.end()
        if done < len(lines):
            self._on_records(lines[done:])
        return ""

    def _is_at(self, theirs: int) -> bool:
        """Whether the room's offset is ours; the user is told if not."""
        ours = self.offset.at
        if self.offset.agrees(theirs):
            return True
        self._report.warn(
            f"the room is at offset {theirs}, and this side at {ours}: "
            f"asking again from {self.offset.at}"
        )
        return False

    def _on_records(self, records: bytes) -> None:
        if not (self.let_in or self.is_guest):
            return
        if not (records := self.offset.new(records)):
            if 0 <= self._before <= self.offset.at:
                self._is_current()
            return
        self._recording.record(records)
        if 0 <= self._before - self.offset.at <= len(records):
            before = self._before - self.offset.at
            if before:  # to the record's end, whatever the room says: a line stays a line
                before = records.find(b"\n", before - 1) + 1
            self._show(records[:before])
            self._is_current()
            records = records[before:]
        self._show(records)
        if self._ownership.closed:
            self.over = True
            self._report.tell(f".over {self._ownership.closed}")

    def _show(self, records: bytes) -> None:
        for own, part in self._ownership.split(records, self.offset.at):
            if own:
                self._tell_parent(b"=", part)
            elif self._to_stdout:
                self._write(self._to_stdout, part)
            else:
                self._tell_parent(b"", part)
        self.offset.at += len(records)

    def _on_private(self, line: bytes) -> None:
        joined = messages.read_joined(line)
        if joined and not self.let_in:  # once in a connection
            self._on_joined(*joined)
            return
        refused = messages.read_not_resumed(line)
        if refused is not None:
            self._may_resume = False
            self._report.tell(f".anew {refused}")
            return
        unknown = messages.read_no_command(line)
        if unknown == "numbers":
            return  # a room of before 0.2
        _, _, answer = messages.read_answer(line)
        numbered = messages.read_numbered_from(line) is not None
        if renamed := messages.read_renamed(answer):
            nick, key = renamed
            if key:
                self._report.tell(f".renamed {nick} {key}")
            # the key is nobody's business
            without = f"! {messages.renamed(nick, '')}\n".encode()
            line, answer = line.removesuffix(answer[len(messages.ANSWER) :]), without
            line += without[len(messages.ANSWER) :]
        elif unknown in ("join", "resume") and not self.let_in:
            self._report.tell(".late")
        elif by := messages.read_kicked(answer):
            self.over = True
            self._report.tell(f".over {messages.kicked(by)}")
        elif numbered:
            self.offset.is_told = True
        self._tell_parent(b"~", line)
        if self._to_stdout and not numbered and not messages.read_at(line):
            self._write(self._to_stdout, answer)

    def _on_joined(self, room: str, nick: str, key: str, start: int, end: int, count: int) -> None:
        self.offset.begin(start)
        self._before = end
        self._ownership.joined(nick.encode(), end, resumed=self._may_resume)
        self._may_resume = self.let_in = True
        self._report.tell(f".joined {nick} {key} {count} {room}")
        if self.offset.at == self._before:
            self._is_current()

    def _is_current(self) -> None:
        self._before = -1
        self._report.tell(".current")

    def _tell_parent(self, kind: bytes, lines: bytes) -> None:
        if kind:
            lines = kind + lines[:-1].replace(b"\n", b"\n" + kind) + b"\n"
        self._write(self._to_parent, lines)

    def _write(self, output: Output, lines: bytes) -> None:
        if self._shows:
            try:
                output.write(lines)
            except Stopped:
                self._shows = False  # nobody takes it: record what is here, and go
