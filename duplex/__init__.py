"""duplex: two people, or a room, talk over one TCP port."""

__version__ = "0.1.0"
