"""Refusals: what those are told who are not let in, and how a client knows it for that.

Said by a room's server, its members and its hub, and by whoever listens with a code or TLS; each is
the text behind `! `, of a line that comes instead of a welcome, or of one behind it. Who takes it
for something else takes a room for a person. Texts and one pattern; knows no socket.
"""

from __future__ import annotations

from duplex.protocol.lines import first

# By the server, of who connects:
BANNED = "your address is banned"
TOO_OFTEN = "your address comes too often: wait a few seconds (--max-per-address)"
TOO_MANY = "too many are on their way in: try again in a moment"
ONE_AT_A_TIME = "wrong codes came from your address: one connection at a time"
# By a room's hub, or its store, of who has been welcomed:
ASKED_TOO_OFTEN = "you have asked too often; come back later"
HOST_CLOSES = "this host of the room closes; come again"
OUT_OF_REACH = "the room's store is out of reach; come back later"
# By whoever listens with TLS, of who does not speak it:
SPEAKS_TLS = "this port speaks TLS: come with duplex connect --tls, openssl s_client or ncat --ssl"
# and with a code, of who does not have it:
CODES_DIFFER = "the codes differ, or somebody is in between"


def wrong_codes(seconds: int) -> str:
    return f"wrong codes came from your address: wait {seconds} s"


def full(members: int) -> str:
    return f"the room is full: {members} are here (--max-members)"


def crowded(members: int) -> str:
    """So many of them are from one address."""
    return f"{members} are here from your address (--max-per-address)"


def unserved(want: str) -> str:
    """`want`: what is wanting, in the system's word for it."""
    return f"this room cannot serve you: {want}"


def no_process(reason: str) -> str:
    return f"no process can be made: {reason}"


def no_transcript(reason: str) -> str:
    """Its entry cannot be recorded."""
    return f"cannot write the transcript: {reason}; come back later"


def not_let_in(reason: str) -> str:
    return f"the room's store does not let you in: {reason}; come back later"


def code_wanted(version: str) -> str:
    """The first line of whoever asks for a code; `version` is that of the protocol."""
    return f"{version}: only who knows the code comes in here: duplex connect --code HOST PORT"


def read_code_wanted(line: bytes) -> str | None:
    """The version, of whatever may stand behind it."""
    return first(rb"! (duplex code .*?)(?::.*)?", line)


def speaks_no(protocol: str) -> str:
    return f"this port speaks no {protocol}"


_REFUSAL = (
    rb"! (?:duplex code \d+: )?((?:your address |wrong codes came from your address: "
    rb"|too many are on their way in: |the room is full: |\d{1,18} are here from your address "
    rb"|no process can be made: |this room cannot serve you: |you have asked too often; "
    rb"|this host of the room closes; "
    rb"|(?:the room's store|cannot write the transcript).*; come back later"
    rb"|only who knows the code comes in here: |this port speaks |the codes differ, ).*)"
)


def read(line: bytes) -> str | None:
    """What a refusal says, whichever it is; without the newline. None: it is none of them."""
    return first(_REFUSAL, line)
