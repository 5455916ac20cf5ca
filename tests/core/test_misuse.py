"""Callers forget steps, or take them out of order: each mistake raises at once, or makes no difference.

Each of these mistakes once lost messages or members in silence, or raised `KeyError` from within.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from core.support import KEY, NOW, OTHER_KEY, Node, entropy, key_pair
from core.topics.support import WIRES, Meeting, events, received
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    Event,
    ExtensionNames,
    HandshakeCompleted,
    KeyPair,
    Limits,
    LocalProtocolError,
    MessagesReceived,
    PeerGone,
    PeerLeft,
    RemoteProtocolError,
    WireName,
)


@pytest.fixture(params=WIRES)
def meeting(request: pytest.FixtureRequest) -> Meeting:
    return Meeting(wire=request.param)


def connection(node: Node, **changed: Any) -> Connection:
    """Return a connection made by hand, with everything that a node's connection needs."""
    arguments = {
        "wire": node.wire,
        "initiator": True,
        "key_pair": node.key_pair,
        "entropy": os.urandom,
        "now": NOW,
        "limits": node.limits,
        "extensions": node.machine.extensions,
    }
    return Connection(**(arguments | changed))


# Connections of a machine


def test_connections_of_the_machine_lack_nothing() -> None:
    limits = Limits(send_buffer=1000, handshake_time=3)
    ours, theirs = Node("ours", limits=limits), Node("theirs", limits=limits)
    topics = [node.machine.join(node.open(), "chat") for node in (ours, theirs)]
    owner = object()
    sides = [
        node.machine.make_connection(
            wire="hypercore9" if node is ours else None,
            initiator=node is ours,
            key_pair=node.key_pair,
            entropy=entropy(node.name),
            now=NOW,
            owner=owner,
        )
        for node in (ours, theirs)
    ]
    assert [side.owner for side in sides] == [owner, owner]
    assert [side.limits for side in sides] == [limits, limits]
    assert sides[0].next_deadline() == NOW + 3
    near, far = sides
    while near.has_output or far.has_output:
        theirs.machine.receive_events(far, far.receive_data(bytes(near.data_to_send(NOW)), NOW), NOW)
        ours.machine.receive_events(near, near.receive_data(bytes(far.data_to_send(NOW)), NOW), NOW)
    assert topics[0].send(1, b"hello") is near
    theirs.machine.receive_events(far, far.receive_data(bytes(near.data_to_send(NOW)), NOW), NOW)
    assert received(topics[1]) == [b"hello"]


def test_connections_of_the_machine_may_hold_and_expect() -> None:
    node = Node("ours")
    made = node.machine.make_connection(
        wire="hypercore11",
        initiator=True,
        key_pair=node.key_pair,
        entropy=os.urandom,
        now=NOW,
        expect=bytes(32),
        hold=True,
    )
    assert (made.admission.expected, made.admission.hold) == (bytes(32), True)
    with pytest.raises(ValueError, match="wire must be one of"):
        node.machine.make_connection(initiator=True, key_pair=node.key_pair, entropy=os.urandom, now=NOW)
    assert list(node.machine.registry.connections) == [made]


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"extensions": None}, "without this machine's `extensions`"),
        ({"extensions": ExtensionNames()}, "without this machine's `extensions`"),
        ({"limits": Limits(silence=99)}, "`limits` that are not"),
        ({"key_pair": key_pair("another")}, "a different key pair"),
    ],
)
def test_connections_that_do_not_fit_the_machine_are_refused(changed: dict[str, Any], complaint: str) -> None:
    node = Node("ours")
    node.machine.add_connection(connection(node))
    before = list(node.machine.registry.connections)
    with pytest.raises(LocalProtocolError, match=complaint):
        node.machine.add_connection(connection(node, **changed))
    assert list(node.machine.registry.connections) == before


def test_equal_limits_and_an_equal_identity_will_do() -> None:
    node = Node("ours")
    same = KeyPair(node.key_pair.seed)
    node.machine.add_connection(connection(node, limits=attrs.evolve(DEFAULT_LIMITS)))
    node.machine.add_connection(connection(node, key_pair=same))


