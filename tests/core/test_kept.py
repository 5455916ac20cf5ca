"""Memory that remotes make us keep: it is always counted, and bounded for each remote and for all
together.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import attrs
import pytest

from core.support import (
    KEY,
    NOW,
    Network,
    Node,
    RawPeer,
    connection,
    entropy,
    error_of,
    extension_frame,
    frame,
    key_pair,
)
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    DriveOpened,
    Event,
    Limits,
    MessagesReceived,
    WireName,
)
from peersockets_core.wires.hypercore9.messages import Close, Open, Options
from peersockets_core.wires.hypercore11.encoding import encode_buffer, encode_uint
from peersockets_core.wires.hypercore11.wire import Hypercore11

KIB = 1024
STRANGER_FRAME = DEFAULT_LIMITS.stranger_frame
LARGE = STRANGER_FRAME + 64 * KIB
NAME = f"peersockets/v0/webapp/{KEY.discovery_key.hex()}/chat"


def reads(data: bytes) -> Iterator[bytes]:
    return (data[position : position + 64 * KIB] for position in range(0, len(data), 64 * KIB))


def fed(ours: Connection, data: bytes) -> list[Event]:
    return [event for read in reads(data) for event in ours.receive_data(bytearray(read), NOW)]


def shake_hands(remote: Connection, ours: Connection) -> None:
    while remote.remote_public_key is None or ours.remote_public_key is None:
        ours.receive_data(bytes(remote.data_to_send(NOW)), NOW)
        remote.receive_data(bytes(ours.data_to_send(NOW)), NOW)


class Stranger11:
    """A remote on hypercore11 that can send anything after the handshake."""

    def __init__(self, ours: Connection, *, label: str = "stranger") -> None:
        self.ours = ours
        self.connection = Connection(
            wire="hypercore11",
            initiator=True,
            key_pair=key_pair(label),
            entropy=entropy(label),
            now=NOW,
        )
        shake_hands(self.connection, ours)

    def encrypt(self, message: bytes) -> bytes:
        wire = self.connection.wire_machine
        assert isinstance(wire, Hypercore11)
        return wire.stream.encrypt(message)

    def say(self, message: bytes) -> list[Event]:
        return self.ours.receive_data(self.encrypt(message), NOW)

    def become_member(self) -> Stranger11:
        self.connection.open_drive(KEY)
        self.ours.receive_data(bytes(self.connection.data_to_send(NOW)), NOW)
        self.connection.receive_data(bytes(self.ours.data_to_send(NOW)), NOW)
        self.ours.receive_data(bytes(self.connection.data_to_send(NOW)), NOW)
        return self


def ours11(limits: Limits = DEFAULT_LIMITS, *, hold: bool = False) -> Connection:
    return Connection(
        wire="hypercore11",
        initiator=False,
        key_pair=key_pair("ours"),
        entropy=entropy("ours"),
        now=NOW,
        limits=limits,
        hold=hold,
    )


# Frames of strangers


def test_a_strangers_large_frame_on_hypercore11() -> None:
    ours = ours11()
    ours.open_drive(KEY)
    stranger = Stranger11(ours)
    assert error_of(fed(ours, stranger.encrypt(bytes(LARGE)))).endswith("from a remote that is not a member")
    assert ours.kept == 0


def test_a_strangers_frame_may_open_thousands_of_cores_on_hypercore11() -> None:
    ours = ours11()
    stranger = Stranger11(ours)
    opened = b"".join(
        encode_uint(len(body)) + body
        for number in range(1, 9000)
        for body in [
            b"\1"
            + encode_uint(number)
            + encode_buffer(b"hypercore/alpha")
            + encode_buffer(number.to_bytes(32))
            + bytes(33)
        ]
    )
    assert 512 * KIB < len(opened) < STRANGER_FRAME
    assert fed(ours, stranger.encrypt(b"\0\0\0" + opened)) == []
    assert not ours.closed


def test_a_members_large_frame_on_hypercore11() -> None:
    ours = ours11()
    ours.open_drive(KEY)
    member = Stranger11(ours).become_member()
    sender = member.connection.sender(KEY.discovery_key, "chat")
    sender.send(bytes(LARGE))
    (heard,) = fed(ours, bytes(member.connection.data_to_send(NOW)))
    assert heard == MessagesReceived(KEY.discovery_key, "chat", [bytes(LARGE)])


def test_the_largest_frame_on_hypercore11_is_a_limit() -> None:
    ours = ours11(Limits(hypercore11_frame=1000))
    stranger = Stranger11(ours)
    assert stranger.say(bytes(1000 - 17)) == []
    assert error_of(ours.receive_data(stranger.encrypt(bytes(1001 - 17))[:10], NOW)) == (
        "a frame of 1001 bytes is over the limit of 1000"
    )


def test_a_strangers_large_frame_on_hypercore9() -> None:
    ours = connection()
    stranger = RawPeer(ours)
    large = frame(0, Options(["x" * LARGE]))
    assert error_of(fed(ours, stranger.encrypt(large))) == (
        f"a frame of {len(large)} bytes from a remote that is not a member"
    )


def test_a_strangers_large_message_on_hypercore9_is_skipped() -> None:
    """Real peers send messages to everybody. We keep nothing of this one, and hear those that follow."""
    ours = connection()
    ours.extensions.register(NAME, members_only=True)
    ours.open_drive(KEY)
    stranger = RawPeer(ours)
    large = extension_frame(0, bytes(4 * LARGE))
    most = 0
    for read in reads(stranger.encrypt(large)):
        assert ours.receive_data(read, NOW) == []
        most = max(most, ours.kept)
    assert most < 65 * KIB
    assert stranger.send(1, stranger.offer()) == [DriveOpened(KEY.discovery_key)]
    stranger.announce(NAME)
    assert stranger.say(extension_frame(0, b"hello")) == [MessagesReceived(None, NAME, [b"hello"])]


@pytest.mark.parametrize("members_only", [False, True])
def test_a_large_message_of_a_stranger_is_heard_if_strangers_are_heard(members_only: bool) -> None:
    ours = connection()
    ours.extensions.register("chat", members_only=members_only)
    stranger = RawPeer(ours)
    stranger.announce("chat")
    heard = fed(ours, stranger.encrypt(extension_frame(0, bytes(LARGE))))
    assert heard == ([] if members_only else [MessagesReceived(None, "chat", [bytes(LARGE)])])
    ours.extensions.unregister("chat", members_only=members_only)
    assert not ours.extensions.for_strangers


def test_a_newcomers_first_message_may_be_large() -> None:
    """The bytes that make the remote a member arrive together with it."""
    ours = connection()
    ours.extensions.register(NAME, members_only=True)
    ours.open_drive(KEY)
    newcomer = RawPeer(ours)
    flight = frame(0, Options([NAME])) + frame(1, newcomer.offer()) + extension_frame(0, bytes(LARGE))
    assert fed(ours, newcomer.encrypt(flight)) == [
        DriveOpened(KEY.discovery_key),
        MessagesReceived(None, NAME, [bytes(LARGE)]),
    ]


# Counting


@pytest.mark.parametrize("wire", ["hypercore9", "hypercore11"])
def test_an_unfinished_frame_is_counted(wire: WireName) -> None:
    ours: Connection
    if wire == "hypercore9":
        ours = connection()
        data = RawPeer(ours).encrypt(frame(0, Options(["x" * 100_000])))
    else:
        ours = ours11()
        data = Stranger11(ours).encrypt(bytes(100_000))
    assert ours.kept == 0
    ours.receive_data(data[:50_000], NOW)
    assert ours.kept == 50_000
    ours.receive_data(data[50_000:60_000], NOW)
    assert ours.kept == 60_000
    ours.close()
    assert ours.kept == 0


def test_names_are_counted_in_the_memory_they_take() -> None:
    ours = connection()
    stranger = RawPeer(ours)
    names = ["\U0001f600" + "a" * 100 for _ in range(100)]
    stranger.announce(*names)
    assert ours.kept == sum(map(sys.getsizeof, names)) > 4 * 100 * 100
    stranger.announce("chat")
    assert ours.kept < 100
    stranger.announce(*names)
    ours.close()
    assert ours.kept == 0


def test_the_memory_of_names_is_bounded() -> None:
    ours = connection(limits=Limits(extension_names_size=10_000))
    stranger = RawPeer(ours)
    assert stranger.announce(*["a" * 8] * 100) == []
    error = error_of(stranger.announce(*["\U0001f600" + "a" * 8] * 150))
    assert error == "Options.extensions: more than 10000 bytes of memory"


def test_names_that_are_not_decoded_yet_are_counted() -> None:
    ours = connection()
    stranger = RawPeer(ours)
    names = ["\U0001f600" + "a" * 100] * 100
    data = frame(0, Options(names))
    ours.receive_data(stranger.encrypt(data), NOW, 200)
    assert ours.has_input
    assert ours.kept - len(data) > 40 * sys.getsizeof(names[0])


@pytest.mark.parametrize("closing", ["drive", "connection"])
def test_a_long_name_on_hypercore11_is_counted_while_it_is_the_last_name(closing: str) -> None:
    ours = ours11()
    ours.open_drive(KEY)
    member = Stranger11(ours).become_member()
    wire = member.connection.wire_machine
    assert isinstance(wire, Hypercore11)
    before = ours.kept
    name = "\U0001f600" * 1000
    member.connection.sender(KEY.discovery_key, name).send(b"x")
    ours.receive_data(bytes(member.connection.data_to_send(NOW)), NOW)
    assert ours.kept - before == sys.getsizeof(name)
    if closing == "drive":
        ours.close_drive(KEY.discovery_key)
    else:
        ours.close()
    assert ours.kept < before + 100


def test_answers_that_are_not_read_are_counted() -> None:
    ours = connection()
    stranger = RawPeer(ours)
    ours.data_to_send(NOW)
    stranger.send(1, *(Open(bytes([number]) * 32, bytes(32)) for number in range(10)))
    assert ours.kept > 10 * 64
    ours.data_to_send(NOW)
    assert ours.kept == 0


def test_input_of_a_remote_on_hold_is_counted() -> None:
    ours = ours11(hold=True)
    stranger = Stranger11(ours)
    assert ours.on_hold
    before = ours.kept
    ours.receive_data(bytes(1000), NOW)
    assert ours.kept == before + 1000
    assert stranger.connection.kept == 0


def test_input_after_the_handshake_is_counted_on_hypercore9() -> None:
    ours = Connection(
        wire="hypercore9", initiator=False, key_pair=key_pair("x"), entropy=entropy("x"), now=NOW, hold=True
    )
    RawPeer(ours, behind_handshake=extension_frame(0, bytes(1000)))
    assert 1000 < ours.kept < 1100


@pytest.mark.parametrize("closing", [False, True])
def test_channels_that_wait_for_a_decision_are_counted(closing: bool) -> None:
    ours = ours11()
    stranger = Stranger11(ours)
    before = ours.kept
    ours.mux.pair("later", None, lambda *_: True)
    opened = b"\0\1\1" + encode_buffer(b"later") + encode_buffer(b"id") + bytes(10_000)
    assert stranger.say(opened) == []
    assert ours.kept - before > 10_000 + 512
    stranger.say(b"\1\0" + bytes(100))
    assert ours.kept - before > 10_000 + 512 + 100
    if closing:
        ours.close()
        assert ours.kept < 1000
    else:
        ours.mux.reject("later", b"id")
        ours.data_to_send(NOW)
        assert ours.kept == 0


def test_an_open_channel_keeps_no_handshake() -> None:
    class Silent:
        def opened_untrusted(self, handshake: bytes) -> None: ...
        def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None: ...
        def closed(self) -> None: ...

    ours = ours11()
    stranger = Stranger11(ours)
    ours.mux.open("now", b"id", b"", Silent())
    assert ours.mux.any_open is False
    stranger.say(b"\0\1\1" + encode_buffer(b"now") + encode_buffer(b"id") + bytes(10_000))
    assert 512 < ours.mux.kept < 1000
    stranger.say(b"\0\3\1")
    assert ours.mux.kept == 0


def test_input_that_waits_for_the_next_slice_is_counted() -> None:
    ours = connection()
    stranger = RawPeer(ours)
    flight = frame(3, Close()) * 1000
    ours.receive_data(stranger.encrypt(flight), NOW, 10)
    assert ours.has_input
    assert 0 < ours.kept <= len(flight)
    names = frame(0, Options(["x"] * 1000))
    ours.receive_data(b"", NOW)
    ours.receive_data(stranger.encrypt(names), NOW, 10)
    assert len(names) - 10 < ours.kept < len(names) + 10 * sys.getsizeof("x")


def test_a_batch_that_waits_is_counted() -> None:
    ours = ours11()
    stranger = Stranger11(ours)
    batch = b"\0\0\0" + (b"\2\3\7") * 1000  # closes of a channel that is not open
    ours.receive_data(stranger.encrypt(batch), NOW, 50)
    assert ours.has_input
    assert ours.kept == len(batch)


# Time


@pytest.mark.parametrize("wire", ["hypercore9", "hypercore11"])
def test_a_frame_has_a_time_limit(wire: WireName) -> None:
    """The limit holds even while more bytes of the frame keep coming."""
    limits = Limits(frame_time=100, silence=30, keepalive=1000, hypercore11_keepalive=1000)
    ours: Connection
    if wire == "hypercore9":
        ours = connection(limits=limits)
        data = RawPeer(ours).encrypt(frame(0, Options(["x" * 1000])))
    else:
        ours = ours11(limits)
        data = Stranger11(ours).encrypt(bytes(1000))
    ours.data_to_send(NOW)
    for seconds in range(0, 100, 20):
        ours.receive_data(data[seconds : seconds + 20], NOW + seconds)
        assert ours.handle_deadline(NOW + seconds) == []
    assert ours.next_deadline() == NOW + 100
    assert ours.handle_deadline(NOW + 99) == []
    assert error_of(ours.handle_deadline(NOW + 100)) == "a message has been incomplete for 100 seconds"


def test_each_frame_has_its_own_time_limit() -> None:
    ours = connection(limits=Limits(frame_time=10))
    stranger = RawPeer(ours)
    data = stranger.encrypt(frame(0, Options(["x" * 93])) * 30)
    for second in range(30):
        ours.receive_data(data[100 * second : 100 * second + 100], NOW + second)
        ours.handle_deadline(NOW + second)
    assert not ours.closed


def test_the_time_limit_is_suspended_while_we_do_not_read() -> None:
    ours = connection(limits=Limits(frame_time=10, silence=1000))
    stranger = RawPeer(ours)
    ours.receive_data(stranger.encrypt(frame(0, Options(["x" * 100])))[:50], NOW)
    ours.pause_reading(NOW + 5)
    assert ours.handle_deadline(NOW + 500) == []
    ours.resume_reading(NOW + 500)
    assert ours.handle_deadline(NOW + 509) == []
    assert not ours.closed
    assert error_of(ours.handle_deadline(NOW + 510)).startswith("a message has been incomplete")


# All together


def unfinished_frame(node: Node, number: int, size: int) -> Connection:
    """Return a stranger that has sent all of a frame but its last byte."""
    side = node.connection(initiator=False)
    stranger = RawPeer(side, label=f"stranger {number}")
    node.machine.receive_events(side, stranger.events, NOW)
    for read in reads(stranger.encrypt(frame(0, Options(["x" * size])))[:-1]):
        node.machine.receive_events(side, side.receive_data(read, NOW), NOW)
    return side


def test_strangers_give_way_so_that_the_total_stays_within_the_limit() -> None:
    limits = attrs.evolve(DEFAULT_LIMITS, kept=1000 * KIB)
    node, network, member = Node("ours", limits=limits), Network(), Node("member")
    watch = node.machine.watch(node.open())
    member.open()
    network.connect(member, node)
    network.settle()
    sides = [unfinished_frame(node, number, 100 * KIB) for number in range(40)]
    dropped = [connection for connection, _ in node.host.dropped]
    kept = [side for side in sides if side not in dropped]
    assert len(kept) == 9
    assert sum(side.kept for side in kept) <= limits.kept
    assert {str(error) for _, error in node.host.dropped} == {
        "gave way: remotes may make us keep 1024000 bytes together"
    }
    assert len(watch) == 1
    for side in sides:
        node.machine.remove_connection(side, NOW)
    assert node.machine.registry.memory.total < 1000


def test_a_member_gives_way_only_if_strangers_do_not_suffice() -> None:
    limits = attrs.evolve(DEFAULT_LIMITS, kept=1000 * KIB)
    node = Node("ours", limits=limits)
    node.open()
    sides = []
    for number in range(2):
        side = node.connection(initiator=False)
        member = RawPeer(side, label=f"member {number}")
        events = member.events + member.send(1, member.offer())
        node.machine.receive_events(side, events, NOW)
        half = member.encrypt(frame(0, Options(["x" * (600 + 100 * number) * KIB])))[:-1]
        if number:
            stranger = unfinished_frame(node, 7, 200 * KIB)
        for read in reads(half):
            node.machine.receive_events(side, side.receive_data(read, NOW), NOW)
        sides.append(side)
    assert [connection for connection, _ in node.host.dropped] == [stranger, sides[0]]
