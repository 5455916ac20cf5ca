"""The operations of a real peer that are the same in every generation."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any, Final

import attrs

from interop import hyperdrive13, real_peer
from interop.node_host import open_hosted_peer
from interop.real_peer import HOST, RealPeer, RealTopic, Role, listen
from peersockets_core import WireName
from peersockets_trio import ConnectionInfo, Drive, Node


@attrs.frozen
class Generation:
    """The real peers of one wire."""

    wire: WireName
    open_peer: Callable[..., AbstractAsyncContextManager[RealPeer]]
    """Takes the peer's `seed` in hex, or nothing, and the `port` to listen on, or nothing."""
    join: Callable[[RealPeer, Drive, str], Awaitable[RealTopic]]
    """Joins a topic of a drive on the real side."""

    def our_key(self, node: Node) -> bytes:
        return node.public_keys[self.wire]

    async def dial(self, node: Node, peer: RealPeer, role: Role, **options: Any) -> ConnectionInfo | None:
        """Connect the two, with the given role. `options` apply to our dials."""
        if role == "initiator":
            return await node.connect_tcp(HOST, peer.port, wire=self.wire, **options)
        await peer.call("connect", port=await listen(node))
        return None

    async def both_ways(self, node: Node, drive: Drive, peer: RealPeer, peer_id: int) -> None:
        """Check that a message arrives each way."""
        theirs = await self.join(peer, drive, "both ways")
        async with drive.join("both ways") as ours:
            await ours.send(peer_id, b"out")
            assert await theirs.receive() == (self.our_key(node), b"out")
            await theirs.send(self.our_key(node), b"in")
            assert await ours.receive() == (peer_id, b"in", peer.public_key)
        await theirs.close()


async def _start(process: Any, seed: str | None, port: int) -> RealPeer:
    started = await process.call("start", **({"seed": seed} if seed else {}))
    listening = await process.call("listen", port=port)
    return RealPeer(process, bytes.fromhex(started["publicKey"]), listening["port"])


@asynccontextmanager
async def _open_hyperdrive10(*, seed: str | None = None, port: int = 0) -> AsyncIterator[RealPeer]:
    async with open_hosted_peer(real_peer.PEER_SCRIPT) as process:
        yield await _start(process, seed, port)


@asynccontextmanager
async def _open_hyperdrive13(*, seed: str | None = None, port: int = 0) -> AsyncIterator[RealPeer]:
    with TemporaryDirectory(prefix="corestore-") as storage:
        async with open_hosted_peer(hyperdrive13.PEER_SCRIPT, storage) as process:
            yield await _start(process, seed, port)


async def _join_hyperdrive10(peer: RealPeer, drive: Drive, topic: str) -> RealTopic:
    return await peer.join(topic, webapp=real_peer.webapp(drive))


async def _join_hyperdrive13(peer: RealPeer, drive: Drive, topic: str) -> RealTopic:
    joined = await peer.call("joinTopic", drive=drive.key.public_key.hex(), topic=topic)
    return RealTopic(peer, joined["handle"])


GENERATIONS: Final = (
    Generation("hypercore9", _open_hyperdrive10, _join_hyperdrive10),
    Generation("hypercore11", _open_hyperdrive13, _join_hyperdrive13),
)
