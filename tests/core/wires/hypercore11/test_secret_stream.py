from __future__ import annotations

import hashlib

import pytest

from core.support import CUTS, Cutter, entropy, key_pair
from peersockets_core import RemoteProtocolError
from peersockets_core.wires.hypercore11.secret_stream import MAX_PLAINTEXT, SecretStream, namespace
from peersockets_core.wires.keys import Keys

HASH = bytes([0x11]) * 64
INITIATOR_KEYS = Keys(bytes([1]) * 32, bytes([2]) * 32, HASH, bytes([3]) * 32)
RESPONDER_KEYS = Keys(bytes([2]) * 32, bytes([1]) * 32, HASH, bytes([4]) * 32)

# secret-stream 6.9.2: the id of a stream, by the role of its sender, for this handshake hash
IDS = {
    True: bytes.fromhex("cecb19a56d98495c8f8eedd7cf2720f31545b524e23399cedd3f6e76519490bb"),
    False: bytes.fromhex("ecdae38573419c9f1560e7c94fb906aee069e5657537473720432a3994dd9c0c"),
}


def stream(*, initiator: bool) -> SecretStream:
    label = "left" if initiator else "right"
    return SecretStream(initiator=initiator, entropy=entropy(f"stream {label}"), key_pair=key_pair(label))


def keyed() -> tuple[SecretStream, SecretStream]:
    """Return two sides that finished a handshake elsewhere."""
    return (
        SecretStream(initiator=True, entropy=entropy("left"), keys=INITIATOR_KEYS),
        SecretStream(initiator=False, entropy=entropy("right"), keys=RESPONDER_KEYS),
    )


def taken(side: SecretStream) -> bytes:
    data = b"".join(side.output)
    side.output.clear()
    return data


def feed(side: SecretStream, data: bytes, cut: Cutter = CUTS["whole"]) -> list[bytes]:
    messages: list[bytes] = []
    for chunk in cut(data):
        side.receive_data_untrusted(chunk, messages)
    return messages


def framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(3, "little") + frame


def joined() -> tuple[SecretStream, SecretStream]:
    left, right = keyed()
    assert feed(right, taken(left)) == []
    assert feed(left, taken(right)) == []
    return left, right


def test_namespaces_match_the_reference() -> None:
    # hypercore-crypto 3: namespace
    assert [constant.hex() for constant in namespace(b"hyperswarm/secret-stream", 3)] == [
        "a931a0155b5c09e6d28628236af83c4b8a6af9af60986edeede9dc5d63192bf7",
        "742c9d833d430af4c48a8705e91631eecf295442bbca18996e597097723b1061",
        "aab97d097471f56651b0460ffc8aaa7d3342f7377597d60b925a1dac689adcbf",
    ]


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_handshake(cut: Cutter) -> None:
    left, right = stream(initiator=True), stream(initiator=False)
    first = taken(left)
    assert first[:3] == b"\x20\0\0"
    assert len(first) == 3 + 32
    assert taken(right) == b""
    assert feed(right, first, cut) == []
    second = taken(right)
    assert len(second) == 3 + 96
    assert feed(left, second, cut) == []
    third = taken(left)
    assert len(third) == 3 + 64 + 3 + 56
    assert feed(right, third, cut) == []
    fourth = taken(right)
    assert len(fourth) == 3 + 56
    assert feed(left, fourth, cut) == []
    assert left.keys is not None
    assert right.keys is not None
    assert left.keys.handshake_hash == right.keys.handshake_hash
    assert left.keys.sending_key == right.keys.receiving_key
    assert left.keys.receiving_key == right.keys.sending_key
    assert left.keys.remote_public_key == key_pair("right").ed25519_public_key
    assert right.keys.remote_public_key == key_pair("left").ed25519_public_key
    assert feed(right, left.encrypt(b"one") + left.encrypt(b"two"), cut) == [b"one", b"two"]
    assert feed(left, right.encrypt(b"three"), cut) == [b"three"]


@pytest.mark.parametrize("size", [0, 1, 31, 33, 56, 64, 96, 0xFFFFFF])
def test_first_messages_of_a_wrong_size_are_refused_at_their_length(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"{size} bytes, not 32; the remote does not speak"):
        feed(stream(initiator=False), size.to_bytes(3, "little"))


@pytest.mark.parametrize("size", [0, 32, 64, 95, 97])
def test_second_messages_of_a_wrong_size(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"{size} bytes, not 96"):
        feed(stream(initiator=True), size.to_bytes(3, "little"))


