"""A room: its server, its hub, its members. Knows no client and no terminal."""
