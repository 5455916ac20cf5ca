"""Messages of the remote that are hostile, or only odd."""

from __future__ import annotations

import tracemalloc

import pytest

from core.support import (
    CUTS,
    KEY,
    NOW,
    OTHER_KEY,
    Cutter,
    RawPeer,
    connection,
    error_of,
    extension_frame,
    frame,
    merged,
)
from core.wires.hypercore9.wire_support import DISCOVERY_KEY, MIB, feed
from peersockets_core import (
    DEFAULT_LIMITS,
    ConnectionClosed,
    DriveOpened,
    HandshakeCompleted,
    MessagesReceived,
)
from peersockets_core.wires.hypercore9 import frames, messages, varint
from peersockets_core.wires.hypercore9.messages import Close, Data, Have, Open, Options, Request, Status, Want

# Messages of the remote: hostile, or only odd


def test_the_latest_list_of_names_counts() -> None:
    remote = RawPeer(connection(names=["a", "b"]))
    remote.announce("a", "b")
    assert remote.say(extension_frame(1, b"1")) == [MessagesReceived(None, "b", [b"1"])]
    remote.announce("b")
    assert remote.say(extension_frame(0, b"2")) == [MessagesReceived(None, "b", [b"2"])]
    assert remote.say(extension_frame(1, b"3")) == []
    remote.announce()
    assert remote.say(extension_frame(0, b"4")) == []


def test_a_name_may_repeat() -> None:
    remote = RawPeer(connection(names=["a"]))
    remote.announce("a", "a", "a")
    assert merged(remote.say(extension_frame(0, b"1") + extension_frame(2, b"2"))) == [
        MessagesReceived(None, "a", [b"1", b"2"])
    ]


@pytest.mark.parametrize("extension_id", [0, 1, 127, 128, 2**56 - 1])
def test_extension_ids_that_were_never_announced_are_ignored(extension_id: int) -> None:
    remote = RawPeer(connection(names=["a"]))
    assert remote.say(extension_frame(extension_id, b"x")) == []
    remote.announce()
    assert remote.say(extension_frame(extension_id, b"x")) == []


@pytest.mark.parametrize("message_type", [11, 12, 13, 14])
@pytest.mark.parametrize("channel", [0, 1, 1000])
def test_unknown_types_are_ignored(message_type: int, channel: int) -> None:
    remote = RawPeer(connection())
    assert remote.say(frames.encode(channel, message_type, b"\xff\xff\xff")) == []
    assert remote.heard() == []


@pytest.mark.parametrize(
    "message",
    [
        Options(["x"]),
        Status(True, True),
        Have(0),
        Want(0, 1048576),
        Request(3, bytes=1),
        Data(0, b"x", [b"y"]),
    ],
    ids=lambda message: type(message).__name__,
)
@pytest.mark.parametrize("channel", [1, 5])
def test_messages_of_channels_are_ignored(message: messages.ChannelMessage, channel: int) -> None:
    remote = RawPeer(connection(names=["x"]))
    assert remote.send(channel, message) == []
    assert remote.say(extension_frame(0, b"not a name of the connection")) == []
    assert remote.say(frames.encode(channel, 15, b"\0extension of a channel")) == []
    assert remote.heard() == []


def test_the_limit_of_names_and_one_more() -> None:
    names = [f"{number:05}" for number in range(DEFAULT_LIMITS.extension_names)]
    assert len(names) == 16_384
    remote = RawPeer(connection(names=["16383"]))
    assert remote.announce(*names) == []
    assert remote.say(extension_frame(16_383, b"x")) == [MessagesReceived(None, "16383", [b"x"])]
    assert "more than 16384 items" in error_of(remote.announce(*names, "one more"))


