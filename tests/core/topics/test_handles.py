from __future__ import annotations

import sys

import attrs
import pytest

from core.support import Node, RecordingHost, connection, key_pair
from fuzz.support import retained
from peersockets_core import (
    DEFAULT_LIMITS,
    Limits,
    LocalProtocolError,
    Overflow,
    TopicHandle,
)
from peersockets_core.limits import MESSAGE_COST
from peersockets_core.topics.handles import check_overflow, check_peer_id
from peersockets_core.topics.members import KnownPeer, Link

PUBLIC_KEY = key_pair("sender").x25519_public_key
SMALL = attrs.evolve(DEFAULT_LIMITS, receive_messages=3, receive_bytes=3 * MESSAGE_COST + 10)
MOST = SMALL.receive_bytes - MESSAGE_COST  # bytes of one message


def handle(overflow: Overflow = "wait", limits: Limits = SMALL) -> TopicHandle:
    node = Node("handles", limits=limits)
    return node.machine.join(node.open(), "chat", overflow=overflow)


def link(host: RecordingHost) -> Link:
    return Link(connection(), KnownPeer("hypercore9", PUBLIC_KEY), host)


def taken(handle: TopicHandle) -> list[bytes]:
    return [message.message for message in handle.take_all()]


def test_messages_come_out_in_order_with_their_sender() -> None:
    ours = handle()
    ours.put(7, PUBLIC_KEY, [b"a", b"b"])
    assert len(ours) == 2
    assert ours.take() == (7, b"a", PUBLIC_KEY)
    message = ours.take()
    assert (message.peer_id, message.message, message.public_key) == (7, b"b", PUBLIC_KEY)
    with pytest.raises(IndexError):
        ours.take()
    assert ours.take_all() == []


@pytest.mark.parametrize(
    ("payloads", "full"),
    [
        ([b""] * 2, False),
        ([b""] * 3, True),
        ([b"x" * (MOST - 1)], False),
        ([b"x" * MOST], True),
        ([b"x" * 5, b"x" * (MOST - MESSAGE_COST - 6)], False),
        ([b"x" * 5, b"x" * (MOST - MESSAGE_COST - 5)], True),
        ([b"x" * 500], True),
    ],
)
def test_a_handle_is_full_at_its_limit_of_messages_or_bytes(payloads: list[bytes], full: bool) -> None:
    ours = handle()
    ours.put(1, PUBLIC_KEY, payloads)
    assert ours.full == full


def test_a_full_handle_holds_up_its_senders_until_it_has_drained() -> None:
    host, ours = RecordingHost(), handle()
    one, other = link(host), link(host)
    ours.put(1, PUBLIC_KEY, [b""] * 4)
    ours.block(one)
    ours.block(one)
    ours.block(other)
    assert one.blockers == other.blockers == {ours}
    ours.take()
    assert host.read == []  # three still reach the limit
    ours.take()
    assert set(host.read) == {one.connection, other.connection}
    assert not one.blockers
    assert len(host.read) == 2
    ours.take()
    assert len(host.read) == 2


def test_a_link_is_held_up_by_all_its_full_handles() -> None:
    host = RecordingHost()
    first, second, ours = handle(), handle(), link(host)
    for full in (first, second):
        full.put(1, PUBLIC_KEY, [b""] * 3)
        full.block(ours)
    first.take()
    assert host.read == []
    second.close()
    assert host.read == [ours.connection]


def test_taking_all_releases_senders_too() -> None:
    host, ours = RecordingHost(), handle()
    held = link(host)
    ours.put(1, PUBLIC_KEY, [b"x" * MOST])
    ours.block(held)
    assert taken(ours) == [b"x" * MOST]
    assert host.read == [held.connection]
    assert ours.statistics().waiting_bytes == 0


