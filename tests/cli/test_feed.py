"""`peersockets_trio.cli.feed`: the amount that it writes in one turn."""

from __future__ import annotations

from collections import Counter

import trio

from adapter.support import all_tasks_blocked, connect_memory, meet
from peersockets_core import Message, PeerEvent
from peersockets_trio import Topic
from peersockets_trio.cli.feed import Feed
from peersockets_trio.testing.internals import topic_handle


class Rounds(trio.abc.Instrument):
    """Counts the rounds of Trio's scheduler."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_a_turn_delivers_a_few_of_many_messages() -> None:
    """All of them arrive, in order."""
    rounds, delivered, numbers = Rounds(), Counter[int](), list[int]()

    async def message(topic: Topic, message: Message) -> None:
        delivered[rounds.count] += 1
        numbers.append(int(message.message))

    def member(event: PeerEvent) -> None:
        assert event.peer_id == 1

    trio.lowlevel.add_instrument(rounds)
    async with meet(connect_memory) as (alice, bob):
        there, here = bob.drive.join("chat"), alice.drive.join("chat")
        for number in range(5000):
            await there.send(bob.peer_id, b"%d" % number)
        await all_tasks_blocked(0)
        feed = Feed(alice.drive, member=member, message=message, room=trio.lowlevel.checkpoint)
        feed.topics["chat"] = here
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.follow_topic, here)
            await all_tasks_blocked(0)
            nursery.cancel_scope.cancel()
    assert numbers == list(range(5000))
    assert max(delivered.values()) <= 64


async def test_a_turn_delivers_fewer_large_messages() -> None:
    rounds, delivered = Rounds(), Counter[int]()

    async def message(topic: Topic, message: Message) -> None:
        delivered[rounds.count] += 1

    trio.lowlevel.add_instrument(rounds)
    async with meet(connect_memory) as (alice, bob):
        feed = Feed(alice.drive, member=lambda _: None, message=message, room=trio.lowlevel.checkpoint)
        there = bob.drive.join("chat")
        here = feed.topics["chat"] = alice.drive.join("chat")
        for _ in range(100):
            await there.send(bob.peer_id, bytes(3000))
        await all_tasks_blocked(0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.follow_topic, here)
            await all_tasks_blocked(0)
            nursery.cancel_scope.cancel()
    assert delivered.total() == 100
    assert max(delivered.values()) <= 2


async def test_a_turn_before_a_leave_delivers_a_few_messages_too() -> None:
    """Waiting messages come before the leave, and other tasks have their turns meanwhile."""
    rounds, delivered, what = Rounds(), Counter[int](), list[int | str]()

    async def message(topic: Topic, message: Message) -> None:
        delivered[rounds.count] += 1
        what.append(int(message.message))

    def member(event: PeerEvent) -> None:
        what.append(type(event).__name__)

    trio.lowlevel.add_instrument(rounds)
    async with meet(connect_memory) as (alice, bob):
        feed = Feed(alice.drive, member=member, message=message, room=trio.lowlevel.checkpoint)
        there = bob.drive.join("chat")
        here = feed.topics["chat"] = alice.drive.join("chat")
        for number in range(3000):
            await there.send(bob.peer_id, b"%d" % number)
        await all_tasks_blocked(0)
        alice.node.disconnect(alice.peer_id)
        await all_tasks_blocked(0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.follow_members)
            await all_tasks_blocked(0)
            nursery.cancel_scope.cancel()
        assert len(topic_handle(here)) == 0
    assert what == ["PeerJoined", *range(3000), "PeerLeft"]
    assert max(delivered.values()) <= 64


async def test_the_order_is_right_though_delivery_takes_turns() -> None:
    """Several tasks write. Messages that one took while another writes stay in their place."""
    what: dict[str, list[int | str]] = {"one": [], "two": []}

    async def message(topic: Topic, message: Message) -> None:
        await trio.lowlevel.checkpoint()
        what[topic.name].append(int(message.message))

    def member(event: PeerEvent) -> None:
        for delivered in what.values():
            delivered.append(type(event).__name__)

    async with meet(connect_memory) as (alice, bob):
        feed = Feed(alice.drive, member=member, message=message, room=trio.lowlevel.checkpoint)
        topics = [(bob.drive.join(name), alice.drive.join(name)) for name in what]
        feed.topics = {here.name: here for _, here in topics}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.follow_members)
            for _, here in topics:
                nursery.start_soon(feed.follow_topic, here)
            for number in range(500):
                for there, _ in topics:
                    await there.send(bob.peer_id, b"%d" % number)
                if not number % 7:
                    await trio.lowlevel.checkpoint()
            while alice.node.statistics().waiting_messages > 300:
                await trio.lowlevel.checkpoint()
            alice.node.disconnect(alice.peer_id)
            await all_tasks_blocked(0)
            nursery.cancel_scope.cancel()
    for delivered in what.values():
        numbers = delivered[1:-1]
        assert (delivered[0], delivered[-1]) == ("PeerJoined", "PeerLeft")
        assert numbers == list(range(len(numbers)))
        assert numbers


async def test_a_topic_that_is_closed_while_others_deliver_ends_quietly() -> None:
    delivered: list[str] = []
    going_on = trio.Event()

    async def message(topic: Topic, message: Message) -> None:
        delivered.append(topic.name)
        await going_on.wait()

    async with meet(connect_memory) as (alice, bob):
        feed = Feed(alice.drive, member=lambda event: None, message=message, room=trio.lowlevel.checkpoint)
        topics = [(bob.drive.join(name), alice.drive.join(name)) for name in ("first", "closed")]
        feed.topics = {here.name: here for _, here in topics}
        async with trio.open_nursery() as nursery:
            for there, here in topics:
                nursery.start_soon(feed.follow_topic, here)
                await there.send(bob.peer_id, b"hello")
                await all_tasks_blocked(0)
            assert delivered == ["first"]
            feed.topics.pop("closed").close()
            going_on.set()
            await all_tasks_blocked(0)
            assert delivered == ["first"]
            nursery.cancel_scope.cancel()
