from __future__ import annotations

from core.support import KEY, Node
from peersockets_core import TopicHandle
from peersockets_core.topics.naming import TopicScope, addresses


def join(node: Node, name: str, scope: TopicScope) -> TopicHandle:
    drive = node.machine.memberships.drives.get(KEY.discovery_key) or node.open()
    return node.machine.join(drive, name, scope=scope)


def test_a_topic_hears_its_address_on_every_wire_until_its_last_handle_is_closed() -> None:
    node = Node("ours")
    handles = [join(node, "chat", "drive"), join(node, "chat", "drive")]
    heard = node.machine.listeners.by_address
    assert set(heard) == set(addresses(KEY.discovery_key, "chat", "drive").values())
    assert all(len(topics) == 1 for topics in heard.values())
    handles[0].close()
    assert heard
    handles[1].close()
    assert not heard


def test_two_scopes_share_an_address_where_the_wire_has_one_for_both() -> None:
    node = Node("ours")
    handles = [join(node, "chat", "drive"), join(node, "chat", "network")]
    shared = KEY.discovery_key, "peersockets/v0/chat"
    assert len(node.machine.listeners.by_address[shared]) == 2
    assert node.machine.extensions.for_strangers
    handles[1].close()
    (topic,) = node.machine.listeners.by_address[shared]
    assert topic.scope == "drive"
    assert [node.machine.extensions.for_strangers] == [False]
    assert len(node.machine.extensions.names) == 1
    handles[0].close()
    assert node.machine.extensions.names == []
