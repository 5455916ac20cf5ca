"""The errors that end a stream: the remote has reset it, or is silent."""

from __future__ import annotations

from ..errors import RemoteProtocolError


class StreamReset(RemoteProtocolError):
    """The remote has destroyed the stream."""

    def __init__(self) -> None:
        super().__init__("udx: the remote has destroyed the stream")


class StreamTimedOut(RemoteProtocolError):
    """The remote has been silent for too long."""

    def __init__(self) -> None:
        super().__init__("udx: the remote has not answered for too long")
