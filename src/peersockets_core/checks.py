"""Checks of arguments: a bad argument raises at the call, with an error that names the argument."""

from __future__ import annotations

from .keys import parse_public_key
from .wires.table import parse_wire


def as_bytes(value: object, name: str) -> bytes:
    """Return an immutable copy, or `value` itself if it is `bytes`. Raises `TypeError`, which names the
    argument.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"{name} must be bytes, not {type(value).__name__}")


def check_address(address: tuple[str, int]) -> None:
    """Raise `TypeError` or `ValueError` unless `address` is a host and a port to connect to."""
    if not isinstance(address, tuple) or len(address) != 2:
        raise TypeError(f"address must be a pair of host and port, not {address!r:.80}")
    host, port = address
    check_port(port, lowest=1)
    check_host(host)


def check_host(host: str) -> None:
    """Raise `TypeError` or `ValueError` unless the resolver accepts `host`."""
    if not isinstance(host, str):
        raise TypeError(f"host must be str, not {type(host).__name__}")
    try:
        host.encode("idna")  # the resolver does the same
    except UnicodeError as error:
        raise ValueError(f"host {host[:80]!r} is not a host name: {error}") from None


def check_port(port: int, *, lowest: int) -> None:
    """Raise `TypeError` or `ValueError` unless `port` is a port of at least `lowest`."""
    if not isinstance(port, int):
        raise TypeError(f"port must be int, not {type(port).__name__}")
    if not lowest <= port <= 65535:
        raise ValueError(f"port must be from {lowest} to 65535, not {port}")


def check_wire(wire: str) -> None:
    """Raise `ValueError` unless `wire` is a known wire."""
    parse_wire(wire)


def check_expect(expect: bytes | str | None) -> bytes | None:
    """Parse the key that a remote must prove, if any. Raises `ValueError`."""
    return None if expect is None else parse_public_key(expect, "expect")


def check_timeout(timeout: object) -> None:
    """Raise `TypeError` or `ValueError` unless `timeout` is a number of seconds, which may be infinite."""
    if not isinstance(timeout, int | float):
        raise TypeError(f"timeout must be a number of seconds, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"timeout must be 0 seconds or more, not {timeout!r}")