def test_a_batch_has_the_oldest_messages_of_all_senders() -> None:
    ours = handle(limits=DEFAULT_LIMITS)
    ours.put(1, PUBLIC_KEY, [b"a", b"b", b"c"])
    ours.put(2, PUBLIC_KEY, [b"d"])
    ours.put(1, PUBLIC_KEY, [b"e", b"f", b"g"])
    assert ours.take().message == b"a"
    assert [(message.peer_id, message.message) for message in ours.take_batch(4)] == [
        (1, b"b"),
        (1, b"c"),
        (2, b"d"),
        (1, b"e"),
    ]
    assert (ours.statistics().waiting_messages, ours.statistics().waiting_bytes) == (2, 2)
    ours.put(1, PUBLIC_KEY, [b"h"])
    assert [message.message for message in ours.take_batch(1)] == [b"f"]
    assert ours.take().message == b"g"
    assert [message.message for message in ours.take_batch(4)] == [b"h"]
    assert ours.take_batch(4) == []
    assert (ours.statistics().waiting_messages, ours.statistics().waiting_bytes) == (0, 0)


def test_taking_a_batch_releases_senders_too() -> None:
    host, ours = RecordingHost(), handle()
    held = link(host)
    ours.put(1, PUBLIC_KEY, [b""] * 5)
    ours.block(held)
    ours.take_batch(2)
    assert host.read == []  # three still reach the limit
    ours.take_batch(1)
    assert host.read == [held.connection]


def test_a_handle_that_is_not_full_holds_nobody_up() -> None:
    ours, host = handle(), RecordingHost()
    free = link(host)
    ours.block(free)
    assert not free.blockers


def test_dropping_the_oldest() -> None:
    ours = handle("drop_oldest")
    ours.put(1, PUBLIC_KEY, [b"1", b"2"])
    ours.put(1, PUBLIC_KEY, [b"3", b"4", b"5"])
    assert ours.statistics().dropped_messages == 2
    assert taken(ours) == [b"3", b"4", b"5"]
    ours.put(1, PUBLIC_KEY, [b"x" * 100, b"y" * 100])
    assert taken(ours) == [b"y" * 100]
    assert ours.statistics().dropped_messages == 3


def test_dropping_the_newest() -> None:
    ours = handle("drop_newest")
    ours.put(1, PUBLIC_KEY, [b"1", b"2"])
    ours.put(1, PUBLIC_KEY, [b"3", b"4", b"5"])
    assert ours.statistics().dropped_messages == 2
    assert taken(ours) == [b"1", b"2", b"3"]
    ours.put(1, PUBLIC_KEY, [b"x" * 100, b"y" * 100])
    assert taken(ours) == [b"x" * 100]
    assert ours.statistics().dropped_messages == 3


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
def test_dropped_messages_leave_nothing_behind(overflow: Overflow) -> None:
    ours = handle(overflow)
    for sender in (1, 2):
        ours.put(sender, PUBLIC_KEY, [b"1", b"2", b"3"])
    before = retained(ours.runs, ours.run)
    for sender in range(3, 1000):
        ours.put(sender, PUBLIC_KEY, [b"4", b"5", b"6"])
    assert retained(ours.runs, ours.run) <= before + 100
    assert len(ours) == 3


def test_taken_messages_are_released() -> None:
    ours = handle()
    payloads = [bytes(1000), bytes(1001)]
    before = sys.getrefcount(payloads[0])
    ours.put(1, PUBLIC_KEY, payloads)
    waiting = sys.getrefcount(payloads[0])
    assert len(ours.take().message) == 1000
    after = sys.getrefcount(payloads[0])
    assert (waiting - before, after - before) == (1, 0)
    assert payloads == [bytes(1000), bytes(1001)]


