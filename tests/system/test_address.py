"""One form for each address, whatever the system calls it and whatever a person types."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given, strategies as st

from duplex.system import tcp
from duplex.system.address import banned_as, canonical, names, shown, source_of

LO = socket.if_nametoindex("lo")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::FFFF:7f00:1", "127.0.0.1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::1%lo", "::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:db8::1%eth0", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("FE80:0::1%nowhere", "fe80::1%nowhere"),
        (f"fe80::1%{LO}", "fe80::1%lo"),
        ("fe80::1", "fe80::1"),
    ],
)
def test_an_address_has_one_form(text: str, form: str) -> None:
    assert canonical(text) == form
    assert canonical(form) == form
    assert shown(text) == form
    where = f"[{form}]:8000" if ":" in form else f"{form}:8000"
    assert tcp.where((text, 8000)) == where
    assert tcp.where((text, 8000, 0, 0)) == where


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "1.2.3", "127.1", "127.0.0.01", "1.2.3.4.5", "::g", "fe80::1%", "::1/64"],
)
def test_what_is_no_address_has_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the module has its own words
        canonical(text)
    assert shown(text) == text


@given(st.ip_addresses())
def test_any_address_has_one_form_however_it_is_written(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    form = canonical(str(address))
    assert canonical(address.exploded) == form == canonical(form)
    if isinstance(address, ipaddress.IPv4Address):
        assert canonical(f"::ffff:{address}") == form
    assert form in names(form)
    assert source_of(form) in names(form) or form == source_of(form)
    assert banned_as(form) == form


@pytest.mark.parametrize(
    ("typed", "ban"),
    [
        ("0:0:0:0:0:0:0:1", "::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::5/64", "2001:db8::/64"),
    ],
)
def test_a_ban_is_of_an_address_or_of_a_64(typed: str, ban: str) -> None:
    assert banned_as(typed) == ban
    assert banned_as(ban) == ban


@pytest.mark.parametrize(
    "typed", ["everybody", "", "::/48", "::1/", "10.0.0.0/24", "10.0.0.1/64", "::ffff:10.0.0.1/64"]
)
def test_other_bans_there_are_none(typed: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        banned_as(typed)


def test_who_is_invited_sees_the_one_form() -> None:
    assert tcp.invitation(("::ffff:127.0.0.1", 8000)) == (
        "listening on 127.0.0.1:8000, this machine only (--host 0.0.0.0 opens it to others); "
        "join with: duplex connect 127.0.0.1 8000"
    )
