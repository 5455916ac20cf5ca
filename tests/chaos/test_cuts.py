"""A stream that fails at every byte of a session.

Nothing hangs, nothing stays, nothing arrives twice, and every message that arrived whole before the stream
failed is delivered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Literal, TypeAlias

import attrs
import pytest
import trio
import trio.testing

from adapter.support import KEY, tasks
from chaos.support import nothing_left
from peersockets_core import WIRES, WireName
from peersockets_trio import (
    Limits,
    Node,
    PeerGone,
    PeerJoined,
    PeerLeft,
    RemoteProtocolError,
    Topic,
    open_node,
)
from peersockets_trio.testing import ChaosStream, Cut, Fault

Direction: TypeAlias = Literal["cut_sending", "cut_receiving"]

LIMITS = Limits(hypercore11_silence=20.0)
"""hypercore11 never gives up a silent remote without this limit."""

SESSION = 60.0
"""Seconds after which both sides must have noticed the cut: the handshake or the silence, and lingering."""


@attrs.define
class Talker:
    """A node that sends three messages to each peer that joins, and notes everything.

    It writes the first message alone, and the others together. The result of a session then does not depend
    on the order in which Trio runs tasks.
    """

    node: Node
    run: int = 0
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
            nursery.start_soon(self._listen, chat)
            async for event in events:
                self.events.append(event)
                if isinstance(event, PeerJoined):
                    self._send(chat, event.peer_id, 0)
                    await trio.testing.wait_all_tasks_blocked()
                    self._send(chat, event.peer_id, 1)
                    self._send(chat, event.peer_id, 2)

    def _send(self, chat: Topic, peer_id: int, number: int) -> None:
        message = self.run.to_bytes(2, "big") + bytes(number)
        with suppress(PeerGone):
            chat.send_nowait(peer_id, message)
            self.accepted.append(message)

    async def _listen(self, chat: Topic) -> None:
        async for message in chat:
            self.received.append(message.message)

    def begin(self, run: int) -> None:
        self.run = run
        for notes in (self.accepted, self.received, self.events):
            notes.clear()


class Tap(trio.abc.HalfCloseableStream):
    """A talker's end of a stream, which counts the bytes that passed through it before it broke."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, talker: Talker) -> None:
        self.talker = talker
        self.heard = 0
        """The number of bytes that were read."""
        self._stream = stream
        self._broken = False
        self._said = 0
        self._writes: list[tuple[int, int]] = []  # the end of each, and the messages accepted by then

    def messages_within(self, size: int) -> int:
        """Return how many messages the first `size` written bytes contain whole, counting only whole
        writes.
        """
        return max((messages for end, messages in self._writes if end <= size), default=0)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._said += len(data)
        self._writes.append((self._said, len(self.talker.accepted)))
        with self._watch():
            await self._stream.send_all(data)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        with self._watch():
            data = await self._stream.receive_some(max_bytes)
        if not self._broken:
            self.heard += len(data)
        return data

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        with self._watch():
            await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    @contextmanager
    def _watch(self) -> Iterator[None]:
        try:
            yield
        except trio.BrokenResourceError:
            self._broken = True
            raise


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


async def hold_session(near: Tap, far: Tap, wire: WireName) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attach, near.talker.node, near, wire, True)
        nursery.start_soon(attach, far.talker.node, far, wire, False)


def check_notes(sending: Tap, receiving: Tap) -> None:
    """Check that messages arrived once, in order, with all that were read before the stream broke.

    Of messages written together, the first may arrive without the others.
    """
    sender, receiver = sending.talker, receiving.talker
    assert receiver.received == sender.accepted[: len(receiver.received)]
    assert len(receiver.received) >= sending.messages_within(receiving.heard)
    for talker in (sender, receiver):
        assert [type(event) for event in talker.events] in ([], [PeerJoined, PeerLeft])
        assert {event.peer_id for event in talker.events} <= {1}


async def session_size(wire: WireName, direction: Direction) -> int:
    """Return the bytes of a session in which nothing fails."""
    async with two_talkers() as (alice, bob):
        ours, theirs = trio.testing.memory_stream_pair()
        stream = ChaosStream(ours)
        await hold_session(Tap(stream, alice), Tap(theirs, bob), wire)
        await trio.sleep(1)
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
    deaf_heard = 0
    async with two_talkers() as (alice, bob):
        deaf = bob if direction == "cut_sending" else alice
        for position in range(size):
            for talker in (alice, bob):
                talker.begin(position)
            ours, theirs = trio.testing.memory_stream_pair()
            near = Tap(ChaosStream(ours, **faults(direction, position, fault)), alice)
            far = Tap(theirs, bob)
            await hold_session(near, far, wire)
            await trio.sleep(SESSION)
            for sending, receiving in ((near, far), (far, near)):
                assert not tasks(sending.talker.node)
                check_notes(sending, receiving)
            check_reasons(alice, bob, direction, fault)
            deaf_heard += len(deaf.received)
    assert size > 250
    assert deaf_heard > 3, "every cut came too early"


def faults(direction: Direction, position: int, fault: Fault) -> dict[str, Any]:
    return {direction: Cut(position, fault)}


def check_reasons(alice: Talker, bob: Talker, direction: Direction, fault: Fault) -> None:
    """Check that the side that can know the reason reports it. A clean end between messages has no reason."""
    deaf = bob if direction == "cut_sending" else alice
    informed = {"reset": alice, "silence": deaf}.get(fault)
    for event in informed.events if informed else ():
        if isinstance(event, PeerLeft):
            assert event.reason
