"""A room: its server, its members, and what they share. Knows no client and no terminal."""
