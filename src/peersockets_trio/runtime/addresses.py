"""The addresses of sockets, in a complete form that can be dialled."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Final

from peersockets_core import Address

ANY_HOST: Final = "0.0.0.0"
_LOOPBACK: Final = "127.0.0.1"
_ELSEWHERE: Final = "192.0.2.1"
"""An address that no host has (RFC 5737). The route to it is the route to the internet."""
_SOME_PORT: Final = 9


def address_of(name: object) -> Address | None:
    """Convert the result of `getsockname` or `getpeername` to an address; returns None for families other
    than IP.

    The zone of an IPv6 address, which the system returns as a separate number, becomes part of the host.
    """
    match name:
        case (str(host), int(port), int(), int(zone)) if zone and "%" not in host:
            return Address(f"{host}%{_zone_name(zone)}", port)
        case (str(host), int(port), *_):
            return Address(host, port)
    return None


def _zone_name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # the interface has gone
        return str(index)


def local_addresses(bound: tuple[str, int], toward: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Return the addresses at which hosts of our own networks reach a UDP socket. This is the address that
    it is bound to. If it is bound to every address, these are the source addresses of packets to the
    internet and to the hosts of `toward`.

    This sends nothing. A host without a network only has its loopback address, as in hyperdht 6.34.0
    (`lib/holepuncher.js`, `localAddresses`).
    """
    host, port = bound
    if host != ANY_HOST:
        return ((host, port),)
    routed = dict.fromkeys(_source_toward(other) for other in (_ELSEWHERE, *toward))
    hosts = [host for host in routed if host and not ipaddress.IPv4Address(host).is_loopback]
    return tuple((host, port) for host in hosts or [_LOOPBACK])


def _source_toward(host: str) -> str:
    """Return the source address of packets to a host, or an empty string if there is no route to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((host, _SOME_PORT))
        except OSError:
            return ""
        source: str = sock.getsockname()[0]
        return source
