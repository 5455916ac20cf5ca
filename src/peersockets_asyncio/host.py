"""`NodeHost`: the part of a node that its streams and handles use."""

from __future__ import annotations

import asyncio
from typing import Protocol, TypeVar

from peersockets_core import Connection, Event, Limits, Peersockets, WireName
from peersockets_core.info import ConnectionInfo, PeerInfo

StreamT = TypeVar("StreamT")
"""The class of the streams: `StreamProtocol`, which is a layer above."""


class Wakeable(Protocol):
    """The owner of a handle of the core."""

    def wake(self) -> None:
        """Note that the handle has something to take."""


class NodeHost(Protocol[StreamT]):
    """The attributes and methods of a node that its streams and handles use."""

    loop: asyncio.AbstractEventLoop
    limits: Limits
    machine: Peersockets[StreamT, Wakeable]

    def make_connection(
        self, stream: StreamT, wire: WireName | None, initiator: bool, expect: bytes | None
    ) -> Connection[StreamT]:
        """Make the connection of a stream, and make room for it if there are too many."""

    def receive_events(self, connection: Connection[StreamT], events: list[Event]) -> None:
        """Hand the events of a connection to the machine."""

    def remove(self, stream: StreamT, reason: str, unsent: int) -> None:
        """Remove a stream that has ended."""

    async def decide(self, info: ConnectionInfo) -> None:
        """Ask the application whether to admit a remote. Raises `Refused`."""

    async def until_rerouted(self) -> None:
        """Wait until the routes to peers have changed."""

    def flush(self) -> None:
        """Write the output of all connections, after a command that concerns all of them."""

    def peer(self, peer_id: int) -> PeerInfo:
        """Return the facts about a peer. Raises `UnknownPeer`."""
