"""A place: one of our nodes on a drive, with a gateway, and the real peers that come there."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from interop import hyperdrive13, real_peer
from interop.real_peer import HOST, RealPeer, RealTopic, listen, next_join
from peersockets_core import DriveKey, KeyPair
from peersockets_trio import Drive, Node, open_node
from peersockets_trio.browser import Gateway, open_gateway, token_of
from peersockets_trio.testing.internals import node_runtime

BLANK: Final = "<!doctype html><head><link rel=icon href=data:,><title>page</title></head><body></body>"
PEERS: Final[dict[str, Callable[..., Any]]] = {
    "hyperdrive 10": real_peer.open_real_peer,
    "hyperdrive 13": hyperdrive13.open_real_peer,
}


@attrs.frozen
class Place:
    """A node with a gateway to one drive, which others reach over TCP."""

    node: Node
    drive: Drive
    gateway: Gateway
    port: int

    @property
    def url(self) -> str:
        """Return the address that admits a browser."""
        return self.gateway.url

    def handles(self) -> int:
        """Return the number of joins and watches that pages have open."""
        [drive] = node_runtime(self.node).machine.memberships.drives.values()
        own = 1  # the node has a watch of its own
        return sum(len(topic.handles) for topic in drive.topics.values()) + len(drive.watches) - own

    async def until_handles(self, count: int) -> None:
        """Wait until pages have this many joins and watches open."""
        while self.handles() != count:  # noqa: ASYNC110
            await trio.sleep(0.01)


@asynccontextmanager
async def open_place(
    key: bytes, folder: Path | None = None, *, seed: bytes | None = None
) -> AsyncIterator[Place]:
    """Open a place. Without `folder`, its site is the chat."""
    pair = KeyPair(seed or os.urandom(32))
    async with open_node(key_pair=pair) as node, node.open_drive(key) as drive:
        token = token_of(pair, drive.key)
        async with open_gateway(node, drive, folder=folder, token=token) as gateway:
            yield Place(node, drive, gateway, await listen(node))


@asynccontextmanager
async def open_peer(kind: str, place: Place, **start: Any) -> AsyncIterator[tuple[RealPeer, RealTopic]]:
    """Bring a real peer to a place, with the topic "chat" joined."""
    key = place.drive.key
    async with PEERS[kind](**start) as peer:
        await peer.call("openDrive", key=key.public_key.hex())
        topic = await join(peer, key, "chat")
        await peer.call("connect", port=place.port)
        await peer.wait_event("peer-add", drive=key.public_key.hex())
        yield peer, topic


async def join(peer: RealPeer, key: DriveKey, topic: str) -> RealTopic:
    """Join a topic on the side of a real peer of either generation."""
    joined = await peer.call(
        "joinTopic", drive=key.public_key.hex(), topic=topic, webapp=key.discovery_key.hex(), quiet=False
    )
    return RealTopic(peer, joined["handle"])


async def connect(place: Place, other: Place) -> None:
    """Connect the nodes of two places."""
    await place.node.connect_tcp(HOST, other.port, wire="hypercore11")


async def connect_node(node: Node, drive: Drive, place: Place) -> int:
    """Connect a node to a place. Return the node's id of the place after it has joined the drive."""
    async with drive.watch() as events:
        await node.connect_tcp(HOST, place.port, wire="hypercore11")
        return (await next_join(events, place.node.public_keys["hypercore11"])).peer_id
