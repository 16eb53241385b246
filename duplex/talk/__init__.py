"""A talk between two: the session, its receiver, and how it ends. Knows no room."""
