"""The bootstrap nodes of the DHT, and the addresses of their names."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final, TypeAlias

import trio

BootstrapNode: TypeAlias = tuple[str, int]
"""A host name or IPv4 address, and a port."""

PUBLIC_BOOTSTRAP: Final[tuple[BootstrapNode, ...]] = (
    ("node1.hyperdht.org", 49737),
    ("node2.hyperdht.org", 49737),
    ("node3.hyperdht.org", 49737),
)
"""The public bootstrap nodes (hyperdht 6.34.0, `lib/constants.js`)."""

RETRY: Final = 30.0
"""Seconds until names without an address are resolved again, for example because there is no network yet."""


def check_bootstrap(bootstrap: Iterable[BootstrapNode]) -> tuple[BootstrapNode, ...]:
    """Return the nodes. Raises `TypeError` or `ValueError`, which name the argument."""
    nodes = tuple(bootstrap)
    for node in nodes:
        if not (isinstance(node, tuple) and len(node) == 2 and isinstance(node[0], str)):
            raise TypeError(f"bootstrap must be pairs of host and port, not {node!r:.80}")
        if not isinstance(node[1], int) or not 1 <= node[1] <= 65535:
            raise ValueError(f"bootstrap: port must be from 1 to 65535, not {node[1]!r}")
        if ":" in node[0]:
            raise ValueError(f"bootstrap: the DHT has IPv4 addresses only, not {node[0]!r}")
        if is_ipv4(node[0]) and ipaddress.IPv4Address(node[0]).is_unspecified:
            raise ValueError(f"bootstrap: {node[0]} stands for every address of a host; give a real one")
    return nodes


async def resolve(bootstrap: Iterable[BootstrapNode]) -> list[tuple[str, int]]:
    """Return the IPv4 addresses of nodes, without nodes whose name currently has none."""
    addresses: list[tuple[str, int]] = []
    for host, port in bootstrap:
        if is_ipv4(host):
            addresses.append((host, port))
            continue
        try:
            found = await trio.socket.getaddrinfo(host, port, trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        except OSError:
            continue
        addresses += dict.fromkeys((str(address[0]), port) for *_, address in found)
    return addresses


def is_ipv4(host: str) -> bool:
    """Return whether a host is an IPv4 address and not a name."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
