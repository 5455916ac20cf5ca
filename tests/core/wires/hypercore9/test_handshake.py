from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import recorded
from core.support import CUTS, Cutter, entropy, key_pair
from peersockets_core import KeyPair, RemoteProtocolError
from peersockets_core.crypto.noise import X25519, DHKeyPair, NoiseHandshake
from peersockets_core.wires.hypercore9 import messages, varint
from peersockets_core.wires.hypercore9.handshake import Handshake

MESSAGES = [chunk for _, chunk in recorded.CHUNKS[:3]]

LOW_ORDER = {
    "zero": bytes(32),
    "one": b"\x01" + bytes(31),
    "of order 8": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "also of order 8": bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    "p - 1": b"\xec" + b"\xff" * 30 + b"\x7f",
    "p": b"\xed" + b"\xff" * 30 + b"\x7f",
    "p + 1": b"\xee" + b"\xff" * 30 + b"\x7f",
}
"""Points for which every shared secret is zero (RFC 7748, and the list in libsodium's own check)."""


def handshake(side: str) -> Handshake:
    given = iter((recorded.EPHEMERAL_SECRETS[side], recorded.NONCES[side]))
    return Handshake(
        initiator=side == "A",
        key_pair=KeyPair.from_seed(recorded.SEEDS[side]),
        entropy=lambda size: next(given),
    )


def two() -> tuple[Handshake, Handshake]:
    return (
        Handshake(initiator=True, key_pair=key_pair("a"), entropy=entropy("a")),
        Handshake(initiator=False, key_pair=key_pair("b"), entropy=entropy("b")),
    )


def feed(receiver: Handshake, data: bytes, cut: Cutter = CUTS["whole"]) -> bytes:
    return b"".join(receiver.receive_data_untrusted(chunk) for chunk in cut(data))


def taken(sender: Handshake) -> bytes:
    data = b"".join(sender.output)
    sender.output.clear()
    return data


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("behind", [b"", b"\0", bytes(range(256))], ids=["nothing", "a byte", "a frame"])
def test_it_replays_the_handshake_of_the_reference_as_responder(cut: Cutter, behind: bytes) -> None:
    ours = handshake("B")
    assert feed(ours, MESSAGES[0], cut) == b""
    assert taken(ours) == MESSAGES[1]
    assert not ours.finished
    # These bytes belong to the stream, which the owner decrypts. They come out whole, and only once.
    assert feed(ours, MESSAGES[2][:-1], cut) == b""
    assert ours.receive_data_untrusted(MESSAGES[2][-1:] + behind) == behind
    check(ours, "A")


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_it_replays_the_handshake_of_the_reference_as_initiator(cut: Cutter) -> None:
    ours = handshake("A")
    assert taken(ours) == MESSAGES[0]
    assert feed(ours, MESSAGES[1], cut) == b""
    assert taken(ours) == MESSAGES[2]
    check(ours, "B")


def check(ours: Handshake, remote: str) -> None:
    assert ours.finished
    assert ours.remote_public_key == recorded.PUBLIC_KEYS[remote]
    assert ours.remote_nonce == recorded.NONCES[remote]
    assert ours.handshake_hash == recorded.HANDSHAKE_HASH


def test_messages_have_the_sizes_of_the_wire() -> None:
    assert [len(message) - 1 for message in MESSAGES] == [58, 122, 90]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_every_changed_byte_fails_the_handshake(number: int) -> None:
    for position in range(len(MESSAGES[number])):
        for bit in (0x01, 0x80):
            sides = {"A": handshake("A"), "B": handshake("B")}
            assert not survives(sides, number, position, bit), (number, position, bit)


def survives(sides: dict[str, Handshake], number: int, position: int, bit: int) -> bool:
    """Return whether both sides finish although one bit was changed."""
    try:
        for index, (source, sink) in enumerate(recorded.WAYS):
            data = bytearray(taken(sides[source]))
            if index == number:
                data[position] ^= bit
            sides[sink].receive_data_untrusted(bytes(data))
    except RemoteProtocolError:
        return False
    return sides["A"].finished and sides["B"].finished


BAD: dict[str, tuple[bytes, str]] = {
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n" + bytes(100), "weak point"),
    "a large message": (varint.encode(257), "a message of 257 bytes; the remote does not speak hypercore9"),
    "a huge message": (b"\xff" * 7 + b"\x7f", "does not speak hypercore9"),
    "a length of nine bytes": (b"\xff" * 9, "varint of more than 8 bytes"),
    "an empty message": (b"\0", "a message of 0 bytes is too short"),
    "a message cut short": (b"\x1f" + bytes(31), "a message of 31 bytes is too short"),
    "a payload that is no protobuf": (b"\x22" + MESSAGES[0][1:33] + b"\x0a\x18", "ends within a field"),
    "a payload without a nonce": (b"\x22" + MESSAGES[0][1:33] + b"\x10\x01", "without nonce"),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD)
