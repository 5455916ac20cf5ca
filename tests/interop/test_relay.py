"""Peers that meet at a real blind relay because they cannot reach each other, or until they can."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import pytest
import trio

from interop.hyperdrive13 import Meeting, open_real_peer, our_key
from interop.node_peer import JsonObject, NodePeerError
from interop.real_peer import HOST, RealPeer, RealTopic, digest, next_join
from interop.swarm_peers import PACKAGES
from peersockets_trio import Drive, Instrument, Node, Swarm, Topic, WireName, open_node
from peersockets_trio.testing.internals import swarm_runtime

pytestmark = pytest.mark.interop

SHIELDED = "127.0.0.2"
"""An address of our own host that is not 127.0.0.1, so a firewall may shield it, and we do not answer
directly."""

NODES = 6
SIZE = 1000
STEP = 200
"""The number of messages that the real peer sends in one go."""
SOME = 1000
"""The number of messages that each side receives along a path before the test goes on."""


class Failures(Instrument):
    """Notes that a connection has failed."""

    def __init__(self) -> None:
        self.seen = trio.Event()

    def connection_failed(
        self, address: tuple[str, int] | None, wire: WireName | None, error: Exception
    ) -> None:
        self.seen.set()


@attrs.frozen
class Scene:
    """One of our swarms, a real peer, and a blind relay that is one of the nodes of a real network."""

    nodes: RealPeer
    relay: str
    """The relay's key."""
    node: Node
    swarm: Swarm
    peer: RealPeer
    drive: Drive
    failures: Failures

    @property
    def key(self) -> str:
        return our_key(self.node).hex()

    async def listen(self) -> None:
        """Let the peer dial us."""
        await self.swarm.join(bytes(32), lookup=False).flushed()

    async def relayed(self) -> JsonObject:
        """Return the relay's counts."""
        return await self.nodes.call("dhtRelayStats")

    async def left_relay(self) -> bool:
        """Return whether no side is connected to the relay any more."""
        return not (await self.relayed())["sessions"]

    async def meet(self, connect: Callable[[], Any]) -> Meeting:
        """Connect the two; returns once they are members of the drive."""
        async with self.drive.watch() as events, trio.open_nursery() as nursery:
            nursery.start_soon(connect)
            joined = await next_join(events, self.peer.public_key)
        await self.peer.wait_event("peer-add", publicKey=self.key)
        return Meeting(self.node, self.drive, self.peer, joined.peer_id)

    def dial(self, **options: Any) -> Callable[[], Any]:
        """Return a function with which the peer dials us."""
        return partial(self.peer.call, "dhtConnect", publicKey=self.key, replicate=True, **options)

    async def dialled(self, **options: Any) -> Callable[[], Any]:
        """Let the peer listen; returns a function with which we dial it."""
        listening = await self.peer.call("dhtListen", replicate=True, **options)
        return partial(self.swarm.connect, listening["publicKey"])


@asynccontextmanager
async def open_scene(*, host: str = HOST, relay: bool = False) -> AsyncIterator[Scene]:
    """Open everything for the length of the block. `relay` is whether our swarm has the relay's key."""
    failures = Failures()
    async with (
        open_real_peer(PACKAGES, alone=False) as nodes,
        open_real_peer(PACKAGES, alone=False) as peer,
        open_node(instruments=[failures]) as node,
    ):
        port = (await nodes.call("testnet", size=NODES))["ports"][0]
        key = (await nodes.call("dhtRelay", node=NODES - 1))["publicKey"]
        await peer.call("openDht", bootstrap=[port], quickFirewall=False)
        created = await peer.call("createDrive")
        async with (
            node.open_swarm(
                bootstrap=[(HOST, port)],
                host=host,
                persistent=False,
                relay_through=key if relay else None,
            ) as swarm,
            node.open_drive(created["key"]) as drive,
        ):
            yield Scene(nodes, key, node, swarm, peer, drive, failures)


async def test_we_dial_a_server_that_names_a_relay() -> None:
    async with open_scene() as scene:
        met = await scene.meet(await scene.dialled(relay=scene.relay, punch=False))
        await met.both_ways()
        assert (await scene.relayed())["matched"] == 1


async def test_we_name_the_relay_after_a_failed_punch() -> None:
    async with open_scene(relay=True) as scene:
        met = await scene.meet(await scene.dialled(punch=False))
        await met.both_ways()
        counts = await scene.relayed()
        assert (counts["matched"], counts["streams"]) == (1, 2)


async def test_a_real_client_names_a_relay_and_we_come_there() -> None:
    async with open_scene(host=SHIELDED) as scene:
        await scene.listen()
        met = await scene.meet(scene.dial(relay=scene.relay, punch=False))
        await met.both_ways()
        assert (await scene.relayed())["matched"] == 1


