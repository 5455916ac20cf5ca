"""The addresses of sockets, as they are reported: complete, so that they can be dialled."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any, Final

from peersockets_core import Address

ANY_HOST: Final = "0.0.0.0"
_LOOPBACK: Final = "127.0.0.1"
_ELSEWHERE: Final = "192.0.2.1"
"""An address that nobody has (RFC 5737): the way to it is the way to the internet."""
_SOME_PORT: Final = 9


def address_of(name: Any) -> Address | None:
    """Return what `getsockname` or `getpeername` returned as an address; None for other families than IP.

    The zone of an IPv6 address, which the system returns as a number beside it, becomes part of the host.
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
    """Return where hosts of our own networks reach a UDP socket: the address that it is bound to, or where
    that is every address, those that it sends from to the internet and to the hosts of `toward`.

    Nothing is sent. A host without a network has its loopback address only, as hyperdht 6.34.0 has it
    (`lib/holepuncher.js`, `localAddresses`).
    """
    host, port = bound
    if host != ANY_HOST:
        return ((host, port),)
    routed = dict.fromkeys(_source_toward(other) for other in (_ELSEWHERE, *toward))
    hosts = [host for host in routed if host and not ipaddress.IPv4Address(host).is_loopback]
    return tuple((host, port) for host in hosts or [_LOOPBACK])


def _source_toward(host: str) -> str:
    """Return the address that a packet to a host would come from; empty where there is no way to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((host, _SOME_PORT))
        except OSError:
            return ""
        source: str = sock.getsockname()[0]
        return source
