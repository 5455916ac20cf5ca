"""The events that an endpoint reports to its caller, in the order of their occurrence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeAlias

import attrs

from ..address import PathAddress
from .errors import StreamReset, StreamTimedOut

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T_co = TypeVar("T_co", default=object, covariant=True)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)

Address: TypeAlias = PathAddress
"""Host and port, and the number of the local socket if it is not the main one. The host is an IPv4 or IPv6
address in the form that the socket uses."""


@attrs.frozen
class DataReceived(Generic[T_co]):
    """Bytes of the stream, in order."""

    stream: T_co
    data: bytearray
    """The caller may keep and change it, and calls `Stream.consume` once it has used it up."""


@attrs.frozen
class StreamEnded(Generic[T_co]):
    """The remote has ended its half: no more data follows."""

    stream: T_co


@attrs.frozen
class EndAcknowledged(Generic[T_co]):
    """The remote has received everything that was written, and our END. It may still send data itself."""

    stream: T_co


@attrs.frozen
class StreamClosed(Generic[T_co]):
    """The stream is over: both halves have ended, or an error ended it. Its id is free again."""

    stream: T_co
    error: StreamReset | StreamTimedOut | None
    """None if both sides ended it in good order."""


@attrs.frozen
class MessageReceived(Generic[T_co]):
    """An unreliable message: messages can be lost, duplicated and reordered."""

    stream: T_co
    data: bytes


@attrs.frozen
class WritableAgain(Generic[T_co]):
    """The stream has become `writable` again."""

    stream: T_co


@attrs.frozen
class EarlyPacket(Generic[T_co]):
    """A packet has arrived for a stream that is not connected. The endpoint keeps it; the stream receives it
    after `Stream.connect`.
    """

    stream: T_co
    address: Address
    """The sender's address; HyperDHT's servers connect to it."""


@attrs.frozen
class AddressChanged(Generic[T_co]):
    """The remote's packets come from a different address than the one that the stream sends to.

    Anyone who sees the stream's packets can cause this event. The stream therefore keeps its address until
    the caller calls `Stream.change_remote`.
    """

    stream: T_co
    address: Address


@attrs.frozen
class AddressConfirmed(Generic[T_co]):
    """The remote's packets come from the address that the stream sends to, after they came from another
    one. This follows `Stream.change_remote`, once the remote sends along the same path.
    """

    stream: T_co


Event: TypeAlias = (
    DataReceived[T_co]
    | StreamEnded[T_co]
    | EndAcknowledged[T_co]
    | StreamClosed[T_co]
    | MessageReceived[T_co]
    | WritableAgain[T_co]
    | EarlyPacket[T_co]
    | AddressChanged[T_co]
    | AddressConfirmed[T_co]
)
