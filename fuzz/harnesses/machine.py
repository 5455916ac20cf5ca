"""Invariant: nodes that talk to each other agree on members, and take messages once, in order and in bounds.

An input is a script of three nodes on both wires: connections come and go, bytes arrive in any pieces and
order, drives, topics and watches open and close, messages are sent and taken, and time passes; its first byte
tells how much of that is there to begin with. What arrives on a topic must have been sent on it, once, in
order, and each watch must hear of joins and leaves in turn. In the end everything that is under way arrives,
and every node knows exactly the members it has.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Final

import attrs

from fuzz.support import KEYS, Script, bounded_work, fixed_entropy
from peersockets_core import (
    Connection,
    DriveKey,
    KeyPair,
    LocalProtocolError,
    OpenDrive,
    PeerJoined,
    Peersockets,
    RemoteProtocolError,
    TopicHandle,
    Watch,
    WireName,
)
from peersockets_core.limits import Limits

LIMITS: Final = Limits(send_buffer=256, receive_messages=8, receive_bytes=256, watch_events=8)
CALLS: Final = 10_000
CALLS_PER_BYTE: Final = 1_000
"""Two bytes may be the end of a connection that twelve handles feel, or handshakes on six."""
PEERS: Final = 3
CONNECTIONS: Final = 6
_STEP: Final = 0.5
"""Seconds of the last wait at a time: a deadline that is met later than `LATENESS` begins anew."""
_STEPS: Final = math.ceil((LIMITS.fold_time + 0.1) / _STEP)
_TOPICS: Final = ("chat", "é")
_WIRES: Final[tuple[WireName, ...]] = ("hypercore9", "hypercore11")


@attrs.define(eq=False)
class _Link:
    """One side of a connection."""

    node: _Node
    connection: Connection
    far: _Link = attrs.field(init=False)
    arriving: bytearray = attrs.field(factory=bytearray)
    ended: bool = False
    """The far end has sent its last."""


@attrs.define(eq=False)
class _Joined:
    """A topic handle, and the number of the last message taken from each sender."""

    drive: DriveKey
    topic: str
    handle: TopicHandle
    last: dict[bytes, int] = attrs.field(factory=lambda: defaultdict(lambda: -1))


class _Node:
    """A machine and what moves its bytes, which only does as the script says."""

    def __init__(self, world: _World, number: int) -> None:
        self.world = world
        self.number = number
        self.key_pair = KeyPair.from_seed(bytes((number + 1,)) * 32)
        self.machine = Peersockets(self, LIMITS)
        self.links: list[_Link] = []
        self.drives: dict[DriveKey, OpenDrive] = {}
        self.joined: list[_Joined] = []
        self.watches: list[tuple[Watch, set[int]]] = []
        self.sent = 0
        self.retired: list[Connection] = []
        self.count = 0

    # Host

    def news(self, handle: TopicHandle | Watch) -> None:
        """Taken when the script says so."""

    def readable(self, connection: Connection) -> None:
        """Looked at before each reading."""

    def rerouted(self) -> None:
        """Nobody waits to send."""

    def wake(self, connection: Connection) -> None:
        """Everyone writes when the script says so."""

    def retire(self, connection: Connection) -> None:
        self.retired.append(connection)

    def drop(self, connection: Connection, error: RemoteProtocolError) -> None:
        raise AssertionError(f"an honest peer was dropped: {error}")

    # What the script tells it

    def connection(self, wire: WireName, *, initiator: bool) -> Connection:
        self.count += 1
        return self.machine.make_connection(
            wire=wire if initiator else None,
            initiator=initiator,
            key_pair=self.key_pair,
            entropy=fixed_entropy(16 * self.number + self.count % 16 + 1),
            now=self.world.now,
        )

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
            key_pair = self.world.nodes[int(sender)].key_pair
            assert message.public_key in key_pair.public_keys.values()
            # Not across wires: there, one node is two peers.
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
    """The nodes, their connections and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.nodes = [_Node(self, number) for number in range(PEERS)]

    def connect(self, choice: int) -> None:
        dialler, answerer = self.nodes[choice % 3], self.nodes[(choice + 1 + choice // 3 % 2) % 3]
        if max(len(dialler.links), len(answerer.links)) >= CONNECTIONS:
            return
        wire = _WIRES[choice // 6 % 2]
        near = _Link(dialler, dialler.connection(wire, initiator=True))
        near.far = _Link(answerer, answerer.connection(wire, initiator=False))
        near.far.far = near
        dialler.links.append(near)
        answerer.links.append(near.far)

    def flush(self, link: _Link) -> None:
        """What a connection has to send gets under way."""
        link.far.arriving += link.connection.data_to_send(self.now)

    def deliver(self, link: _Link, size: int) -> None:
        """Bytes arrive, if the machine will read them; then the end."""
        machine, connection = link.node.machine, link.connection
        if link not in link.node.links or not machine.may_read(connection):
            return
        data = bytes(link.arriving[:size])
        del link.arriving[: len(data)]
        machine.receive_events(connection, connection.receive_data(data, self.now), self.now)
        if link.ended and not link.arriving and not connection.closed:
            machine.receive_events(connection, connection.receive_eof(self.now), self.now)
        assert connection.error is None or link.ended, connection.error
        if connection.closed:
            self.end(link)

    def end(self, link: _Link, *, cut: bool = False) -> None:
        """One side closes, in good order or with what was under way lost."""
        if link not in link.node.links:
            return
        link.connection.close()
        if cut:
            link.far.arriving.clear()
        else:
            self.flush(link)
        link.far.ended = True
        link.node.links.remove(link)
        link.node.machine.remove_connection(link.connection, self.now)
        self.settle_retired()

    def settle_retired(self) -> None:
        """Close the duplicates that the machines are done with."""
        for node in self.nodes:
            retired, node.retired = node.retired, []
            for link in [link for link in node.links if link.connection in retired]:
                self.end(link)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for node in self.nodes:
            if node.machine.next_deadline() <= self.now:
                node.machine.handle_deadline(self.now)
                assert node.machine.next_deadline() > self.now
            for link in list(node.links):
                self._tick(link)
        self.settle_retired()

    def _tick(self, link: _Link) -> None:
        if link.connection.next_deadline() <= self.now:
            events = link.connection.handle_deadline(self.now)
            link.node.machine.receive_events(link.connection, events, self.now)
            if link.connection.closed:
                self.end(link)

    def settle(self) -> None:
        """Let everything that is under way arrive, and be taken."""
        for _ in range(60):
            links = [link for node in self.nodes for link in node.links]
            for link in links:
                self.flush(link)
            for node in self.nodes:
                node.look()
                for joined in node.joined:
                    node.take(joined)
            if not any(link.arriving or link.ended for link in links):
                return
            for link in links:
                self.deliver(link, len(link.arriving))
            self.settle_retired()
        raise AssertionError("the nodes talk for ever")


def _begin(world: _World, choice: int) -> None:
    """Up to a point at which all have met on the first drive, and listen to the first topic."""
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
    link = node.links[script.choose(len(node.links))] if act in (3, 4, 5) and node.links else None
    if act == 0:
        world.connect(script.byte())
    elif act == 1:
        node.toggle_drive(KEYS[script.choose(len(KEYS))])
    elif act == 2:
        node.join(script)
    elif act == 3 and link is not None:
        world.flush(link)
        world.deliver(link.far, len(link.far.arriving))
    elif act == 4 and link is not None:
        world.end(link, cut=bool(script.byte() & 1))
    elif act == 5 and link is not None:
        world.deliver(link, script.byte())
    elif act in (6, 7):
        node.use(script)
    elif act == 8:
        node.watch(script)
    elif script.byte() & 1:
        world.wait(script.byte() / 16)
    else:
        node.look()
    world.settle_retired()


def _check(node: _Node) -> None:
    """A member is who has a connection of one wire to us and the drive open, as we have."""
    machine = node.machine
    for key, opened in node.drives.items():
        expected = {
            (link.connection.wire, link.connection.remote_public_key)
            for link in node.links
            if key in link.far.node.drives
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
    for link in node.links:
        assert machine.may_read(link.connection)


def _check_routes(node: _Node, joined: _Joined) -> None:
    """Every member, and nobody else, can be sent to, on a connection that is there."""
    members = node.drives[joined.drive].members
    for peer_id in range(1, 2 * PEERS + 1):
        try:
            route = joined.handle.route(peer_id)
        except LocalProtocolError:
            assert peer_id not in members
            continue
        assert peer_id in members
        assert route is not None
        assert route.connection in [link.connection for link in node.links]


def _check_bounds(node: _Node) -> None:
    largest = LIMITS.send_buffer + 300
    for link in node.links:
        assert link.connection.outbox.message_size <= largest
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
            world.wait(_STEP)
        world.settle()
    for node in world.nodes:
        _check(node)
