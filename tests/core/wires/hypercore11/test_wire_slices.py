"""`Hypercore11` without a connection: slices of work, its bounds, and the order of its output."""

from __future__ import annotations

import sys

import attrs
import pytest

from core.support import KEY, NOW, OTHER_KEY, byte_by_byte, entropy, error_of, key_pair
from core.wires.hypercore11.mux_support import batch, opening
from core.wires.hypercore11.test_alpha import extension, theirs
from core.wires.hypercore11.test_secret_stream import INITIATOR_KEYS, RESPONDER_KEYS, framed, taken
from core.wires.hypercore11.wire_support import RawPeer, connection
from peersockets_core import (
    DEFAULT_LIMITS,
    DriveOpened,
    Event,
    ExtensionNames,
    HandshakeCompleted,
    Limits,
    LocalProtocolError,
    MessagesReceived,
    RemoteProtocolError,
)
from peersockets_core.outbox import Outbox
from peersockets_core.wires.hypercore11.encoding import encode_buffer
from peersockets_core.wires.hypercore11.secret_stream import OVERHEAD, SecretStream
from peersockets_core.wires.hypercore11.wire import Hypercore11
from peersockets_core.wires.setup import WireSetup
from peersockets_core.work import RECORD, Work


class Side:
    """Our side, which starts with keys and has a drive open, and a remote that can send anything."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, member: bool = True) -> None:
        self.work = Work()
        self.wire = Hypercore11(
            WireSetup(
                initiator=True,
                key_pair=key_pair("ours"),
                entropy=entropy("ours"),
                limits=limits,
                extensions=ExtensionNames(),
                outbox=Outbox(limit=limits.send_buffer, reply_limit=limits.replies),
                work=self.work,
                keys=INITIATOR_KEYS,
            )
        )
        self.remote = SecretStream(initiator=False, entropy=entropy("remote"), keys=RESPONDER_KEYS)
        assert self.receive(b"") == [HandshakeCompleted("hypercore11", bytes([3]) * 32, bytes([0x11]) * 64)]
        self.wire.open_drive(KEY)
        header = taken(self.remote)
        assert (
            self.receive(header + (self.encrypt(theirs()) if member else b""))
            == [DriveOpened(KEY.discovery_key)] * member
        )
        self.heard()

    def encrypt(self, *messages: bytes) -> bytes:
        return b"".join(map(self.remote.encrypt, messages))

    def receive(self, data: bytes, left: int | None = None) -> list[Event]:
        if left is not None:
            self.work.left = left
        events: list[Event] = []
        self.wire.receive_data_untrusted(data, events)
        return events

    def receive_byte_by_byte(self, data: bytes) -> None:
        for byte in byte_by_byte(data):
            assert self.receive(byte) == []

    def heard(self) -> list[bytes]:
        messages: list[bytes] = []
        self.remote.receive_data_untrusted(bytes(self.wire.data_to_send()), messages)
        return messages


def has_output(side: Side) -> bool:
    return side.wire.has_output


def chat(*payloads: bytes) -> list[Event]:
    return [MessagesReceived(KEY.discovery_key, "chat", list(payloads))]


@pytest.mark.parametrize("left", [1, RECORD])
def test_a_slice_goes_on_only_as_long_as_there_is_work(left: int) -> None:
    """Of three frames, the first slice decrypts one, and each later slice takes one step."""
    side = Side()
    data = side.encrypt(extension("chat", b"1"), extension("chat", b"2"), extension("chat", b"3"))
    each = len(data) // 3
    kept = side.wire.kept
    assert side.receive(data, left) == []
    assert side.wire.kept - kept == 2 * each + len(extension("chat", b"1"))
    assert (side.wire.has_input, side.wire.between_messages) == (True, False)
    assert side.receive(b"", 0) == []
    assert side.receive(b"", -5) == []
    steps = [side.receive(b"", 1) for _ in range(5)]
    assert steps == [chat(b"1"), [], chat(b"2"), [], chat(b"3")]
    assert (side.wire.has_input, side.wire.between_messages) == (False, True)
    assert side.wire.kept - kept == sys.getsizeof("chat")  # the last name


def test_new_data_waits_behind_the_input_that_waits() -> None:
    side = Side()
    first = side.encrypt(batch(1, extension("chat", b"1")[1:], extension("chat", b"2")[1:]))
    second = side.encrypt(extension("chat", b"3"))
    assert side.receive(first, 1) == []
    assert side.receive(second[:5], 1) == chat(b"1")
    assert side.receive(second[5:], 1000) == chat(b"2", b"3")


def test_a_fault_waits_until_the_messages_before_it_are_heard() -> None:
    side = Side()
    data = side.encrypt(extension("chat", b"1"), extension("chat", b"2")) + framed(bytes(17))
    events: list[Event] = []
    side.work.left = 3 * RECORD  # enough to decrypt, and not enough for the messages
    side.wire.receive_data_untrusted(data, events)
    assert events == []
    for payload in (b"1", b"2"):
        assert side.wire.has_input
        assert side.receive(b"", 1) == chat(payload)
    assert (side.wire.has_input, side.wire.between_messages) == (True, False)
    with pytest.raises(RemoteProtocolError, match="a frame of 17 bytes does not decrypt"):
        side.receive(b"", 1)


def test_the_messages_before_a_fault_are_heard_with_it() -> None:
    side = Side()
    events: list[Event] = []
    with pytest.raises(RemoteProtocolError):
        side.wire.receive_data_untrusted(side.encrypt(extension("chat", b"1"), b"\xfd"), events)
    assert events == chat(b"1")


def test_forgotten_input_leaves_nothing() -> None:
    side = Side()
    empty = side.wire.kept
    name = "n" * 1000
    for data, left in (
        (side.encrypt(batch(1, extension(name, b"1")[1:], extension(name, b"2")[1:]) + b"\0\1"), RECORD + 1),
        (side.encrypt(extension(name, b"1"), extension(name, b"2")) + framed(bytes(17)), 3 * RECORD),
        (side.encrypt(b"x" * 500)[:300], 1000),
    ):
        side.receive(data, left)
        assert side.wire.kept > empty
        side.wire.forget_input()
        assert (side.wire.has_input, side.wire.kept) == (False, empty)
        assert side.wire.between_messages


def test_a_forgotten_fault_is_not_raised_later() -> None:
    side = Side()
    data = side.encrypt(extension("chat", b"1"), extension("chat", b"2"))
    side.receive(data + framed(bytes(17)), 3 * RECORD)
    side.wire.forget_input()
    heard = side.receive(side.encrypt(*(extension("chat", bytes((number,))) for number in range(3))), 1)
    while side.wire.has_input:
        heard += side.receive(b"", 1)
    assert heard == [*chat(b"\0"), *chat(b"\1"), *chat(b"\2")]


def test_a_long_name_counts_as_memory_that_the_remote_takes() -> None:
    side = Side()
    before = side.wire.kept
    side.receive(side.encrypt(extension("n" * 10_000, b"1")))
    assert 10_000 <= side.wire.kept - before < 11_000


@pytest.mark.parametrize("read", [1, 2, 3, 4, 50])
@pytest.mark.parametrize("member", [False, True])
def test_only_members_may_send_large_frames(member: bool, read: int) -> None:
    """A frame counts with its length. It is refused once a second read shows that it is not small."""
    limits = attrs.evolve(DEFAULT_LIMITS, stranger_frame=1000)
    for more in (0, 1):
        side = Side(limits, member=member)
        data = side.encrypt(bytes([9]) * (1000 - 3 - OVERHEAD + more))
        side.receive(data[:read])
        if more and not member:
            with pytest.raises(RemoteProtocolError, match=r"^a frame of 1001 bytes from a remote that is n"):
                side.receive_byte_by_byte(data[read:])
        else:
            side.receive_byte_by_byte(data[read:])
            assert side.wire.between_messages


def test_frames_are_bounded_by_the_limits() -> None:
    side = Side(attrs.evolve(DEFAULT_LIMITS, hypercore11_frame=200))
    side.receive(side.encrypt(bytes([9]) * (200 - OVERHEAD)))
    with pytest.raises(RemoteProtocolError, match="a frame of 201 bytes is over the limit of 200"):
        side.receive(side.encrypt(bytes([9]) * (201 - OVERHEAD)))


def test_the_former_name_of_the_protocol_opens_a_drive() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    offer = remote.offer().replace(encode_buffer(b"hypercore/alpha"), encode_buffer(b"hypercore"))
    assert remote.say(offer) == [DriveOpened(KEY.discovery_key)]


def test_a_keepalive_is_sent_once_and_after_all_messages() -> None:
    side = Side()
    assert not has_output(side)
    side.wire.send_keepalive()
    assert has_output(side)
    side.wire.sender(KEY.discovery_key, "chat").send(b"x")
    assert side.heard() == [batch(1, extension("chat", b"x")[1:])]
    assert side.remote.keepalive_received
    assert not has_output(side)
    assert side.wire.data_to_send() == b""


def test_output_before_the_header_leaves_after_it() -> None:
    limits = DEFAULT_LIMITS
    wire = Hypercore11(
        WireSetup(
            initiator=True,
            key_pair=key_pair("ours"),
            entropy=entropy("ours"),
            limits=limits,
            extensions=ExtensionNames(),
            outbox=Outbox(limit=limits.send_buffer, reply_limit=limits.replies),
            work=Work(),
            keys=INITIATOR_KEYS,
        )
    )
    assert wire.has_output
    wire.receive_data_untrusted(b"", [])
    wire.open_drive(OTHER_KEY)
    remote = SecretStream(initiator=False, entropy=entropy("remote"), keys=RESPONDER_KEYS)
    messages: list[bytes] = []
    remote.receive_data_untrusted(bytes(wire.data_to_send()), messages)
    assert len(messages) == 1
    assert OTHER_KEY.discovery_key in messages[0]
    assert not wire.has_output


@pytest.mark.parametrize(("silence", "hypercore11_silence"), [(10.0, 20.0), (20.0, 10.0)])
def test_the_silence_of_a_remote_that_promised_keepalives(silence: float, hypercore11_silence: float) -> None:
    limits = attrs.evolve(DEFAULT_LIMITS, silence=silence, hypercore11_silence=hypercore11_silence)
    side = Side(limits)
    assert side.wire.silence == hypercore11_silence
    assert side.wire.keepalive == limits.hypercore11_keepalive
    side.receive(side.encrypt(b""))
    assert side.wire.silence == 10.0


def test_a_drive_that_is_closed_has_no_sender() -> None:
    side = Side()
    side.wire.sender(KEY.discovery_key, "chat")
    side.wire.close_drive(KEY.discovery_key)
    for discovery_key in (KEY.discovery_key, OTHER_KEY.discovery_key, None):
        with pytest.raises(
            LocalProtocolError, match=r"^on hypercore11, extensions need a drive that both sides have open$"
        ):
            side.wire.sender(discovery_key, "chat")


def test_the_fault_of_a_handshake_ends_the_connection() -> None:
    ours = connection()
    assert "not speak hypercore11" in error_of(ours.receive_data(b"\x20\0\1", NOW))


def test_channels_of_another_protocol_reach_their_own_handler() -> None:
    side = Side()
    asked: list[tuple[str, bytes]] = []

    def notify(protocol: str, channel_id: bytes) -> bool:
        asked.append((protocol, channel_id))
        return True

    side.wire.mux.pair("p", None, notify)
    side.receive(side.encrypt(opening(2, "p", b"id")))
    assert asked == [("p", b"id")]
