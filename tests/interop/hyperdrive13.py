"""Real hyperdrive 11 and 13 peers for the tests, and how our nodes meet them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import attrs

from interop.node_host import open_hosted_peer
from interop.node_peer import JsonObject, open_node_peer
from interop.real_peer import HOST, RealPeer, RealTopic, Role, listen, next_join
from peersockets_trio import (
    DEFAULT_LIMITS,
    Drive,
    Limits,
    Node,
    PeerJoined,
    open_node,
)

WIRE: Final = "hypercore11"
PEER_SCRIPT: Final = Path(__file__).parent / "hypercore11" / "peer.js"


@asynccontextmanager
async def open_real_peer(
    packages: str = "hypercore11", *, alone: bool | None = None, **start: Any
) -> AsyncIterator[RealPeer]:
    """Run a hyperdrive 13 peer for the length of the block.

    `start` are the parameters of that command. `packages` names the folder beside this file whose packages it
    uses.
    """
    with TemporaryDirectory(prefix="corestore-") as storage:
        folder = Path(__file__).parent / packages
        arguments = (PEER_SCRIPT, storage, str(folder))
        alone = packages == "hyperswarm" if alone is None else alone
        async with open_node_peer(*arguments) if alone else open_hosted_peer(*arguments) as process:
            started = await process.call("start", **start)
            listening = await process.call("listen")
            yield RealPeer(process, bytes.fromhex(started["publicKey"]), listening["port"])


def our_key(node: Node) -> bytes:
    return node.public_keys[WIRE]


def on(drive: Drive, node: Node) -> JsonObject:
    """Return the fields of a real peer's event about us."""
    return {"drive": drive.key.public_key.hex(), "publicKey": our_key(node).hex()}


async def connect(node: Node, peer: RealPeer, role: Role) -> None:
    """Connect the two, and return when both have finished the handshake."""
    if role == "initiator":
        await node.connect_tcp(HOST, peer.port, wire=WIRE)
    else:
        await peer.call("connect", port=await listen(node))
    await peer.wait_event("connection", publicKey=our_key(node).hex())


async def meet(node: Node, drive: Drive, peer: RealPeer, role: Role) -> int:
    """Connect the two on a drive. Return the peer's id when both have seen the other join."""
    await peer.call("openDrive", key=drive.key.public_key.hex())
    async with drive.watch() as events:
        await connect(node, peer, role)
        joined = await next_join(events, peer.public_key)
    await peer.wait_event("peer-add", **on(drive, node))
    return joined.peer_id


@attrs.frozen
class Meeting:
    """A node and a real peer, members of a drive that the peer has written to."""

    node: Node
    drive: Drive
    peer: RealPeer
    member: int

    @property
    def joined(self) -> PeerJoined:
        return PeerJoined(self.member, self.peer.public_key, WIRE)

    async def join(self, topic: str, *, drive: Drive | None = None, quiet: bool = False) -> RealTopic:
        """Join a topic on the real side."""
        key = (drive or self.drive).key
        joined = await self.peer.call("joinTopic", drive=key.public_key.hex(), topic=topic, quiet=quiet)
        return RealTopic(self.peer, joined["handle"])

    async def both_ways(self, topic: str = "both ways") -> None:
        """Check that a message arrives each way on a topic that neither side has joined before."""
        theirs = await self.join(topic)
        async with self.drive.join(topic) as ours:
            await ours.send(self.member, b"out")
            assert await theirs.receive() == (our_key(self.node), b"out")
            await theirs.send(our_key(self.node), b"in")
            assert await ours.receive() == (self.member, b"in", self.peer.public_key)
        await theirs.close()


@asynccontextmanager
async def open_meeting(
    role: Role, *, limits: Limits = DEFAULT_LIMITS, **start: Any
) -> AsyncIterator[Meeting]:
    async with open_real_peer(**start) as peer, open_node(limits=limits) as node:
        created = await peer.call("createDrive")
        async with node.open_drive(created["key"]) as drive:
            yield Meeting(node, drive, peer, await meet(node, drive, peer, role))
