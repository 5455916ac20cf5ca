"""`NodeHost`: the part of a node that its links and handles use."""

from __future__ import annotations

import asyncio
from typing import Protocol, TypeVar

from peersockets_core import Connection, Event, Limits, Peersockets, WireName
from peersockets_core.info import ConnectionInfo, PeerInfo

LinkT = TypeVar("LinkT")
"""The class of the links: `Link`, which is a layer above."""


class Wakeable(Protocol):
    """The owner of a handle of the core."""

    def wake(self) -> None:
        """Note that the handle has something to take."""


class NodeHost(Protocol[LinkT]):
    """The attributes and methods of a node that its links and handles use."""

    loop: asyncio.AbstractEventLoop
    limits: Limits
    machine: Peersockets[LinkT, Wakeable]

    def make_connection(
        self, link: LinkT, wire: WireName | None, initiator: bool, expect: bytes | None
    ) -> Connection[LinkT]:
        """Make the connection of a link, and make room for it if there are too many."""

    def receive_events(self, connection: Connection[LinkT], events: list[Event]) -> None:
        """Hand the events of a connection to the machine."""

    def remove(self, link: LinkT, reason: str, unsent: int) -> None:
        """Remove a link that has ended."""

    async def decide(self, info: ConnectionInfo) -> None:
        """Ask the application whether to admit a remote. Raises `Refused`."""

    async def until_rerouted(self) -> None:
        """Wait until the routes to peers have changed."""

    def flush(self) -> None:
        """Write the output of all connections, after a command that concerns all of them."""

    def peer(self, peer_id: int) -> PeerInfo:
        """Return the facts about a peer. Raises `UnknownPeer`."""
