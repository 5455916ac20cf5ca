"""The routing table: the nodes that we know, many of them near our own id and a few everywhere else.

There is a row for each length of the prefix that a node's id shares with ours, and each row holds at most
20 nodes. Source: kademlia-routing-table (npm), as dht-rpc 6.27.0 uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from ...address import SocketAddress
from .address import ID_SIZE, encode_address, node_id
from .messages import encode_nodes

K: Final = 20
"""The most nodes in a row, and the number of closest nodes that a query looks for."""

_ROWS: Final = 8 * ID_SIZE


@attrs.define(eq=False)
class Contact:
    """A persistent node of the network, as an entry of the table."""

    address: SocketAddress
    id: bytes
    added: int
    """The tick in which it entered the table; `pinged`, `seen` and `sampled` are also ticks."""
    pinged: int
    """The last tick in which we sent it a ping, or heard from it."""
    seen: int
    """The last tick in which we heard from it."""
    sampled: int | None = None
    """The last tick in which its view of our address counted, or None."""
    down_hints: int = 0
    """The number of times that others have reported it as down."""
    number: int = attrs.field(init=False, repr=False)
    """The id as a number, for distances."""

    encoded: bytes = attrs.field(init=False, repr=False)
    """The encoded address."""

    def __attrs_post_init__(self) -> None:
        self.number = int.from_bytes(self.id)
        self.encoded = encode_address(self.address)

    @classmethod
    def at(cls, address: SocketAddress, tick: int) -> Contact:
        """Make the entry of a node that we have just heard from."""
        return cls(address, node_id(address), tick, tick, tick)


class RoutingTable:
    """Nodes by the distance of their ids from ours."""

    def __init__(self, own_id: bytes) -> None:
        self.own_id = own_id
        self._own = int.from_bytes(own_id)
        self.rows: dict[int, dict[bytes, Contact]] = {}
        self._size = 0
        self._full: dict[int, bytes] = {}
        """A cache: the encoded nodes of full rows that have been requested."""

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Contact]:
        for row in self.rows.values():
            yield from row.values()

    def get(self, id: bytes) -> Contact | None:
        """Return the node with an id, or None if it is not here."""
        return self.rows.get(self._row_of(id), {}).get(id)

    def add(self, contact: Contact) -> bool:
        """Add a node; returns False, and changes nothing, if its row is full."""
        row = self.rows.setdefault(self._row_of(contact.id), {})
        if contact.id not in row:
            if len(row) >= K:
                return False
            self._size += 1
        row[contact.id] = contact
        return True

    def remove(self, contact: Contact) -> None:
        """Remove a node, if it is here."""
        row = self._row_of(contact.id)
        if self.rows.get(row, {}).pop(contact.id, None) is not None:
            self._size -= 1
            self._full.pop(row, None)

    def row(self, id: bytes) -> list[Contact]:
        """Return the nodes of the row to which an id belongs."""
        return list(self.rows.get(self._row_of(id), {}).values())

    def closest(self, target: bytes, count: int = K) -> list[Contact]:
        """Return the `count` nodes closest to a target, closest first.

        The reference differs: it fills up from farther rows before nearer ones, and leaves a row unsorted.
        """
        wanted = int.from_bytes(target)
        found = self.near(target, count)
        found.sort(key=lambda node: node.number ^ wanted)
        return found

    def near(self, target: bytes, count: int = K) -> list[Contact]:
        """Return the same nodes as `closest`, in any order. This avoids sorting most rows."""
        found: list[Contact] = []
        for group in self._near_first(self._row_of(target)):
            room = count - len(found)
            if len(group) > room:
                wanted = int.from_bytes(target)
                by_distance = {node.number ^ wanted: node for node in group}  # faster than a key function
                found += [by_distance[distance] for distance in sorted(by_distance)[:room]]
            else:
                found += group
            if len(group) >= room:
                break
        return found

    def encoded_near(self, target: bytes) -> bytes:
        """Return the `K` nodes closest to a target as a response lists them.

        If the row of the target is full, these are the nodes of that row.
        """
        row = self._row_of(target)
        full = self._full.get(row)
        if full is not None:
            return full
        encoded = encode_nodes([contact.encoded for contact in self.near(target)])
        if len(self.rows.get(row, ())) == K:
            self._full[row] = encoded
        return encoded

    def _near_first(self, row: int) -> Iterator[list[Contact]]:
        """Group the nodes by the length of the prefix that they share with a target of `row`.

        Nodes in the target's own row share more than `row` bits with it, nodes in later rows exactly `row`
        bits, and nodes in an earlier row as many bits as that row's number.
        """
        yield list(self.rows.get(row, {}).values())
        yield [node for number, nodes in self.rows.items() if number > row for node in nodes.values()]
        for number in sorted((number for number in self.rows if number < row), reverse=True):
            yield list(self.rows[number].values())

    def _row_of(self, id: bytes) -> int:
        """Return the length in bits of the prefix that an id shares with ours, at most 255."""
        differing = (int.from_bytes(id) ^ self._own).bit_length()
        return _ROWS - differing if differing else _ROWS - 1
