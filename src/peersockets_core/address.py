"""`Address`: a host and a port, and the only code that parses and formats them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

_HIGHEST_PORT = 65535
_SHOWN = 80  # characters of a bad address that an error shows


SocketAddress: TypeAlias = tuple[str, int]
"""The source or destination of a datagram: an IP address in text, and a port from 1 to 65535."""

PathAddress: TypeAlias = SocketAddress | tuple[str, int, int]
"""The address of a remote, and the number of our socket that reaches it, if that is not the main one."""


class Address(NamedTuple):
    """A pair of host and port. `str` writes it in the form that `parse` reads.

    The form is HOST:PORT, or [HOST]:PORT for IPv6. A zone is part of the host: [fe80::1%eth0]:4200.
    """

    host: str
    """A host name, an IPv4 address, or an IPv6 address without brackets, with its zone if it has one."""
    port: int
    """A port, up to 65535."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, *, lowest_port: int = 1) -> Address:
        """Parse an address. Raises `ValueError`, which names the mistake."""
        shown = repr(text[:_SHOWN])
        if _is_ipv6(text):
            raise ValueError(f"an IPv6 address must be in brackets, before its port: [{text}]:PORT")
        host, colon, port = text.rpartition(":")
        if not colon or not host or not (port.isascii() and port.isdecimal()):
            raise ValueError(f"address must be HOST:PORT, or [HOST]:PORT for IPv6, not {shown}")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            if not _is_ipv6(host):
                raise ValueError(f"no IPv6 address in the brackets of {shown}")
        elif ":" in host:
            raise ValueError(
                f"an IPv6 address must be in brackets, before its port: [HOST]:PORT, not {shown}"
            )
        elif not _is_name(host):
            raise ValueError(f"no host name in {shown}")
        if len(port) > len(str(_HIGHEST_PORT)) or not lowest_port <= int(port) <= _HIGHEST_PORT:
            raise ValueError(f"port must be from {lowest_port} to {_HIGHEST_PORT} in {shown}")
        return cls(host, int(port))


def _is_ipv6(host: str) -> bool:
    import ipaddress  # not every program parses an address

    try:
        zone = ipaddress.IPv6Address(host).scope_id
    except ValueError:
        return False
    return zone is None or (zone.isprintable() and zone.isascii() and not set(zone) & set(" []:"))


def _is_name(host: str) -> bool:
    try:
        host.encode("idna")  # the resolver does the same
    except UnicodeError:
        return False
    return host.isprintable() and not set(host) & set(" []%")