def test_bad_first_messages_are_the_remotes_fault(data: bytes, reason: str, cut: Cutter) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        feed(two()[1], data, cut)


@pytest.mark.parametrize("size", [0, 10, 32, 79, 80, 96])
def test_a_second_message_that_is_too_short(size: int) -> None:
    initiator, responder = two()
    responder.receive_data_untrusted(taken(initiator))
    short = taken(responder)[1 : 1 + size]
    with pytest.raises(RemoteProtocolError, match="handshake: "):
        initiator.receive_data_untrusted(varint.encode(size) + short)


@pytest.mark.parametrize("point", LOW_ORDER.values(), ids=LOW_ORDER)
def test_a_low_order_ephemeral_key(point: bytes) -> None:
    _, responder = two()
    with pytest.raises(RemoteProtocolError, match="weak point"):
        responder.receive_data_untrusted(b"\x3a" + point + MESSAGES[0][33:])


def forged(initiator: bool, static: bytes, *payloads: bytes) -> tuple[NoiseHandshake, Handshake]:
    """Return a remote with any static public key, and our side."""
    remote = NoiseHandshake(
        initiator=initiator,
        dh=X25519(),
        static=DHKeyPair(bytes(32), static),
        ephemeral=X25519().generate(b"\x07" * 32),
    )
    return remote, two()[initiator]


@pytest.mark.parametrize("point", LOW_ORDER.values(), ids=LOW_ORDER)
def test_a_low_order_static_key(point: bytes) -> None:
    remote, ours = forged(True, point)
    payload = messages.encode(messages.NoisePayload(bytes(24)))
    ours.receive_data_untrusted(b"\x3a" + remote.write_message(payload))
    remote.read_message_untrusted(taken(ours)[1:])
    with pytest.raises(RemoteProtocolError, match="weak point"):
        ours.receive_data_untrusted(b"\x5a" + remote.write_message(payload))


def finish(first: bytes, last: bytes) -> Handshake:
    """Return our side after the handshake of a remote with the given payloads."""
    keys = X25519().generate(b"\x08" * 32)
    remote = NoiseHandshake(
        initiator=True, dh=X25519(), static=keys, ephemeral=X25519().generate(b"\x07" * 32)
    )
    ours = two()[1]
    for payload in (first, last):
        message = remote.write_message(payload)
        ours.receive_data_untrusted(varint.encode(len(message)) + message)
        if not remote.finished:
            remote.read_message_untrusted(taken(ours)[1:])
    return ours


def nonce(size: int, fill: int = 1) -> bytes:
    return messages.encode(messages.NoisePayload(bytes([fill]) * size))


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (nonce(24, 1), nonce(24, 2), 2),
        (nonce(24, 1), b"", 1),
        (b"", nonce(24, 2), 2),
        (nonce(3), nonce(24, 2), 2),
    ],
    ids=["both", "first", "last", "first wrong"],
)
def test_the_last_payload_that_is_not_empty_counts(first: bytes, last: bytes, expected: int) -> None:
    assert finish(first, last).remote_nonce == bytes([expected]) * 24


def test_a_message_of_the_largest_size_and_one_byte_more() -> None:
    """A payload may have fields that we do not know."""
    for size, accepted in ((256, True), (257, False)):
        known = nonce(24)
        unknown = b"\x12" + varint.encode(size - 32 - len(known) - 3)
        payload = (known + unknown).ljust(size - 32, b"\0")
        if accepted:
            assert finish(payload, b"").remote_nonce == bytes([1]) * 24
        else:
            with pytest.raises(RemoteProtocolError, match=f"a message of {size} bytes"):
                finish(payload, b"")


@pytest.mark.parametrize("size", [0, 8, 23, 25, 100])
def test_a_nonce_of_a_wrong_size(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"handshake: a nonce of {size} bytes"):
        finish(nonce(24), nonce(size))


def test_a_missing_nonce() -> None:
    with pytest.raises(RemoteProtocolError, match="handshake: a nonce of 0 bytes"):
        finish(b"", b"")


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_no_other_error(data: bytes) -> None:
    for ours in two():
        with contextlib.suppress(RemoteProtocolError):
            ours.receive_data_untrusted(data)
