from __future__ import annotations

import hashlib
import hmac
import struct

import pytest
from nacl import bindings

from core import recorded
from core.dht.recorded import HANDSHAKE
from core.support import key_pair
from peersockets_core import KeyPair, RemoteProtocolError
from peersockets_core.crypto import noise
from peersockets_core.crypto.noise import (
    X25519,
    DHFunction,
    DHKeyPair,
    Ed25519,
    NoiseHandshake,
    SymmetricState,
)

MESSAGES = [chunk[1:] for _, chunk in recorded.CHUNKS[:3]]
PAYLOADS = {side: b"\x0a\x18" + nonce for side, nonce in recorded.NONCES.items()}


def static(side: str) -> DHKeyPair:
    pair = KeyPair.from_seed(recorded.SEEDS[side])
    return DHKeyPair(pair.x25519_secret_key, pair.x25519_public_key)


def recorded_side(side: str) -> NoiseHandshake:
    dh = X25519()
    return NoiseHandshake(
        initiator=side == "A",
        dh=dh,
        static=static(side),
        ephemeral=dh.generate(recorded.EPHEMERAL_SECRETS[side]),
    )


def two(dh: DHFunction, prologues: tuple[bytes, bytes] = (b"", b"")) -> tuple[NoiseHandshake, NoiseHandshake]:
    left, right = (
        NoiseHandshake(
            initiator=initiator,
            dh=dh,
            static=dh.generate(bytes([seed]) * 32),
            ephemeral=dh.generate(bytes([seed + 1]) * 32),
            prologue=prologue,
        )
        for initiator, seed, prologue in ((True, 1, prologues[0]), (False, 3, prologues[1]))
    )
    return left, right


def test_it_replays_the_handshake_of_the_reference() -> None:
    sides = {"A": recorded_side("A"), "B": recorded_side("B")}
    for (writer, reader), message in zip(recorded.WAYS, MESSAGES, strict=True):
        assert sides[writer].writing
        assert not sides[reader].writing
        assert sides[writer].write_message(PAYLOADS[writer]) == message
        assert sides[reader].read_message_untrusted(message) == PAYLOADS[writer]
    for side, remote in recorded.WAYS[:2]:
        assert sides[side].finished
        assert not sides[side].writing
        assert sides[side].handshake_hash == recorded.HANDSHAKE_HASH
        assert sides[side].remote_static == recorded.PUBLIC_KEYS[remote]
    assert sides["A"].split() == sides["B"].split()[::-1]
    assert sides["A"].split()[0] != sides["A"].split()[1]


@pytest.mark.parametrize("dh", [X25519(), Ed25519()], ids=["X25519", "Ed25519"])
def test_both_sides_agree(dh: DHFunction) -> None:
    left, right = two(dh)
    assert right.read_message_untrusted(left.write_message(b"1")) == b"1"
    assert left.read_message_untrusted(right.write_message(b"")) == b""
    assert right.read_message_untrusted(left.write_message(b"3")) == b"3"
    assert left.split() == right.split()[::-1]
    assert left.handshake_hash == right.handshake_hash


def test_a_different_prologue_makes_a_different_handshake() -> None:
    left, right = two(X25519(), (b"one", b"two"))
    right.read_message_untrusted(left.write_message(b""))
    with pytest.raises(RemoteProtocolError, match="does not decrypt"):
        left.read_message_untrusted(right.write_message(b""))


@pytest.mark.parametrize("size", range(0, 96, 5))
def test_short_messages(size: int) -> None:
    left, right = two(X25519())
    first = left.write_message(b"")
    if size < 32:
        with pytest.raises(RemoteProtocolError, match="too short"):
            two(X25519())[1].read_message_untrusted(first[:size])
    right.read_message_untrusted(first)
    with pytest.raises(RemoteProtocolError, match="handshake: "):
        left.read_message_untrusted(right.write_message(b"")[:size])


