"""A thousand members come and go over a simulated day. At the end, the node is as empty as before."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from random import Random

import attrs
import pytest
import trio
import trio.testing

from adapter.support import KEY
from chaos.support import nothing_left
from peersockets_core import WIRES, KeyPair, WireName
from peersockets_trio import (
    Limits,
    Node,
    PeerEvents,
    PeerGone,
    PeerJoined,
    RemoteProtocolError,
    Topic,
    open_node,
)
from peersockets_trio.testing import ChaosStream, Cut, connect_nodes
from peersockets_trio.testing.internals import node_runtime

VISITORS = 1000
RETURNING = 100
"""The number of members that come a second time, under the same key."""
DAY = 86_400.0
LONGEST_STAY = 800.0

BROKEN = (RemoteProtocolError, trio.BrokenResourceError, PeerGone)

# Four times the defaults: most of the day's work would be keepalives, each like the one before.
LIMITS = Limits(keepalive=40.0, silence=80.0, hypercore11_keepalive=20.0, hypercore11_silence=80.0)

SILENT_STAY = 2 * LIMITS.silence
"""Seconds for which a member that has fallen silent stays on, so that the host has to notice by itself."""


@attrs.define
class Host:
    """The node that the members visit, and what it has seen."""

    node: Node
    chat: Topic
    present: set[int] = attrs.field(factory=set)
    keys: dict[int, tuple[WireName, bytes]] = attrs.field(factory=dict)
    """The peer that each id has stood for since its first join."""
    most: int = 0
    joined: int = 0
    received: int = 0
    fell_silent: int = 0
    """The number of members that fell silent, and that the host noticed were gone."""

    async def watch(self, events: PeerEvents) -> None:
        async for event in events:
            assert self.keys.setdefault(event.peer_id, (event.wire, event.public_key)) == (
                event.wire,
                event.public_key,
            )
            if isinstance(event, PeerJoined):
                assert event.peer_id not in self.present
                self.present.add(event.peer_id)
                self.most = max(self.most, len(self.present))
                self.joined += 1
            else:
                self.present.remove(event.peer_id)

    async def answer(self) -> None:
        async for message in self.chat:
            self.received += 1
            with suppress(PeerGone):
                await self.chat.send(message.peer_id, message.message)


async def visit(host: Host, number: int, random: Random) -> None:
    """Arrive at some time of the day, send a message, stay for a while, and leave in one of several ways."""
    arrival, stay = random.uniform(0, DAY - LONGEST_STAY), random.uniform(0, LONGEST_STAY)
    wire: WireName = WIRES[number % 2]
    way_out = random.choice(("leave", "vanish", "break", "fall silent"))
    cut = {"break": Cut(random.randrange(3000)), "fall silent": Cut(random.randrange(600), "silence")}

    ours, theirs = trio.testing.memory_stream_pair()
    stream = ChaosStream(ours, random, cut_sending=cut.get(way_out))

    await trio.sleep(arrival)
    with trio.move_on_after(stay if way_out == "vanish" else LONGEST_STAY + SILENT_STAY), suppress(*BROKEN):
        async with (
            open_node(key_pair=KeyPair(number.to_bytes(32, "big")), limits=LIMITS) as node,
            node.open_drive(KEY) as drive,
            drive.join("hall", overflow="drop_oldest") as chat,
            drive.watch() as events,
        ):
            await connect_nodes(node, host.node, wire=wire, streams=lambda: (stream, theirs))
            peer_id = (await events.receive()).peer_id
            await chat.send(peer_id, b"hello")
            await trio.sleep(stay)
            if way_out == "fall silent" and stream.sent == cut[way_out].after and number >= RETURNING:
                await trio.sleep(SILENT_STAY)  # a line that is dead, and a member who does not leave
                assert (wire, node.public_keys[wire]) not in map(host.keys.get, host.present)
                host.fell_silent += 1


def books(node: Node) -> dict[str, int]:
    """Return the sizes of everything that a node keeps, except the keys that it has met."""
    runtime = node_runtime(node)
    machine = runtime.machine
    (drive,) = machine.memberships.drives.values()
    (topic,) = drive.topics.values()
    return {
        "connections": len(machine.registry.connections),
        "links": len(machine.registry.links),
        "replacing": len(machine.memberships.replacing),
        "folding": len(machine.memberships.folding),
        "members": len(drive.members),
        "watches": len(drive.watches),
        "routes": len(topic.routes),
        "listeners": len(machine.listeners.by_address),
        "names": len(machine.extensions.names),
        "links of peers": sum(len(peer.links) for peer in machine.memberships.peers),
        "tasks": len(runtime.tasks),
        "handshakes": len(runtime.handshaking),
        "deadlines": len(runtime.deadlines),
    }


@pytest.mark.slow
async def test_a_thousand_members_in_a_day(autojump_clock: trio.testing.MockClock) -> None:
    async with nothing_left():
        await spend_a_day(Random(7))


async def spend_a_day(random: Random) -> None:
    async with (
        open_node(limits=LIMITS) as node,
        node.open_drive(KEY) as drive,
        drive.join("hall") as chat,
        drive.watch() as events,
        trio.open_nursery() as nursery,
    ):
        host = Host(node, chat)
        nursery.start_soon(host.answer)
        nursery.start_soon(host.watch, events)
        await trio.testing.wait_all_tasks_blocked()
        before = books(node)
        async with trio.open_nursery() as visitors:
            for number in (*range(VISITORS), *range(RETURNING)):
                visitors.start_soon(partial(visit, host, number, Random(random.random())))
        await trio.sleep(LIMITS.silence + LIMITS.linger)
        nursery.cancel_scope.cancel()
        assert books(node) == before
        assert not host.present
        check_met(host)
    assert DAY - LONGEST_STAY < trio.current_time() < DAY + LONGEST_STAY
    assert host.joined > VISITORS * 0.9
    assert host.received > VISITORS * 0.8
    assert host.most > 5
    assert host.fell_silent > VISITORS // 50


def check_met(host: Host) -> None:
    """Check the memory of peers: one id for each key, counted from 1, and no key that was never met."""
    machine = node_runtime(host.node).machine
    assert sorted(host.keys) == list(range(1, len(host.keys) + 1))
    assert len(set(host.keys.values())) == len(host.keys) <= VISITORS
    assert {(peer.wire, peer.public_key): peer.id for peer in machine.memberships.peers} == {
        key: peer_id for peer_id, key in host.keys.items()
    }