def test_adding_a_connection_twice_closed_or_late(meeting: Meeting) -> None:
    node = meeting.a
    near, _ = meeting.connect()
    with pytest.raises(LocalProtocolError, match="was already added"):
        node.machine.add_connection(near)
    closed = connection(node)
    closed.close()
    with pytest.raises(LocalProtocolError, match="is closed"):
        node.machine.add_connection(closed)
    late, far = connection(node), meeting.b.connection(initiator=False)
    far.receive_data(bytes(late.data_to_send()), NOW)
    late.receive_data(bytes(far.data_to_send()), NOW)
    with pytest.raises(LocalProtocolError, match="finished its handshake before it was added"):
        node.machine.add_connection(late)


def test_events_of_an_unknown_connection(meeting: Meeting) -> None:
    near, far = meeting.connect()
    meeting.topic_b.send(1, b"late")
    caused = near.receive_data(bytes(far.data_to_send()), NOW)
    assert isinstance(caused[-1], MessagesReceived)
    meeting.a.machine.remove_connection(near, NOW)
    with pytest.raises(LocalProtocolError, match="was not added to this machine, or was removed"):
        meeting.a.machine.receive_events(near, caused, NOW)
    with pytest.raises(LocalProtocolError, match="was not added"):
        meeting.a.machine.receive_events(connection(meeting.a), [], NOW)


@pytest.mark.parametrize("wire", WIRES)
def test_events_without_the_handshake_before_them(wire: WireName) -> None:
    meeting = Meeting(wire=wire)
    near, far = meeting.network.connect(meeting.a, meeting.b)
    caused = []
    while near.has_output or far.has_output:
        meeting.b.machine.receive_events(far, far.receive_data(bytes(near.data_to_send()), NOW), NOW)
        caused += near.receive_data(bytes(far.data_to_send()), NOW)
    first, *rest = caused
    assert isinstance(first, HandshakeCompleted)
    with pytest.raises(LocalProtocolError, match="`HandshakeCompleted` has to come first"):
        meeting.a.machine.receive_events(near, rest, NOW)
    meeting.a.machine.receive_events(near, caused, NOW)
    assert len(events(meeting.watch_a)) == 1


def test_events_of_a_remote_on_hold() -> None:
    ours, theirs = Node("ours"), Node("theirs")
    watch = ours.machine.watch(ours.open())
    theirs.open()
    near, far = connection(ours, hold=True), theirs.connection(initiator=False)
    ours.machine.add_connection(near)
    completed: list[Event] = []
    while not completed:
        far.receive_data(bytes(near.data_to_send()), NOW)
        completed = near.receive_data(bytes(far.data_to_send()), NOW)
    with pytest.raises(LocalProtocolError, match="on hold"):
        ours.machine.receive_events(near, completed, NOW)
    ours.machine.receive_events(near, [], NOW)
    assert not ours.machine.memberships.peers
    ours.machine.receive_events(near, completed + near.admit(NOW), NOW)
    assert len(ours.machine.memberships.peers) == 1
    assert events(watch) == []


