from __future__ import annotations

import attrs
import pytest

from core.support import KEY, NOW, Network, Node, RecordingHost, key_pair
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    DriveOpened,
    ExtensionNames,
    KeyPair,
    LocalProtocolError,
    MessagesReceived,
)
from peersockets_core.topics.members import KnownPeer, Link
from peersockets_core.topics.registry import Registry


def connection_of(keys: KeyPair, *, extensions: ExtensionNames) -> Connection:
    return Connection(
        wire="hypercore9", initiator=True, key_pair=keys, entropy=bytes, now=NOW, extensions=extensions
    )


def made(node: Node) -> Registry:
    return Registry(node.machine.extensions, DEFAULT_LIMITS)


def test_the_oldest_stranger_has_dialled_us_and_shares_no_drive() -> None:
    node = Node("ours")
    registry = made(node)
    dialled, first, second = (node.connection(initiator=initiator) for initiator in (True, False, False))
    for connection in (dialled, first, second):
        registry.add(connection)
    assert [registry.oldest_stranger()] == [first]
    link = Link(first, KnownPeer("hypercore9", bytes(32)), RecordingHost())
    registry.link(first, link)
    assert registry.is_stranger(first)
    registry.share(link, KEY.discovery_key)
    assert (registry.is_stranger(first), registry.oldest_stranger()) == (False, second)
    registry.unshare(link, KEY.discovery_key)
    registry.unshare(link, KEY.discovery_key)
    assert registry.is_stranger(first)
    assert registry.remove(second) is None
    assert registry.oldest_stranger() is first
    assert registry.remove(first) is link
    assert registry.oldest_stranger() is None
    assert list(registry.connections) == [dialled]


def test_a_connection_closed_by_us_is_not_open() -> None:
    node = Node("ours")
    registry = made(node)
    one, two = node.connection(initiator=True), node.connection(initiator=True)
    registry.add(one)
    registry.add(two)
    one.close()
    assert registry.open_connections() == [two]


def test_only_connections_of_this_node_are_accepted() -> None:
    node = Node("ours")
    registry = made(node)
    connection = node.connection(initiator=True)
    registry.add(connection)
    with pytest.raises(LocalProtocolError, match="was already added"):
        registry.add(connection)
    other = connection_of(key_pair("another"), extensions=node.machine.extensions)
    with pytest.raises(LocalProtocolError, match="a different key pair"):
        registry.add(other)
    foreign = Registry(ExtensionNames(), attrs.evolve(DEFAULT_LIMITS, kept=1))
    with pytest.raises(LocalProtocolError, match="made without this machine's"):
        foreign.add(connection)
    assert list(registry.connections) == [connection]


@pytest.mark.parametrize("event", [DriveOpened(KEY.discovery_key), MessagesReceived(None, "chat", [b"x"])])
def test_nothing_comes_before_the_handshake(event: DriveOpened | MessagesReceived) -> None:
    node = Node("ours")
    registry = made(node)
    connection = node.connection(initiator=True)
    with pytest.raises(LocalProtocolError, match="not added"):
        registry.check_order(connection, [])
    registry.add(connection)
    registry.check_order(connection, [])
    with pytest.raises(LocalProtocolError, match="has to come first"):
        registry.check_order(connection, [event])


def test_a_replacement_must_prove_the_same_key_on_the_same_wire() -> None:
    ours = Node("ours")
    theirs, others = Node("theirs"), Node("theirs", wire="hypercore11")
    network = Network()
    old, _ = network.connect(ours, theirs)
    registry = made(ours)
    waiting = {}
    for name, node in (("same wire", theirs), ("other wire", others), ("unanswered", None)):
        connection = waiting[name] = ours.machine.make_connection(
            initiator=False, key_pair=ours.key_pair, entropy=bytes, now=NOW
        )
        registry.add(connection)
        if node is not None:
            dialling = node.connection(initiator=True)
            connection.receive_data(bytes(dialling.data_to_send(NOW)), NOW)
            connection.data_to_send(NOW)
    peer = KnownPeer("hypercore9", key_pair("theirs").public_keys["hypercore9"])
    dialled_by_us = Link(old, peer, RecordingHost())
    assert registry.successors(dialled_by_us) == set()
    accepted = Link(ours.connection(initiator=False), peer, RecordingHost())
    assert registry.successors(accepted) == {waiting["same wire"]}
    registry.link(accepted.connection, accepted)
    assert registry.successors(accepted) == set()
