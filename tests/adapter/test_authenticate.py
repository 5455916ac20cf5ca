"""The admission of remotes: `authenticate` and `expect`, on both wires, in both directions of dialling."""

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    LARGER_KEY,
    LOOPBACK,
    SMALLER_KEY,
    all_tasks_blocked,
    attach,
    exchange,
    limited,
    raw_peer,
    tasks,
)
from peersockets_core import WIRES, HandshakeCompleted
from peersockets_core.info import Authenticate
from peersockets_trio import (
    ConnectionInfo,
    Drive,
    Limits,
    Node,
    PeerJoined,
    PeersocketsError,
    Refused,
    RemoteProtocolError,
    UnexpectedKey,
    open_node,
)
from peersockets_trio.testing import join_side
from peersockets_trio.testing.internals import node_runtime

BOTH = list(itertools.product(WIRES, ("we dial", "they dial")))


async def admit(info: ConnectionInfo) -> None:
    """Admit everybody."""


async def refuse(info: ConnectionInfo) -> None:
    raise Refused("not on the list")


class Gate:
    """An `authenticate` that takes its time. `decide` admits everybody."""

    def __init__(self) -> None:
        self.asked: list[ConnectionInfo] = []
        self._decided = trio.Event()

    async def __call__(self, info: ConnectionInfo) -> None:
        self.asked.append(info)
        await self._decided.wait()

    def decide(self) -> None:
        self._decided.set()


class Meeting:
    """A node that asks `authenticate`, and a visitor with the same drive open."""

    def __init__(self, wire: Any, role: str) -> None:
        self.wire = wire
        self.we_dial = role == "we dial"

    async def connect(self, node: Node, visitor: Node) -> ConnectionInfo:
        """Connect over TCP. Return the connection as the dialler sees it."""
        dialler, answerer = (node, visitor) if self.we_dial else (visitor, node)
        (listener,) = await answerer.listen_tcp(0, host=LOOPBACK)
        return await dialler.connect_tcp(*listener.address, wire=self.wire)


@pytest.fixture(params=BOTH, ids=str)
def meeting(request: pytest.FixtureRequest) -> Meeting:
    return Meeting(*request.param)


async def two(
    stack: AsyncExitStack, authenticate: Authenticate, **options: Any
) -> tuple[Node, Node, Drive, Drive]:
    """A node and a visitor, not connected. The node leaves first."""
    visitor = await stack.enter_async_context(open_node())
    node = await stack.enter_async_context(open_node(authenticate=authenticate))
    drive = await stack.enter_async_context(node.open_drive(KEY))
    return node, visitor, drive, await stack.enter_async_context(visitor.open_drive(KEY))


async def test_nothing_happens_before_the_decision(meeting: Meeting) -> None:
    gate = Gate()
    with limited():
        async with AsyncExitStack() as stack:
            node, visitor, drive, same = await two(stack, gate)
            inbox = await stack.enter_async_context(drive.join("chat"))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(meeting.connect, node, visitor)
                await all_tasks_blocked()
                (info,) = gate.asked
                assert info.public_key == visitor.public_keys[meeting.wire]
                assert info.wire == meeting.wire
                assert info.address is not None
                assert info.address[0] == LOOPBACK
                assert not drive.peers
                assert not same.peers
                with pytest.raises(trio.WouldBlock):
                    inbox.receive_nowait()
                gate.decide()
            await exchange(await join_side(node, drive), await join_side(visitor, same))


async def test_a_refused_remote_is_never_a_member(meeting: Meeting, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "peersockets")
    with limited():
        async with AsyncExitStack() as stack:
            node, visitor, drive, same = await two(stack, refuse)
            events = await stack.enter_async_context(drive.watch())
            same_events = await stack.enter_async_context(same.watch())
            if meeting.we_dial:
                with pytest.raises(Refused, match="refused: not on the list") as caught:
                    await meeting.connect(node, visitor)
                assert caught.value.reason == "not on the list"
                assert isinstance(caught.value, PeersocketsError)
                assert not isinstance(caught.value, RemoteProtocolError)
            else:
                await meeting.connect(node, visitor)
            await all_tasks_blocked()
            assert not tasks(node)
            assert not tasks(visitor)
            for feed in (events, same_events):
                with pytest.raises(trio.WouldBlock):
                    feed.receive_nowait()
    key = visitor.public_keys[meeting.wire].hex()
    (line,) = [text for text in caplog.messages if "refused: not on the list" in text]
    assert key in line


