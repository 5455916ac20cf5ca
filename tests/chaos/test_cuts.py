"""A stream that fails at every byte of a session: nothing hangs, nothing stays, nothing comes twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, TypeAlias

import attrs
import pytest
import trio
import trio.testing

from adapter.support import KEY, pumps
from chaos.support import nothing_left
from peersockets_core import WIRES, WireName
from peersockets_trio import Limits, Node, PeerGone, PeerJoined, PeerLeft, RemoteProtocolError, open_node
from peersockets_trio.testing import ChaosStream, Cut, Fault

Direction: TypeAlias = Literal["cut_sending", "cut_receiving"]

LIMITS = Limits(hypercore11_silence=20.0)
"""hypercore11 gives nobody up for their silence unless it is told to."""

SESSION = 60.0
"""Seconds after which whoever has been cut off must have noticed: handshake or silence, and lingering."""


@attrs.define
class Talker:
    """A node that sends three messages to whoever joins, and notes down everything."""

    node: Node
    run: int = 0
    before: int = 0
    """The messages that had come in when the run began."""
    accepted: list[bytes] = attrs.field(factory=list)
    received: list[bytes] = attrs.field(factory=list)
    events: list[PeerJoined | PeerLeft] = attrs.field(factory=list)

    async def talk(self) -> None:
        async with (
            self.node.open_drive(KEY) as drive,
            drive.join("chat") as chat,
            drive.watch() as events,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._listen, chat.receive)
            async for event in events:
                self.events.append(event)
                if isinstance(event, PeerJoined):
                    for number in range(3):
                        message = self.run.to_bytes(2, "big") + bytes(number)
                        with suppress(PeerGone):
                            await chat.send(event.peer_id, message)
                            self.accepted.append(message)

    async def _listen(self, receive: object) -> None:
        while True:
            self.received.append((await receive()).message)  # type: ignore[operator]

    def begin(self, run: int) -> None:
        self.run = run
        self.before = self.node.statistics().messages_received
        for notes in (self.accepted, self.received, self.events):
            notes.clear()


@asynccontextmanager
async def two_talkers() -> AsyncIterator[tuple[Talker, Talker]]:
    async with (
        open_node(limits=LIMITS) as alice,
        open_node(limits=LIMITS) as bob,
        trio.open_nursery() as nursery,
    ):
        talkers = Talker(alice), Talker(bob)
        for talker in talkers:
            nursery.start_soon(talker.talk)
        await trio.testing.wait_all_tasks_blocked()
        yield talkers
        nursery.cancel_scope.cancel()


async def attach(node: Node, stream: trio.abc.Stream, wire: WireName, initiator: bool) -> None:
    with suppress(RemoteProtocolError, trio.BrokenResourceError):
        await node.attach(stream, wire=wire, initiator=initiator)


async def hold_session(
    alice: Talker, bob: Talker, near: ChaosStream, far: trio.abc.Stream, wire: WireName
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attach, alice.node, near, wire, True)
        nursery.start_soon(attach, bob.node, far, wire, False)


def check_notes(sender: Talker, receiver: Talker) -> None:
    """What was received is what was accepted, once, in order, and all that came before the stream failed."""
    assert receiver.received == sender.accepted[: len(receiver.received)]
    assert len(receiver.received) == receiver.node.statistics().messages_received - receiver.before
    for talker in (sender, receiver):
        assert [type(event) for event in talker.events] in ([], [PeerJoined, PeerLeft])
        assert {event.peer_id for event in talker.events} <= {1}


async def session_size(wire: WireName, direction: Direction) -> int:
    """The bytes of a session in which nothing fails."""
    async with two_talkers() as (alice, bob):
        ours, theirs = trio.testing.memory_stream_pair()
        stream = ChaosStream(ours)
        await hold_session(alice, bob, stream, theirs, wire)
        await trio.testing.wait_all_tasks_blocked()
        for sender, receiver in ((alice, bob), (bob, alice)):
            assert receiver.received == sender.accepted
            assert len(receiver.received) == 3
        return stream.sent if direction == "cut_sending" else stream.received


@pytest.mark.parametrize("fault", ["reset", "eof", "silence"])
@pytest.mark.parametrize("direction", ["cut_sending", "cut_receiving"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_fault_at_every_byte(
    wire: WireName, direction: Direction, fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    async with nothing_left():
        await fail_at_every_byte(wire, direction, fault)


async def fail_at_every_byte(wire: WireName, direction: Direction, fault: Fault) -> None:
    size = await session_size(wire, direction)
    delivered = 0
    async with two_talkers() as (alice, bob):
        for position in range(size):
            for talker in (alice, bob):
                talker.begin(position)
            ours, theirs = trio.testing.memory_stream_pair()
            near = ChaosStream(ours, **faults(direction, position, fault))
            await hold_session(alice, bob, near, theirs, wire)
            await trio.sleep(SESSION)
            for sender, receiver in ((alice, bob), (bob, alice)):
                assert not pumps(sender.node)
                check_notes(sender, receiver)
            check_reasons(alice, bob, direction, fault)
            delivered += len(alice.received) + len(bob.received)
    assert size > 250
    # Who finds what it receives cut within a frame ends the connection at once, and with it what it has not
    # sent yet, which is up to the task that runs first.
    at_once = direction == "cut_receiving" and fault != "silence"
    assert delivered > 3 or at_once, "no cut was late enough"


def faults(direction: Direction, position: int, fault: Fault) -> dict[str, Any]:
    return {direction: Cut(position, fault)}


def check_reasons(alice: Talker, bob: Talker, direction: Direction, fault: Fault) -> None:
    """Who can know tells why. An end between two messages is like any good-bye, and has no reason."""
    deaf = bob if direction == "cut_sending" else alice
    told = {"reset": alice, "silence": deaf}.get(fault)
    for event in told.events if told else ():
        if isinstance(event, PeerLeft):
            assert event.reason
