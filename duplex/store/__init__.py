"""The store: one room on many hosts, in Redis or Valkey. Imported only when `--redis` asks for it.

    member ─ pen ──┐  a Unix seqpacket      writer (one a host)      the store
    member ─ pen ──┼───────────────────────►  groups what all   ───►  one script, one stream
    host ─── pen ──┘                          members ask             │
                                                                      │ XREAD
    members ◄── bell ◄── watermark ◄── transcript ◄── mirror (one a host) ◄┘

The stream is the room's one order, and every host's transcript is a copy of it, byte by byte.

Why a writer, and not a connection in every member: with redis-py in use a member's private memory
is 4.4 MiB more than without (measured; a member has 0.6), and a thousand speakers of one line each
would be a thousand round trips and, with `appendfsync always`, as many waits for the disk. The
writer makes one call of all that has come while the last one was under way (group commit), so that
the more is said, the less each line costs. It keeps nothing of its own: killed, it is followed by
another, the pens ask again, and the script knows what it has done already.

    address   where the store is, and its password, which nobody else gets to see
    entry     what stands in the stream, and what a transcript makes of it
    script    all that is changed in the store is changed here, in one atomic step
    shared    the script's callers, one method an operation; the only user of redis-py with address
    writer    the process that calls it for a host's members
    pen       a member's, and the host's, side of the writer
    position  how far a transcript is a copy
    (duplex/store/replicator.py is the process that copies)
"""
