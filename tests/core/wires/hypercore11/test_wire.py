"""The wire as a `Connection` shows it: two connections, a remote that can send anything, and hostile
bytes.
"""

from __future__ import annotations

import itertools
import math
import random
import sys
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.support import CUTS, KEY, NOW, OTHER_KEY, Cutter, entropy, error_of, key_pair, merged, whole
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    ConnectionClosed,
    DriveClosed,
    DriveKey,
    DriveOpened,
    Event,
    ExtensionNames,
    HandshakeCompleted,
    LocalProtocolError,
    MessagesReceived,
)
from peersockets_core.outbox import Outbox
from peersockets_core.wires.hypercore11.alpha import capability
from peersockets_core.wires.hypercore11.encoding import encode_buffer, encode_uint
from peersockets_core.wires.hypercore11.secret_stream import SecretStream
from peersockets_core.wires.hypercore11.wire import Hypercore11
from peersockets_core.wires.keys import Keys
from peersockets_core.wires.setup import WireSetup
from peersockets_core.work import Work

DISCOVERY_KEY = KEY.discovery_key


def connection(*, initiator: bool = False, label: str = "ours") -> Connection:
    return Connection(
        wire="hypercore11",
        initiator=initiator,
        key_pair=key_pair(label),
        entropy=entropy(f"connection {label}"),
        now=NOW,
    )


class Pair:
    """An initiator and a responder, connected in memory."""

    def __init__(self, *, cut: Cutter = whole) -> None:
        self.left = connection(initiator=True, label="left")
        self.right = connection(label="right")
        self.cut = cut
        self.events: dict[Connection, list[Event]] = {self.left: [], self.right: []}
        self.sent: dict[Connection, bytes] = {self.left: b"", self.right: b""}

    def exchange(self) -> Pair:
        for source, sink in itertools.cycle(((self.left, self.right), (self.right, self.left))):
            data = bytes(source.data_to_send(NOW))
            self.sent[source] += data
            for chunk in self.cut(data):
                self.events[sink] += sink.receive_data(chunk, NOW)
            if not self.left.has_output and not self.right.has_output:
                return self
        raise AssertionError

    def open(self, *keys: DriveKey) -> Pair:
        for key in keys or (KEY,):
            self.left.open_drive(key)
            self.right.open_drive(key)
        return self.exchange()

    def heard(self, side: Connection) -> list[Event]:
        """Return the events on a side since the last look."""
        events, self.events[side] = merged(self.events[side]), []
        return events


class RawPeer:
    """A remote that finishes the handshake, and then sends anything that a test wants."""

    def __init__(self, ours: Connection) -> None:
        self.ours = ours
        self.stream = SecretStream(
            initiator=not ours.initiator, entropy=entropy("raw peer"), key_pair=key_pair("raw")
        )
        self.events: list[Event] = []
        self._send()
        while self.stream.keys is None or self.ours.remote_public_key is None:
            self.heard()
            self._send()

    def _send(self) -> None:
        data = b"".join(self.stream.output)
        self.stream.output.clear()
        self.events += self.ours.receive_data(data, NOW)

    def heard(self) -> list[bytes]:
        """Return the messages that the connection has sent since the last look."""
        messages: list[bytes] = []
        self.stream.receive_data_untrusted(bytes(self.ours.data_to_send(NOW)), messages)
        return messages

    def encrypt(self, *messages: bytes) -> bytes:
        return b"".join(map(self.stream.encrypt, messages))

    def say(self, *messages: bytes) -> list[Event]:
        return self.ours.receive_data(self.encrypt(*messages), NOW)

    def offer(self, key: DriveKey = KEY, *, number: int = 1, reflected: bool = False) -> bytes:
        """Return the message that opens a drive."""
        keys = self.stream.keys
        assert keys is not None
        proof = capability(keys, key.public_key, initiator=self.ours.initiator == reflected)
        name = encode_buffer(b"hypercore/alpha") + encode_buffer(key.discovery_key)
        return b"\0\x01" + encode_uint(number) + name + b"\0" + proof


def extension(name: str, payload: bytes, number: int = 1) -> bytes:
    return encode_uint(number) + b"\x09" + encode_buffer(name.encode()) + payload


