"""IPv4 addresses in the encoding of dht-rpc, and the node ids that are derived from them.

Source: dht-rpc 6.27.0, `lib/peer.js`; compact-encoding 3.5.2, `ipv4Address`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Final

from ...address import SocketAddress

ADDRESS_SIZE: Final = 6
ID_SIZE: Final = 32


_REMEMBERED: Final = 4096  # the number of addresses that each of the caches below holds


@lru_cache(_REMEMBERED)
def encode_address(address: SocketAddress) -> bytes:
    """Return 4 bytes of host and 2 bytes of little-endian port. Raises `ValueError` for a host that is not
    IPv4.
    """
    host, port = address
    return IPv4Address(host).packed + port.to_bytes(2, "little")


def decode_address(data: bytes, position: int = 0) -> SocketAddress:
    """Read the address in the 6 bytes at `position`; the caller has checked that they exist."""
    return unpack_address(data[position : position + ADDRESS_SIZE])


@lru_cache(_REMEMBERED)
def unpack_address(packed: bytes) -> SocketAddress:
    """Return the address that 6 bytes encode. The answers of neighbours name the same nodes again and again,
    which share one object.
    """
    a, b, c, d, low, high = packed
    return f"{a}.{b}.{c}.{d}", low | high << 8


@lru_cache(_REMEMBERED)
def node_id(address: SocketAddress) -> bytes:
    """Return the 32-byte id of a node at `address`. It is a hash, so that no node can choose its place."""
    return hashlib.blake2b(encode_address(address), digest_size=ID_SIZE).digest()


def distance(a: bytes, b: bytes) -> int:
    """Return the XOR distance of two ids."""
    return int.from_bytes(a) ^ int.from_bytes(b)
