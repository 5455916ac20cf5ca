"""The worked examples of the protocol, computed again: our code makes the bytes that the reference sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from core import recorded
from core.support import KEY
from peersockets_core import DEFAULT_LIMITS, KeyPair
from peersockets_core.crypto.noise import X25519, DHFunction, DHKeyPair, Ed25519, NoiseHandshake
from peersockets_core.crypto.sodium import XSalsa20
from peersockets_core.dht.messages import HyperDhtCommand
from peersockets_core.dht.rpc.address import encode_address, node_id
from peersockets_core.dht.signing import namespace as dht_namespace
from peersockets_core.outbox import Outbox
from peersockets_core.wires.hypercore9.messages import NoisePayload, encode
from peersockets_core.wires.hypercore11.alpha import ALIASES, Core, ExtensionSender, capability
from peersockets_core.wires.hypercore11.encoding import encode_buffer
from peersockets_core.wires.hypercore11.protomux import Channel, Mux
from peersockets_core.wires.hypercore11.secret_stream import SecretStream, namespace
from peersockets_core.wires.keys import Keys

_HASH: Final = bytes([0x11]) * 64
_KEYS: Final = Keys(bytes(32), bytes(32), _HASH, bytes(32))


def keys() -> dict[str, bytes]:
    pair = KeyPair.from_seed(recorded.SEEDS["A"])
    return {
        "seed": pair.seed,
        "its X25519 public key": pair.x25519_public_key,
        "its Ed25519 public key": pair.ed25519_public_key,
        "drive key": recorded.DRIVE_KEY.public_key,
        "its discovery key": recorded.DRIVE_KEY.discovery_key,
    }


def _handshaken(
    dh: DHFunction, statics: dict[str, DHKeyPair], payloads: dict[str, bytes]
) -> tuple[list[bytes], NoiseHandshake]:
    """The three messages of a handshake, and A's side after it."""
    sides = {
        side: NoiseHandshake(
            initiator=side == "A",
            dh=dh,
            static=statics[side],
            ephemeral=dh.generate(recorded.EPHEMERAL_SECRETS[side]),
        )
        for side in "AB"
    }
    written = []
    for writer, reader in recorded.WAYS:
        message = sides[writer].write_message(payloads[writer])
        sides[reader].read_message_untrusted(message)
        written.append(message)
    return written, sides["A"]


def _recorded_handshake() -> tuple[list[bytes], NoiseHandshake]:
    pairs = {side: KeyPair.from_seed(seed) for side, seed in recorded.SEEDS.items()}
    statics = {
        side: DHKeyPair(pair.x25519_secret_key, pair.x25519_public_key) for side, pair in pairs.items()
    }
    payloads = {side: encode(NoisePayload(nonce)) for side, nonce in recorded.NONCES.items()}
    messages, side = _handshaken(X25519(), statics, payloads)
    written = [bytes([len(message)]) + message for message in messages]
    assert written == [chunk for _, chunk in recorded.CHUNKS[:3]]
    return written, side


def hypercore9_handshake() -> dict[str, bytes]:
    (first, second, third), side = _recorded_handshake()
    sending, receiving = side.split()
    return {
        "A, length": first[:1],
        "A, ephemeral key": first[1:33],
        "A, payload": first[33:],
        "B, length": second[:1],
        "A, second length": third[:1],
        "handshake hash": side.handshake_hash,
        "A sends with key": sending,
        "B sends with key": receiving,
    }


_SESSION: Final = [
    "A, Open on channel 1",
    "B, Open on channel 1",
    "A, Options: its names",
    'A, chat: "hello"',
    'A, zzz: "not registered there"',
    'A, chat: "again"',
    "A, Status on channel 1",
    "A, Want on channel 1",
    "A, keepalive",
    "B, Options: its names",
    'B, chat: "hi"',
    "A, Close on channel 1",
    "B, Close on channel 1",
]


def hypercore9_session() -> dict[str, bytes]:
    _, side = _recorded_handshake()
    keys = dict(zip("AB", side.split(), strict=True))
    streams = {side: XSalsa20(keys[side], recorded.NONCES[side]) for side in "AB"}
    plain = [(side, bytes(streams[side].apply(chunk))) for side, chunk in recorded.CHUNKS[3:]]
    assert [label[0] for label in _SESSION] == [side for side, _ in plain]
    return {label: chunk for label, (_, chunk) in zip(_SESSION, plain, strict=True)}