def closing(number: int = 1) -> bytes:
    return b"\0\x03" + encode_uint(number)


def feed(ours: Connection, data: bytes, cut: Cutter) -> list[Event]:
    return [event for chunk in cut(data) for event in ours.receive_data(chunk, NOW)]


def test_both_sides_identify_the_connection_by_one_hash() -> None:
    pair = Pair().exchange()
    (left,), (right,) = pair.heard(pair.left), pair.heard(pair.right)
    assert isinstance(left, HandshakeCompleted)
    assert isinstance(right, HandshakeCompleted)
    assert left.wire == "hypercore11"
    assert left.handshake_hash == right.handshake_hash
    assert len(left.handshake_hash) == 64
    assert left.remote_public_key == pair.right.key_pair.ed25519_public_key
    assert right.remote_public_key == pair.left.key_pair.ed25519_public_key


def test_a_responder_learns_the_wire_from_the_first_byte() -> None:
    right = Connection(initiator=False, key_pair=key_pair("r"), entropy=entropy("r"), now=NOW)
    right.receive_data(bytes(connection(initiator=True).data_to_send())[:1], NOW)
    assert right.wire == "hypercore11"


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_two_connections_talk_in_any_chunks(cut: Cutter) -> None:
    pair = Pair(cut=cut).exchange().open()
    for number in range(5):
        pair.left.sender(DISCOVERY_KEY, "chat").send(b"%d" % number)
        pair.right.sender(DISCOVERY_KEY, "other").send(b"%d" % number)
    pair.exchange()
    numbers = [b"%d" % number for number in range(5)]
    for side, name in ((pair.right, "chat"), (pair.left, "other")):
        opened, received = pair.heard(side)[1:]
        assert opened == DriveOpened(DISCOVERY_KEY)
        assert received == MessagesReceived(DISCOVERY_KEY, name, numbers)


def test_drives_opened_before_the_handshake() -> None:
    pair = Pair().open(KEY, OTHER_KEY)
    for side in (pair.left, pair.right):
        assert pair.heard(side)[1:] == [DriveOpened(DISCOVERY_KEY), DriveOpened(OTHER_KEY.discovery_key)]


def test_several_drives() -> None:
    keys = [DriveKey(bytes([number]) * 32) for number in range(5)]
    pair = Pair().exchange().open(*keys)
    assert pair.heard(pair.right)[1:] == [DriveOpened(key.discovery_key) for key in keys]
    for key in keys:
        pair.left.sender(key.discovery_key, "chat").send(key.public_key)
    pair.exchange()
    assert pair.heard(pair.right) == [
        MessagesReceived(key.discovery_key, "chat", [key.public_key]) for key in keys
    ]
    for key in keys[1::2]:
        pair.left.close_drive(key.discovery_key)
    pair.exchange()
    assert pair.heard(pair.right) == [DriveClosed(key.discovery_key) for key in keys[1::2]]
    assert pair.heard(pair.left)[6:] == []
    for key in keys[1::2]:
        pair.left.open_drive(key)
    pair.exchange()
    assert pair.heard(pair.right) == [DriveOpened(key.discovery_key) for key in keys[1::2]]


def test_a_drive_open_on_one_side_only() -> None:
    pair = Pair().exchange()
    pair.left.open_drive(KEY)
    pair.exchange()
    for side in (pair.left, pair.right):
        assert len(pair.heard(side)) == 1
        with pytest.raises(LocalProtocolError, match="both sides have open"):
            side.sender(DISCOVERY_KEY, "chat")
    pair.right.open_drive(KEY)
    pair.exchange()
    for side in (pair.left, pair.right):
        assert pair.heard(side) == [DriveOpened(DISCOVERY_KEY)]


def test_extensions_need_a_drive() -> None:
    pair = Pair().exchange().open()
    with pytest.raises(LocalProtocolError, match="both sides have open"):
        pair.left.sender(None, "chat")


