"""`peersockets_trio.cli.feed`: how much is told in one turn."""

from __future__ import annotations

from collections import Counter

import trio

from adapter.support import all_tasks_blocked, connect_memory, meet
from peersockets_core import Message, PeerEvent
from peersockets_trio import Topic
from peersockets_trio.cli.feed import Feed


class Rounds(trio.abc.Instrument):
    """Counts the rounds of Trio's scheduler."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_of_many_messages_a_few_are_told_in_a_turn() -> None:
    """In order, and all of them."""
    rounds, told, numbers = Rounds(), Counter[int](), list[int]()

    def message(topic: Topic, message: Message) -> None:
        told[rounds.count] += 1
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
    assert max(told.values()) <= 64