def test_removing_a_connection_closes_it_and_reports_unsent_messages(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    meeting.topic_a.send(1, bytes(100))
    meeting.a.machine.remove_connection(near, NOW)
    assert near.closed
    *_, left = events(meeting.watch_a)
    assert isinstance(left, PeerLeft)
    assert left.reason == ""
    assert 100 <= left.unsent < 400
    meeting.a.machine.remove_connection(near, NOW)  # repeating it does no harm
    assert events(meeting.watch_a) == []


def test_removing_a_failed_connection_gives_the_reason(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    near.fail(RemoteProtocolError("sends nonsense"))
    meeting.a.machine.remove_connection(near, NOW)
    *_, left = events(meeting.watch_a)
    assert isinstance(left, PeerLeft)
    assert left.reason == "sends nonsense"


# Sending on connections that have closed


@pytest.mark.parametrize("end", [Connection.close, lambda near: near.fail(RemoteProtocolError("x"))])
def test_a_closed_connection_accepts_no_messages(
    meeting: Meeting, end: Callable[[Connection], object]
) -> None:
    near, far = meeting.connect()
    name = (
        f"peersockets/v0/{'webapp/' + KEY.discovery_key.hex() + '/' if near.wire == 'hypercore9' else ''}chat"
    )
    senders = [near.sender(KEY.discovery_key, name) for _ in range(2)]
    senders[0].send(b"before")
    end(near)
    queued = near.outbox.size
    for sender in senders:
        for size in (1, 1000, 100_000):
            with pytest.raises(LocalProtocolError, match="the connection is closed"):
                sender.send(bytes(size))
    assert near.outbox.size == queued
    caused = far.receive_data(bytes(near.data_to_send()), NOW)
    assert not near.has_output
    if near.error is None:
        assert [event.payloads for event in caused if isinstance(event, MessagesReceived)] == [[b"before"]]
        with pytest.raises(LocalProtocolError, match="the connection is closed"):
            senders[0].send(b"after it was taken")


def test_a_mux_of_a_closed_connection_accepts_no_messages() -> None:
    near, _ = Meeting(wire="hypercore11").connect()
    near.mux.open("example/echo", b"", b"", _Silent())
    near.close()
    assert near.data_to_send()
    for name in ("one", "two"):
        with pytest.raises(LocalProtocolError, match="the connection is closed"):
            near.mux.open(name, b"", b"", _Silent())
    assert not near.data_to_send()


class _Silent:
    """Does nothing with its input."""

    def opened_untrusted(self, handshake: bytes) -> None: ...
    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None: ...
    def closed(self) -> None: ...


def test_a_topic_sends_nothing_on_a_connection_whose_end_was_reported(meeting: Meeting) -> None:
    near, _ = meeting.connect()
    assert meeting.topic_a.send(1, b"before") is near
    meeting.a.machine.receive_events(near, near.close(), NOW)
    assert meeting.topic_a.send(1, b"after") is None
    assert meeting.a.machine.connection_to(meeting.a.wire, meeting.b.public_key) is None
    meeting.a.machine.remove_connection(near, NOW)
    with pytest.raises(PeerGone):
        meeting.topic_a.send(1, b"after")


def test_a_connection_that_ends_before_it_has_a_peer() -> None:
    node = Node("ours")
    side = connection(node)
    node.machine.add_connection(side)
    node.machine.receive_events(side, side.receive_eof(NOW), NOW)
    node.machine.remove_connection(side, NOW)
    assert not node.machine.registry.connections


# Names of extensions


def test_an_extension_that_is_not_registered() -> None:
    names = ExtensionNames()
    names.register("another")
    with pytest.raises(LocalProtocolError, match="the extension 'chat' is not registered"):
        names.index("chat")
    with pytest.raises(LocalProtocolError, match="'chat' is not registered"):
        names.unregister("chat")
    names.register("chat")
    names.unregister("chat")
    assert names.names == ["another"]


def test_a_sender_for_an_extension_that_is_not_registered() -> None:
    """It once used the id of another name."""
    meeting = Meeting(wire="hypercore9")
    near, _ = meeting.connect()
    with pytest.raises(LocalProtocolError, match="'absent' is not registered"):
        near.sender(None, "absent")
    near.extensions.register("passing")
    sender = near.sender(None, "passing")
    near.extensions.unregister("passing")
    queued = near.outbox.size
    with pytest.raises(LocalProtocolError, match="'passing' is not registered"):
        sender.send(b"x")
    assert near.outbox.size == queued


# Drives


def test_closing_a_drive_closes_its_topics_and_watches(meeting: Meeting) -> None:
    near, far = meeting.connect()
    again = meeting.a.open()
    meeting.a.machine.close_drive(again)
    assert [meeting.topic_a.closed, meeting.watch_a.closed] == [False, False]
    meeting.a.machine.close_drive(meeting.drives[0])
    assert [meeting.topic_a.closed, meeting.watch_a.closed] == [True, True]
    assert meeting.a.machine.extensions.names == []
    assert not meeting.a.machine.listeners.by_address
    with pytest.raises(LocalProtocolError, match="the topic handle is closed"):
        meeting.topic_a.send(1, b"x")
    assert not near.closed
    assert not far.closed


def test_a_drive_that_is_closed_or_of_another_machine(meeting: Meeting) -> None:
    theirs = meeting.drives[1]
    ours = meeting.a.open(OTHER_KEY)
    meeting.a.machine.close_drive(ours)
    machine = meeting.a.machine
    for drive in (ours, theirs):
        for use in (machine.close_drive, machine.watch, lambda drive: machine.join(drive, "chat")):
            with pytest.raises(LocalProtocolError, match="the drive is not open on this machine"):
                use(drive)
    assert ours.users == 0
    reopened = meeting.a.open(OTHER_KEY)
    assert reopened is not ours
    with pytest.raises(LocalProtocolError, match="not open"):
        machine.join(ours, "chat")
