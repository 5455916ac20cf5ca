"""`Hypercore9` without a connection: slices of work, its bounds, and the frames that it ignores."""

from __future__ import annotations

import sys

import attrs
import pytest

from core.support import (
    KEY,
    OTHER_KEY,
    byte_by_byte,
    capability,
    entropy,
    extension_frame,
    frame,
    key_pair,
)
from peersockets_core import (
    DEFAULT_LIMITS,
    DriveClosed,
    DriveOpened,
    Event,
    ExtensionNames,
    HandshakeCompleted,
    Limits,
    LocalProtocolError,
    MessagesReceived,
    RemoteProtocolError,
)
from peersockets_core.crypto.sodium import XSalsa20
from peersockets_core.outbox import Outbox
from peersockets_core.wires.hypercore9 import frames, messages, varint
from peersockets_core.wires.hypercore9.handshake import Handshake
from peersockets_core.wires.hypercore9.messages import ChannelMessage, Close, Open, Options, Status
from peersockets_core.wires.hypercore9.wire import Hypercore9
from peersockets_core.wires.setup import WireSetup
from peersockets_core.work import ANSWER, FIELD, MEMBERSHIP, RECORD, RUN, Work

FRAME = 1 + RECORD
"""The work of a frame that is no extension message."""


class Side:
    """Our side with a drive open, and a remote that has finished the handshake and can send anything."""

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        *,
        names: tuple[str, ...] = ("chat", "other"),
        members_only: bool = True,
        behind: bytes = b"",
    ) -> None:
        self.work = Work()
        self.extensions = ExtensionNames()
        for name in names:
            self.extensions.register(name, members_only=members_only)
        self.outbox = Outbox(limit=limits.send_buffer, reply_limit=limits.replies)
        self.wire = Hypercore9(
            WireSetup(
                initiator=False,
                key_pair=key_pair("ours"),
                entropy=entropy("ours"),
                limits=limits,
                extensions=self.extensions,
                outbox=self.outbox,
                work=self.work,
            )
        )
        remote = Handshake(initiator=True, key_pair=key_pair("remote"), entropy=entropy("remote"))
        assert self.receive_plain(b"".join(remote.output)) == []
        remote.output.clear()
        remote.receive_data_untrusted(bytes(self.wire.data_to_send()))
        self.sending_key, self.receiving_key = remote.split()
        self.transmit = XSalsa20(self.sending_key, remote.nonce)
        completed = self.receive_plain(b"".join(remote.output) + self.encrypt(behind))
        assert [type(event) for event in completed] == [HandshakeCompleted]
        self.wire.open_drive(KEY)
        self.outbox.take()

    def encrypt(self, plain: bytes) -> bytes:
        return bytes(self.transmit.apply(plain))

    def receive_plain(self, data: bytes, left: int | None = None) -> list[Event]:
        if left is not None:
            self.work.left = left
        events: list[Event] = []
        self.wire.receive_data_untrusted(data, events)
        return events

    def receive(self, plain: bytes, left: int | None = None) -> list[Event]:
        return self.receive_plain(self.encrypt(plain), left)

    def receive_byte_by_byte(self, plain: bytes) -> list[Event]:
        return [event for byte in byte_by_byte(plain) for event in self.receive(byte)]

    def offer(self) -> Open:
        return Open(KEY.discovery_key, capability(KEY, self.sending_key, self.receiving_key))


def chat(*payloads: bytes) -> MessagesReceived:
    return MessagesReceived(None, "chat", list(payloads))


def open_of(side: Side) -> bytes:
    return frame(1, side.offer())


CHAT = frame(0, Options(["chat"]))
COSTS: dict[str, tuple[ChannelMessage, int]] = {
    "names": (Options(["chat", "b", "c"]), 3 * FIELD),
    "no names": (Options(), 0),
    "an Open of an unknown drive": (Open(bytes(32), bytes(32)), 2 * FIELD + ANSWER),
    "an Open without a proof": (Open(bytes(32)), FIELD + ANSWER),
    "a Close of an unknown drive": (Close(bytes(32)), FIELD),
    "a Close without a key": (Close(), 0),
}


@pytest.mark.parametrize(("message", "items"), COSTS.values(), ids=COSTS)
def test_each_message_is_counted(message: ChannelMessage, items: int) -> None:
    side = Side()
    assert side.receive(frame(0, message), 10_000) == []
    assert side.work.left == 10_000 - FRAME - items


def test_drives_that_open_and_close_are_counted() -> None:
    side = Side()
    assert side.receive(open_of(side), 10_000) == [DriveOpened(KEY.discovery_key)]
    assert side.work.left == 10_000 - FRAME - 2 * FIELD - ANSWER - MEMBERSHIP
    assert side.receive(frame(1, Close()), 10_000) == [DriveClosed(KEY.discovery_key)]
    assert side.work.left == 10_000 - FRAME - MEMBERSHIP
    # Each event counts once, also behind another event of the same read.
    assert len(side.receive(open_of(side) + frame(1, Close()), 10_000)) == 2
    assert side.work.left == 10_000 - 2 * FRAME - 2 * FIELD - ANSWER - 2 * MEMBERSHIP


