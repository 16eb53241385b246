"""The store: one room on many hosts, in Redis or Valkey. Imported only when `--redis` asks for it.

    members ── requests ──► hub ── calls ──► writer ──► one script, one stream     the store
                             ▲                                    │ XREAD
                             └── entries, letters ── replicator ◄─┘

The stream is the room's one order, and every host's transcript is a copy of it, byte by byte.

Why a writer, and not a connection in the hub: redis-py waits, and the hub never does; and a
thousand speakers of one line each would be a thousand round trips and, with `appendfsync always`,
as many waits for the disk. The writer makes one call of all that has come while the last one was
under way (group commit), so that the more is said, the less each line costs. It keeps nothing of
its own: killed, it is followed by another, the hub asks again, and the script knows what it has
done already.

    host      what the server makes before its first fork, and how the helpers begin
    ledger    what a room asks; of calls, presence and letters the store, of the feed the copy
    calls     what the hub asks of the writer        feed      what the replicator hands to the hub
    line      the hub's connection to either         presence  who is here, and comes again
    writer, replicator    the two processes          letters   private mail
    copy, position        what a copy is, and how far it goes
    script    all that is changed in the store is changed here, in one atomic step
    shared    the script's callers; the only user of redis-py with address
    address   where the store is, and its password, which nobody else gets to see
    entry     what stands in the stream, and what a transcript makes of it
"""
