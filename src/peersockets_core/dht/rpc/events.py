"""The events of a DHT node."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from .address import Address
from .messages import Request, Response

if TYPE_CHECKING:
    from .query import Query, Reply
    from .requests import PendingRequest


@attrs.frozen
class Answered:
    """A request made with `DhtNode.request` has been answered, perhaps with an error."""

    request: PendingRequest
    response: Response


@attrs.frozen
class TimedOut:
    """A request made with `DhtNode.request` was not answered."""

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
    """A remote asks something that dht-rpc itself does not answer.

    Answer it with `DhtNode.reply`, or not at all. A token that it carries has been checked.
    """

    request: Request
    source: Address
    id: bytes | None
    """The remote's node id, where it has one and proves it by its address."""


@attrs.frozen
class AddressChanged:
    """Most remotes see us at another address than before."""

    host: str | None
    port: int
    """0 where it is unknown, or not the same for all remotes."""


@attrs.frozen
class Bootstrapped:
    """The first look around has ended: the table holds the nodes near us, if there are any."""


@attrs.frozen
class BecamePersistent:
    """We have an id from now on, so that others put us into their tables."""

    id: bytes


DhtEvent: TypeAlias = (
    Answered
    | TimedOut
    | QueryReplied
    | QueryFinished
    | RequestReceived
    | AddressChanged
    | Bootstrapped
    | BecamePersistent
)