# RFC 7748, and libsodium's lists of refused points
WEAK: list[tuple[DHFunction, bytes]] = [
    (X25519(), bytes(32)),
    (X25519(), b"\x01" + bytes(31)),
    (X25519(), b"\xec" + b"\xff" * 30 + b"\x7f"),
    (X25519(), b"\xed" + b"\xff" * 30 + b"\x7f"),
    (Ed25519(), bytes(32)),
    (Ed25519(), b"\x01" + bytes(31)),
    (Ed25519(), b"\xec" + b"\xff" * 30 + b"\x7f"),
    (Ed25519(), b"\xff" * 32),
    (Ed25519(), b"\x02" + bytes(31)),
]


@pytest.mark.parametrize(("dh", "point"), WEAK)
def test_a_weak_point_is_the_fault_of_the_remote(dh: DHFunction, point: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="weak point"):
        dh.dh_untrusted(dh.generate(b"\x05" * 32).secret_key, point)


PRIME = 2**255 - 19
ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
IDENTITY = b"\x01" + bytes(31)


def _torsion() -> list[bytes]:
    """Return the seven points of the Edwards curve whose order is 2, 4 or 8."""
    points = [ORDER_8]
    while points[-1] != IDENTITY:
        points.append(bindings.crypto_core_ed25519_add(points[-1], ORDER_8))
    return points[:-1]


def _montgomery(point: bytes) -> bytes:
    """Return the X25519 key of an Edwards point (RFC 7748, section 4.1)."""
    y = int.from_bytes(point, "little") & (1 << 255) - 1
    return ((1 + y) * pow(1 - y, -1, PRIME) % PRIME).to_bytes(32, "little")


TORSION = _torsion()


def test_there_are_seven_points_of_small_order() -> None:
    assert len(set(TORSION)) == 7
    assert TORSION[3] == (PRIME - 1).to_bytes(32, "little")  # of order 2


def test_a_key_of_mixed_order_is_refused_even_if_libsodium_accepts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Older releases accept it (CVE-2025-69277): the point of order 2 vanishes in an even multiple."""
    key = Ed25519().generate(bytes(32)).public_key
    mixed = bindings.crypto_core_ed25519_add(key, TORSION[3])
    negative = key[:31] + bytes((key[31] ^ 0x80,))
    monkeypatch.setattr(bindings, "crypto_core_ed25519_is_valid_point", lambda point: True)
    monkeypatch.setattr(bindings, "crypto_scalarmult_ed25519_noclamp", lambda scalar, point: negative)
    monkeypatch.setattr(noise, "_CHECKS_ORDER", noise.checks_order())
    Ed25519().check_untrusted(key)
    with pytest.raises(RemoteProtocolError, match="weak point"):
        Ed25519().check_untrusted(mixed)
    _, right = two(Ed25519())
    with pytest.raises(RemoteProtocolError, match="weak point"):
        right.read_message_untrusted(mixed)


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("small", TORSION, ids=range(1, 8))
def test_a_handshake_with_a_key_of_mixed_order_is_refused(
    small: bytes, checks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either key of the remote may have mixed order in IK's first message, which is multiplied at once."""
    monkeypatch.setattr(noise, "_CHECKS_ORDER", checks)
    dh = Ed25519()
    server = dh.generate(b"\x01" * 32)
    static, ephemeral = dh.generate(b"\x02" * 32), dh.generate(b"\x03" * 32)
    for mixed in (static, ephemeral):
        public_key = bindings.crypto_core_ed25519_add(mixed.public_key, small)
        bad = DHKeyPair(mixed.secret_key, public_key)
        initiator = NoiseHandshake(
            pattern="IK", initiator=True, dh=dh, remote_static=server.public_key,
            static=bad if mixed is static else static, ephemeral=bad if mixed is ephemeral else ephemeral,
        )  # fmt: skip
        responder = NoiseHandshake(
            pattern="IK", initiator=False, dh=dh, static=server, ephemeral=dh.generate(b"\x04" * 32)
        )
        with pytest.raises(RemoteProtocolError, match="weak point"):
            responder.read_message_untrusted(initiator.write_message(b""))


def test_libsodium_is_asked_about_a_point_of_mixed_order(monkeypatch: pytest.MonkeyPatch) -> None:
    base = bindings.crypto_scalarmult_ed25519_base_noclamp((1).to_bytes(32, "little"))
    asked: list[bytes] = []
    monkeypatch.setattr(bindings, "crypto_core_ed25519_is_valid_point", asked.append)
    assert noise.checks_order()
    assert asked == [bindings.crypto_core_ed25519_add(base, TORSION[3])]


