"""Fuzzing: what strangers send, thrown at every place that reads it, as broken as can be made.

    python -m tests.fuzz                 every target, in the shares that the table gives them
    python -m tests.fuzz following log   some of them; --help has the rest

A target takes bytes and raises if a promise is broken. engine.py makes the bytes and watches over
a process for each target: an exception, a signal, an execution of more than a few seconds or memory
that grows ends it, and its input is kept. The targets stand by who reads the bytes:

    texts.py      the plain channel, and short texts that people give: codes, pins, points in time
    channels.py   the protected channels: handshakes, and sealed bytes that were tampered with
    member.py     a member of a room, from the first byte a client sends to the last
    hub.py        the hub of a room, to which a member that was taken over speaks
    client.py     a client of a room that lies: its child, its parent, its screen
    log.py        `duplex log` on any file
"""
