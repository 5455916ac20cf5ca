"""The events that an endpoint reports to its caller, in the order of their occurrence."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from .errors import StreamReset, StreamTimedOut

if TYPE_CHECKING:
    from .stream import Stream

Address: TypeAlias = tuple[str, int]
"""Host and port. The host is an IPv4 or IPv6 address in the form that the socket uses."""


@attrs.frozen
class DataReceived:
    """Bytes of the stream, in order."""

    stream: Stream
    data: bytearray
    """The caller may keep and change it, and calls `Stream.consume` once it has used it up."""


@attrs.frozen
class StreamEnded:
    """The remote has ended its half: no more data follows."""

    stream: Stream


@attrs.frozen
class EndAcknowledged:
    """The remote has received everything that was written, and our END. It may still send data itself."""

    stream: Stream


@attrs.frozen
class StreamClosed:
    """The stream is over: both halves have ended, or an error ended it. Its id is free again."""

    stream: Stream
    error: StreamReset | StreamTimedOut | None
    """None if both sides ended it in good order."""


@attrs.frozen
class MessageReceived:
    """An unreliable message: messages can be lost, duplicated and reordered."""

    stream: Stream
    data: bytes


@attrs.frozen
class WritableAgain:
    """The stream has become `writable` again."""

    stream: Stream


@attrs.frozen
class EarlyPacket:
    """A packet has arrived for a stream that is not connected. The endpoint keeps it; the stream receives it
    after `Stream.connect`.
    """

    stream: Stream
    address: Address
    """The sender's address; HyperDHT's servers connect to it."""


@attrs.frozen
class AddressChanged:
    """The remote's packets come from a different address than the one that the stream sends to.

    Anyone who sees the stream's packets can cause this event. The stream therefore keeps its address until
    the caller calls `Stream.change_remote`.
    """

    stream: Stream
    address: Address


Event: TypeAlias = (
    DataReceived
    | StreamEnded
    | EndAcknowledged
    | StreamClosed
    | MessageReceived
    | WritableAgain
    | EarlyPacket
    | AddressChanged
)