def test_every_key_has_the_order_of_the_group() -> None:
    """Test the check that runs only if libsodium accepts points of mixed order."""
    for number in range(20):
        assert noise.has_order(Ed25519().generate(bytes([number]) * 32).public_key)


@pytest.mark.parametrize("small", TORSION, ids=range(1, 8))
def test_a_key_of_mixed_order_is_refused_on_hypercore11(small: bytes) -> None:
    dh = Ed25519()
    key = dh.generate(b"\x07" * 32).public_key
    dh.check_untrusted(key)
    for alias in (bindings.crypto_core_ed25519_add(key, small), small):
        with pytest.raises(RemoteProtocolError, match="weak point"):
            dh.check_untrusted(alias)


@pytest.mark.parametrize("small", TORSION, ids=range(1, 8))
def test_a_key_of_mixed_order_is_refused_on_hypercore9(small: bytes) -> None:
    """X25519 computes the same shared secret for it, so one secret key would prove eight public keys."""
    dh, ours = X25519(), X25519().generate(b"\x08" * 32)
    scalar = bytearray(b"\x07" * 32)
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    edwards = bindings.crypto_scalarmult_ed25519_base_noclamp(bytes(scalar))
    key = dh.generate(b"\x07" * 32).public_key
    assert key == _montgomery(edwards)
    dh.check_untrusted(key)
    alias = _montgomery(bindings.crypto_core_ed25519_add(edwards, small))
    assert alias != key
    assert dh.dh_untrusted(ours.secret_key, alias) == dh.dh_untrusted(ours.secret_key, key)
    with pytest.raises(RemoteProtocolError, match="weak point"):
        dh.check_untrusted(alias)


@pytest.mark.parametrize("bits", [PRIME, 1 << 255, PRIME | 1 << 255], ids=["prime", "highest bit", "both"])
def test_a_key_in_another_encoding_is_refused_on_hypercore9(bits: int) -> None:
    dh = X25519()
    key = 9  # the base point is small enough for every encoding
    dh.check_untrusted(key.to_bytes(32, "little"))
    with pytest.raises(RemoteProtocolError, match="weak point"):
        dh.check_untrusted((key + bits & (1 << 256) - 1).to_bytes(32, "little"))


def test_a_point_on_the_twist_is_refused_on_hypercore9() -> None:
    with pytest.raises(RemoteProtocolError, match="weak point"):
        X25519().check_untrusted((2).to_bytes(32, "little"))


@pytest.mark.parametrize("dh", [X25519(), Ed25519()], ids=["X25519", "Ed25519"])
def test_every_generated_key_is_accepted(dh: DHFunction) -> None:
    for number in range(50):
        dh.check_untrusted(dh.generate(bytes([number]) * 32).public_key)


@pytest.mark.parametrize(("dh", "point"), WEAK)
def test_weak_points_are_refused_on_arrival(dh: DHFunction, point: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="weak point"):
        dh.check_untrusted(point)
    with pytest.raises(RemoteProtocolError, match="weak point"):
        two(dh)[1].read_message_untrusted(point)


@pytest.mark.parametrize("dh", [X25519(), Ed25519()], ids=["X25519", "Ed25519"])
def test_diffie_hellman_commutes(dh: DHFunction) -> None:
    left, right = dh.generate(b"\x05" * 32), dh.generate(b"\x06" * 32)
    shared = dh.dh_untrusted(left.secret_key, right.public_key)
    assert shared == dh.dh_untrusted(right.secret_key, left.public_key)
    assert len(shared) == 32


def test_identities_are_keys_of_these_functions() -> None:
    pair = key_pair("a")
    assert X25519().generate(pair.x25519_secret_key).public_key == pair.x25519_public_key
    ed25519 = Ed25519().generate(pair.seed)
    assert (ed25519.secret_key, ed25519.public_key) == (pair.ed25519_secret_key, pair.ed25519_public_key)