def test_taking_one_by_one_and_all_at_once() -> None:
    ours = handle(limits=DEFAULT_LIMITS)
    ours.put(1, PUBLIC_KEY, [b"a", b"b", b"c"])
    assert ours.take().message == b"a"
    ours.put(1, PUBLIC_KEY, [b"d"])
    ours.put(2, PUBLIC_KEY, [b"e", b"f"])
    ours.put(2, PUBLIC_KEY, [b"g"])
    assert ours.take().message == b"b"
    everything = ours.take_all()
    assert [message[:2] for message in everything] == [(1, b"c"), (1, b"d"), (2, b"e"), (2, b"f"), (2, b"g")]
    assert len(ours) == 0


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
def test_a_message_larger_than_the_limit_is_dropped(overflow: Overflow) -> None:
    ours = handle(overflow)
    ours.put(1, PUBLIC_KEY, [b"x" * (MOST + 1)])
    assert len(ours) == 0
    assert ours.statistics().dropped_messages == 1
    assert ours.statistics().waiting_bytes == 0


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
def test_a_handle_that_drops_holds_nobody_up(overflow: Overflow) -> None:
    ours, host = handle(overflow), RecordingHost()
    free = link(host)
    ours.put(1, PUBLIC_KEY, [b""] * 100)
    ours.block(free)
    assert not free.blockers
    assert len(ours) == 3


def test_statistics() -> None:
    ours = handle("drop_oldest")
    ours.put(1, PUBLIC_KEY, [b"12", b"345", b"", b"6"])
    ours.take()
    statistics = ours.statistics()
    assert attrs.asdict(statistics) == {
        "received_messages": 4,
        "received_bytes": 6,
        "waiting_messages": 2,
        "waiting_bytes": 1,
        "dropped_messages": 1,
        "sent_messages": 0,
        "sent_bytes": 0,
    }


def test_closing_discards_received_messages() -> None:
    ours = handle()
    ours.put(1, PUBLIC_KEY, [b"x" * 3])
    ours.close()
    ours.close()
    assert ours.closed
    assert len(ours) == 0
    assert ours.statistics().waiting_bytes == 0
    assert ours.statistics().received_messages == 1


@pytest.mark.parametrize("overflow", ["", "drop", "WAIT"])
def test_an_unknown_overflow_is_refused(overflow: str) -> None:
    with pytest.raises(ValueError, match="overflow must be one of wait, drop_oldest, drop_newest"):
        check_overflow(overflow)


@pytest.mark.parametrize("peer_id", [None, "1", 1.0, True, b"1"])
def test_a_peer_id_must_be_a_number(peer_id: object) -> None:
    with pytest.raises(TypeError, match="peer_id must be int"):
        check_peer_id(peer_id)


def test_all_messages_come_with_their_senders() -> None:
    ours, other = handle(), key_pair("other sender").x25519_public_key
    ours.put(7, PUBLIC_KEY, [b"a", b"b"])
    ours.put(8, other, [b"c"])
    ours.put(7, PUBLIC_KEY, [b"d"])
    assert ours.take() == (7, b"a", PUBLIC_KEY)
    assert ours.take_all() == [(7, b"b", PUBLIC_KEY), (8, b"c", other), (7, b"d", PUBLIC_KEY)]


def test_the_bytes_of_all_senders_count_together() -> None:
    ours = handle()
    ours.put(1, PUBLIC_KEY, [b"123"])
    ours.put(2, PUBLIC_KEY, [b"45"])
    assert ours.statistics().waiting_bytes == 5
    ours.take()
    assert ours.statistics().waiting_bytes == 2


def test_the_connection_held_up_first_is_read_first() -> None:
    host, ours = RecordingHost(), handle()
    links = [link(host) for _ in range(3)]
    ours.put(1, PUBLIC_KEY, [b""] * 3)
    for held_up in links:
        ours.block(held_up)
    ours.take_all()
    assert host.read == [held_up.connection for held_up in links]


def test_a_handle_knows_its_owner() -> None:
    node, owner = Node("node"), object()
    ours = node.machine.join(node.open(), "chat", owner=owner)
    assert ours.owner is owner


def test_the_error_of_sending_to_a_closed_handle() -> None:
    ours = handle()
    ours.close()
    with pytest.raises(LocalProtocolError, match=r"^the topic handle is closed$"):
        ours.send(1, b"")


def test_an_empty_handle_is_true() -> None:
    assert len(handle()) == 0
    assert handle()
