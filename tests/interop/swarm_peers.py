"""Real Hyperswarm applications for the tests, and a network of real DHT nodes for them to meet on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import trio

from interop.hyperdrive13 import open_real_peer, our_key
from interop.real_peer import HOST, RealPeer
from peersockets_trio import Drive, Node, PeerJoined, Swarm, open_node

PACKAGES: Final = "hyperswarm"


@attrs.frozen
class DhtNetwork:
    """Real DHT nodes on loopback, in one Node process."""

    peer: RealPeer
    ports: tuple[int, ...]

    @property
    def bootstrap(self) -> list[tuple[str, int]]:
        """The arguments for one of our swarms."""
        return [(HOST, self.ports[0])]

    async def stop_node(self, index: int) -> None:
        await self.peer.call("stopNode", index=index)


@asynccontextmanager
async def open_dht_network(size: int = 6) -> AsyncIterator[DhtNetwork]:
    """Run a network of real nodes for the length of the block."""
    async with open_real_peer(PACKAGES) as peer:
        testnet = await peer.call("testnet", size=size)
        yield DhtNetwork(peer, tuple(testnet["ports"]))


@asynccontextmanager
async def open_application(network: DhtNetwork, **options: Any) -> AsyncIterator[RealPeer]:
    """Run a real application with a Hyperswarm for the length of the block.

    `options` are those of its HyperDHT, `seed` is its identity, and its firewall lets in only the keys in
    `allow`.
    """
    seed = options.pop("seed", None)
    start = {} if seed is None else {"seed": seed.hex()}
    async with open_real_peer(PACKAGES, **start) as peer:
        await peer.call("openSwarm", bootstrap=[network.ports[0]], **options)
        yield peer


async def join(peer: RealPeer, drive: Drive | bytes, **options: Any) -> None:
    """Let an application join a drive's topic. `server` and `client` mean the same as in Hyperswarm."""
    topic = drive if isinstance(drive, bytes) else drive.key.discovery_key
    await peer.call("joinSwarm", topic=topic.hex(), **options)


@attrs.frozen
class Ours:
    """One of our nodes with a swarm."""

    node: Node
    swarm: Swarm

    @property
    def key(self) -> bytes:
        return our_key(self.node)


@asynccontextmanager
async def open_ours(network: DhtNetwork, **options: Any) -> AsyncIterator[Ours]:
    """Open a node with a swarm for the length of the block. `swarm` holds further options of the swarm."""
    bootstrap = options.pop("bootstrap", network.bootstrap)
    given = {"host": HOST, **options.pop("swarm", {})}
    async with open_node(**options) as node, node.open_swarm(bootstrap=bootstrap, **given) as swarm:
        yield Ours(node, swarm)


async def joined(drive: Drive, public_key: bytes) -> PeerJoined:
    """Wait until a key is a member of a drive."""
    async with drive.watch() as events:
        async for event in events:
            if isinstance(event, PeerJoined) and event.public_key == public_key:
                return event
    raise AssertionError


async def gather(*calls: Any) -> None:
    """Run async functions without arguments concurrently."""
    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(call)