def test_encryption_needs_a_key() -> None:
    state = SymmetricState(b"name")
    assert state.encrypt_and_hash(b"clear") == b"clear"
    assert SymmetricState(b"name").decrypt_and_hash_untrusted(b"clear") == b"clear"


def test_nonces_count() -> None:
    sender, receiver = SymmetricState(b"name"), SymmetricState(b"name")
    sender.mix_key(b"material")
    receiver.mix_key(b"material")
    encrypted = [sender.encrypt_and_hash(b"same") for _ in range(3)]
    assert len(set(encrypted)) == 3
    assert [receiver.decrypt_and_hash_untrusted(text) for text in encrypted] == [b"same"] * 3
    assert sender.hash == receiver.hash


def test_secrets_are_not_shown() -> None:
    assert b"\x05".hex() * 8 not in repr(X25519().generate(b"\x05" * 32))


def test_pattern_ik_matches_the_reference() -> None:
    """Compare with noise-handshake 4.2.0 with fixed keys: both messages, the hash and the keys at the end."""
    seeds, payloads, messages = ([bytes.fromhex(text) for text in HANDSHAKE[name]] for name in
                                 ("seeds", "payloads", "messages"))  # fmt: skip
    dh = Ed25519()
    client, server, client_ephemeral, server_ephemeral = map(dh.generate, seeds)
    prologue = hashlib.blake2b(
        hashlib.blake2b(b"hyperswarm/dht", digest_size=32).digest() + b"\0", digest_size=32
    ).digest()
    initiator = NoiseHandshake(
        pattern="IK", initiator=True, dh=dh, static=client, ephemeral=client_ephemeral, prologue=prologue,
        remote_static=server.public_key,
    )  # fmt: skip
    responder = NoiseHandshake(
        pattern="IK", initiator=False, dh=dh, static=server, ephemeral=server_ephemeral, prologue=prologue
    )
    assert initiator.write_message(payloads[0]) == messages[0]
    assert responder.read_message_untrusted(messages[0]) == payloads[0]
    assert responder.remote_static == client.public_key
    assert responder.write_message(payloads[1]) == messages[1]
    assert initiator.read_message_untrusted(messages[1]) == payloads[1]
    for side in (initiator, responder):
        assert side.finished
        assert side.handshake_hash.hex() == HANDSHAKE["hash"]
    assert [key.hex() for key in initiator.split()] == [HANDSHAKE["tx"], HANDSHAKE["rx"]]
    assert responder.split() == initiator.split()[::-1]


def test_hkdf_has_the_sizes_of_the_written_protocol() -> None:
    """HKDF, MixKey and Split follow rule H11-4: outputs have 64 bytes, and 32 of them are a cipher key."""
    name = b"Noise_XX_Ed25519_ChaChaPoly_BLAKE2b"
    state = SymmetricState(name)
    chaining_key = name.ljust(64, b"\0")
    assert state.hash == hashlib.blake2b(chaining_key).digest()
    state.mix_key(b"material")

    def hkdf(key: bytes, material: bytes) -> tuple[bytes, bytes]:
        secret = hmac.digest(key, material, "blake2b")
        first = hmac.digest(secret, b"\1", "blake2b")
        return first, hmac.digest(secret, first + b"\2", "blake2b")

    chaining_key, key = hkdf(chaining_key, b"material")
    for counter in range(2):
        nonce = bytes(4) + struct.pack("<Q", counter)
        hashed = state.hash
        expected = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(b"text", hashed, nonce, key[:32])
        assert state.encrypt_and_hash(b"text") == expected
    assert state.split() == tuple(output[:32] for output in hkdf(chaining_key, b""))


def test_a_shared_secret_keeps_the_sign_of_its_point() -> None:
    """Rule H11-5: if two points differ only in the sign, their shared secrets differ in the top bit."""
    dh = Ed25519()
    ours, theirs = dh.generate(bytes([1]) * 32), dh.generate(bytes([2]) * 32)
    negative = theirs.public_key[:31] + bytes([theirs.public_key[31] ^ 0x80])
    secret, other = (dh.dh_untrusted(ours.secret_key, point) for point in (theirs.public_key, negative))
    assert other == secret[:31] + bytes([secret[31] ^ 0x80])
