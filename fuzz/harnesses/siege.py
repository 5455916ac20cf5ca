"""Invariant: whatever two hostile remotes send, an honest member stays and gets its turns.

The first byte of an input chooses the wires; the rest is a script of what the hostile remotes say in plain,
in valid encryption, and of the time that passes. They may prove that they know the key of the drive, read
what we answer or not, and end. After each act of theirs, there is a round: every connection has one slice.
No slice takes more than its budget. In each round, the honest member and our node send each other a message,
which must arrive in that round, once and in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from fuzz.connections import Remote
from fuzz.harnesses import hypercore9, hypercore11
from fuzz.support import KEYS, LIMITS, Script, bounded_work, fixed_entropy
from peersockets_core import (
    Connection,
    ConnectionClosed,
    Event,
    KeyPair,
    MessagesReceived,
    PeerJoined,
    Peersockets,
    RemoteProtocolError,
    TopicHandle,
    Watch,
    WireName,
)
from peersockets_core.topics.naming import addresses

BUDGET: Final = 64
READ: Final = 512
CALLS: Final = 3000
"""Calls of Python functions in one slice: enough for 64 items and the last piece of work."""

_LIMITS: Final = attrs.evolve(
    LIMITS, receive_messages=4 * BUDGET, receive_bytes=64 * 1024, extension_names=1000
)
_WIRES: Final[tuple[WireName, ...]] = ("hypercore9", "hypercore11")
_REMOTES: Final[dict[WireName, Callable[[Connection, Any], Remote]]] = {
    "hypercore9": hypercore9.Remote,
    "hypercore11": hypercore11.Remote,
}
_TOPIC: Final = "chat"
_KEY: Final = KEYS[0]


class _Hostile:
    """A connection of ours to a remote that obeys no rule except the encryption."""

    def __init__(self, siege: _Siege, wire: WireName, seed: int) -> None:
        self.siege = siege
        self.ours = siege.connection(seed)
        self.arriving = bytearray()
        self.ended = False
        self.remote: Remote = _REMOTES[wire](self.ours, self)

    def see(self, events: list[Event]) -> None:
        """Events of ours (called within the handshake, too)."""
        self.siege.see(self.ours, events)

    def say(self, plain: bytes) -> None:
        if not self.ended:
            self.arriving += self.remote.encrypt(plain)

    def turn(self) -> None:
        """One slice of work."""
        siege, ours = self.siege, self.ours
        if ours.closed or not siege.machine.may_read(ours):
            return
        data = b"" if ours.has_input else bytes(self.arriving[:READ])
        del self.arriving[: len(data)]
        if data or ours.has_input:
            with bounded_work(lambda: CALLS):
                self.see(ours.receive_data(data, siege.now, BUDGET))
        elif self.ended:
            self.see(ours.receive_eof(siege.now))


class _Siege:
    """A node, its two hostile remotes, and its honest member; the `Host` of its machine."""

    def __init__(self, choice: int) -> None:
        self.now = 0.0
        self.machine = Peersockets(self, _LIMITS)
        self.drive = self.machine.open_drive(_KEY)
        self.topic = self.machine.join(self.drive, _TOPIC)
        self.watch_of_members = self.machine.watch(self.drive)
        self.said = self.heard = self.sent = 0
        self.dropped: list[Connection] = []
        wire = _WIRES[choice & 1]
        self.ours = self.connection(7)
        self.theirs = Connection(
            wire=wire,
            initiator=True,
            key_pair=KeyPair.from_seed(bytes((9,)) * 32),
            entropy=fixed_entropy(9),
            now=0.0,
        )
        self.address = addresses(_KEY.discovery_key, _TOPIC, "drive")[wire]
        self.theirs.extensions.register(self.address[1])
        self.theirs.open_drive(_KEY)
        self.received: list[bytes] = []
        while self.theirs.has_output or self.ours.has_output:
            self.exchange()
        joined = self.watch_of_members.take()
        assert isinstance(joined, PeerJoined)
        self.peer_id = joined.peer_id
        self.hostile = [
            _Hostile(self, _WIRES[choice >> 1 & 1], 1),
            _Hostile(self, _WIRES[choice >> 2 & 1], 2),
        ]

    def connection(self, seed: int) -> Connection:
        return self.machine.make_connection(
            wire=None,
            initiator=False,
            key_pair=KeyPair.from_seed(bytes(32 * (8,))),
            entropy=fixed_entropy(seed),
            now=self.now,
        )

    def see(self, connection: Connection, events: list[Event]) -> None:
        self.machine.receive_events(connection, events, self.now)
        if connection.closed:
            assert connection is not self.ours, connection.error
            self.dropped.append(connection)
        for dropped in self.dropped:
            dropped.close()
            self.machine.remove_connection(dropped, self.now)
        self.dropped.clear()

    def exchange(self) -> None:
        """Let messages between the honest sides arrive."""
        data = bytes(self.theirs.data_to_send(self.now))
        assert self.machine.may_read(self.ours)
        with bounded_work(lambda: CALLS):
            self.see(self.ours, self.ours.receive_data(data, self.now, BUDGET))
        assert not self.ours.has_input, "an honest member says less than a slice"
        for event in self.theirs.receive_data(bytes(self.ours.data_to_send(self.now)), self.now):
            assert not isinstance(event, ConnectionClosed)
            if isinstance(event, MessagesReceived) and event.name == self.address[1]:
                self.received += event.payloads

    def round(self) -> None:
        """Give every connection a turn, while the honest member and our node send each other a message."""
        for hostile in self.hostile:
            hostile.turn()
        said = b"honest %d" % self.said
        self.said += 1
        self.theirs.sender(*self.address).send(said)
        self.exchange()
        mine = [message.message for message in self.topic.take_all() if message.peer_id == self.peer_id]
        assert mine == [said]
        assert self.topic.send(self.peer_id, said) is self.ours
        self.exchange()
        assert self.received == [said]
        self.received.clear()
        assert self.peer_id in self.drive.members
        while len(self.watch_of_members):
            assert self.watch_of_members.take().peer_id != self.peer_id

    def wait(self, seconds: float) -> None:
        """Let time pass, and let the honest member handle its deadlines."""
        self.now += seconds
        assert self.theirs.handle_deadline(self.now) == []
        self.exchange()
        for connection in (self.ours, *(hostile.ours for hostile in self.hostile)):
            if not connection.closed:
                self.see(connection, connection.handle_deadline(self.now))
        self.machine.handle_deadline(self.now)

    # The machine's calls

    def news(self, handle: TopicHandle | Watch) -> None:
        """Do nothing: messages are taken in every round."""

    def readable(self, connection: Connection) -> None:
        """Do nothing: this is checked before each turn."""

    def rerouted(self) -> None:
        """Do nothing: no sender waits."""

    def wake(self, connection: Connection) -> None:
        """Do nothing: queued bytes leave when the script says so, and those for the honest member in every
        round.
        """

    def retire(self, connection: Connection) -> None:
        assert connection is not self.ours
        self.dropped.append(connection)

    def drop(self, connection: Connection, error: RemoteProtocolError) -> None:
        assert connection is not self.ours, error
        self.dropped.append(connection)


def _act(siege: _Siege, script: Script) -> None:
    choice = script.byte()
    hostile = siege.hostile[choice & 1]
    act = choice >> 1 & 7
    if act < 4:
        hostile.say(script.chunk())
    elif act == 4:
        hostile.say(hostile.remote.offer(KEYS[script.choose(len(KEYS))], script.byte()))
    elif act == 5:
        hostile.ours.data_to_send(siege.now)
    elif act == 6:
        siege.wait(script.byte() / 64)
    else:
        hostile.ended = True


def run(data: bytes) -> None:
    """Play an input."""
    script = Script(data)
    siege = _Siege(script.byte())
    siege.round()
    while script:
        _act(siege, script)
        siege.round()
    for _ in range(64):
        if not any(hostile.arriving or hostile.ours.has_input for hostile in siege.hostile):
            break
        siege.round()
