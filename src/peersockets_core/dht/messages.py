"""The messages that HyperDHT puts into the values of requests and responses, and their codecs.

Source: hyperdht 6.34.0, `lib/messages.js` and `lib/constants.js`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import attrs

from ..address import SocketAddress
from ..errors import RemoteProtocolError
from ..holepunch.nat import Firewall
from ..wires.hypercore11.encoding import encode_buffer, encode_uint
from .rpc.address import ADDRESS_SIZE, encode_address
from .rpc.reader import Reader

VERSION: Final = 1
"""The version of the handshake's payload, and of its parts about UDX and the secret stream."""

MOST_RELAYS: Final = 3
"""The most relay addresses in a peer record."""

MOST_PEERS: Final = 20
"""The most peer records in one answer."""

_MOST_ADDRESSES: Final = 16  # in a list of a handshake; a host has fewer interfaces
_KEY_SIZE: Final = 32
_SIGNATURE_SIZE: Final = 64
_RELAY_THROUGH: Final = bytes((VERSION, 0))  # the version of an offer, and its flags


class HyperDhtCommand(IntEnum):
    """The commands of HyperDHT."""

    PEER_HANDSHAKE = 0
    PEER_HOLEPUNCH = 1
    FIND_PEER = 2
    LOOKUP = 3
    ANNOUNCE = 4
    UNANNOUNCE = 5
    MUTABLE_PUT = 6
    MUTABLE_GET = 7
    IMMUTABLE_PUT = 8
    IMMUTABLE_GET = 9


class HyperDhtErrorCode(IntEnum):
    """The errors of HyperDHT's answers, besides those of dht-rpc."""

    SEQ_REUSED = 16
    SEQ_TOO_LOW = 17


class HandshakeError(IntEnum):
    """The reason why a server stops after the handshake."""

    NONE = 0
    ABORTED = 1
    VERSION_MISMATCH = 2
    TRY_LATER = 3


class RelayMode(IntEnum):
    """The hop that a relayed message is on."""

    FROM_CLIENT = 0
    FROM_SERVER = 1
    FROM_RELAY = 2
    FROM_SECOND_RELAY = 3
    REPLY = 4


@attrs.frozen
class Peer:
    """A peer record: a public key, and nodes that relay handshakes to its owner."""

    public_key: bytes
    relays: tuple[SocketAddress, ...] = ()

    def encode(self) -> bytes:
        """Return the encoded bytes."""
        return self.public_key + _encode_addresses(self.relays)


@attrs.frozen
class Announcement:
    """The value of ANNOUNCE and UNANNOUNCE."""

    peer: Peer | None
    signature: bytes | None
    refresh: bytes | None = None
    bump: int = 0

    def encode(self) -> bytes:
        """Return the encoded bytes."""
        flags = (
            (self.peer is not None)
            | (self.refresh is not None) << 1
            | (self.signature is not None) << 2
            | bool(self.bump) << 3
        )
        return b"".join(
            (
                bytes((flags,)),
                b"" if self.peer is None else self.peer.encode(),
                self.refresh or b"",
                self.signature or b"",
                encode_uint(self.bump) if self.bump else b"",
            )
        )


@attrs.frozen
class MutableValue:
    """A value that the owner of its key may replace by one with a larger `seq`."""

    seq: int
    value: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Return the encoded bytes: the answer to MUTABLE_GET, or the value of MUTABLE_PUT without its
        key.
        """
        return encode_uint(self.seq) + encode_buffer(self.value) + self.signature


@attrs.frozen
class RelayedHandshake:
    """The value of PEER_HANDSHAKE."""

    mode: int
    noise: bytes
    peer_address: SocketAddress | None = None
    """The address of the other end, as the relay sees it."""
    relay_address: SocketAddress | None = None

    def encode(self) -> bytes:
        """Return the encoded bytes."""
        flags = (self.peer_address is not None) | (self.relay_address is not None) << 1
        return b"".join(
            (
                bytes((flags,)),
                encode_uint(self.mode),
                encode_buffer(self.noise),
                b"" if self.peer_address is None else encode_address(self.peer_address),
                b"" if self.relay_address is None else encode_address(self.relay_address),
            )
        )


@attrs.frozen
class RelayedHolepunch:
    """The value of PEER_HOLEPUNCH."""

    mode: int
    id: int
    payload: bytes
    peer_address: SocketAddress | None = None

    def encode(self) -> bytes:
        """Return the encoded bytes."""
        flags = self.peer_address is not None
        peer = b"" if self.peer_address is None else encode_address(self.peer_address)
        return (
            bytes((flags,))
            + encode_uint(self.mode)
            + encode_uint(self.id)
            + encode_buffer(self.payload)
            + peer
        )


@attrs.frozen
class HolepunchInfo:
    """A server's offer to punch: the number of its handshake, and its relays with its address at each."""

    id: int
    relays: tuple[tuple[SocketAddress, SocketAddress], ...]
    """Pairs of a relay's address, and the server's address as that relay sees it."""


