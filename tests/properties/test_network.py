"""Nodes on both wires and everything that can happen to them, compared with a model of the meaning.

Every run uses the same examples. `PEERSOCKETS_EXAMPLES=5000 pytest tests/properties` uses others, and more.
"""

from __future__ import annotations

import os

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.support import KEY, OTHER_KEY
from peersockets_core import WIRES, DriveKey, OpenDrive, PeerGone, RemoteProtocolError, UnknownPeer, WireName
from peersockets_core.topics.naming import addresses
from properties.model import LIMITS, Ear, Eye, Link, Model, Names, Said
from simulation.streams import End, Network, Node

CAPACITY = 1000
"""Bytes in flight in one direction of a stream, after which nothing more is written."""

EXAMPLES = int(os.environ.get("PEERSOCKETS_EXAMPLES", "150"))

nodes = st.integers(0, 2)
drives = st.sampled_from((KEY, OTHER_KEY))
topics = st.sampled_from(("chat", "state"))
wires = st.sampled_from(WIRES)
picks = st.integers(0, 1000)
"""Draw one item of a list of any length."""


def has_ears(machine: Peersockets) -> bool:
    return bool(machine.ears)


def has_drives(machine: Peersockets) -> bool:
    return bool(machine.drives)


def has_ends(machine: Peersockets) -> bool:
    return any(machine.network.ends)


