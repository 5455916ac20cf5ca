"""The counters of a node, and the facts about its peers."""

from __future__ import annotations

from collections.abc import Collection

from peersockets_core.info import NodeStatistics, PeerInfo

from .connection_task import ConnectionTask
from .machine import NodeMachine
from .telemetry import Telemetry


def node_statistics(
    machine: NodeMachine, tasks: Collection[ConnectionTask], handshaking: int, telemetry: Telemetry
) -> NodeStatistics:
    """Return the current counters; `handshaking` is the number of connections that are not admitted yet."""
    counts = machine.statistics()
    topics = counts.topics
    return NodeStatistics(
        connections=sum(task.info is not None and not task.connection.closed for task in tasks),
        handshaking=handshaking,
        drives=counts.drives,
        members=counts.members,
        peer_ids=counts.peer_ids,
        bytes_received=telemetry.bytes_received,
        bytes_sent=telemetry.bytes_sent,
        messages_received=topics.received_messages,
        messages_sent=topics.sent_messages,
        messages_dropped=topics.dropped_messages,
        unsent_bytes=sum(task.unsent for task in tasks),
        waiting_messages=topics.waiting_messages,
        waiting_bytes=topics.waiting_bytes,
    )


def peer_info(machine: NodeMachine, peer_id: int) -> PeerInfo:
    """Return the facts about a peer. Raises `UnknownPeer`."""
    peer = machine.peer(peer_id)
    return PeerInfo(
        peer_id=peer_id,
        public_key=peer.public_key,
        wire=peer.wire,
        address=peer.links[-1].connection.owner.address if peer.links else None,
        drives=tuple(machine.drives_of(peer_id)),
        unsent=sum(link.connection.owner.unsent for link in peer.links),
    )