async def test_our_server_names_its_relay_to_a_real_client_that_could_not_punch() -> None:
    async with open_scene(host=SHIELDED, relay=True) as scene:
        await scene.listen()
        with pytest.raises(NodePeerError):
            await scene.dial(punch=False)()
        await scene.failures.seen.wait()
        assert not (await scene.relayed())["matched"]
        met = await scene.meet(scene.dial(punch=False))
        await met.both_ways()
        counts = await scene.relayed()
        assert (counts["matched"], counts["streams"]) == (1, 2)


@attrs.define
class Held:
    """Delays the messages of our hole punching and drops its probes, as a slow network would."""

    swarm: Swarm
    monkeypatch: pytest.MonkeyPatch
    calls: list[tuple[Any, ...]] = attrs.field(factory=list)

    def hold(self) -> None:
        def send_round(*call: Any) -> bool:
            self.calls.append(call)
            return True

        punching = swarm_runtime(self.swarm).machine.dht.punching
        self.monkeypatch.setattr(punching, "send_round", send_round)
        self.monkeypatch.setattr(punching, "probe", lambda socket, to, ttl: None)

    def release(self) -> None:
        self.monkeypatch.undo()
        runtime = swarm_runtime(self.swarm)
        for client, relay, to, message, _ in self.calls:
            runtime.machine.dht.punching.send_round(client, relay, to, message, trio.current_time())
        runtime.flush()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again, until the answer is yes."""
    while True:
        if await holds():
            return
        await trio.sleep(0.05)


def messages(count: int) -> list[bytes]:
    """Return the messages from 0 on that `sendMany` sends."""
    return [number.to_bytes(4, "little") * (SIZE // 4) for number in range(count)]


@attrs.define
class Traffic:
    """Messages that flow both ways, as fast as they can, until `stop`."""

    met: Meeting
    ours: Topic
    theirs: RealTopic
    received: list[bytes] = attrs.field(factory=list)
    sent_by_us: int = 0
    sent_by_them: int = 0
    stopped: bool = False

    async def send_ours(self) -> None:
        while not self.stopped:
            message = self.sent_by_us.to_bytes(4, "little") * (SIZE // 4)
            await self.ours.send(self.met.member, message)
            self.sent_by_us += 1

    async def send_theirs(self) -> None:
        key = our_key(self.met.node).hex()
        while not self.stopped:
            await self.met.peer.call(
                "sendMany",
                handle=self.theirs.handle,
                publicKey=key,
                count=STEP,
                size=SIZE,
                first=self.sent_by_them,
            )
            self.sent_by_them += STEP

    async def receive(self) -> None:
        async for message in self.ours:
            self.received.append(bytes(message.message))

    async def flow(self) -> None:
        """Return once each side has received some more."""
        ours, theirs = len(self.received) + SOME, (await self.theirs.received())["count"] + SOME
        await until(partial(self.have_received, ours, theirs))

    async def have_received(self, ours: int, theirs: int) -> bool:
        return len(self.received) >= ours and (await self.theirs.received())["count"] >= theirs

    async def finish(self) -> None:
        """Return once each side has received everything, and only once, and in order."""
        await until(partial(self.have_received, self.sent_by_them, self.sent_by_us))
        assert self.received == messages(self.sent_by_them)
        assert await self.theirs.received() == digest(messages(self.sent_by_us))


@pytest.mark.parametrize("dialler", ["ours", "theirs"])
async def test_a_busy_stream_leaves_the_relay_for_a_direct_path(
    dialler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The punch waits until messages flow through the relay, both ways. They flow on while it takes place."""
    async with open_scene(host=SHIELDED, relay=dialler == "ours") as scene:
        held = Held(scene.swarm, monkeypatch)
        if dialler == "ours":
            held.hold()
            met = await scene.meet(await scene.dialled(relay=scene.relay))
        else:
            await scene.peer.call("dhtHoldPunching")
            await scene.listen()
            met = await scene.meet(scene.dial(relay=scene.relay))
        theirs = await met.join("flow", quiet=True)
        async with scene.drive.join("flow") as ours, trio.open_nursery() as nursery:
            traffic = Traffic(met, ours, theirs)
            nursery.start_soon(traffic.receive)
            async with trio.open_nursery() as senders:
                senders.start_soon(traffic.send_ours)
                senders.start_soon(traffic.send_theirs)
                await traffic.flow()
                counts = await scene.relayed()
                assert (counts["matched"], counts["streams"]) == (1, 2)
                if dialler == "ours":
                    held.release()
                else:
                    await scene.peer.call("dhtPunch")
                await until(scene.left_relay)
                await traffic.flow()
                traffic.stopped = True
            await traffic.finish()
            nursery.cancel_scope.cancel()
        assert scene.node.statistics().connections == 1
