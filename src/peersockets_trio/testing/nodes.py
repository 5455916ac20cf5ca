"""Nodes that meet in memory, without sockets, and that know no time except that of Trio's clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeAlias

import attrs
import trio
import trio.testing

from peersockets_core import DEFAULT_LIMITS, DriveKey, Limits, TopicScope, WireName
from peersockets_core.info import PeerInfo

from ..drive import Drive
from ..node import Node, open_node
from ..watch import PeerEvents

StreamPair: TypeAlias = Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]]
"""A function that makes the two ends of a stream: the dialler's, then the answerer's."""

Connect: TypeAlias = Callable[[Node, Node], Awaitable[object]]
"""A function that connects the first node to the second, and returns when both have finished the
handshake."""

DRIVE_KEY: Final = DriveKey(b"a drive for tests, without a core"[:32])


async def connect_nodes(
    dialler: Node,
    answerer: Node,
    *,
    wire: WireName = "hypercore11",
    streams: StreamPair = trio.testing.memory_stream_pair,
) -> None:
    """Connect two nodes in memory; returns when both have finished the handshake.

    `streams` makes the stream. `trio.testing.memory_stream_pair` accepts everything at once, and
    `trio.testing.lockstep_stream_pair` nothing before it is read. Both can be wrapped in `ChaosStream`.

    Raises the errors of `Node.attach`: the first one at either end.
    """
    dialled, answered = streams()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(dialler.attach, dialled, wire=wire, initiator=True))
            nursery.start_soon(partial(answerer.attach, answered, wire=wire, initiator=False))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


async def wait_for_members(drive: Drive, count: int) -> Mapping[int, PeerInfo]:
    """Wait until a drive has exactly `count` members; returns them as `Drive.peers` does.

    Raises `ValueError` for a count below zero, and `trio.ClosedResourceError` if the drive is closed.
    """
    if count < 0:
        raise ValueError(f"count must be zero or more, not {count}")
    async with drive.watch() as events:
        while len(drive.peers) != count:
            await events.receive()
    return drive.peers


@attrs.frozen
class NodeSide:
    """One of two nodes that have met on a drive."""

    node: Node
    drive: Drive
    events: PeerEvents
    """A watch of the drive, which has reported the join of the other node."""
    peer_id: int
    """The peer id of the other node on this node."""


NodePair: TypeAlias = tuple[NodeSide, NodeSide]


async def join_side(node: Node, drive: Drive) -> NodeSide:
    """Wait until a drive of `node` has a member; returns the node's side of their meeting."""
    events = drive.watch()
    joined = await events.receive()
    return NodeSide(node, drive, events, joined.peer_id)


@asynccontextmanager
async def open_node_pair(
    *,
    drive_key: DriveKey | bytes | str = DRIVE_KEY,
    wire: WireName = "hypercore11",
    connect: Connect | None = None,
    limits: Limits = DEFAULT_LIMITS,
    topic_scope: TopicScope = "drive",
) -> AsyncIterator[NodePair]:
    """Open two nodes that have the same drive open. Each of them sees the other as a member.

    `connect` connects them; by default, `connect_nodes` does so on `wire`. The first node dials, and the
    second one leaves first. Raises the errors of `open_node`, `Node.open_drive` and `connect_nodes`.
    """
    async with (
        open_node(limits=limits) as alice,
        open_node(limits=limits) as bob,
        alice.open_drive(drive_key, topic_scope=topic_scope) as alice_drive,
        bob.open_drive(drive_key, topic_scope=topic_scope) as bob_drive,
    ):
        await (connect or partial(connect_nodes, wire=wire))(alice, bob)
        yield await join_side(alice, alice_drive), await join_side(bob, bob_drive)
