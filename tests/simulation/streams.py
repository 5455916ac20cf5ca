"""Nodes of the core and the streams between them, in virtual time that passes only when a test says so.

`End` does the work of a task in peersockets_trio, and `Node` that of a runtime, in the same order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import attrs

from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    ConnectionClosed,
    Event,
    KeyPair,
    Limits,
    Peersockets,
    RemoteProtocolError,
    TopicHandle,
    Watch,
    WireName,
)
from peersockets_core.topics.members import Host
from simulation.identity import entropy, key_pair

WHOLE = 1 << 30


@attrs.define(eq=False)
class End:
    """One end of a stream, and the connection over it."""

    network: Network
    node: Node
    connection: Connection[End]
    far: End = attrs.field(init=False)
    inbox: bytearray = attrs.field(factory=bytearray)
    """Bytes in flight to this end."""
    eof: bool = False
    """Whether no bytes follow them."""
    finishing: bool = False
    wrote_eof: bool = False
    linger: float = float("inf")
    doom: RemoteProtocolError | None = None
    gone: bool = False
    broken: bool = False
    """Whether it ended for a reason other than folding at either end."""

    def write(self) -> bool:
        """Move queued bytes into the stream. Return whether there were any."""
        if self.gone or self.wrote_eof or len(self.far.inbox) > self.network.capacity:
            return False
        data = self.connection.data_to_send(self.network.now)
        self.far.inbox += data
        if not data and self.finishing:
            self.wrote_eof = self.far.eof = True
        return bool(data) or self.wrote_eof

    def read(self, size: int = WHOLE) -> bool:
        """Take up to this many bytes from the stream. Return whether there was anything to take."""
        now, connection = self.network.now, self.connection
        if self.gone or not (self.inbox or self.eof):
            return False
        if not self.node.machine.may_read(connection):
            connection.pause_reading(now)
            return False
        connection.resume_reading(now)
        self.receive(size)
        return True

    def receive(self, size: int = WHOLE) -> None:
        """Pass bytes that have arrived to the connection, even if the machine would rather let them wait."""
        if self.inbox:
            data = bytes(self.inbox[:size])
            del self.inbox[:size]
            self.process(self.connection.receive_data(data, self.network.now))
        else:
            self.process(self.connection.receive_eof(self.network.now))

    def same_peer(self, other: End) -> bool:
        ours, theirs = self.connection, other.connection
        return (ours.wire, ours.remote_public_key) == (theirs.wire, theirs.remote_public_key)

    def next_deadline(self) -> float:
        return float("inf") if self.gone else min(self.connection.next_deadline(), self.linger)

    def handle_deadline(self) -> None:
        now = self.network.now
        self.process(self.connection.handle_deadline(now))
        if not self.gone and self.linger <= now:
            self.broken |= bool(self.inbox) or not self.wrote_eof
            self.process(self.connection.close())

    def process(self, events: list[Event]) -> None:
        self.node.machine.receive_events(self.connection, events, self.network.now)
        if events and isinstance(events[-1], ConnectionClosed):
            self.end()
        self.node.drop_doomed()

    def close(self) -> None:
        """Close the connection cleanly, and end the stream after the queued bytes."""
        if not self.gone:
            self.process(self.connection.close())

    def cut(self) -> None:
        """Break the stream here. The far end may still read the bytes in flight."""
        if not self.gone:
            self.broken = True
            self.connection.close()
            self.end()

    def fail(self, error: RemoteProtocolError) -> None:
        if not self.gone:
            self.connection.fail(error)
            self.end()

    def end(self) -> None:
        """Act on the end of the connection. After a clean end, queued bytes are still sent."""
        connection = self.connection
        self.broken |= connection.error is not None
        unsent = connection.outbox.message_size if self.broken else 0
        self.remove(str(connection.error or ""), unsent)
        if not self.broken:
            self.far.inbox += connection.data_to_send(self.network.now)
        self.far.broken |= self.broken
        self.far.eof = True

    def remove(self, reason: str, unsent: int) -> None:
        """Remove the connection from its node."""
        self.gone = True
        self.node.ends.remove(self)
        self.node.machine.remove_connection(self.connection, self.network.now, reason=reason, unsent=unsent)


class Node:
    """A machine with its identity, and the machine's host."""

    def __init__(
        self,
        name: str,
        keys: KeyPair | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        host: Host[Any, Any] | None = None,
    ) -> None:
        """The node itself serves the machine, unless there is another `host`."""
        self.name = name
        self.limits = limits
        self.key_pair = key_pair(name) if keys is None else keys
        self.machine: Peersockets[Any, Any] = Peersockets(self if host is None else host, limits)
        self.ends: list[End] = []
        self._count = itertools.count()

    def make_connection(self, wire: WireName | None, now: float) -> Connection[Any]:
        """Begin a connection; with a wire, as the dialler."""
        return self.machine.make_connection(
            wire=wire,
            initiator=wire is not None,
            key_pair=self.key_pair,
            entropy=entropy(f"{self.name} {next(self._count)}"),
            now=now,
        )

    def begin(self, network: Network, wire: WireName | None) -> End:
        """Begin a connection over a stream of a network."""
        connection = self.make_connection(wire, network.now)
        end = connection.owner = End(network, self, connection)
        self.ends.append(end)
        return end

    def drop_doomed(self) -> None:
        for end in list(self.ends):
            if end.doom is not None:
                end.fail(end.doom)

    # The machine's Host

    def news(self, handle: TopicHandle | Watch) -> None:
        assert not handle.closed

    def readable(self, connection: Connection[End]) -> None:
        assert not connection.owner.gone

    def rerouted(self) -> None:
        """No sender waits."""

    def wake(self, connection: Connection[End]) -> None:
        assert connection.owner in self.ends

    def retire(self, connection: Connection[End]) -> None:
        end = connection.owner
        assert any(end.same_peer(other) and not other.finishing for other in self.ends if other is not end)
        end.finishing = True
        end.linger = min(end.linger, end.network.now + self.limits.linger)

    def drop(self, connection: Connection[End], error: RemoteProtocolError) -> None:
        connection.owner.doom = error


