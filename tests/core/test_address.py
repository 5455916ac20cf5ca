"""`peersockets_core.address`: every written address can be read, and every address read is written
the same.
"""

from __future__ import annotations

import ipaddress
import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peersockets_core import Address

ZONES = st.text(string.ascii_letters + string.digits + "._-@", min_size=1, max_size=15)
LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
HOSTS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.builds("{}%{}".format, st.ip_addresses(v=6), ZONES),
    st.lists(LABELS, min_size=1, max_size=4).map(".".join),
)


@given(HOSTS, st.integers(1, 65535))
def test_a_written_address_reads_back(host: str, port: int) -> None:
    address = Address(host, port)
    assert Address.parse(str(address)) == address == (host, port)


@given(
    st.one_of(
        st.text(max_size=40),
        st.text("[]:%.0123456789abcdef lo", max_size=30),
        st.builds("{}:{}".format, HOSTS, st.integers(-1, 70000)),
        st.builds("[{}]:{}".format, HOSTS, st.integers(-1, 70000)),
    )
)
def test_an_address_that_was_read_is_written_the_same(text: str) -> None:
    address = None
    with suppress(ValueError):
        address = Address.parse(text)
    if address is not None:
        assert Address.parse(str(address)) == address
        assert str(address).partition("%")[2] == text.partition("%")[2]
        if ":" in address.host:
            assert text.startswith("[")
            ipaddress.IPv6Address(address.host)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:65535", "::1", 65535),
        ("[fe80::1%eth0]:4200", "fe80::1%eth0", 4200),
        ("host.example:4200", "host.example", 4200),
        ("b\u00fccher.example:1", "b\u00fccher.example", 1),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == (host, port)
    assert str(Address(host, port)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "HOST:PORT, or [HOST]:PORT for IPv6, not ''"),
        ("host", "HOST:PORT, or [HOST]:PORT"),
        (":80", "HOST:PORT, or [HOST]:PORT"),
        ("host:", "HOST:PORT, or [HOST]:PORT"),
        ("host:x", "HOST:PORT, or [HOST]:PORT"),
        ("host:-1", "HOST:PORT, or [HOST]:PORT"),
        ("host:\u0663", "HOST:PORT, or [HOST]:PORT"),
        ("h:1 ", "HOST:PORT, or [HOST]:PORT"),
        ("[::1]", "HOST:PORT, or [HOST]:PORT"),
        ("host:0", "port must be from 1 to 65535"),
        ("host:65536", "port must be from 1 to 65535"),
        ("host:" + "9" * 5000, "port must be from 1 to 65535"),
        ("::1", "must be in brackets, before its port: [::1]:PORT"),
        ("fe80::1%lo", "brackets, before its port: [fe80::1%lo]:PORT"),
        ("::1:1", "brackets, before its port: [::1:1]:PORT"),
        ("fe80::1%lo:80", "brackets, before its port: [HOST]:PORT, not 'fe80::1%lo:80'"),
        ("1:2:3", "brackets, before its port"),
        ("[]:80", "no IPv6 address in the brackets of '[]:80'"),
        ("[host]:80", "no IPv6 address in the brackets"),
        ("[127.0.0.1]:80", "no IPv6 address in the brackets"),
        ("[::1%]:80", "no IPv6 address in the brackets"),
        ("[::1%a b]:80", "no IPv6 address in the brackets"),
        ("[::1:80", "brackets, before its port"),
        ("a..b:80", "no host name in 'a..b:80'"),
        ("a b:80", "no host name"),
        ("a]:80", "no host name"),
        ("127.0.0.1%lo:80", "no host name"),
        ("\x1b[31m:80", "no host name in '\\x1b[31m:80'"),
    ],
)
def test_texts_that_are_no_addresses_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"address|port|host") as caught:
        Address.parse(text)
    assert reason in str(caught.value)


def test_port_0_stands_for_any_free_port() -> None:
    assert Address.parse("[::]:0", lowest_port=0) == ("::", 0)