def test_a_slice_goes_on_only_as_long_as_there_is_work() -> None:
    side = Side()
    data = CHAT + extension_frame(0, b"1") + frame(1, Close()) + extension_frame(0, b"2")
    assert side.receive(data, 0) == []
    assert (side.wire.has_input, side.wire.between_messages) == (True, False)
    assert side.wire.kept == len(data)
    assert side.receive(b"", -1) == []
    assert side.receive(b"", 1) == []  # the frame with the names, of which one is decoded
    steps = [side.receive(b"", 1) for _ in range(3)]
    assert steps == [[chat(b"1")], [], [chat(b"2")]]
    assert (side.wire.has_input, side.wire.between_messages) == (False, True)
    assert side.wire.kept == sys.getsizeof("chat")


def test_a_message_that_is_being_decoded_is_kept_until_it_is_complete() -> None:
    side = Side()
    names = [f"{number:04}" for number in range(10)]
    data = frame(0, Options(names))
    body = len(messages.encode(Options(names)))
    memory = sys.getsizeof(names[0])
    assert side.receive(data, 1) == []
    for count in range(1, 10):
        assert side.wire.has_input
        assert side.wire.kept == body + count * memory
        assert side.receive(extension_frame(0, b""), 1) == []
        assert side.work.left == 1 - FIELD
        side = Side()
        assert side.receive(data, 1) == []
        for _ in range(count):
            assert side.receive(b"", 1) == []
    side = Side()
    assert side.receive(data) == []
    assert side.wire.kept == 10 * memory


def test_forgotten_input_leaves_nothing() -> None:
    names = frame(0, Options([f"{number:04}" for number in range(10)]))
    for data, left in ((names, 1), (names, 1000), (names * 3, 0), (names[:-1], 1000), (CHAT + names, FRAME)):
        side = Side()
        side.receive(data, left)
        assert side.wire.kept > 0
        side.wire.forget_input()
        assert (side.wire.has_input, side.wire.kept, side.wire.between_messages) == (False, 0, True)
        assert side.receive(extension_frame(0, b"of no name"), 1000) == []
    side = Side(behind=names)
    assert (side.wire.kept, side.wire.between_messages) == (len(names), False)
    side.wire.forget_input()
    assert (side.wire.kept, side.wire.between_messages) == (0, True)


def test_bytes_that_follow_the_handshake_wait_for_the_next_call() -> None:
    side = Side(behind=CHAT + extension_frame(0, b"1")[:-1])
    assert not side.wire.has_input
    assert side.wire.kept == len(CHAT + extension_frame(0, b"1")) - 1
    assert side.receive(b"1") == [chat(b"1")]
    side = Side(behind=CHAT + extension_frame(0, b"2"))
    assert side.receive(b"") == [chat(b"2")]


def large(size: int) -> tuple[bytes, bytes]:
    """Return a frame of that size that is no extension message, and an extension message of that size."""
    return (
        frames.encode(0, 10, b"\x7a" + varint.encode(size - 6) + bytes(size - 6)),
        extension_frame(0, bytes(size - 4)),
    )


@pytest.mark.parametrize("read", [1, 2, 3, 4, 5, 50])
@pytest.mark.parametrize("membership", ["stranger", "member", "a stranger who may be useful"])
def test_only_members_may_send_large_frames(membership: str, read: int) -> None:
    """A large extension message of a stranger is skipped instead, because real peers send these to all."""
    limits = attrs.evolve(DEFAULT_LIMITS, stranger_frame=1000)
    for more in (0, 1):
        for kind in (0, 1):
            side = Side(limits, members_only=membership != "a stranger who may be useful")
            side.receive(CHAT)
            if membership == "member":
                side.receive(open_of(side))
            data = large(1000 + more)[kind]
            side.receive(data[:read])
            if membership == "stranger" and more and not kind:
                with pytest.raises(
                    RemoteProtocolError, match=r"^a frame of 1001 bytes from a remote that is not a member$"
                ):
                    side.receive_byte_by_byte(data[read:])
            else:
                # Of an extension message, only the payload counts.
                assert side.receive_byte_by_byte(data[read:]) == [chat(bytes(len(data) - 4))] * kind
                assert side.wire.between_messages


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 500])
@pytest.mark.parametrize("more", [0, 1])
def test_a_large_extension_message_of_a_stranger_is_skipped(more: int, cut: int) -> None:
    """This holds wherever a read ends, also within the head of the message."""
    side = Side(attrs.evolve(DEFAULT_LIMITS, stranger_frame=1000))
    side.receive(CHAT)
    data = extension_frame(0, bytes(1000 + more))
    for piece in (data[:cut], data[cut : cut + 100], data[cut + 100 : cut + 200]):
        assert side.receive(piece) == []
    assert side.wire.kept == sys.getsizeof("chat") + (0 if more else cut + 200 - 4)
    assert not side.wire.between_messages
    heard = side.receive(data[cut + 200 :] + extension_frame(0, b"next"))
    payloads = [
        payload for event in heard if isinstance(event, MessagesReceived) for payload in event.payloads
    ]
    assert payloads == ([b"next"] if more else [bytes(1000), b"next"])


