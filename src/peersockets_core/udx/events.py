"""What an endpoint reports to its caller, in the order in which it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from .errors import StreamReset, StreamTimedOut

if TYPE_CHECKING:
    from .stream import Stream

Address: TypeAlias = tuple[str, int]
"""Host and port. The host is an address of IPv4 or IPv6, as the socket writes it."""


@attrs.frozen
class DataReceived:
    """Bytes of the stream, in order."""

    stream: Stream
    data: bytearray
    """The receiver's to keep and change. `Stream.consume` says that it has been used up."""


@attrs.frozen
class StreamEnded:
    """The remote has ended its half: no more data follows."""

    stream: Stream


@attrs.frozen
class EndAcknowledged:
    """The remote has everything that was written, and knows that no more follows. It may go on itself."""

    stream: Stream


@attrs.frozen
class StreamClosed:
    """The stream is over: both halves have ended, or an error ended it. Its id is free again."""

    stream: Stream
    error: StreamReset | StreamTimedOut | None
    """None if both sides have ended it in good order."""


@attrs.frozen
class MessageReceived:
    """A message of its own, which had no order to keep and may have been lost or doubled."""

    stream: Stream
    data: bytes


@attrs.frozen
class WritableAgain:
    """The stream is `writable` again, after it was not."""

    stream: Stream


@attrs.frozen
class EarlyPacket:
    """A packet has come for a stream that is not connected. It is kept: connect the stream to receive it."""

    stream: Stream
    address: Address
    """Where it came from; HyperDHT's servers connect to that."""


@attrs.frozen
class AddressChanged:
    """The remote's packets come from another address than the stream sends to.

    Anybody who sees the stream's packets can bring this about: nothing has changed but for this event, and
    `Stream.change_remote` is the caller's to call.
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
