"""The lines with which a room answers one client alone, as that client reads them.

Shared by the child that receives them and the parent that acts on them. docs/protocol.md says when
the room says which. Patterns only; knows no socket and no state. A number has 18
digits at most: of one with thousands Python makes none, and what has more is not heeded.
"""

from __future__ import annotations

import re

# The beginning of the first line of a room, and all of it. Whoever says anything else is no room.
ANSWER = b"! "
WELCOME = re.compile(
    rb"! welcome to room (?P<room>.+): you are (?P<nick>\S+), "
    rb"(?P<count>\d{1,18}) (?:is|are) here; .*\n"
)
# What a host says to whom it does not let in, and a protected port to who is not protected.
REFUSED = re.compile(
    rb"! (?:duplex code \d+: )?(?P<why>the room is full: .*|your address is banned|"
    rb"\d+ are here from your address .*|no process can be made: .*|"
    rb"wrong codes came from your address: .*|too many are on their way in: .*|"
    rb"this port speaks TLS: .*|the room's store .*; come back later|"
    rb"only who knows the code comes in here: .*)\n"
)
JOINED = re.compile(
    rb"! joined (?P<room>.+) as (?P<nick>\S+): key (?P<key>\S+), "
    rb"offset (?P<offset>\d{1,18}), end (?P<end>\d{1,18}), (?P<count>\d{1,18}) (?:is|are) here\n"
)
NOT_RESUMED = re.compile(rb"! not resumed: (?P<reason>.*)\n")
TOO_LATE = re.compile(rb"! there is no command /(?:join|resume);.*\n")
RENAMED = re.compile(rb"! you are (?P<nick>\S+) now(?:: key (?P<key>\S+))?\n")
KICKED = re.compile(rb"! (?P<what>you were kicked by .*)\n")
NOT_RECORDED = re.compile(rb"! not recorded: (?P<reason>.*)")

WHO = b"/who\n"
HERE = re.compile(rb"! (?P<count>\d{1,18}) (?:is|are) here: (?P<nicks>.*)")
HERE_TOO = re.compile(rb"! and: (?P<nicks>.*)")

# What answers no command: the end of a change of nick, and warnings.
NO_ANSWER = re.compile(
    rb"! (?:you are \S+ now|slowly: |the room's store is out of reach; lines wait|"
    rb"what you told \S+ is lost |\S+ was not kicked )"
)

# Whatever is no record: a private message, or one of the above.
PRIVATE = re.compile(rb"^(?!\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ).*\n", re.MULTILINE)