class Peersockets(RuleBasedStateMachine):
    """Three nodes, two drives with two topics each, and any number of connections on two wires."""

    def __init__(self) -> None:
        super().__init__()
        nodes = (Node(f"node {number}", limits=LIMITS) for number in range(3))
        self.network = Network(*nodes, capacity=CAPACITY)
        self.model = Model()
        self.names = Names(self.network.nodes)
        self.drives: dict[tuple[Node, DriveKey], OpenDrive[End]] = {}
        self.ears: list[Ear] = []
        self.eyes: list[Eye] = []
        self.count = 0

    @initialize(links=st.lists(st.tuples(nodes, st.integers(1, 2), wires), max_size=5), apart=st.booleans())
    def begin(self, links: list[tuple[int, int, WireName]], apart: bool) -> None:
        """Begin in the middle, so that there is something to lose."""
        for dialler, step, wire in links:
            self.connect(dialler, step, wire)
        for node in range(2 if apart else 3):
            self.open_drive(node, KEY)
            self.join(node, "chat")
        self.settle()

    # Connections

    @rule(dialler=nodes, step=st.integers(1, 2), wire=wires)
    def connect(self, dialler: int, step: int, wire: WireName) -> None:
        everyone = self.network.nodes
        self.link(everyone[dialler], everyone[(dialler + step) % 3], wire)

    @precondition(has_ends)
    @rule(pick=picks, other_way=st.booleans(), at_once=st.booleans())
    def connect_again(self, pick: int, other_way: bool, at_once: bool) -> None:
        """Add a duplicate, which may be ready before anything else moves."""
        end = self.pick_end(pick)
        near, far = (end.far, end) if other_way else (end, end.far)
        duplicate = self.link(near.node, far.node, end.connection.wire or "hypercore11")
        if at_once:
            self.network.settle(duplicate, duplicate.far)

    @precondition(has_ends)
    @rule(pick=picks, how=st.sampled_from(("here", "at both ends", "refuse")))
    def lose(self, pick: int, how: str) -> None:
        """Break a stream at one end, or at both ends with the bytes in flight, or refuse the peer."""
        end = self.pick_end(pick)
        if how == "refuse":
            end.fail(RemoteProtocolError("refused"))
            return
        end.cut()
        if how == "at both ends":
            end.far.cut()

    # Bytes and time

    @precondition(has_ends)
    @rule(moves=st.lists(st.tuples(picks, st.integers(0, 200)), min_size=1, max_size=20))
    def move(self, moves: list[tuple[int, int]]) -> None:
        """Let some ends write, and some read a few bytes."""
        for pick, size in moves:
            if not has_ends(self):
                return
            end = self.pick_end(pick)
            if size:
                end.read(size)
            else:
                end.write()

    @precondition(has_ends)
    @rule(pick=picks)
    def settle_one(self, pick: int) -> None:
        """Let everything move on one connection, and nothing on the others."""
        end = self.pick_end(pick)
        self.network.settle(end, end.far)

    @rule()
    def settle(self) -> None:
        """Let everything move, as far as full handles allow it."""
        self.network.settle()

    @rule(seconds=st.sampled_from((0.5, 5.0, 60.0)))
    def pass_time(self, seconds: float) -> None:
        self.network.flow(seconds)

    @rule(seconds=st.sampled_from((0.5, 4.0, 8.0, 30.0)))
    def stall(self, seconds: float) -> None:
        """Let time pass while no byte moves."""
        self.model.stalled = True
        self.network.advance(seconds)

    # Drives, topics and watches

    @rule(node=nodes, key=drives)
    def open_drive(self, node: int, key: DriveKey) -> None:
        place = self.network.nodes[node], key
        if place not in self.drives:
            self.drives[place] = place[0].machine.open_drive(key)
            self.model.open_drives.add(place)
            self.eyes.append(self.eye(*place))

    @precondition(has_drives)
    @rule(pick=picks)
    def close_drive(self, pick: int) -> None:
        (node, key) = self.pick_drive(pick)
        for ear in [ear for ear in self.ears if (ear.node, ear.topic[0]) == (node, key)]:
            self.close_ear(ear)
        for eye in [eye for eye in self.eyes if (eye.node, eye.drive) == (node, key)]:
            eye.look()
            eye.watch.close()
            self.eyes.remove(eye)
        node.machine.close_drive(self.drives.pop((node, key)))
        self.model.open_drives.discard((node, key))
        self.model.closings.add((node, key))

    @precondition(has_drives)
    @rule(pick=picks)
    def watch(self, pick: int) -> None:
        """Open one more watch. It begins with the present members."""
        self.eyes.append(self.eye(*self.pick_drive(pick)))

    @precondition(has_drives)
    @rule(pick=picks, topic=topics)
    def join(self, pick: int, topic: str) -> None:
        node, key = self.pick_drive(pick)
        handle = node.machine.join(self.drives[node, key], topic)
        self.ears.append(Ear(self.model, self.names, node, (key, topic), handle, self.count))

    @precondition(has_ears)
    @rule(pick=picks)
    def leave_topic(self, pick: int) -> None:
        self.close_ear(self.ears[pick % len(self.ears)])

    # Messages

    @precondition(has_ears)
    @rule(pick=picks, peer=picks, size=st.integers(0, 60), times=st.integers(1, 20))
    def send(self, pick: int, peer: int, size: int, times: int) -> None:
        ear = self.ears[pick % len(self.ears)]
        for peer_id in self.pick_member(ear, peer):
            for _ in range(times):
                self.say(ear, peer_id, size)

    @precondition(has_ears)
    @rule(pick=picks, peer_id=st.integers(1, 5))
    def send_to_anybody(self, pick: int, peer_id: int) -> None:
        """Send to a peer that is no member. The message is not accepted."""
        ear = self.ears[pick % len(self.ears)]
        try:
            self.say(ear, peer_id, 0)
        except (PeerGone, UnknownPeer):
            assert peer_id not in self.members(ear)
        else:
            assert peer_id in self.members(ear)

    @precondition(has_ears)
    @rule(pick=picks, size=st.integers(0, 60))
    def broadcast(self, pick: int, size: int) -> None:
        """Send to each member. None of them is gone."""
        ear = self.ears[pick % len(self.ears)]
        for peer_id in self.members(ear):
            self.say(ear, peer_id, size)

    @precondition(has_ears)
    @rule(pick=picks)
    def listen(self, pick: int) -> None:
        """Take messages from some handles. The others read slowly."""
        self.ears[pick % len(self.ears)].listen()

    @precondition(has_drives)
    @rule(pick=picks)
    def look(self, pick: int) -> None:
        self.eyes[pick % len(self.eyes)].look()

    @precondition(has_ends)
    @rule(pick=picks, key=drives, topic=topics)
    def intrude(self, pick: int, key: DriveKey, topic: str) -> None:
        """Let a peer without the drive send to a topic all the same. No handle receives the message."""
        end = self.pick_end(pick)
        connection = end.connection
        if (
            (end.node, key) in self.drives
            or connection.wire != "hypercore9"
            or not connection.remote_public_key
        ):
            return
        _, name = addresses(key.discovery_key, topic, "drive")["hypercore9"]
        connection.extensions.register(name)
        connection.sender(None, name).send(b"\xff\xff\xff\xff")
        connection.extensions.unregister(name)

    # Invariants

    @invariant()
    def queues_are_within_limits(self) -> None:
        for ear in self.ears:
            ear.check_bounds()
        for end in self.network.ends:
            assert end.connection.outbox.message_size < LIMITS.send_buffer + 100

    @rule()
    def rest(self) -> None:
        """Let everything arrive and every deadline pass. Then the model agrees in every detail."""
        for _ in range(10):
            self.drain()
            self.network.flow(1.0)
        self.drain()
        for link in self.model.links:
            assert link.alive == (not link.end.gone) == (not link.end.far.gone)
            assert not link.alive or link.end.connection.remote_public_key is not None
        alive = [(frozenset(link.nodes), link.wire) for link in self.model.links if link.alive]
        assert len(alive) == len(set(alive)), "two connections were not folded"
        for (node, key), drive in self.drives.items():
            members = {
                (self.names.node(member.peer.wire, member.peer.public_key), member.peer.wire)
                for member in drive.members.values()
            }
            assert members == self.model.members(node, key)
        for eye in self.eyes:
            eye.look()
            assert set(eye.present.values()) == self.model.members(eye.node, eye.drive)
        for ear in self.ears:
            assert ear.heard >= self.model.must_hear(ear), "a message was lost"
        self.model.rest()

    def teardown(self) -> None:
        self.rest()

    # Helpers

    def link(self, dialler: Node, answerer: Node, wire: WireName) -> End:
        end = self.network.connect(dialler, answerer, wire)
        self.model.links.append(Link(end, wire))
        return end

    def pick_end(self, pick: int) -> End:
        ends = list(self.network.ends)
        return ends[pick % len(ends)]

    def pick_drive(self, pick: int) -> tuple[Node, DriveKey]:
        return list(self.drives)[pick % len(self.drives)]

    def members(self, ear: Ear) -> list[int]:
        return list(self.drives[ear.node, ear.topic[0]].members)

    def pick_member(self, ear: Ear, pick: int) -> list[int]:
        members = self.members(ear)
        return [members[pick % len(members)]] if members else []

    def eye(self, node: Node, key: DriveKey) -> Eye:
        return Eye(self.model, self.names, node, key, node.machine.watch(self.drives[node, key]))

    def close_ear(self, ear: Ear) -> None:
        ear.listen()
        ear.handle.close()
        self.ears.remove(ear)

    def drain(self) -> None:
        """Move bytes and take messages until there are none."""
        while self.network.settle() + sum(ear.listen() for ear in self.ears):
            pass

    def say(self, ear: Ear, peer_id: int, size: int) -> None:
        payload = self.count.to_bytes(4, "big") + bytes(size)
        connection = ear.handle.send(peer_id, payload)
        if connection is not None:
            end = connection.owner
            assert not end.gone
            said = Said(self.count, ear.node, end.far.node, ear.topic, end, payload)
            self.model.said[self.count] = said
            self.count += 1


TestPeersockets = pytest.mark.slow(Peersockets.TestCase)
TestPeersockets.settings = settings(
    max_examples=EXAMPLES,
    derandomize="PEERSOCKETS_EXAMPLES" not in os.environ,
    stateful_step_count=60,
)
