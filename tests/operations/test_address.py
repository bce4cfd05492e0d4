"""Addresses as controller-runtime writes them, and ports that cannot be had."""

import contextlib
import socket

import pytest

from kopf_leader.errors import SettingsError
from kopf_leader.operations.address import Address, bind, parse_address

GOOD = [
    (":8081", Address("", 8081)),
    ("127.0.0.1:8081", Address("127.0.0.1", 8081)),
    ("localhost:0", Address("localhost", 0)),
    ("[::1]:8081", Address("::1", 8081)),
    ("0", None),
    ("", None),
    (" :1 ", Address("", 1)),
]
BAD = ["8081", "localhost", ":", ":x", ":65536", "::1:8081", "a b:1", "http://:8081", "[::1]", -1, None, True, b":1"]


@pytest.mark.parametrize(("text", "address"), GOOD)
def test_addresses_that_can_be_read(text, address):
    """`:port`, `host:port`, `[v6]:port`, and `0` for nowhere, as in controller-runtime."""
    assert parse_address(text, what="address") == address
    if address is not None:
        assert parse_address(str(address), what="address") == address


@pytest.mark.parametrize("text", BAD)
def test_addresses_that_cannot_be_read(text):
    """Everything else is refused in one sentence that names it and says what to write."""
    with pytest.raises(SettingsError, match=r"The address is .*: write ':8081'") as refused:
        parse_address(text, what="address")
    assert len(refused.value.sentences) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_a_port_in_use_is_a_sentence(host):
    """A port in use: one sentence that names the address, says why, and what to do."""
    with bind(Address(host, 0), what="place") as first:
        taken = first.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"The place '{host}:{taken}' cannot be .*\(Address already in use\)"):
            bind(Address(host, taken), what="place")
        with contextlib.closing(socket.create_connection(("127.0.0.1", taken), timeout=30)):
            pass  # IPv4 reaches a listener on every interface, which is one for IPv6 as well


def test_a_host_that_is_not_here_is_a_sentence():
    """An address of some other machine, or no address at all, is refused likewise."""
    for host in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(SettingsError, match="cannot be listened at"):
            bind(Address(host, 0), what="place")