@pytest.mark.parametrize("size", [0, 32, 63, 65, 96])
def test_third_messages_of_a_wrong_size(size: int) -> None:
    right = stream(initiator=False)
    feed(right, taken(stream(initiator=True)))
    with pytest.raises(RemoteProtocolError, match=f"{size} bytes, not 64"):
        feed(right, size.to_bytes(3, "little"))


def test_changed_handshakes_are_refused() -> None:
    right = stream(initiator=False)
    feed(right, taken(stream(initiator=True)))
    reply = taken(right)
    for position in range(3, len(reply), 7):
        left = stream(initiator=True)
        with pytest.raises(RemoteProtocolError, match="handshake"):
            feed(left, reply[:position] + bytes([reply[position] ^ 1]) + reply[position + 1 :])


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32])
def test_weak_points(point: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="weak point"):
        feed(stream(initiator=False), framed(point))


def test_keyed_start() -> None:
    left, right = keyed()
    for side, initiator, label in ((left, True, "left"), (right, False, "right")):
        assert side.output == [framed(IDS[initiator] + entropy(label)(24))]
    joined_left, joined_right = joined()
    assert joined_left.keys is INITIATOR_KEYS
    assert feed(joined_right, joined_left.encrypt(b"x")) == [b"x"]
    assert feed(joined_left, joined_right.encrypt(b"y")) == [b"y"]


@pytest.mark.parametrize("size", [0, 1, 17, 32, 55, 57, 100])
def test_a_header_frame_of_a_wrong_length(size: int) -> None:
    left, _ = keyed()
    with pytest.raises(RemoteProtocolError, match=f"a header frame of {size} bytes"):
        feed(left, framed((IDS[False] + bytes(100))[:size]))


@pytest.mark.parametrize("name", [bytes(32), IDS[True], hashlib.sha256(b"").digest()])
def test_a_header_frame_with_another_streams_id(name: bytes) -> None:
    left, _ = keyed()
    with pytest.raises(RemoteProtocolError, match="names another stream"):
        feed(left, framed(name + bytes(24)))


@pytest.mark.parametrize("position", range(3, 3 + 17 + 5))
def test_a_changed_frame_is_refused(position: int) -> None:
    left, right = joined()
    frame = left.encrypt(b"hello")
    with pytest.raises(RemoteProtocolError, match="does not decrypt"):
        feed(right, frame[:position] + bytes([frame[position] ^ 0x80]) + frame[position + 1 :])


def test_frames_that_are_missing_repeated_or_swapped_are_refused() -> None:
    for order in ((1,), (0, 0), (1, 0)):
        left, right = joined()
        frames = [left.encrypt(b"0"), left.encrypt(b"1")]
        with pytest.raises(RemoteProtocolError, match="does not decrypt"):
            feed(right, b"".join(frames[index] for index in order))


def test_our_own_frames_sent_back_are_refused() -> None:
    left, _ = joined()
    with pytest.raises(RemoteProtocolError, match="does not decrypt"):
        feed(left, left.encrypt(b"x"))


def test_messages_before_a_bad_frame_count() -> None:
    left, right = joined()
    messages: list[bytes] = []
    with pytest.raises(RemoteProtocolError):
        right.receive_data_untrusted(left.encrypt(b"good") + framed(bytes(20)), messages)
    assert messages == [b"good"]


@pytest.mark.parametrize("size", [0, 1, 16])
def test_a_frame_that_is_too_short(size: int) -> None:
    _, right = joined()
    with pytest.raises(RemoteProtocolError, match=f"a frame of {size} bytes does not decrypt"):
        feed(right, framed(bytes(size)))


def test_keepalives_are_dropped() -> None:
    left, right = joined()
    keepalive = left.encrypt(b"")
    assert len(keepalive) == 20
    assert feed(right, keepalive) == []
    assert feed(right, left.encrypt(b"") + left.encrypt(b"x") + left.encrypt(b"")) == [b"x"]


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_messages_arrive_in_any_chunks(cut: Cutter) -> None:
    left, right = keyed()
    messages = [bytes([size % 256]) * size for size in (1, 2, 0, 100, 0, 255, 256, 5000, 1)]
    data = taken(left) + b"".join(map(left.encrypt, messages))
    assert feed(right, data, cut) == list(filter(None, messages))
    assert right.between_frames


def test_between_frames() -> None:
    left, right = joined()
    frame = left.encrypt(b"hello")
    for end in range(1, len(frame)):
        feed(right, frame[end - 1 : end])
        assert not right.between_frames
    assert feed(right, frame[-1:]) == [b"hello"]
    assert right.between_frames


def test_the_largest_message() -> None:
    left, right = joined()
    frame = left.encrypt(bytes(MAX_PLAINTEXT))
    assert frame[:3] == b"\xff\xff\xff"
    (message,) = feed(right, frame)
    assert len(message) == 16_777_198
