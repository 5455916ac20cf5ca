"""Messages of the remote that are hostile, cut short, changed or made up."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.support import CUTS, KEY, NOW, OTHER_KEY, Cutter, error_of, merged
from core.wires.hypercore11.wire_support import (
    DISCOVERY_KEY,
    Pair,
    RawPeer,
    closing,
    connection,
    extension,
    feed,
)
from peersockets_core import (
    DEFAULT_LIMITS,
    DriveClosed,
    DriveKey,
    DriveOpened,
    MessagesReceived,
)
from peersockets_core.wires.hypercore11.encoding import encode_buffer


def test_a_remote_that_sends_everything_first() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    events = remote.say(remote.offer(), extension("chat", b"1"), extension("", b"2"), closing())
    assert events == [
        DriveOpened(DISCOVERY_KEY),
        MessagesReceived(DISCOVERY_KEY, "chat", [b"1", b"2"]),
        DriveClosed(DISCOVERY_KEY),
    ]
    assert remote.say(remote.offer()) == [DriveOpened(DISCOVERY_KEY)]


@pytest.mark.parametrize("initiator", [True, False])
def test_the_remote_sends_back_our_own_capability(initiator: bool) -> None:
    ours = connection(initiator=initiator)
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    assert "invalid remote capability" in error_of(remote.say(remote.offer(reflected=True)))
    assert ours.closed
    assert not ours.has_output


HOSTILE: dict[str, tuple[bytes, str]] = {
    "a number cut short": (b"\xfd", "ends within a number"),
    "no type": (b"\x01", "ends within a number"),
    "open out of order": (b"\0\x01\x05\x01p\0", "opened channel 5 out of order"),
    "open of number 0": (b"\0\x01\0\x01p\0", "opened channel 0 out of order"),
    "open twice": (b"\0\x01\x01\x01p\0", "opened channel 1 out of order"),
    "a protocol that is not UTF-8": (b"\0\x01\x02\x01\xff\0", "not UTF-8"),
    "reject of nothing": (b"\0\x02\x07", "waits for no answer"),
    "a batch within a batch": (b"\0\0\0\x02\0\0", "a batch within a batch"),
    "a truncated batch": (b"\0\0\x01\x09\0", "a batch ends within a message"),
    "an extension without a name": (b"\x01\x09", "ends within a number"),
    "a name too long": (b"\x01\x09\xfe\xff\xff\xff\xff", "an extension's name of"),
    "a request without an id": (b"\x01\x01\x01", "ends within a number"),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(("message", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_messages_end_the_connection_and_earlier_messages_count(
    message: bytes, reason: str, cut: Cutter
) -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    data = remote.encrypt(remote.offer(), extension("chat", b"before"), message, extension("chat", b"after"))
    events = merged(feed(ours, data, cut))
    assert events[:2] == [DriveOpened(DISCOVERY_KEY), MessagesReceived(DISCOVERY_KEY, "chat", [b"before"])]
    assert reason in error_of(events)
    assert len(events) == 3
    assert ours.closed
    assert not ours.data_to_send()
    assert remote.say(extension("chat", b"later")) == []


def test_opens_for_unknown_drives_leave_no_state() -> None:
    remote = RawPeer(connection())
    for number in range(2000):
        assert remote.say(remote.offer(DriveKey(number.to_bytes(32, "big")))) == []
        assert remote.heard() == [b"\0\0\0\x02\x02\x01"]
    assert remote.ours.outbox.size == 0


def test_asking_without_reading_is_bounded() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    request = b"\x01\x01\x01\x07\0\0"
    events = remote.say(remote.offer(), b"\0\0\x01" + encode_buffer(request[1:]) * 500_000)
    assert "asks without reading" in error_of(events)
    assert ours.outbox.size < DEFAULT_LIMITS.replies + 1000


def test_small_waiting_answers_take_little_more_memory_than_they_count() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    requests = b"\0\0\x01" + encode_buffer(b"\x01\x07\0\0") * 40_000
    assert [type(event) for event in remote.say(remote.offer(), requests)] == [DriveOpened]
    chunks = ours.outbox.chunks
    memory = sys.getsizeof(chunks) + sum(map(sys.getsizeof, chunks))
    assert memory < DEFAULT_LIMITS.replies


def session(remote: RawPeer) -> list[bytes]:
    return [
        remote.offer(),
        b"\x01\0\x06\0\0\0",
        extension("chat", b"x"),
        b"\0\0\x01" + encode_buffer(b"\x09\0y") + b"\0\0" + encode_buffer(b"\x03\x01"),
        remote.offer(),
        b"\x01\x01\x01\x05\0\0",
        remote.offer(OTHER_KEY, number=2),
        closing(),
    ]


def survives(messages: Iterable[bytes] | None, *, change: tuple[int, bytes] | None = None) -> None:
    """Check that `messages`, or the session with one message changed, cause only events."""
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    said = session(remote) if messages is None else list(messages)
    if change is not None:
        said[change[0]] = change[1]
    if remote.say(*said):
        ours.data_to_send()


def test_every_truncation_of_messages() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    said = session(remote)
    assert len(remote.say(*said)) == 5
    for index, message in enumerate(said):
        for end in range(0, len(message), 1 if len(message) < 20 else 5):
            survives(None, change=(index, message[:end]))


def test_changed_messages_never_raise() -> None:
    generator = random.Random(12)
    remote = RawPeer(connection())
    said = session(remote)
    for _ in range(400):
        index = generator.randrange(len(said))
        data = bytearray(said[index])
        for _ in range(generator.randrange(1, 4)):
            data[generator.randrange(len(data))] = generator.choice((0, 1, 9, 0xFD, generator.randrange(256)))
        survives(None, change=(index, bytes(data)))


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_messages_in_the_stream_never_raise(messages: list[bytes]) -> None:
    survives(messages)


def test_every_truncation_and_many_changes_of_the_bytes() -> None:
    pair = Pair().open(KEY, OTHER_KEY)
    pair.left.sender(DISCOVERY_KEY, "chat").send(b"hello")
    pair.exchange()
    data = pair.sent[pair.left]
    generator = random.Random(13)
    mutations = [data[:end] for end in range(0, len(data), 3)]
    for _ in range(300):
        changed = bytearray(data)
        changed[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        mutations.append(bytes(changed))
    for mutation in mutations:
        right = connection(label="right")
        right.open_drive(KEY)
        right.receive_data(mutation, NOW)
        right.receive_eof(NOW)
        assert right.closed


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_instead_of_the_handshake_never_raise(data: bytes, initiator: bool) -> None:
    ours = connection(initiator=initiator)
    ours.receive_data(data, NOW)
    ours.receive_eof(NOW)
    assert ours.closed
    assert ours.error is not None
