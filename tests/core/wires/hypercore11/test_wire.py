"""The wire as a `Connection` shows it: two connections, a remote that can send anything, and hostile
bytes.
"""

from __future__ import annotations

import math
import random

import pytest

from core.support import CUTS, KEY, NOW, OTHER_KEY, Cutter, entropy, error_of, key_pair, merged
from core.wires.hypercore11.wire_support import DISCOVERY_KEY, Pair, connection
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
from peersockets_core.wires.hypercore11.wire import Hypercore11
from peersockets_core.wires.keys import Keys
from peersockets_core.wires.setup import WireSetup
from peersockets_core.work import Work


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


def test_output_is_empty_while_the_handshake_waits_for_the_remote() -> None:
    for initiator, size in ((True, 3 + 32), (False, 0)):
        ours = connection(initiator=initiator)
        assert len(ours.data_to_send(NOW)) == size
        assert not ours.has_output
        assert ours.data_to_send(NOW) == b""


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