def hypercore11_handshake() -> dict[str, bytes]:
    dh = Ed25519()
    statics = {side: dh.generate(seed) for side, seed in recorded.SEEDS.items()}
    messages, side = _handshaken(dh, statics, {"A": b"", "B": b""})
    first, second, third = (len(message).to_bytes(3, "little") + message for message in messages)
    sending, receiving = side.split()
    ours, theirs = (dh.generate(recorded.EPHEMERAL_SECRETS[side]) for side in "AB")
    return {
        "DH of the ephemeral keys": dh.dh_untrusted(ours.secret_key, theirs.public_key),
        "A, first frame": first,
        "B, second frame": second,
        "A, third frame": third,
        "handshake hash": side.handshake_hash,
        "A sends with key": sending,
        "B sends with key": receiving,
    }


def hypercore11_stream() -> dict[str, bytes]:
    initiator, responder = namespace(b"hyperswarm/secret-stream", 2)
    ids = [
        b"".join(SecretStream(initiator=role, entropy=bytes, keys=_KEYS).output)[3:35]
        for role in (True, False)
    ]
    return {
        "constant, initiator": initiator,
        "constant, responder": responder,
        "stream id of initiator": ids[0],
        "stream id of responder": ids[1],
    }


class _Handler:
    def opened_untrusted(self, handshake: bytes) -> None: ...
    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None: ...
    def closed(self) -> None: ...


def _mux() -> Mux:
    limits = DEFAULT_LIMITS
    return Mux(
        limits=limits, outbox=Outbox(limit=limits.send_buffer, reply_limit=limits.replies), aliases=ALIASES
    )


def _opened() -> tuple[Mux, Channel]:
    mux = _mux()
    channel = mux.open("p", b"id", b"", _Handler())
    mux.receive_untrusted(bytes.fromhex("0001010170026964"))
    mux.take_messages()
    return mux, channel


def protomux() -> dict[str, bytes]:
    opening = _mux()
    opening.open("p", b"id", b"hand", _Handler())
    opening.open("q", b"", b"", _Handler())
    rejecting = _mux()
    rejecting.receive_untrusted(b"\0\x01\x01" + encode_buffer(b"nobody") + encode_buffer(b""))
    rejecting.receive_untrusted(b"\0\x01\x02" + encode_buffer(b"z") + encode_buffer(b""))
    sending, channel = _opened()
    sending.send(channel, 0, b"x")
    sending.send(channel, 1, b"y")
    closing, closed = _opened()
    closing.send(closed, 0, b"x")
    closing.close(closed)
    shown = {
        "Open of p as number 1, of q as 2": opening,
        "Reject of numbers 1 and 2": rejecting,
        'types 0 "x" and 1 "y" on channel 1': sending,
        'type 0 "x" on channel 1, its Close': closing,
    }
    return {label: _messages(mux) for label, mux in shown.items()}


def _messages(mux: Mux) -> bytes:
    return b"".join(b"".join(chunks) for _, chunks in mux.take_messages())


def hypercore11_drive() -> dict[str, bytes]:
    mux = _mux()
    core = Core(mux, _KEYS, KEY, initiator=True, limits=DEFAULT_LIMITS, events=[])
    offer = _messages(mux)
    theirs = capability(_KEYS, KEY.public_key, initiator=False)
    names = encode_buffer(b"hypercore/alpha") + encode_buffer(KEY.discovery_key)
    mux.receive_untrusted(b"\0\x01\x01" + names + b"\0" + theirs)
    sync = _messages(mux)
    chat = ExtensionSender(mux, core, "peersockets/v0/chat")
    chat.send(b"hello")
    chat.send(b"again")
    return {
        "drive key": KEY.public_key,
        "its discovery key": KEY.discovery_key,
        "capability, initiator": capability(_KEYS, KEY.public_key, initiator=True),
        "capability, responder": theirs,
        "Open, in a batch": offer,
        "Sync, in a batch": sync,
        '"hello" and "again"': _messages(mux),
    }


def dht() -> dict[str, bytes]:
    address = ("127.0.0.1", 49737)
    return {
        "the address 127.0.0.1:49737": encode_address(address),
        "the id of a node there": node_id(address),
        "namespace of PEER_HANDSHAKE": dht_namespace(HyperDhtCommand.PEER_HANDSHAKE),
        "namespace of ANNOUNCE": dht_namespace(HyperDhtCommand.ANNOUNCE),
        "namespace of UNANNOUNCE": dht_namespace(HyperDhtCommand.UNANNOUNCE),
        "namespace of MUTABLE_PUT": dht_namespace(HyperDhtCommand.MUTABLE_PUT),
    }


WORKED: Final[dict[str, Callable[[], dict[str, bytes]]]] = {
    "keys": keys,
    "hypercore9 handshake": hypercore9_handshake,
    "hypercore9 session": hypercore9_session,
    "hypercore11 handshake": hypercore11_handshake,
    "hypercore11 stream": hypercore11_stream,
    "protomux": protomux,
    "hypercore11 drive": hypercore11_drive,
    "dht": dht,
}