def test_sides_that_open_and_close_across_each_other_agree_in_the_end() -> None:
    for seed in range(150):
        generator, pair = random.Random(seed), Pair().exchange()
        sides = (pair.left, pair.right)
        wanted = [False, False]
        for _ in range(generator.randrange(2, 14)):
            index = generator.randrange(2)
            if generator.random() < 0.6:
                if wanted[index]:
                    sides[index].close_drive(DISCOVERY_KEY)
                else:
                    sides[index].open_drive(KEY)
                wanted[index] = not wanted[index]
            else:
                data = bytes(sides[index].data_to_send(NOW))
                pair.events[sides[1 - index]] += sides[1 - index].receive_data(data, NOW)
        pair.exchange()
        for side in sides:
            assert not side.closed, (seed, side.error)
            if all(wanted):
                assert merged(pair.events[side])[-1] == DriveOpened(DISCOVERY_KEY), seed
                side.sender(DISCOVERY_KEY, "chat").send(b"x")
            else:
                with pytest.raises(LocalProtocolError):
                    side.sender(DISCOVERY_KEY, "chat")


def test_keepalives_are_empty_frames_and_are_not_reported() -> None:
    pair = Pair().exchange()
    pair.heard(pair.right)
    assert pair.left.next_deadline() == NOW + 5
    assert pair.left.handle_deadline(NOW + 5) == []
    data = bytes(pair.left.data_to_send(NOW + 5))
    assert len(data) == 20
    assert pair.right.receive_data(data, NOW + 5) == []
    assert pair.left.next_deadline() == NOW + 10


@pytest.mark.parametrize("promised", [False, True])
def test_only_a_remote_that_has_sent_a_keepalive_times_out(promised: bool) -> None:
    pair = Pair().exchange().open()
    ours, theirs = pair.left, pair.right
    theirs.handle_deadline(NOW + 5)
    keepalive = bytes(theirs.data_to_send(NOW + 5))
    if promised:
        ours.receive_data(keepalive, NOW + 5)
    for second in range(5, 25, 5):
        assert ours.handle_deadline(NOW + second) == []
        ours.data_to_send(NOW + second)
    assert ours.remote_deadline == (NOW + 25 if promised else math.inf)
    assert bool(ours.handle_deadline(NOW + 25)) == promised


def test_the_end_of_the_stream() -> None:
    pair = Pair().exchange().open()
    assert pair.left.receive_eof(NOW) == [ConnectionClosed(None)]
    pair.left.data_to_send()
    assert pair.right.receive_data(b"\x20", NOW) == []
    assert "ended within a message" in error_of(pair.right.receive_eof(NOW))
    ours = connection()
    assert "before the handshake" in error_of(ours.receive_eof(NOW))


def test_keyed_start() -> None:
    events: list[Event] = []
    keys = Keys(bytes([1]) * 32, bytes([2]) * 32, bytes(64), bytes([3]) * 32)
    swapped = Keys(bytes([2]) * 32, bytes([1]) * 32, bytes(64), bytes([4]) * 32)
    left, right = (
        Hypercore11(
            WireSetup(
                initiator=initiator,
                key_pair=key_pair("keyed"),
                entropy=entropy(f"keyed {initiator}"),
                limits=DEFAULT_LIMITS,
                extensions=ExtensionNames(),
                outbox=Outbox(limit=DEFAULT_LIMITS.send_buffer, reply_limit=DEFAULT_LIMITS.replies),
                work=Work(),
                keys=finished,
            )
        )
        for initiator, finished in ((True, keys), (False, swapped))
    )
    header = bytes(left.data_to_send())
    assert len(header) == 3 + 56
    left.receive_data_untrusted(b"", events)
    assert events == [HandshakeCompleted("hypercore11", bytes([3]) * 32, bytes(64))]
    right.receive_data_untrusted(header, events)
    left.open_drive(KEY)
    right.open_drive(KEY)
    right.receive_data_untrusted(b"", events)  # bytes that follow the handshake
    while left.has_output or right.has_output:
        left.receive_data_untrusted(bytes(right.data_to_send()), events)
        right.receive_data_untrusted(bytes(left.data_to_send()), events)
    assert events[1:] == [
        HandshakeCompleted("hypercore11", bytes([4]) * 32, bytes(64)),
        DriveOpened(DISCOVERY_KEY),
        DriveOpened(DISCOVERY_KEY),
    ]


# Messages of the remote


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
