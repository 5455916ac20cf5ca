"""Facts about a node, its connections and its peers, frozen at the moment of the call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import attrs

from .address import Address
from .events import WireName
from .keys import DriveKey


@attrs.frozen
class ConnectionInfo:
    """The facts of an encrypted connection, as `connect_tcp` returns them and `authenticate` gets them."""

    public_key: bytes = attrs.field(repr=lambda key: key.hex())
    """The remote's 32-byte public key, which it has proved."""
    wire: WireName
    """The wire that it speaks on this connection."""
    address: Address | None
    """The remote's host and port, or None for a stream that was attached."""


@attrs.frozen(kw_only=True)
class NodeStatistics:
    """Counters of a node: its state at one moment, and its work since it was opened. Sizes are in bytes."""

    connections: int
    """Connections that are admitted and have not ended."""
    handshaking: int
    """Connections that are not admitted yet."""
    drives: int
    """Drives that are open here, each counted once."""
    members: int
    """The memberships; a peer counts once for each drive."""
    peer_ids: int
    """The peers that have an id, present or gone; see `Limits.peer_ids`."""
    bytes_received: int
    """Bytes read from streams: encrypted, including handshakes."""
    bytes_sent: int
    """Bytes written to streams: encrypted, including handshakes."""
    messages_received: int
    """Messages delivered to topic handles. A message for two handles counts twice."""
    messages_sent: int
    """Messages accepted for sending."""
    messages_dropped: int
    """Messages dropped by full handles."""
    unsent_bytes: int
    """Bytes of messages that were accepted but have not left."""
    waiting_messages: int
    """Messages delivered to handles, but not received by the application."""
    waiting_bytes: int
    """The sum of their payloads."""


Authenticate: TypeAlias = Callable[[ConnectionInfo], Awaitable[object]]
"""A function that decides about a remote that has proved its key. It returns to admit the remote, or raises
`Refused`."""


@attrs.frozen
class PeerInfo:
    """A peer that this node has met, as `Drive.peers` and `Node.peer` show it."""

    peer_id: int
    """The number to send to."""
    public_key: bytes = attrs.field(repr=lambda key: key.hex())
    """The peer's 32-byte public key, which it has proved."""
    wire: WireName
    """The wire on which it was met."""
    address: Address | None
    """The host and port of its connection; None if it is gone, or on an attached stream."""
    drives: tuple[DriveKey, ...]
    """The drives of which it is currently a member."""
    unsent: int
    """Bytes of messages that were accepted for it but have not left. `PeerLeft` reports those that
    never leave."""
