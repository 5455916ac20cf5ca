"""A member whose network changes during a conversation comes back under its id. No message is lost silently.

One of our hosts roams. It talks to a real Hyperswarm application and to another host of ours, each behind a
NAT of its own, several times a second, before, during and after the change.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import permutations

import attrs
import pytest
import trio

from interop.node_peer import NodePeer
from nat.ledger import Ledger
from nat.matrix import Software, open_dht
from nat.members import Member
from nat.world import DHT_ADDRESSES, Place, World, open_world

PAUSE = 0.2
"""Seconds between two messages of one member to another."""

HOME = ("home", ("Node", "Python"))
"""The place of the roaming host, and the software of the others. A host behind random ports has only one
other: a node guesses ports for one remote at a time, every twenty seconds.
"""

CLOCKS: dict[str, float | None] = {"runs on": 600.0, "stands still": 0.0}
"""The seconds of a sleep by the sleeping host's own clock."""
LENGTH = float(os.environ.get("PEERSOCKETS_SLEEP", 0))
"""If this variable is set, one more host sleeps for that many seconds of real time, as all others see."""
if LENGTH:
    CLOCKS["agrees"] = None

BOOTSTRAP, OTHERS = DHT_ADDRESSES[:2], DHT_ADDRESSES[2:12]
FORGETFUL = 10
"""Seconds after which the router of the roaming host forgets the mapping of a silent socket. Home routers
take 30 to 300.
"""


@attrs.frozen
class Conversation:
    """Three members that talk to each other."""

    world: World
    home: Place
    roaming: Member
    others: tuple[Member, ...]
    ledger: Ledger
    bootstrap: NodePeer
    """The first nodes of the DHT."""
    quiet: trio.Event = attrs.field(factory=trio.Event)
    """Set when all members stop talking."""

    @property
    def members(self) -> tuple[Member, ...]:
        return (self.roaming, *self.others)

    async def goes_on(self) -> None:
        """Wait until messages sent from now on arrive, from each member to each other."""
        now = trio.current_time()
        for sender, receiver in permutations(self.members, 2):
            line = self.ledger.lines[sender.key, receiver.key]
            while not any(message.delivered and message.issued > now for message in line.messages):
                await receiver.changed.park()

    async def given_up(self) -> None:
        """Wait until the others no longer see the roaming member."""
        for other in self.others:
            while self.roaming.key in other.present:
                await other.changed.park()

    async def end(self) -> None:
        """Stop talking, wait for the last messages, and judge."""
        self.quiet.set()
        while self.ledger.waiting:
            with trio.move_on_after(1):  # reports count for every member
                await self.roaming.changed.park()
        assert self.ledger.faults == []
        for member in self.members:
            if member.software == "Python":
                assert {key: len(ids) for key, ids in member.ids.items()} == {
                    other.key: 1 for other in self.members if other is not member
                }


@asynccontextmanager
async def open_conversation(
    kind: str = "home", others: Sequence[Software] = ("Node", "Python")
) -> AsyncIterator[Conversation]:
    """Let a member of ours at that kind of place talk with others for the length of the block."""
    ledger, drive = Ledger(), os.urandom(32).hex()
    with open_world() as world:
        home = world.add_place(kind, udp_timeout=FORGETFUL)
        roaming = Member(home.hosts[0], "Python", drive, ledger, BOOTSTRAP)
        members = [roaming]
        for software, place in zip(others, ("home", "carrier"), strict=False):
            members.append(Member(world.add_place(place).hosts[0], software, drive, ledger, BOOTSTRAP))
        async with (
            open_dht(world, *BOOTSTRAP) as bootstrap,
            open_dht(world, *OTHERS, bootstrap=BOOTSTRAP[0]),
            AsyncExitStack() as stack,
        ):
            for member in members:
                await stack.enter_async_context(member.running())
            nursery = await stack.enter_async_context(trio.open_nursery())
            for member in members:
                await member.sees(*(other for other in members if other is not member))
            conversation = Conversation(world, home, roaming, tuple(members[1:]), ledger, bootstrap)
            for sender, receiver in permutations(members, 2):
                nursery.start_soon(talk, conversation.quiet, sender, receiver)
            await conversation.goes_on()
            yield conversation
            await conversation.end()


async def talk(quiet: trio.Event, sender: Member, receiver: Member) -> None:
    """Send a message at intervals, to a member that is present."""
    while not quiet.is_set():
        if receiver.key in sender.present:
            await sender.send(receiver)
        await trio.sleep(PAUSE)


async def test_another_address_on_the_lan() -> None:
    async with open_conversation() as conversation:
        conversation.roaming.host.move("192.168.1.99")
        await conversation.goes_on()


@pytest.mark.parametrize(("kind", "others"), [HOME, ("random", ("Python",))])
async def test_another_public_address(kind: str, others: Sequence[Software]) -> None:
    async with open_conversation(kind, others) as conversation:
        conversation.home.move()
        await conversation.goes_on()


@pytest.mark.parametrize(("kind", "others"), [HOME, ("random", ("Node",))])
async def test_the_router_forgets(kind: str, others: Sequence[Software]) -> None:
    """Behind a router with random ports, the next datagrams come from ports that no remote has seen."""
    async with open_conversation(kind, others) as conversation:
        conversation.home.forget_mappings()
        await conversation.goes_on()


@pytest.mark.parametrize("clock", CLOCKS)
async def test_sleep(clock: str) -> None:
    """A host sleeps until the others have given it up and its router has forgotten it.

    By its own clock, ten minutes have passed, as on Windows, or no time at all, as on Linux and macOS.
    """
    async with open_conversation() as conversation:
        async with asleep(conversation, CLOCKS[clock]):
            await conversation.given_up()
            await trio.sleep(LENGTH if clock == "agrees" else FORGETFUL)
        await conversation.goes_on()


@asynccontextmanager
async def asleep(conversation: Conversation, clock: float | None = None) -> AsyncIterator[None]:
    """Let the roaming host sleep for the length of the block.

    By its clock, this many seconds pass, or as many as really pass.
    """
    process = conversation.roaming.process
    number = (await process.call("process"))["id"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(process.call, "sleep", clock=clock))
        try:
            yield
        finally:
            os.kill(number, signal.SIGCONT)


async def test_the_bootstrap_nodes_are_gone() -> None:
    """All connections of a host break after the nodes of the DHT that it began with have gone."""
    async with open_conversation() as conversation:
        await conversation.bootstrap.kill()
        conversation.home.move()
        await conversation.goes_on()