SKIPPED: dict[str, bytes] = {
    "Have without a start": frames.encode(1, 3, b""),
    "Status of bytes": frames.encode(1, 2, b"\x0a\0"),
    "a group": frames.encode(1, 9, b"\x0b"),
    "an extension message of a channel, without an id": frames.encode(1, 15, b""),
    "Options of a channel that are not UTF-8": frames.encode(7, 1, b"\x0a\x01\xff"),
    "Options of a channel behind a long header": frames.encode(8, 1, b"\x0a\x01\xff"),
    "Data of the largest size": frames.encode(1, 9, b"\xff" * 8 * MIB),
    "Data of the largest size behind a long header": frames.encode(300, 9, b"\xff" * 8 * MIB),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("plain", SKIPPED.values(), ids=SKIPPED)
def test_ignored_messages_are_not_decoded(plain: bytes, cut: Cutter) -> None:
    ours = connection(names=["chat"])
    remote = RawPeer(ours)
    remote.announce("chat")
    cut = cut if len(plain) < 1000 else in_reads
    events = feed(ours, remote.encrypt(plain + extension_frame(0, b"behind")), cut)
    assert events == [MessagesReceived(None, "chat", [b"behind"])]
    assert ours.receive_eof(NOW) == [ConnectionClosed(None)]


def in_reads(data: bytes) -> list[bytes]:
    """Cut data into pieces of the size of a read."""
    return [data[start : start + 65_536] for start in range(0, len(data), 65_536)]


def test_incomplete_ignored_messages_are_not_kept() -> None:
    ours = connection()
    reads = in_reads(RawPeer(ours).encrypt(frames.encode(1, 9, bytes(8 * MIB))))
    tracemalloc.start()
    try:
        for read in reads[:-1]:
            assert ours.receive_data(read, NOW) == []
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 200_000
    assert "within a message" in error_of(ours.receive_eof(NOW))


HOSTILE: dict[str, tuple[bytes, str]] = {
    "frame over the limit": (varint.encode(8 * MIB + 100), "over the limit of 8388608"),
    "varint without end": (b"\xff" * 20, "varint of more than 8 bytes"),
    "header longer than its frame": (b"\x01\x80", "ends within its header"),
    "extension without an id": (b"\x01\x0f", "ends within its id"),
    "Open without a discovery key": (frames.encode(1, 0, b""), "Open without discovery_key"),
    "Options that are not UTF-8": (frames.encode(0, 1, b"\x0a\x01\xff"), "not UTF-8"),
    "Close with a field cut": (frames.encode(1, 10, b"\x0a\x20x"), "ends within a field"),
    "Open without a capability": (frame(1, Open(DISCOVERY_KEY)), "invalid remote capability"),
    "Open with a wrong capability": (frame(1, Open(DISCOVERY_KEY, bytes(32))), "invalid remote capability"),
    "Open on channel 0": (frame(0, Open(DISCOVERY_KEY)), "channel 0"),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(("plain", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_frames_end_the_connection_and_earlier_frames_count(
    plain: bytes, reason: str, cut: Cutter
) -> None:
    ours = connection(names=["chat"])
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    good = frame(0, Options(["chat"])) + extension_frame(0, b"before")
    events = feed(ours, remote.encrypt(good + plain + extension_frame(0, b"after")), cut)
    assert merged(events)[0] == MessagesReceived(None, "chat", [b"before"])
    assert reason in error_of(events)
    assert len(merged(events)) == 2
    assert ours.closed
    assert not ours.has_output
    assert not ours.data_to_send()
    assert remote.say(extension_frame(0, b"later")) == []


@pytest.mark.parametrize(("plain", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_frames_right_after_the_handshake(plain: bytes, reason: str) -> None:
    for initiator in (False, True):
        ours = connection(initiator=initiator)
        ours.open_drive(KEY)
        if initiator:
            remote = RawPeer(ours)
            events = remote.events + remote.say(plain)
        else:
            events = RawPeer(ours, behind_handshake=plain).events
        assert isinstance(events[0], HandshakeCompleted)
        assert reason in error_of(events)


def test_a_message_of_the_references_limit_and_one_byte_more() -> None:
    remote = RawPeer(connection(names=["a"]))
    remote.announce("a")
    (received,) = remote.say(extension_frame(0, bytes(8 * MIB - 1)))
    assert isinstance(received, MessagesReceived)
    assert list(map(len, received.payloads)) == [8 * MIB - 1]
    assert "over the limit" in error_of(remote.say(extension_frame(0, bytes(8 * MIB))))


def test_opens_for_unknown_drives_leave_no_state() -> None:
    remote = RawPeer(connection())
    for number in range(3000):
        assert remote.send(number, Open(number.to_bytes(32, "big"), bytes(32))) == []
        assert len(remote.heard()) == 1
    assert remote.ours.outbox.size == 0


def test_opens_for_unknown_drives_without_reading_the_refusals() -> None:
    remote = RawPeer(connection())
    flood = b"".join(frame(number, Open(number.to_bytes(32, "big"))) for number in range(40_000))
    assert "asks without reading" in error_of(remote.say(flood))
    assert remote.ours.outbox.size < DEFAULT_LIMITS.replies + 1000


def test_an_honest_number_of_refusals_is_within_the_bound() -> None:
    remote = RawPeer(connection())
    assert remote.say(b"".join(frame(n, Open(n.to_bytes(32, "big"))) for n in range(25_000))) == []
    assert len(remote.heard()) == 25_000


def test_opening_and_closing_without_reading_is_bounded_too() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    once = frame(1, remote.offer()) + frame(1, Close())
    assert "asks without reading" in error_of(remote.say(once * 20_000))


def test_a_discovery_key_of_megabytes_is_not_sent_back() -> None:
    remote = RawPeer(connection())
    assert "asks without reading" in error_of(remote.send(1, Open(bytes(3 * MIB))))


def test_the_remote_sends_back_our_own_capability() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    ((_, offer),) = remote.heard_messages()
    assert offer == remote.reflected()
    assert "invalid remote capability" in error_of(remote.send(1, remote.reflected()))


def test_a_capability_of_another_connection() -> None:
    first, second = (connection(label=label) for label in ("one", "two"))
    first.open_drive(KEY)
    second.open_drive(KEY)
    stolen = RawPeer(first).offer()
    assert "invalid remote capability" in error_of(RawPeer(second, label="thief").send(1, stolen))


def test_one_channel_for_two_drives() -> None:
    ours = connection()
    ours.open_drive(KEY)
    ours.open_drive(OTHER_KEY)
    remote = RawPeer(ours)
    events = remote.send(4, remote.offer(), remote.offer(OTHER_KEY))
    assert events[0] == DriveOpened(DISCOVERY_KEY)
    assert "channel 4 for two cores" in error_of(events)


def test_a_drive_opened_twice_is_reported_once() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    assert remote.send(1, remote.offer(), remote.offer()) == [DriveOpened(DISCOVERY_KEY)]
    assert remote.send(2, remote.offer()) == []


def test_we_offer_no_upload_after_both_sides_opened() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    remote.send(1, remote.offer())
    assert remote.heard_messages()[1:] == [(1, Status(uploading=False, downloading=True))]
