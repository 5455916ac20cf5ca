"""What a connection tells: the few events in which all wires meet."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import attrs

from .errors import Refused, RemoteProtocolError

WireName: TypeAlias = Literal["hypercore9", "hypercore11"]
"""The wire of hyperdrive 10 and Beaker, and the wire of hyperdrive 11 to 13."""


@attrs.frozen
class HandshakeCompleted:
    """The stream is secured and the remote has proved its public key. Always the first event."""

    wire: WireName
    remote_public_key: bytes
    """32 bytes: X25519 on hypercore9."""
    handshake_hash: bytes
    """64 bytes, the same on both sides and unique to the connection."""


@attrs.frozen
class DriveOpened:
    """The remote has proved that it knows the key of a drive that is open here."""

    discovery_key: bytes


@attrs.frozen
class DriveClosed:
    """The remote closed a drive that it had opened. Not emitted for what our side closes."""

    discovery_key: bytes


class MessagesReceived(NamedTuple):
    """Consecutive messages of one extension that is registered here, in order.

    A tuple because there is one for each message where many topics are spoken to in turn.
    """

    discovery_key: bytes | None
    """The drive whose channel carried them, or None for an extension of the connection itself."""
    name: str
    payloads: list[bytes]


@attrs.frozen
class ConnectionClosed:
    """The connection has ended. Always the last event."""

    error: RemoteProtocolError | Refused | None
    """What the peer did wrong, or why we do not want it; None where either side closed in good order."""


Event: TypeAlias = HandshakeCompleted | DriveOpened | DriveClosed | MessagesReceived | ConnectionClosed