async def test_a_refused_remote_sees_nothing_but_a_handshake() -> None:
    """The remote on hold learns of no drive and no name, although it shows its own."""
    with limited():
        async with (
            open_node(authenticate=refuse) as node,
            node.open_drive(KEY) as drive,
            drive.join("chat"),
            raw_peer(node) as visitor,
        ):
            visitor.connection.open_drive(KEY)
            await visitor.flush()
            await visitor.until(HandshakeCompleted)
            await visitor.until_dropped()
            assert visitor.events == []


async def test_the_exception_of_a_bug_propagates_from_the_node(meeting: Meeting) -> None:
    async def buggy(info: ConnectionInfo) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        async with AsyncExitStack() as stack:
            node, visitor, *_ = await two(stack, buggy)
            await meeting.connect(node, visitor)
            await trio.sleep_forever()

    with limited():
        with pytest.raises(ExceptionGroup) as caught:
            await run()
        assert caught.group_contains(ZeroDivisionError)


async def test_a_decision_that_takes_too_long(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    limits = Limits(handshake_time=7.0)
    with limited():
        async with (
            open_node(authenticate=Gate(), limits=limits) as node,
            open_node() as visitor,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(attach, visitor, theirs, False)
            start = trio.current_time()
            with pytest.raises(Refused, match="no decision within 7 seconds"):
                await attach(node, ours, True)
            assert trio.current_time() - start == limits.handshake_time
            await all_tasks_blocked(0)
            assert not tasks(node)


async def test_a_decision_may_take_minutes_if_limits_say_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The remote is kept alive meanwhile."""
    ours, theirs = trio.testing.memory_stream_pair()
    gate = Gate()
    with limited():
        async with (
            open_node(authenticate=gate, limits=Limits(handshake_time=600.0)) as node,
            open_node() as visitor,
            node.open_drive(KEY) as drive,
            visitor.open_drive(KEY),
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(attach, visitor, theirs, False)
            nursery.start_soon(attach, node, ours, True)
            await trio.sleep(300)
            gate.decide()
            await join_side(node, drive)


async def test_connections_that_wait_for_a_decision_give_way_in_a_flood() -> None:
    gate = Gate()
    with limited():
        async with (
            open_node(authenticate=gate, limits=Limits(handshakes=3)) as node,
            AsyncExitStack() as stack,
        ):
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            visitors = [await stack.enter_async_context(open_node()) for _ in range(6)]
            for visitor in visitors:
                await visitor.connect_tcp(*listener.address, wire="hypercore11")
                await all_tasks_blocked()
                assert len(tasks(node)) <= 3
            assert [len(tasks(visitor)) for visitor in visitors] == [0, 0, 0, 1, 1, 1]
            gate.decide()
            await all_tasks_blocked()
            assert len(tasks(node)) == 3


async def test_a_node_that_leaves_does_not_wait_for_a_decision(meeting: Meeting) -> None:
    with limited():
        async with AsyncExitStack() as stack:
            node, visitor, *_ = await two(stack, Gate())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(meeting.connect, node, visitor)
                await all_tasks_blocked()
                nursery.cancel_scope.cancel()


async def test_a_decision_that_swallows_its_cancellation() -> None:
    """A late decision does not bring back a connection that has ended."""
    ended = trio.Event()

    async def stubborn(info: ConnectionInfo) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            ended.set()

    with limited():
        async with (
            open_node(authenticate=stubborn, limits=Limits(handshake_time=0.05)) as node,
            open_node() as visitor,
            node.open_drive(KEY) as drive,
            visitor.open_drive(KEY),
        ):
            (listener,) = await visitor.listen_tcp(0, host=LOOPBACK)
            with pytest.raises(Refused):
                await node.connect_tcp(*listener.address, wire="hypercore11")
            await ended.wait()
            await all_tasks_blocked()
            assert not drive.peers
            assert not tasks(node)


async def test_a_refused_duplicate_does_not_disturb_the_existing_connection() -> None:
    """A remote on hold takes no part in the machine's folding."""
    admitted = 0

    async def admit_one(info: ConnectionInfo) -> None:
        nonlocal admitted
        admitted += 1
        if admitted > 1:
            raise Refused("once is enough")

    for keys in itertools.permutations((SMALLER_KEY, LARGER_KEY)):
        admitted = 0
        with limited():
            async with (
                open_node(key_pair=keys[0], authenticate=admit_one) as node,
                open_node(key_pair=keys[1]) as visitor,
                node.open_drive(KEY) as drive,
                visitor.open_drive(KEY) as same,
            ):
                (listener,) = await visitor.listen_tcp(0, host=LOOPBACK)
                await node.connect_tcp(*listener.address, wire="hypercore9")
                sides = await join_side(node, drive), await join_side(visitor, same)
                with pytest.raises(Refused):
                    await node.connect_tcp(*listener.address, wire="hypercore9")
                await exchange(*sides)
                with pytest.raises(trio.WouldBlock):
                    sides[0].events.receive_nowait()


# The key of the remote


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("spelling", [bytes, bytes.hex], ids=["bytes", "hex"])
async def test_the_expected_key_is_admitted(wire: Any, spelling: Any) -> None:
    with limited():
        async with open_node() as node, open_node() as other:
            (listener,) = await other.listen_tcp(0, host=LOOPBACK)
            key = other.public_keys[wire]
            info = await node.connect_tcp(*listener.address, wire=wire, expect=spelling(key))
            assert info.public_key == key


@pytest.mark.parametrize("wire", WIRES)
async def test_another_key_than_the_expected_one(wire: Any) -> None:
    """The node does not ask the application, and the impostor does not learn the dialler's key."""
    gate = Gate()
    with limited():
        async with open_node(authenticate=gate) as node, open_node() as other, node.open_drive(KEY) as drive:
            (listener,) = await other.listen_tcp(0, host=LOOPBACK)
            expected = other.public_keys[wire][::-1]
            with pytest.raises(UnexpectedKey, match=expected.hex()) as caught:
                await node.connect_tcp(*listener.address, wire=wire, expect=expected)
            assert isinstance(caught.value, RemoteProtocolError)
            assert (caught.value.expected, caught.value.actual) == (expected, other.public_keys[wire])
            await all_tasks_blocked()
            assert not gate.asked
            assert not drive.peers
            assert not tasks(node)
            assert not tasks(other)
            assert not node_runtime(other).machine.memberships.peers


async def test_a_responder_may_expect_a_key_as_well() -> None:
    with limited():
        async with open_node() as node, open_node() as other:
            for expect, matches in ((other.public_keys["hypercore11"], True), (bytes(32), False)):
                ours, theirs = trio.testing.memory_stream_pair()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(attach, other, theirs, True, "hypercore11")
                    if matches:
                        await node.attach(ours, wire="hypercore11", initiator=False, expect=expect)
                        continue
                    with pytest.raises(UnexpectedKey):
                        await node.attach(ours, wire="hypercore11", initiator=False, expect=expect)


@pytest.mark.parametrize("expect", ["", "00" * 31, "zz" * 32, b"", bytes(33), 7, [0] * 32])
async def test_the_expected_key_must_be_a_key(expect: Any) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with open_node() as node:
        with pytest.raises(ValueError, match="expect must be a public key of 32 bytes or 64 hex digits"):
            await node.connect_tcp(LOOPBACK, 1, wire="hypercore9", expect=expect)
        with pytest.raises(ValueError, match="expect must be a public key"):
            await node.attach(ours, wire="hypercore9", initiator=True, expect=expect)
    await ours.aclose()
    await theirs.aclose()


async def test_a_node_that_admits_everybody_is_like_any_other(meeting: Meeting) -> None:
    with limited():
        async with AsyncExitStack() as stack:
            node, visitor, drive, same = await two(stack, admit)
            info = await meeting.connect(node, visitor)
            assert info.wire == meeting.wire
            joined = await (await stack.enter_async_context(drive.watch())).receive()
            assert joined == PeerJoined(1, visitor.public_keys[meeting.wire], meeting.wire)
            await exchange(await join_side(node, drive), await join_side(visitor, same))
