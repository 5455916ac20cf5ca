"""The hypercore11 wire over UDX, with real peers: udx-native, secret-stream and hypercore."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
import trio

from interop.hyperdrive13 import WIRE, Meeting, on, open_real_peer
from interop.real_peer import HOST, Role, digest, next_join, numbered
from interop.udp_relay import open_relay
from peersockets_trio import PeerLeft, open_node
from peersockets_trio.udp import open_udp_socket

pytestmark = pytest.mark.interop

OURS, THEIRS = 11, 22

lines = pytest.mark.parametrize(
    "line", [{}, {"delay": 0.005, "loss": 0.05, "reorder": 0.02}], ids=["good", "bad"]
)


@asynccontextmanager
async def open_udx_meeting(role: Role, line: Mapping[str, float]) -> AsyncIterator[Meeting]:
    """Connect a node and a real peer, members of a drive of the peer's, over a stream of UDX."""
    async with open_real_peer() as peer, open_udp_socket(HOST) as udp, open_node() as node:
        bound = await peer.call("udxBind")
        created = await peer.call("createDrive")
        async with (
            open_relay(udp.address[1], bound["port"], **line) as relay,
            node.open_drive(created["key"]) as drive,
            drive.watch() as events,
        ):
            stream = udp.connect(OURS, THEIRS, (HOST, relay.a))
            client = role == "responder"
            await peer.call("udxConnect", local=THEIRS, remote=OURS, port=relay.b, client=client)
            await node.attach(stream, wire=WIRE, initiator=not client)
            joined = await next_join(events, peer.public_key)
            await peer.wait_event("peer-add", **on(drive, node))
            yield Meeting(node, drive, peer, joined.peer_id)
            await node.finish()


@lines
async def test_members_see_each_other_and_talk(role: Role, line: Mapping[str, float]) -> None:
    async with open_udx_meeting(role, line) as met:
        await met.both_ways()


@lines
async def test_many_messages_arrive_in_order(role: Role, line: Mapping[str, float]) -> None:
    count, size = 3000, 1000
    async with open_udx_meeting(role, line) as met, met.drive.join("chat") as ours:
        theirs = await met.join("chat", quiet=True)
        sent: list[object] = []

        async def their_side() -> None:
            sent.append(await theirs.send_many(met.node.public_keys[WIRE], count=count, size=size))

        received: list[bytes] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(their_side)
            for message in numbered(count, size):
                await ours.send(met.member, message)
            while len(received) < count:
                received += [message.message for message in await ours.receive_batch()]
        assert digest(received) == sent[0]
        expected = digest(numbered(count, size))
        while (await theirs.received())["count"] < count:
            pass
        assert await theirs.received() == expected


async def test_the_peer_leaves(role: Role) -> None:
    async with open_udx_meeting(role, {}) as met, met.drive.watch() as events:
        assert await events.receive() == met.joined
        await met.peer.call("disconnect")
        assert isinstance(await events.receive(), PeerLeft)
        await met.peer.wait_event("connection-closed")


async def test_we_leave(role: Role) -> None:
    async with open_udx_meeting(role, {}) as met:
        await met.node.finish()
        assert (await met.peer.wait_event("connection-closed"))["error"] is None
