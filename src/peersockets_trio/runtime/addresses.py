"""The addresses of sockets, as they are reported: complete, so that they can be dialled."""

from __future__ import annotations

import socket
from typing import Any

from peersockets_core import Address


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
