"""The events that a connection reports. They are the same on all wires."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import attrs

from .errors import Refused, RemoteProtocolError

WireName: TypeAlias = Literal["hypercore9", "hypercore11"]
"""The wire of hyperdrive 10 and Beaker, and the wire of hyperdrive 11 to 13."""


@attrs.frozen
class HandshakeCompleted:
    """The stream is encrypted and the remote has proved its public key. Always the first event."""

    wire: WireName
    """The wire of the connection."""
    remote_public_key: bytes
    """32 bytes: an X25519 key on hypercore9, an Ed25519 key on hypercore11."""
    handshake_hash: bytes
    """64 bytes, the same on both sides and unique to the connection."""


@attrs.frozen
class DriveOpened:
    """The remote has proved that it knows the key of a drive that is open here."""

    discovery_key: bytes
    """The drive's discovery key, 32 bytes."""


@attrs.frozen
class DriveClosed:
    """The remote has closed a drive that it had opened. There is no such event for drives that our side
    closes.
    """

    discovery_key: bytes
    """The drive's discovery key, 32 bytes."""


class MessagesReceived(NamedTuple):
    """Consecutive messages of one extension that is registered here, in order.

    It is a tuple for speed: if a peer sends to many topics in turn, there is one for each message.
    """

    discovery_key: bytes | None
    """The drive whose channel carried them, or None for an extension of the connection itself."""
    name: str
    """The name of the extension."""
    payloads: list[bytes]
    """The messages, unchanged."""


@attrs.frozen
class ConnectionClosed:
    """The connection has ended. Always the last event."""

    error: RemoteProtocolError | Refused | None
    """The peer's fault, or the reason for which we refuse it; None if either side closed in good order."""


Event: TypeAlias = HandshakeCompleted | DriveOpened | DriveClosed | MessagesReceived | ConnectionClosed
"""An event of a connection."""
