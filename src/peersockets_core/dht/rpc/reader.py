"""`Reader`: reads the fields of a datagram from a stranger, one after the other."""

from __future__ import annotations

from typing import Final

from ...address import SocketAddress
from ...errors import RemoteProtocolError
from ...wires.hypercore11.encoding import decode_buffer_untrusted, decode_uint_untrusted
from .address import ADDRESS_SIZE, unpack_address

_LONGER: Final = 0xFD
"""The smallest first byte of a number of more than one byte."""


class Reader:
    """A position in a datagram. Its methods raise only `RemoteProtocolError`, if the datagram ends
    too early.
    """

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data = data
        self._position = position

    @property
    def left(self) -> int:
        """The number of bytes that are not read yet."""
        return len(self._data) - self._position

    def uint_untrusted(self) -> int:
        """Read a number."""
        data, position = self._data, self._position
        if position < len(data) and data[position] < _LONGER:
            self._position = position + 1
            return data[position]
        number, self._position = decode_uint_untrusted(self._data, self._position, len(self._data))
        return number

    def fixed_untrusted(self, size: int) -> bytes:
        """Read `size` bytes."""
        stop = self._position + size
        if stop > len(self._data):
            raise RemoteProtocolError("a datagram ends within a field")
        field, self._position = self._data[self._position : stop], stop
        return field

    def buffer_untrusted(self) -> bytes:
        """Read a length and then as many bytes."""
        data, self._position = decode_buffer_untrusted(self._data, self._position, len(self._data))
        return data

    def address_untrusted(self) -> SocketAddress:
        """Read an IPv4 address."""
        return unpack_address(self.fixed_untrusted(ADDRESS_SIZE))

    def addresses_untrusted(self, most: int) -> tuple[SocketAddress, ...]:
        """Read a list of IPv4 addresses; those past the first `most` are left out."""
        count = self.uint_untrusted()
        data = self.fixed_untrusted(count * ADDRESS_SIZE)
        stop = min(count, most) * ADDRESS_SIZE
        return tuple([unpack_address(data[at : at + ADDRESS_SIZE]) for at in range(0, stop, ADDRESS_SIZE)])
