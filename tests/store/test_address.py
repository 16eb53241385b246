"""The store's URL: what is accepted, and that nobody gets to see its password."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from store_support import Server

from duplex.store.address import Address
from duplex.store.errors import StoreError, Unreachable
from duplex.store.shared import Shared
from duplex.system.errors import UsageError

SECRET = "s3cr3t%2Fword"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://:{SECRET}@localhost/2", "redis://localhost:6379/2"),
        (f"rediss://ann:{SECRET}@[::1]:7000/0?ssl_ca_certs=/a", "rediss://[::1]:7000/0"),
        (f"unix://ann:{SECRET}@/run/redis.sock?db=3", "unix:///run/redis.sock"),
    ],
)
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert Address(url).shown == shown
    assert SECRET not in repr(Address(url))


@pytest.mark.parametrize(
    "url",
    [
        "localhost",
        f"http://{SECRET}@localhost",
        f"redis://:{SECRET}:x@localhost:port",
        f"redis://:{SECRET}@",
        f"redis://:{SECRET}@localhost/lobby",
        f"redis://:a/{SECRET}@localhost",
        "",
    ],
)
def test_what_is_no_address_is_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Address(url)
    assert "s3cr3t" not in str(caught.value)


def test_the_password_is_in_no_error(start_server: Callable[..., Server]) -> None:
    server = start_server(password="right")
    assert server.shared("h").find()
    wrong = Address(f"unix://:s3cr3t%2Fword@{server.socket}")
    with pytest.raises(StoreError) as refused:
        Shared(wrong, "lobby", "h").find()
    server.kill()
    with pytest.raises(Unreachable) as unreachable:
        Shared(wrong, "lobby", "h").find()
    for caught in (refused, unreachable):
        assert "s3cr3t" not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert wrong.hide("s3cr3t/word and s3cr3t%2Fword") == "… and …"


def test_nobody_there_is_out_of_reach() -> None:
    with pytest.raises(Unreachable, match=r"redis://127.0.0.1:1/0 is out of reach"):
        Shared(Address("redis://:x@127.0.0.1:1/0"), "lobby", "h").find()
