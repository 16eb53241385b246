"""Addresses: one form for each, in which it is compared, counted, shown, recorded and typed.

The system has several names for one host: to a socket that takes both families, 127.0.0.1 is
`::ffff:127.0.0.1`; what a person types may be `0:0:0:0:0:0:0:1`. An IPv6 host also has 2⁶⁴
addresses to choose from, so limits count its /64. Pure computation, in whatever process; knows no
socket but the names of interfaces. `ipaddress` is loaded for IPv6 and what is typed, nothing else.
"""

from __future__ import annotations

import socket
from contextlib import suppress

PREFIX = 64  # bits of an IPv6 address: what one subscriber has at least (RFC 6177)


def canonical(text: str) -> str:
    """The one form of an IPv4 or IPv6 address. Raises ValueError for what is none.

    IPv4 in IPv6 is IPv4. A scope is kept where the address is ambiguous without it (link-local),
    as the interface's name.
    """
    import ipaddress

    if ":" not in text:
        return str(ipaddress.IPv4Address(text))
    found = ipaddress.IPv6Address(text)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    plain = str(found).partition("%")[0]
    return (
        f"{plain}%{_interface(found.scope_id)}" if found.scope_id and found.is_link_local else plain
    )


def shown(host: str) -> str:
    """A host as people write it: an address in its one form, a name as it is."""
    try:
        return canonical(host) if ":" in host else host
    except ValueError:
        return host


def source_of(ip: str) -> str:
    """What counts as one in limits: an IPv4 address, or an IPv6 /64. `ip` is canonical, or ""."""
    if ":" not in ip:
        return ip
    import ipaddress

    address = ipaddress.IPv6Address(ip)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), PREFIX), strict=False))


def names(ip: str) -> tuple[str, ...]:
    """All that a canonical address can be banned as: itself, without its scope, its /64."""
    return (ip, ip.partition("%")[0], source_of(ip)) if ":" in ip else (ip,)


def banned_as(typed: str) -> str:
    """The one of an address's `names` that was typed. Raises ValueError for what can be none."""
    plain, slash, prefix = typed.partition("/")
    found = canonical(plain)
    if slash and prefix == str(PREFIX) and ":" in found:
        return source_of(found)
    if slash:
        raise ValueError(typed)
    return found


def _interface(scope: str) -> str:
    if scope.isdecimal():
        with suppress(OSError, OverflowError):
            return socket.if_indextoname(int(scope))
    return scope
