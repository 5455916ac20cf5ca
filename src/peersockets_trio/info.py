"""Facts that a node tells, frozen at the moment of asking."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import attrs

from peersockets_core import Address, DriveKey, WireName


@attrs.frozen
class ConnectionInfo:
    """The facts of a secured connection."""

    public_key: bytes = attrs.field(repr=lambda key: key.hex())
    """The remote's, 32 bytes, which it has proved."""
    wire: WireName
    address: Address | None
    """The remote's host and port, or None for a stream that was attached."""


@attrs.frozen(kw_only=True)
class NodeStatistics:
    """What a node has at one moment, and has done since it was opened; sizes in bytes."""

    connections: int
    """Admitted, and not ended."""
    handshaking: int
    """Not yet admitted."""
    drives: int
    """Open here, each counted once."""
    members: int
    """The memberships; a peer counts once for each drive."""
    peer_ids: int
    """The peers that have an id, present or gone; see `Limits.peer_ids`."""
    bytes_received: int
    """Read from streams, as they came: encrypted, handshakes included."""
    bytes_sent: int
    """Written to streams, likewise."""
    messages_received: int
    """Delivered to topic handles; one that goes to two handles counts twice."""
    messages_sent: int
    """Accepted for sending."""
    messages_dropped: int
    """Dropped by handles that were full."""
    unsent_bytes: int
    """Of messages that were accepted and have not left."""
    waiting_messages: int
    """Delivered, and not taken."""
    waiting_bytes: int


Authenticate: TypeAlias = Callable[[ConnectionInfo], Awaitable[object]]
"""Decides about a remote that has proved its key: returns to admit it, raises `Refused` to send it away."""


@attrs.frozen
class PeerInfo:
    """A peer that this node has met."""

    peer_id: int
    public_key: bytes = attrs.field(repr=lambda key: key.hex())
    """32 bytes, which the peer has proved."""
    wire: WireName
    address: Address | None
    """Host and port of its connection; None if it is gone, or on an attached stream."""
    drives: tuple[DriveKey, ...]
    """The drives of which it is a member now."""
    unsent: int
    """Bytes of messages that were accepted for it and have not left; those that never will are told by
    `PeerLeft`."""
