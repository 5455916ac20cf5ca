"""The bootstrap nodes of the DHT: the check of arguments, and the addresses of their names."""

from __future__ import annotations

from typing import Any

import pytest

from peersockets_trio import PUBLIC_BOOTSTRAP, open_node
from peersockets_trio.runtime.bootstrap import check_bootstrap, is_ipv4, resolve

HOST = "127.0.0.1"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"bootstrap": [("0.0.0.0", 5)]},
            ValueError,
            "bootstrap: 0.0.0.0 stands for every address of a host",
        ),
        ({"bootstrap": ["10.0.0.1:5"]}, TypeError, "bootstrap must be pairs of host and port"),
        ({"bootstrap": [("10.0.0.1", 0)]}, ValueError, "bootstrap: port must be from 1 to 65535, not 0"),
        ({"bootstrap": [("::1", 5)]}, ValueError, "bootstrap: the DHT has IPv4 addresses only"),
    ],
)
async def test_bad_options(options: dict[str, Any], error: type[Exception], text: str) -> None:
    async with open_node() as node:
        with pytest.raises(error, match=text):
            async with node.open_swarm(host=HOST, **options):
                pass


def test_the_public_nodes_are_those_of_the_reference() -> None:
    assert {port for _, port in PUBLIC_BOOTSTRAP} == {49737}
    assert [host for host, _ in PUBLIC_BOOTSTRAP] == [f"node{number}.hyperdht.org" for number in (1, 2, 3)]


def test_nodes_may_come_one_by_one() -> None:
    assert check_bootstrap(iter([(HOST, 5), ("a.name", 6)])) == ((HOST, 5), ("a.name", 6))


@pytest.mark.parametrize(
    ("host", "expected"),
    [(HOST, True), ("0.0.0.0", True), ("::1", False), ("a.name", False), ("1.2.3", False)],
)
def test_addresses_are_distinguished_from_names(host: str, expected: bool) -> None:
    assert is_ipv4(host) == expected


async def test_names_without_an_address_are_left_out() -> None:
    assert await resolve([("no.such.name.invalid", 5), (HOST, 6), ("localhost", 7)]) == [(HOST, 6), (HOST, 7)]
