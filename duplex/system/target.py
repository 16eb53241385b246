"""Where to connect, as it is typed: a host and a port, or many hosts of one room.

    HOST PORT    HOST:PORT    [::1]:PORT    ::1 PORT    alpha,beta PORT    alpha:5000,beta:5001

A port is a number, or the name of a TCP service (/etc/services). Asks nobody else.
"""

from __future__ import annotations

import re
import socket

from duplex.system.errors import UsageError
from duplex.system.tcp import check_port

# An IPv6 address has two colons at least; with a port behind it, it stands in brackets.
_TARGET = re.compile(
    r"\[(?P<v6>[^\[\]]+)\](?::(?P<v6_port>[^:]+))?|(?P<bare>[^:\[\]]*:[^\[\]]*:[^\[\]]*)"
    r"|(?P<host>[^:\[\]]+)(?::(?P<port>[^:]+))?"
)


class Target:
    """One host, and the port to call there."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return self.host


def targets(hosts: str, port: str | None) -> list[Target]:
    """Those that the two arguments of `connect` name. Raises UsageError."""
    found = []
    asked = False
    for text in hosts.split(","):
        match = _TARGET.fullmatch(text)
        if match is None:
            raise UsageError(
                f"cannot use {text!r} as a host: write HOST, HOST:PORT or [ADDRESS]:PORT"
            )
        own = match["v6_port"] or match["port"]
        if own is None and port is None:
            raise UsageError(
                "cannot read the command line: the following arguments are required: PORT "
                "(duplex connect --help tells more)"
            )
        asked = asked or own is None
        host = match["v6"] or match["bare"] or match["host"]
        found.append(Target(host, port_of(own or port or "")))
    if port is not None and not asked:
        raise UsageError(f"cannot use two ports: {hosts} has one, and PORT is {port}")
    return found


def port_of(text: str) -> int:
    """The number of a port, or of the service that is called so. Raises UsageError."""
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        number = int(text)
        check_port(number)
        return number
    try:
        return socket.getservbyname(text, "tcp")
    except (OSError, UnicodeError, ValueError):
        raise UsageError(
            f"cannot use {text!r} as a port: a port is a number from 1 to 65535 or a TCP service"
        ) from None
