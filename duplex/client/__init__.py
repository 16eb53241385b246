"""Who joins somebody's room: policy, follower, outbox. Knows no terminal and no store."""
