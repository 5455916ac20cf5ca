"""`peersockets_trio.runtime.scheduler`: the order and number of turns, and the share of strangers."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import attrs
import pytest
import trio

from adapter.support import (
    KEY,
    OTHER_KEY,
    RawPeer,
    all_tasks_blocked,
    limited,
    raw_member,
    raw_peer,
)
from peersockets_core import Connection, DriveOpened, HandshakeCompleted, Limits
from peersockets_core.wires.hypercore9 import frames, messages
from peersockets_core.wires.hypercore9.messages import Options
from peersockets_trio import Node, open_node
from peersockets_trio.runtime.scheduler import HANDSHAKE_ITEMS, Lane
from peersockets_trio.runtime.transport import READ_SIZE
from peersockets_trio.testing.internals import connection_tasks

SLICE, READ = 100, 1000


class Rounds(trio.abc.Instrument):
    """Counts the rounds of Trio's scheduler."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


@contextmanager
def rounds() -> Iterator[Rounds]:
    instrument = Rounds()
    trio.lowlevel.add_instrument(instrument)
    try:
        yield instrument
    finally:
        trio.lowlevel.remove_instrument(instrument)


@attrs.frozen
class Turn:
    round: int
    peer: bytes
    connection: int
    items: int


async def take_turns(
    lane: Lane,
    rounds: Rounds,
    turns: list[Turn],
    peer: bytes,
    connection: int,
    count: int,
    spend: int = SLICE,
) -> None:
    """Take turns like a connection that always has more to do."""
    for number in range(count):
        items = await lane.turn(peer, fresh=not number)
        turns.append(Turn(rounds.count, peer, connection, items))
        lane.spend(min(spend, items))


async def play(lane: Lane, connections: dict[bytes, int], count: int) -> list[Turn]:
    """Return all turns, in order, of a number of connections of each peer."""
    turns: list[Turn] = []
    with limited(), rounds() as counter:
        async with trio.open_nursery() as nursery:
            for peer, number in connections.items():
                for connection in range(number):
                    nursery.start_soon(take_turns, lane, counter, turns, peer, connection, count)
    return turns


async def test_a_connection_alone_waits_only_between_two_slices() -> None:
    turns = await play(Lane(SLICE, READ), {b"a": 1}, 5)
    assert [turn.items for turn in turns] == [SLICE] * 5
    started = turns[0].round
    assert [turn.round - started for turn in turns] == [0, 1, 2, 3, 4]


async def test_there_is_one_turn_per_round_for_any_number_of_connections() -> None:
    turns = await play(Lane(SLICE, READ), {bytes((number,)): 1 for number in range(30)}, 4)
    assert len(turns) == 120
    assert {len(list(group)) for _, group in itertools.groupby(turns, lambda turn: turn.round)} == {1}


async def test_peers_take_turns_and_many_connections_of_one_peer_get_no_more() -> None:
    connections = {b"one": 1, b"many": 20, b"two": 2}
    turns = await play(Lane(SLICE, READ), connections, 6)
    order = [turn.peer for turn in turns]
    ones = [position for position, peer in enumerate(order) if peer == b"one"]
    for position, following in itertools.pairwise(ones[2:]):
        assert sorted(order[position + 1 : following]) == [b"many", b"two"]
    many = [turn.connection for turn in turns if turn.peer == b"many"]
    assert len(many) == 120
    # The connections of a peer take turns among themselves.
    assert sorted(many[40:60]) == list(range(20))


async def test_a_fresh_read_of_a_member_is_heard_at_once() -> None:
    """This applies to its beginning, however many others wait for their turn."""
    lane, turns = Lane(SLICE, READ, first=7), list[Turn]()
    with limited(), rounds() as counter:
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(take_turns, lane, counter, turns, bytes((number,)), 0, 10)
            while len(turns) < 5:
                await trio.lowlevel.checkpoint()
            for _ in range(20):
                await trio.lowlevel.checkpoint()
                before = counter.count
                items = await lane.turn(b"member", fresh=True)
                assert counter.count == before
                assert items == 7
                lane.spend(items)


async def test_a_fresh_read_of_others_waits_like_everything_else() -> None:
    lane, turns = Lane(SLICE, READ), list[Turn]()
    with limited(), rounds() as counter:
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(take_turns, lane, counter, turns, bytes((number,)), 0, 10)
            while len(turns) < 5:
                await trio.lowlevel.checkpoint()
            before = counter.count
            assert await lane.turn(b"stranger", fresh=True) == SLICE
            assert counter.count - before >= 8