@attrs.frozen
class UdxInfo:
    """The UDX stream that one side of a handshake has opened."""

    id: int
    reusable_socket: bool = False
    version: int = VERSION


@attrs.frozen
class RelayThrough:
    """A blind relay at which the sender of a handshake waits for the other side."""

    public_key: bytes
    """The relay's key, which both sides dial."""
    token: bytes = attrs.field(repr=False)
    """The name of the pairing, which only the two sides and the relay know."""


@attrs.frozen
class HandshakePayload:
    """The encrypted payload of a handshake message; it has the same form in both directions."""

    firewall: int
    error: int = HandshakeError.NONE
    holepunch: HolepunchInfo | None = None
    addresses: tuple[SocketAddress, ...] = ()
    """The sender's addresses: its public address if it is open, then its local ones."""
    udx: UdxInfo | None = None
    secret_stream: int | None = VERSION
    relays: tuple[SocketAddress, ...] = ()
    """The relays at which the sender announces itself."""
    relay_through: RelayThrough | None = None
    """The blind relay that the sender offers."""
    version: int = VERSION

    def encode(self) -> bytes:
        """Return the encoded bytes."""
        flags = (
            (self.holepunch is not None)
            | bool(self.addresses) << 1
            | (self.udx is not None) << 3
            | (self.secret_stream is not None) << 4
            | (self.relay_through is not None) << 5
            | bool(self.relays) << 6
        )
        parts = [
            encode_uint(self.version),
            encode_uint(flags),
            encode_uint(self.error),
            encode_uint(self.firewall),
        ]
        if self.holepunch is not None:
            parts += (encode_uint(self.holepunch.id), encode_uint(len(self.holepunch.relays)))
            parts += (encode_address(at) for pair in self.holepunch.relays for at in pair)
        if self.addresses:
            parts.append(_encode_addresses(self.addresses))
        if self.udx is not None:
            parts += map(encode_uint, (self.udx.version, self.udx.reusable_socket, self.udx.id, 0))
        if self.secret_stream is not None:
            parts.append(encode_uint(self.secret_stream))
        if self.relay_through is not None:
            parts += (_RELAY_THROUGH, self.relay_through.public_key, self.relay_through.token)
        if self.relays:
            parts.append(_encode_addresses(self.relays))
        return b"".join(parts)


def encode_peers(records: list[bytes], bump: int = 0) -> bytes:
    """Return the answer to LOOKUP: encoded peer records, and the time of the topic's last bump."""
    return encode_uint(len(records)) + b"".join(records) + encode_uint(bump)


def decode_peer_untrusted(value: bytes) -> Peer:
    """Read a peer record. Raises only `RemoteProtocolError`."""
    return _peer_untrusted(Reader(value))


def decode_peers_untrusted(value: bytes) -> list[Peer]:
    """Read the answer to LOOKUP; records past the first `MOST_PEERS` are left out. Raises only
    `RemoteProtocolError`.
    """
    reader = Reader(value)
    return [_peer_untrusted(reader) for _ in range(min(reader.uint_untrusted(), MOST_PEERS))]


def decode_announcement_untrusted(value: bytes) -> Announcement:
    """Read the value of ANNOUNCE or UNANNOUNCE. Raises only `RemoteProtocolError`."""
    reader = Reader(value)
    flags = reader.uint_untrusted()
    peer = _peer_untrusted(reader) if flags & 1 else None
    refresh = reader.fixed_untrusted(_KEY_SIZE) if flags & 2 else None
    signature = reader.fixed_untrusted(_SIGNATURE_SIZE) if flags & 4 else None
    return Announcement(peer, signature, refresh, reader.uint_untrusted() if flags & 8 else 0)


def decode_mutable_put_untrusted(value: bytes) -> tuple[bytes, MutableValue]:
    """Read the value of MUTABLE_PUT: the key, and the value that it signs. Raises only
    `RemoteProtocolError`.
    """
    reader = Reader(value)
    return reader.fixed_untrusted(_KEY_SIZE), _mutable_untrusted(reader)


