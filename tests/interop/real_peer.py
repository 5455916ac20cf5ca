"""Real hyperdrive 10 peers for the tests, and how our nodes meet them."""

import base64
import fcntl
import hashlib
import termios
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs
import trio
import trio.testing

from interop.node_host import open_hosted_peer
from interop.node_peer import JsonObject, NodePeer, open_node_peer
from peersockets_trio import Drive, Node, PeerEvents, PeerJoined
from peersockets_trio.testing.internals import connection_tasks

HOST = "127.0.0.1"
WIRE: Literal["hypercore9"] = "hypercore9"
PEER_SCRIPT = Path(__file__).parent / "hypercore9" / "peer.js"

Role: TypeAlias = Literal["initiator", "responder"]
"""Our side of the topic."""


@attrs.frozen
class RealTopic:
    """A topic handle of npm peersockets."""

    peer: "RealPeer"
    handle: int

    async def send(self, public_key: bytes, message: bytes) -> None:
        await self.peer.call(
            "send", handle=self.handle, publicKey=public_key.hex(), message=base64.b64encode(message).decode()
        )

    async def send_many(self, public_key: bytes, *, count: int, size: int) -> JsonObject:
        """Send the messages of `numbered`. Return their digest."""
        return await self.peer.call(
            "sendMany", handle=self.handle, publicKey=public_key.hex(), count=count, size=size
        )

    async def receive(self, timeout: float = 120) -> tuple[bytes, bytes]:
        """Return the sender's public key and the message."""
        event = await self.peer.wait_event("message", timeout, handle=self.handle)
        return bytes.fromhex(event["publicKey"]), base64.b64decode(event["message"])

    async def received(self) -> JsonObject:
        """Return the digest of everything received."""
        return await self.peer.call("received", handle=self.handle)

    async def close(self) -> None:
        await self.peer.call("closeTopic", handle=self.handle)


@attrs.frozen
class RealPeer:
    """A Node process that holds one identity and listens."""

    process: NodePeer
    public_key: bytes
    port: int

    async def call(self, command: str, /, **parameters: object) -> JsonObject:
        return await self.process.call(command, **parameters)

    async def wait_event(self, event: str, /, timeout: float = 120, **fields: object) -> JsonObject:
        return await self.process.wait_event(event, timeout, **fields)

    async def join(self, topic: str, *, webapp: str = "", quiet: bool = False) -> RealTopic:
        joined = await self.call("joinTopic", topic=topic, webapp=webapp, quiet=quiet)
        return RealTopic(self, joined["handle"])

    def happened(self, event: str, **fields: object) -> list[JsonObject]:
        """Return the events so far of this name with these fields."""
        wanted = {"event": event, **fields}
        return [line for line in self.process.events if wanted.items() <= line.items()]


@asynccontextmanager
async def open_real_peer(*, seed: bytes | None = None, alone: bool = False) -> AsyncIterator[RealPeer]:
    """Run a peer for the length of the block, in a process of its own if it has to be alone."""
    async with open_node_peer(PEER_SCRIPT) if alone else open_hosted_peer(PEER_SCRIPT) as process:
        started = await process.call("start", **({"seed": seed.hex()} if seed else {}))
        listening = await process.call("listen")
        yield RealPeer(process, bytes.fromhex(started["publicKey"]), listening["port"])


async def listen(node: Node) -> int:
    """Return the port of a new listener."""
    [listener] = await node.listen_tcp(0, host=HOST)
    return listener.address[1]


async def dial(node: Node, peer: RealPeer, role: Role) -> None:
    """Connect the two."""
    if role == "initiator":
        await node.connect_tcp(HOST, peer.port, wire=WIRE)
    else:
        await peer.call("connect", port=await listen(node))


async def connect(node: Node, peer: RealPeer, role: Role) -> None:
    """Connect the two, and return when both have finished the handshake."""
    await dial(node, peer, role)
    await peer.wait_event("connection", publicKey=our_key(node).hex())


async def meet(node: Node, drive: Drive, peer: RealPeer, role: Role) -> int:
    """Connect the two on a drive. Return the peer's id when both have seen the other join."""
    await peer.call("openDrive", key=drive.key.public_key.hex())
    async with drive.watch() as events:
        await connect(node, peer, role)
        joined = await next_join(events, peer.public_key)
    await peer.wait_event("peer-add", drive=drive.key.public_key.hex(), publicKey=our_key(node).hex())
    return joined.peer_id


async def next_join(events: PeerEvents, public_key: bytes) -> PeerJoined:
    """Wait until a key has joined. Skip joins of other keys."""
    async for event in events:
        assert isinstance(event, PeerJoined)
        if event.public_key == public_key:
            return event
    raise AssertionError


def our_key(node: Node) -> bytes:
    return node.public_keys[WIRE]


def webapp(drive: Drive) -> str:
    """Return the discovery key as Beaker writes it in a topic's name."""
    return drive.key.discovery_key.hex()


def numbered(count: int, size: int) -> Iterator[bytes]:
    """Return the messages that peer.js's `sendMany` sends."""
    return ((i.to_bytes(4, "little") * (size // 4 + 1))[:size] for i in range(count))


def digest(messages: Iterable[bytes]) -> JsonObject:
    """Return the result of peer.js's `Tally` for these messages."""
    tally: dict[str, Any] = {"count": 0, "bytes": 0}
    sha256 = hashlib.sha256()
    for message in messages:
        tally["count"] += 1
        tally["bytes"] += len(message)
        sha256.update(len(message).to_bytes(4, "little") + message)
    return {**tally, "sha256": sha256.hexdigest()}


async def held_up(node: Node) -> None:
    """Wait until the only connection of an idle node has input that the node does not read."""
    [task] = connection_tasks(node)
    stream = task.stream
    assert isinstance(stream, trio.SocketStream)

    def unread() -> bool:
        return any(fcntl.ioctl(stream.socket.fileno(), termios.FIONREAD, bytes(4)))

    while True:
        if unread():
            # A task that waited for bytes would read them before this returns.
            await trio.testing.wait_all_tasks_blocked()
            if unread():
                return
        await trio.sleep(0.01)


def nothing_waits(receiver: Any) -> bool:
    """Return whether a topic or watch has nothing more to deliver."""
    try:
        receiver.receive_nowait()
    except trio.WouldBlock:
        return True
    return False
