"""The events of a DHT node."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from ...address import SocketAddress
from .messages import RpcRequest, RpcResponse
from .requests import Socket

if TYPE_CHECKING:
    from .query import Query, Reply
    from .requests import PendingRequest


@attrs.frozen
class Answered:
    """A node has answered a request that `DhtNode.request` made, perhaps with an error."""

    request: PendingRequest
    response: RpcResponse


@attrs.frozen
class TimedOut:
    """No node has answered a request that `DhtNode.request` made."""

    request: PendingRequest


@attrs.frozen
class QueryReplied:
    """A node has answered a query without an error."""

    query: Query
    reply: Reply


@attrs.frozen
class QueryFinished:
    """A query has ended: its `closest_replies`, `successes`, `errors` and `confirmed` are final."""

    query: Query


@attrs.frozen
class RequestReceived:
    """A remote has sent a request that dht-rpc itself does not answer.

    The caller answers it with `DhtNode.reply`, or not at all. If it carries a token, the token is valid.
    """

    request: RpcRequest
    source: SocketAddress
    id: bytes | None
    """The remote's node id, if it has one that matches its address."""
    socket: int = Socket.MAIN
    """The socket at which it has arrived."""


@attrs.frozen
class AddressChanged:
    """Most remotes now see us at a different address."""

    host: str | None
    port: int
    """0 if it is unknown, or differs between remotes."""


@attrs.frozen
class Bootstrapped:
    """The first search has ended: the table holds the nodes near us, if there are any."""


@attrs.frozen
class BecamePersistent:
    """The node has an id from now on, so that others put it into their tables."""

    id: bytes


@attrs.frozen
class NetworkChanged:
    """Our network may have changed: the computer was asleep, others answer again after a silence, or the
    application has said so. Records that others keep for us may be lost.
    """


@attrs.frozen
class BecameEphemeral:
    """The node no longer has an id: our address has changed, or the computer was asleep, so others cannot
    rely on us.
    """


@attrs.frozen
class ReachabilityChanged:
    """A test has shown that strangers can reach our main socket, or this is no longer known."""

    address: SocketAddress | None
    """The address at which they reach us, or None if it is no longer known."""


DhtEvent: TypeAlias = (
    Answered
    | TimedOut
    | QueryReplied
    | QueryFinished
    | RequestReceived
    | AddressChanged
    | Bootstrapped
    | BecamePersistent
    | NetworkChanged
    | BecameEphemeral
    | ReachabilityChanged
)
