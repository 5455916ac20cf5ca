"""The meaning of peersockets, in terms of connections, open drives and messages.

`Model` knows nothing of wires, keys, channels or frames. `Ear` and `Eye` compare a topic handle and a watch
with it.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from peersockets_core import DriveKey, Limits, Message, PeerJoined, TopicHandle, Watch, WireName
from simulation.streams import End, Node

Topic: TypeAlias = tuple[DriveKey, str]

LIMITS = Limits(send_buffer=400, receive_messages=8, watch_events=6, hypercore11_silence=20.0)
"""Small enough that a few dozen messages reach them."""


@attrs.frozen(eq=False)
class Link:
    """A connection between two nodes, seen from the dialler's end."""

    end: End
    wire: WireName

    @property
    def nodes(self) -> tuple[Node, Node]:
        return self.end.node, self.end.far.node

    @property
    def alive(self) -> bool:
        return not self.end.gone and not self.end.far.gone

    @property
    def broken(self) -> bool:
        """Return whether it has ended or will end, for a reason other than folding."""
        return self.end.broken or self.end.far.broken


@attrs.frozen(eq=False)
class Said:
    """A message that was accepted for sending."""

    number: int
    sender: Node
    hearer: Node
    topic: Topic
    end: End
    """The sender's end of the connection that took it."""
    payload: bytes


@attrs.define
class Model:
    """The truth about all nodes."""

    open_drives: set[tuple[Node, DriveKey]] = attrs.field(factory=set)
    links: list[Link] = attrs.field(factory=list)
    said: dict[int, Said] = attrs.field(factory=dict)
    closings: set[tuple[Node, DriveKey]] = attrs.field(factory=set)
    """Drives that were closed since everything was last at rest."""
    stalled: bool = False
    """Whether the network has stood still since everything was last at rest."""

    def members(self, node: Node, drive: DriveKey) -> set[tuple[Node, WireName]]:
        """Return the members of a drive as one node sees them once everything is at rest."""
        return {
            (far, link.wire)
            for link in self.links
            if link.alive and node in link.nodes
            for far in link.nodes
            if far is not node and {(node, drive), (far, drive)} <= self.open_drives
        }

    def may_leave(self, node: Node, far: Node, wire: WireName, drive: DriveKey) -> bool:
        """Return whether a node may see another one leave. Folding two connections is no reason.

        It is one only if the surviving connection was not ready here when the other ended, which nothing
        reports before.
        """
        return (
            self.stalled
            or (far, drive) in self.closings
            or any(
                link.broken and link.wire == wire and set(link.nodes) == {node, far} for link in self.links
            )
        )

    def must_hear(self, ear: Ear) -> set[int]:
        """Return the messages that a topic handle must have received once everything is at rest.

        They were sent after it joined, on connections that did not break.
        """
        return {
            said.number
            for said in self.said.values()
            if (said.hearer, said.topic) == (ear.node, ear.topic)
            and said.number >= ear.since
            and not said.end.broken
            and not said.end.far.broken
        }

    def rest(self) -> None:
        """Note that everything is at rest: nothing before this moment is an excuse any more."""
        self.links = [link for link in self.links if link.alive]
        self.closings.clear()
        self.stalled = False


class Names:
    """The peers that a node knows by their ids. An id belongs to one key for ever."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = {key: node for node in nodes for key in node.key_pair.public_keys.items()}
        self._known: dict[tuple[Node, int], tuple[WireName, bytes]] = {}

    def node(self, wire: WireName, public_key: bytes) -> Node:
        return self._nodes[wire, public_key]

    def note(self, node: Node, peer_id: int, wire: WireName, public_key: bytes) -> None:
        known = self._known.setdefault((node, peer_id), (wire, public_key))
        assert known == (wire, public_key), "an id stands for another key than before"
        ids = [key for (other, _), key in self._known.items() if other is node]
        assert len(ids) == len(set(ids)), "one key has two ids"


@attrs.define(eq=False)
class Ear:
    """A topic handle, and the messages it has received."""

    model: Model
    names: Names
    node: Node
    topic: Topic
    handle: TopicHandle[End]
    since: int
    """The number of the first message that was sent after joining."""
    heard: set[int] = attrs.field(factory=set)
    _last: dict[tuple[Node, WireName], Said] = attrs.field(factory=dict)

    def listen(self) -> bool:
        """Take all messages. Return whether there were any."""
        messages = self.handle.take_all()
        for message in messages:
            self._check(message)
        return bool(messages)

    def check_bounds(self) -> None:
        """Check that no more messages wait than twice the limit and those of one read."""
        assert len(self.handle) < 2 * LIMITS.receive_messages + LIMITS.send_buffer

    def _check(self, message: Message) -> None:
        said = self.model.said[int.from_bytes(message.message[:4], "big")]
        wire = said.end.connection.wire
        assert wire is not None
        assert (said.hearer, said.topic) == (self.node, self.topic), "the wrong node received it"
        assert message.message == said.payload
        assert message.public_key == said.sender.key_pair.public_keys[wire]
        assert said.number not in self.heard, "heard twice"
        last = self._last.get((said.sender, wire), said)
        # Late messages on a broken connection may be overtaken by those on the next one.
        broken = last.end is not said.end and (last.end.broken or said.end.broken)
        assert last.number <= said.number or broken, "received out of order"
        self.names.note(self.node, message.peer_id, wire, message.public_key)
        self.heard.add(said.number)
        self._last[said.sender, wire] = said


@attrs.define(eq=False)
class Eye:
    """A watch, and the peers that it has reported as joined and not as left."""

    model: Model
    names: Names
    node: Node
    drive: DriveKey
    watch: Watch
    present: dict[int, tuple[Node, WireName]] = attrs.field(factory=dict)

    def look(self) -> None:
        while len(self.watch):
            event = self.watch.take()
            far = self.names.node(event.wire, event.public_key)
            self.names.note(self.node, event.peer_id, event.wire, event.public_key)
            if isinstance(event, PeerJoined):
                assert event.peer_id not in self.present, "joined twice"
                self.present[event.peer_id] = far, event.wire
            else:
                assert self.present.pop(event.peer_id, None), "left without having joined"
                assert self.model.may_leave(self.node, far, event.wire, self.drive), "left for no reason"