def decode_mutable_untrusted(value: bytes) -> MutableValue:
    """Read the answer to MUTABLE_GET. Raises only `RemoteProtocolError`."""
    return _mutable_untrusted(Reader(value))


def decode_seq_untrusted(value: bytes) -> int:
    """Read the value of MUTABLE_GET: the smallest `seq` of interest. Raises only `RemoteProtocolError`."""
    return Reader(value).uint_untrusted()


def decode_handshake_untrusted(value: bytes) -> RelayedHandshake:
    """Read the value of PEER_HANDSHAKE. Raises only `RemoteProtocolError`."""
    reader = Reader(value)
    flags = reader.uint_untrusted()
    mode, noise = reader.uint_untrusted(), reader.buffer_untrusted()
    peer_address = reader.address_untrusted() if flags & 1 else None
    return RelayedHandshake(mode, noise, peer_address, reader.address_untrusted() if flags & 2 else None)


def decode_holepunch_untrusted(value: bytes) -> RelayedHolepunch:
    """Read the value of PEER_HOLEPUNCH. Raises only `RemoteProtocolError`."""
    reader = Reader(value)
    flags = reader.uint_untrusted()
    mode, id, payload = reader.uint_untrusted(), reader.uint_untrusted(), reader.buffer_untrusted()
    return RelayedHolepunch(mode, id, payload, reader.address_untrusted() if flags & 1 else None)


def decode_payload_untrusted(data: bytes) -> HandshakePayload:
    """Read the payload of a handshake message. If it has another version, only the version is read.

    Raises only `RemoteProtocolError`.
    """
    reader = Reader(data)
    version = reader.uint_untrusted()
    if version != VERSION:
        return HandshakePayload(Firewall.UNKNOWN, version=version, secret_stream=None)
    flags, error, firewall = reader.uint_untrusted(), reader.uint_untrusted(), reader.uint_untrusted()
    holepunch = _holepunch_info_untrusted(reader) if flags & 1 else None
    addresses = reader.addresses_untrusted(_MOST_ADDRESSES) if flags & 2 else ()
    if flags & 4:  # IPv6 addresses, which no implementation uses yet
        reader.fixed_untrusted(18 * reader.uint_untrusted())
    udx = _udx_untrusted(reader) if flags & 8 else None
    secret_stream = reader.uint_untrusted() if flags & 16 else None
    relay_through = _relay_through_untrusted(reader) if flags & 32 else None
    relays = reader.addresses_untrusted(_MOST_ADDRESSES) if flags & 64 else ()
    return HandshakePayload(
        firewall, error, holepunch, addresses, udx, secret_stream, relays, relay_through, version
    )


def _peer_untrusted(reader: Reader) -> Peer:
    return Peer(reader.fixed_untrusted(_KEY_SIZE), reader.addresses_untrusted(MOST_RELAYS))


def _mutable_untrusted(reader: Reader) -> MutableValue:
    return MutableValue(
        reader.uint_untrusted(), reader.buffer_untrusted(), reader.fixed_untrusted(_SIGNATURE_SIZE)
    )


def _holepunch_info_untrusted(reader: Reader) -> HolepunchInfo:
    id, count = reader.uint_untrusted(), reader.uint_untrusted()
    if reader.left < 2 * ADDRESS_SIZE * count:
        raise RemoteProtocolError("a handshake ends within its relays")
    pairs = [(reader.address_untrusted(), reader.address_untrusted()) for _ in range(count)]
    return HolepunchInfo(id, tuple(pairs[:_MOST_ADDRESSES]))


def _udx_untrusted(reader: Reader) -> UdxInfo:
    version, features, id = (reader.uint_untrusted() for _ in range(3))
    reader.uint_untrusted()  # the first sequence number, which the reference also ignores
    return UdxInfo(id, bool(features & 1), version)


def _relay_through_untrusted(reader: Reader) -> RelayThrough | None:
    """Read the offer of a blind relay; one of another version is none to us."""
    version = reader.uint_untrusted()
    reader.uint_untrusted()  # flags without a meaning
    public_key, token = (reader.fixed_untrusted(_KEY_SIZE) for _ in range(2))
    return RelayThrough(public_key, token) if version == VERSION else None


def _encode_addresses(addresses: tuple[SocketAddress, ...]) -> bytes:
    return encode_uint(len(addresses)) + b"".join(map(encode_address, addresses))