class Network:
    """All nodes, all streams, and the clock."""

    def __init__(self, *nodes: Node, capacity: float = math.inf) -> None:
        """Streams take no more than `capacity` bytes that the far end has not read."""
        self.now = 1000.0
        self.capacity = capacity
        self.nodes = list(nodes)

    def connect(self, dialler: Node, answerer: Node, wire: WireName) -> End:
        """Begin a connection. Return the dialler's end."""
        self.nodes += [node for node in (dialler, answerer) if node not in self.nodes]
        near, far = dialler.begin(self, wire), answerer.begin(self, None)
        near.far, far.far = far, near
        return near

    @property
    def ends(self) -> Iterator[End]:
        return itertools.chain.from_iterable([list(node.ends) for node in self.nodes])

    def settle(self, *only: End) -> bool:
        """Move bytes until no more can move, at some ends or at all. Return whether any moved."""
        moved = False
        while sum(end.write() + end.read() for end in only or self.ends):
            moved = True
        return moved

    def advance(self, seconds: float) -> None:
        """Let time pass while no bytes move. Handle every deadline in order; each call must move it on."""
        until = self.now + seconds
        while True:
            due = min(
                [end.next_deadline() for end in self.ends]
                + [node.machine.next_deadline() for node in self.nodes]
            )
            if due > until:
                break
            self.now = max(self.now, due)
            for end in self.ends:
                if end.next_deadline() <= self.now:
                    end.handle_deadline()
                    assert end.next_deadline() > self.now, "the deadline does not move on"
            for node in self.nodes:
                node.machine.handle_deadline(self.now)
                node.drop_doomed()
                assert node.machine.next_deadline() > self.now, "the deadline does not move on"
        self.now = until

    def jump(self, seconds: float) -> None:
        """Let time pass while no node runs. Then handle the deadlines that are due, once."""
        self.now += seconds
        for node in self.nodes:
            if node.machine.next_deadline() <= self.now:
                node.machine.handle_deadline(self.now)
                node.drop_doomed()
                assert node.machine.next_deadline() > self.now, "the deadline does not move on"
        for end in self.ends:
            if end.next_deadline() <= self.now:
                end.handle_deadline()

    def flow(self, seconds: float) -> None:
        """Let time pass on a network that works."""
        until = self.now + seconds
        self.settle()
        while self.now < until:
            self.advance(min(1.0, until - self.now))
            self.settle()