@pytest.mark.parametrize("channel", range(8))
@pytest.mark.parametrize("kind", range(16))
def test_only_frames_that_matter_are_read(kind: int, channel: int) -> None:
    """The body is nonsense, which shows whether it is read."""
    side = Side()
    read = kind in (0, 10) or (kind in (1, 15) and channel == 0)
    data = frames.encode(channel, kind, b"\xff")
    if read:
        with pytest.raises(RemoteProtocolError, match="ends within"):
            side.receive(data)
    else:
        side.receive(data[:2])
        assert side.wire.kept == 0
        assert side.receive(data[2:], 100) == []
        assert side.wire.between_messages


@pytest.mark.parametrize("channel", [8, 16, 1000])
@pytest.mark.parametrize("kind", range(15))
def test_only_frames_that_matter_are_read_on_channels_with_long_numbers(kind: int, channel: int) -> None:
    side = Side()
    data = frames.encode(channel, kind, b"\xff")
    if kind in (0, 10):
        with pytest.raises(RemoteProtocolError, match="ends within"):
            side.receive(data)
    else:
        assert side.receive(data) == []


def test_a_header_longer_than_necessary_is_read() -> None:
    side = Side()
    side.receive(CHAT)
    assert side.receive(bytes.fromhex("048f80000061")[:1] + bytes.fromhex("8f800000")) == [chat(b"")]
    side = Side()
    names = messages.encode(Options(["chat"]))
    header = bytes.fromhex("818000")
    side.receive(bytes([len(header) + len(names)]) + header + names)
    assert side.receive(extension_frame(0, b"x")) == [chat(b"x")]


def test_names_are_bounded_in_number_and_in_memory() -> None:
    memory = sys.getsizeof("a")
    limits = attrs.evolve(DEFAULT_LIMITS, extension_names=3, extension_names_size=3 * memory)
    assert Side(limits).receive(frame(0, Options(["a", "b", "c"]))) == []
    with pytest.raises(RemoteProtocolError, match=r"^Options.extensions: more than 3 items$"):
        Side(limits).receive(frame(0, Options(["a", "b", "c", "d"])))
    with pytest.raises(
        RemoteProtocolError, match=rf"^Options.extensions: more than {3 * memory} bytes of memory$"
    ):
        Side(limits).receive(frame(0, Options(["a", "b", "cc"])))


def test_messages_and_answers_are_counted_as_such() -> None:
    side = Side()
    sender = side.wire.sender(None, "chat")
    for payload in (b"", b"x", bytes(300)):
        sender.send(payload)
        assert side.outbox.size == sum(map(len, side.outbox.chunks))
    assert side.outbox.reply_size == 0
    names = frame(0, Options(["chat", "other"]))
    assert b"".join(side.outbox.chunks).startswith(names)
    assert side.outbox.message_size == side.outbox.size - len(names)
    side.receive(frame(1, Open(bytes(32))))
    answered = side.outbox.reply_size
    assert answered > 0
    side.wire.open_drive(OTHER_KEY)
    side.wire.send_keepalive()
    assert side.outbox.reply_size == answered


def test_polite_answers_are_counted_as_answers() -> None:
    side = Side(attrs.evolve(DEFAULT_LIMITS, replies=10))
    with pytest.raises(RemoteProtocolError, match="asks without reading"):
        side.receive(open_of(side))
    assert frame(1, Status(uploading=False, downloading=True)) in side.outbox.chunks


def test_an_extension_that_is_no_longer_registered_has_no_sender() -> None:
    side = Side()
    sender = side.wire.sender(None, "chat")
    sender.send(b"x")
    side.outbox.take()
    side.extensions.unregister("chat", members_only=True)
    for call in (
        lambda: side.wire.sender(None, "chat"),
        lambda: sender.send(b"y"),
        lambda: sender.check_size(1),
    ):
        with pytest.raises(LocalProtocolError, match=r"^the extension 'chat' is not registered$"):
            call()
    assert side.outbox.take() == []


def test_the_work_of_runs_and_frames_adds_up() -> None:
    side = Side()
    side.receive(CHAT + extension_frame(0, b"1") * 3 + b"\0" + extension_frame(1, b"2"), 1000)
    assert side.work.left == 1000 - FRAME - FIELD - (RUN + 3) - 1 - (RUN + 1)
