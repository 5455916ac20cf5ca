"""The routing table, compared with a list of all nodes."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from peersockets_core.dht.rpc.address import distance
from peersockets_core.dht.rpc.table import Contact, K, RoutingTable

OWN = bytes(32)


def contact(number: int) -> Contact:
    return Contact.at((f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1), 0)


def near(shared_bits: int, rest: int) -> Contact:
    """Return a node whose id shares this number of bits with ours."""
    id = (1 << (255 - shared_bits) | rest).to_bytes(32)
    return Contact(("10.0.0.1", rest or 1), id, 0, 0, 0)


def test_a_row_takes_twenty_nodes() -> None:
    table = RoutingTable(OWN)
    row = [near(3, rest) for rest in range(K + 1)]
    assert all(table.add(node) for node in row[:K])
    assert not table.add(row[K])
    assert len(table) == K == len(table.row(row[K].id))
    assert table.get(row[K].id) is None
    assert table.add(near(4, 9))


def test_a_known_node_is_replaced() -> None:
    table = RoutingTable(OWN)
    old, new = near(3, 7), near(3, 7)
    assert table.add(old)
    assert table.add(new)
    assert len(table) == 1
    assert table.get(old.id) is new


def test_removing() -> None:
    table = RoutingTable(OWN)
    node = near(3, 7)
    table.remove(node)
    table.add(node)
    table.remove(node)
    table.remove(node)
    assert len(table) == 0
    assert list(table) == []


def test_an_id_that_differs_from_ours_in_the_last_bit() -> None:
    table = RoutingTable(OWN)
    assert table.add(Contact(("10.0.0.1", 1), (1).to_bytes(32), 0, 0, 0))
    assert len(table.row(OWN)) == 1


@given(
    st.sets(st.integers(0, 1 << 20), max_size=60),
    st.integers(0, 1 << 20),
    st.integers(1, 25),
    st.booleans(),
)
def test_the_closest_are_the_closest_of_all(numbers: set[int], target: int, count: int, own: bool) -> None:
    table = RoutingTable(hashlib.blake2b(b"own", digest_size=32).digest())
    nodes = [node for node in map(contact, sorted(numbers)) if table.add(node)]
    wanted = table.own_id if own else contact(target).id
    expected = sorted(nodes, key=lambda node: distance(node.id, wanted))[:count]
    assert table.closest(wanted, count) == expected
    assert len(table) == len(nodes) == len(list(table))