async def test_a_connection_with_little_work_never_waits() -> None:
    """This holds up to the credit of one round. After that it waits for one round only."""
    lane = Lane(SLICE, READ)
    with limited(), rounds() as counter:
        started = counter.count
        for _ in range(20):
            await lane.turn(b"a", fresh=True)
            lane.spend(SLICE // 10)
        assert counter.count == started
        await lane.turn(b"a", fresh=True)
        assert counter.count == started + 1


async def test_a_toll_counts_for_every_turn() -> None:
    lane = Lane(SLICE, READ, toll=HANDSHAKE_ITEMS)
    with limited(), rounds() as counter:
        started = counter.count
        for _ in range(2):
            await lane.turn(None, fresh=True)
            lane.spend(1)
        assert counter.count == started
        await lane.turn(None, fresh=True)
        assert counter.count == started + 1


@pytest.mark.parametrize("cancelled", range(4))
async def test_a_cancelled_waiter_passes_on_its_turn(cancelled: int) -> None:
    lane, turns = Lane(SLICE, READ), list[Turn]()
    scopes = [trio.CancelScope() for _ in range(4)]

    async def wait(number: int) -> None:
        with scopes[number]:
            await take_turns(lane, counter, turns, bytes((number,)), 0, 50)

    with limited(), rounds() as counter:
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(wait, number)
            for _ in range(8):
                await trio.lowlevel.checkpoint()
            scopes[cancelled].cancel()
        assert scopes[cancelled].cancelled_caught
    counts = [sum(turn.peer == bytes((number,)) for turn in turns) for number in range(4)]
    assert [count for number, count in enumerate(counts) if number != cancelled] == [50] * 3
    assert await lane.turn(b"afterwards", fresh=False) == SLICE


# In a node


LIMITS = Limits(member_items=200, stranger_items=50, stranger_read=1024)
TINY = b"\x01\x02"
"""A frame that every peer ignores."""


@attrs.frozen
class Slice:
    round: int
    connection: Connection
    budget: int
    spent: int


@pytest.fixture
async def slices(monkeypatch: pytest.MonkeyPatch) -> list[Slice]:
    """Every slice of work of every connection, with its round of Trio's scheduler."""
    done: list[Slice] = []
    receive_data = Connection.receive_data

    def receive(connection: Connection, data: bytes, now: float, budget: int | None = None) -> object:
        events = receive_data(connection, data, now, budget)
        if budget is not None:
            spent = budget - connection.budget_left
            done.append(Slice(counter.count, connection, budget, spent))
        return events

    counter = Rounds()
    trio.lowlevel.add_instrument(counter)
    monkeypatch.setattr(Connection, "receive_data", receive)
    return done


@asynccontextmanager
async def stranger(node: Node) -> AsyncIterator[RawPeer]:
    async with raw_peer(node) as peer:
        await peer.flush()
        await peer.until(HandshakeCompleted)
        yield peer


def in_rounds(slices: list[Slice]) -> list[int]:
    """Return the number of slices in each round that had any."""
    return [len(list(group)) for _, group in itertools.groupby(slices, lambda done: done.round)]


async def test_all_strangers_together_have_one_slice_of_a_round(slices: list[Slice]) -> None:
    async with open_node(limits=LIMITS) as node, node.open_drive(KEY):
        with limited():
            async with stranger(node) as one, stranger(node) as two, stranger(node) as three:
                slices.clear()
                async with trio.open_nursery() as nursery:
                    for peer in (one, two, three):
                        nursery.start_soon(peer.send_frames, TINY * 2000)
        each_round = in_rounds([done for done in slices if done.spent == LIMITS.stranger_items])
        assert len(each_round) > 90
        assert {done.budget for done in slices} == {LIMITS.stranger_items}
        assert max(each_round) <= 3
        assert each_round.count(1) >= len(each_round) - 4
        assert sorted(each_round)[len(each_round) // 2] == 1


async def test_a_stranger_is_read_in_small_pieces_and_a_member_in_large_ones(slices: list[Slice]) -> None:
    async with open_node(limits=LIMITS) as node, node.open_drive(KEY):
        with limited():
            async with stranger(node) as peer:
                (task,) = connection_tasks(node)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(peer.send_frames, TINY)
                    await all_tasks_blocked(0)
                assert task.transport.read_size == LIMITS.stranger_read
                peer.connection.open_drive(KEY)
                await peer.flush()
                await peer.until(DriveOpened)
                await peer.send_frames(TINY)
                await all_tasks_blocked(0)
                assert task.transport.read_size == READ_SIZE
                assert slices[-1].budget == LIMITS.member_items


async def test_messages_of_strangers_delay_no_member(slices: list[Slice]) -> None:
    """A message is heard after two rounds of the scheduler, however many slices strangers want."""
    async with (
        open_node(limits=LIMITS) as node,
        node.open_drive(KEY) as drive,
        drive.join("chat") as chat,
        stranger(node) as one,
        stranger(node) as two,
        stranger(node) as three,
    ):
        with limited():
            member = await raw_member(node)
            await member.send_message("chat", b"hello")
            await chat.receive()
            async with trio.open_nursery() as nursery:
                for peer in (one, two, three):
                    nursery.start_soon(peer.send_frames, TINY * 5000)
                for number in range(20):
                    for _ in range(5):
                        await trio.lowlevel.checkpoint()
                    before = len(slices)
                    async with trio.open_nursery() as sending:
                        sending.start_soon(member.send_message, "chat", bytes((number,)))
                        assert (await chat.receive()).message == bytes((number,))
                    others = [done for done in slices[before:] if done.budget == LIMITS.stranger_items]
                    assert len(others) <= 10
                    assert others or number
                nursery.cancel_scope.cancel()
            await trio.aclose_forcefully(member.stream)


async def test_a_busy_member_gets_several_times_the_share_of_all_strangers(slices: list[Slice]) -> None:
    async with (
        open_node(limits=LIMITS) as node,
        node.open_drive(KEY),
        stranger(node) as one,
        stranger(node) as two,
    ):
        with limited():
            member = await raw_member(node)
            slices.clear()
            async with trio.open_nursery() as nursery:
                for peer in (one, two):
                    nursery.start_soon(peer.send_frames, TINY * 5000)
                await member.send_frames(TINY * 20_000)
                while member_of(slices).has_input:
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            await trio.aclose_forcefully(member.stream)
        theirs = sum(done.spent for done in slices if done.connection is not member_of(slices))
        members = sum(done.spent for done in slices if done.connection is member_of(slices))
        assert members >= 19_000
        assert 0 < theirs <= members * LIMITS.stranger_items / LIMITS.member_items + 4 * LIMITS.stranger_items


def member_of(slices: list[Slice]) -> Connection:
    return max(slices, key=lambda done: done.budget).connection


async def test_hostile_members_delay_no_other_member(slices: list[Slice]) -> None:
    async with open_node(limits=LIMITS) as node, node.open_drive(KEY) as drive, drive.join("chat") as chat:
        with limited():
            hostile = [await raw_member(node) for _ in range(6)]
            member = await raw_member(node)
            await member.send_message("chat", b"hello")
            await chat.receive()
            slices.clear()
            async with trio.open_nursery() as nursery:
                for peer in hostile:
                    nursery.start_soon(peer.send_frames, TINY * 50_000)
                for number in range(20):
                    for _ in range(5):
                        await trio.lowlevel.checkpoint()
                    before = len(slices)
                    async with trio.open_nursery() as sending:
                        sending.start_soon(member.send_message, "chat", bytes((number,)))
                        assert (await chat.receive()).message == bytes((number,))
                    assert sum(done.spent for done in slices[before:]) <= 10 * LIMITS.member_items
                nursery.cancel_scope.cancel()
            for peer in (*hostile, member):
                await trio.aclose_forcefully(peer.stream)
        assert max(in_rounds([done for done in slices if done.spent >= LIMITS.member_items])) <= 3


@pytest.mark.parametrize("receive_messages", [100, 10_000])
async def test_a_full_handle_exceeds_its_bound_by_one_slice_at_most(receive_messages: int) -> None:
    """This holds though one read brought many times as much, and nothing is lost."""
    limits = Limits(receive_messages=receive_messages)
    count = 60_000
    async with open_node(limits=limits) as node, node.open_drive(KEY) as drive, drive.join("chat") as chat:
        with limited():
            member = await raw_member(node)
            await member.send_message("chat", b"hello")
            head = frames.extension_head(0, 1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(member.send_frames, (head + b"x") * count)
                await all_tasks_blocked()
                waiting = chat.statistics().waiting_messages
                assert receive_messages <= waiting <= receive_messages + limits.member_items
                received = 0
                while received < count + 1:
                    received += len(await chat.receive_batch())
                    await all_tasks_blocked(0)
                    assert chat.statistics().waiting_messages <= receive_messages + limits.member_items
            await trio.aclose_forcefully(member.stream)


async def test_handshakes_have_turns_of_their_own(slices: list[Slice]) -> None:
    """A newcomer shakes hands and becomes a member, whatever strangers want and however many begin."""
    async with (
        open_node(limits=LIMITS) as node,
        node.open_drive(KEY) as drive,
        stranger(node) as one,
        stranger(node) as two,
    ):
        with limited():
            async with trio.open_nursery() as nursery:
                for peer in (one, two):
                    nursery.start_soon(peer.send_frames, TINY * 50_000)
                async with trio.open_nursery() as newcomers:
                    for _ in range(8):
                        newcomers.start_soon(raw_member, node)
                assert len(drive.peers) == 8
                nursery.cancel_scope.cancel()
            for task in connection_tasks(node):
                task.cancel()
    shaking = [done for done in slices if done.connection not in (one.connection, two.connection)]
    assert max(in_rounds(shaking)) <= 8


async def test_names_of_a_long_list_are_read_in_slices(slices: list[Slice]) -> None:
    names = messages.encode(Options([str(number) for number in range(2000)]))
    async with open_node(limits=LIMITS) as node, node.open_drive(OTHER_KEY), stranger(node) as peer:
        with limited():
            slices.clear()
            await peer.send_frames(frames.encode(0, 1, names) + TINY)
            await all_tasks_blocked(0)
        assert sum(done.spent for done in slices) >= 7000
        assert max(done.spent for done in slices) <= LIMITS.stranger_items
