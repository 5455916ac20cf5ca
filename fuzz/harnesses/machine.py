"""Invariant: nodes that talk to each other agree on members, and take messages once, in order and in bounds.

An input is a script of three nodes on both wires: connections come and go, bytes arrive in any pieces and
order, drives, topics and watches open and close, messages are sent and taken, and time passes; its first byte
chooses the state at the beginning. A message that arrives on a topic must have been sent on it, once, in
order, and each watch must hear of joins and leaves in turn. In the end everything that is under way arrives,
and every node knows exactly the members it has.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Final

import attrs

from fuzz.support import KEYS, Script, bounded_work
from peersockets_core import (
    Connection,
    DriveKey,
    KeyPair,
    LocalProtocolError,
    OpenDrive,
    PeerJoined,
    RemoteProtocolError,
    TopicHandle,
    Watch,
    WireName,
)
from peersockets_core.limits import Limits
from simulation import streams

LIMITS: Final = Limits(send_buffer=256, receive_messages=8, receive_bytes=256, watch_events=8)
CALLS: Final = 10_000
CALLS_PER_BYTE: Final = 1_000
"""Two bytes can end a connection that twelve handles use, or begin six handshakes."""
PEERS: Final = 3
_KEY_PAIRS: Final = [KeyPair.from_seed(bytes((number + 1,)) * 32) for number in range(PEERS)]
CONNECTIONS: Final = 6
_STEP: Final = 0.5
"""Seconds of each step of the last wait. After a longer step than `LATENESS`, deadlines would begin again."""
_STEPS: Final = math.ceil((LIMITS.fold_time + 0.1) / _STEP)
_TOPICS: Final = ("chat", "é")
_WIRES: Final[tuple[WireName, ...]] = ("hypercore9", "hypercore11")


@attrs.define(eq=False)
class _Joined:
    """A topic handle, and the number of the last message taken from each sender."""

    drive: DriveKey
    topic: str
    handle: TopicHandle
    last: dict[bytes, int] = attrs.field(factory=lambda: defaultdict(lambda: -1))


class _Node(streams.Node):
    """A node of the simulation that follows the script."""

    def __init__(self, number: int) -> None:
        super().__init__(f"node {number}", _KEY_PAIRS[number], limits=LIMITS)
        self.number = number
        self.drives: dict[DriveKey, OpenDrive[streams.End, object]] = {}
        self.joined: list[_Joined] = []
        self.watches: list[tuple[Watch, set[int]]] = []
        self.sent = 0

    def drop(self, connection: Connection[streams.End], error: RemoteProtocolError) -> None:
        raise AssertionError(f"an honest peer was dropped: {error}")

    def toggle_drive(self, key: DriveKey) -> None:
        opened = self.drives.pop(key, None)
        if opened is None:
            self.drives[key] = self.machine.open_drive(key)
            return
        for joined in [joined for joined in self.joined if joined.drive == key]:
            self.leave(joined)
        for watch in list(opened.watches):
            watch.close()
        self.watches = [(watch, present) for watch, present in self.watches if not watch.closed]
        self.machine.close_drive(opened)

    def join(self, script: Script) -> None:
        if self.drives and len(self.joined) < 4:
            key = list(self.drives)[script.choose(len(self.drives))]
            topic = _TOPICS[script.choose(len(_TOPICS))]
            handle = self.machine.join(self.drives[key], topic)
            self.joined.append(_Joined(key, topic, handle))

    def leave(self, joined: _Joined) -> None:
        joined.handle.close()
        self.joined.remove(joined)

    def watch(self, script: Script) -> None:
        if self.drives and len(self.watches) < 3:
            key = list(self.drives)[script.choose(len(self.drives))]
            self.watches.append((self.machine.watch(self.drives[key]), set()))

    def use(self, script: Script) -> None:
        """Do something with one topic handle."""
        if not self.joined:
            return
        choice = script.byte()
        joined = self.joined[choice // 8 % len(self.joined)]
        if choice % 8 < 4:
            self.send(joined, 1 + script.choose(2 * PEERS), script.byte())
        elif choice % 8 == 4:
            self.leave(joined)
        else:
            self.take(joined)

    def send(self, joined: _Joined, peer_id: int, size: int) -> None:
        payload = b"%d:%s:%d " % (self.number, joined.topic.encode(), self.sent)
        try:
            went_on = joined.handle.send(peer_id, payload.ljust(size))
        except LocalProtocolError:
            return
        if went_on is not None:
            self.sent += 1

    def take(self, joined: _Joined) -> None:
        while len(joined.handle):
            message = joined.handle.take()
            sender, topic, number = message.message.split(b" ")[0].split(b":")
            assert topic.decode() == joined.topic
            assert message.public_key in _KEY_PAIRS[int(sender)].public_keys.values()
            # There is no order across wires, because a node is a different peer on each.
            assert int(number) > joined.last[message.public_key], "a message twice, or overtaken"
            joined.last[message.public_key] = int(number)

    def look(self) -> None:
        """Read all watches to the end."""
        for watch, present in self.watches:
            while len(watch):
                event = watch.take()
                if isinstance(event, PeerJoined):
                    assert event.peer_id not in present, "a member joined twice"
                    present.add(event.peer_id)
                else:
                    present.remove(event.peer_id)


class _World:
    """The nodes, and the network between them."""

    def __init__(self) -> None:
        self.nodes = [_Node(number) for number in range(PEERS)]
        self.network = streams.Network(*self.nodes)

    def connect(self, choice: int) -> None:
        dialler, answerer = self.nodes[choice % 3], self.nodes[(choice + 1 + choice // 3 % 2) % 3]
        if max(len(dialler.ends), len(answerer.ends)) < CONNECTIONS:
            self.network.connect(dialler, answerer, _WIRES[choice // 6 % 2])

    def deliver(self, end: streams.End, size: int) -> None:
        """Let bytes arrive, if the machine reads them, and then the end of the stream."""
        end.read(size)
        if end.eof and not end.inbox:
            end.read()
        error = end.connection.error
        assert error is None or end.eof, error

    def end(self, end: streams.End, *, cut: bool) -> None:
        """Close one side, in good order or with the loss of everything under way."""
        if cut:
            end.far.inbox.clear()
            end.cut()
        else:
            end.close()

    def settle(self) -> None:
        """Let everything under way arrive, and take it."""
        for _ in range(60):
            moved = [end.write() for end in self.network.ends]
            for node in self.nodes:
                node.look()
                for joined in node.joined:
                    node.take(joined)
            if not any(moved) and not any(end.inbox or end.eof for end in self.network.ends):
                return
            for end in self.network.ends:
                self.deliver(end, len(end.inbox))
        raise AssertionError("the nodes talk for ever")


def _begin(world: _World, choice: int) -> None:
    """Choose the state at the beginning: at most, all have met on the first drive and joined the first
    topic.
    """
    for node in world.nodes:
        if choice & 1:
            node.toggle_drive(KEYS[0])
            node.watch(Script(b"\0"))
        if choice & 2:
            node.join(Script(b"\0\0"))
    for number in range(PEERS) if choice & 4 else ():
        world.connect(number + 6 * (choice >> 3 & 1))
    if choice & 16:
        world.settle()


def _step(world: _World, script: Script) -> None:
    choice = script.byte()
    node = world.nodes[choice % PEERS]
    act = choice // PEERS % 10
    end = node.ends[script.choose(len(node.ends))] if act in (3, 4, 5) and node.ends else None
    if act == 0:
        world.connect(script.byte())
    elif act == 1:
        node.toggle_drive(KEYS[script.choose(len(KEYS))])
    elif act == 2:
        node.join(script)
    elif act == 3 and end is not None:
        end.write()
        world.deliver(end.far, len(end.far.inbox))
    elif act == 4 and end is not None:
        world.end(end, cut=bool(script.byte() & 1))
    elif act == 5 and end is not None:
        world.deliver(end, script.byte())
    elif act in (6, 7):
        node.use(script)
    elif act == 8:
        node.watch(script)
    elif script.byte() & 1:
        world.network.jump(script.byte() / 16)
    else:
        node.look()


def _check(node: _Node) -> None:
    """Check that the members are exactly the remotes that are connected and have the same drive open."""
    machine = node.machine
    for key, opened in node.drives.items():
        expected = {
            (end.connection.wire, end.connection.remote_public_key)
            for end in node.ends
            if key in _drives(end.far.node)
        }
        members = {(member.peer.wire, member.peer.public_key) for member in opened.members.values()}
        assert members == expected
        assert all(machine.peer(peer_id).id == peer_id for peer_id in opened.members)
    for watch, present in node.watches:
        [opened] = [opened for opened in node.drives.values() if watch in opened.watches]
        assert present == set(opened.members)
    for joined in node.joined:
        assert not len(joined.handle)
        _check_routes(node, joined)
    for end in node.ends:
        assert machine.may_read(end.connection)


def _drives(node: streams.Node) -> dict[DriveKey, OpenDrive[streams.End, object]]:
    assert isinstance(node, _Node)
    return node.drives


def _check_routes(node: _Node, joined: _Joined) -> None:
    """Check that there is a route to every member, and to no other peer, on a connection that exists."""
    members = node.drives[joined.drive].members
    for peer_id in range(1, 2 * PEERS + 1):
        try:
            route = joined.handle.route(peer_id)
        except LocalProtocolError:
            assert peer_id not in members
            continue
        assert peer_id in members
        assert route is not None
        assert route.connection in [end.connection for end in node.ends]


def _check_bounds(node: _Node) -> None:
    largest = LIMITS.send_buffer + 300
    for end in node.ends:
        assert end.connection.outbox.message_size <= largest
    for watch, _ in node.watches:
        assert len(watch) <= LIMITS.watch_events + 2 * PEERS


def run(data: bytes) -> None:
    """Play an input."""
    script = Script(data)
    world = _World()
    with bounded_work(lambda: CALLS + CALLS_PER_BYTE * len(data)):
        _begin(world, script.byte())
        while script:
            _step(world, script)
            for node in world.nodes:
                _check_bounds(node)
        world.settle()
        for _ in range(_STEPS):
            world.network.jump(_STEP)
        world.settle()
    for node in world.nodes:
        _check(node)
