"""A member whose network changes in mid-conversation comes back under its id; no message is lost silently.

One of our hosts roams. It talks to a real Hyperswarm application and to another host of ours, each behind a
NAT of its own, several times a second, before, while and after that happens.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import permutations

import attrs
import trio

from interop.node_peer import NodePeer
from nat.ledger import Ledger
from nat.matrix import Software, open_dht
from nat.members import Member
from nat.world import DHT_ADDRESSES, Place, World, open_world

PAUSE = 0.2
"""Seconds between two messages of one member to another."""

BOOTSTRAP, OTHERS = DHT_ADDRESSES[:2], DHT_ADDRESSES[2:12]
FORGETFUL = 10
"""Seconds after which the router of the roaming host forgets the mapping of a silent socket. Home routers
take 30 to 300."""


@attrs.frozen
class Conversation:
    """Three members that talk to each other."""

    world: World
    home: Place
    roaming: Member
    others: tuple[Member, Member]
    ledger: Ledger
    bootstrap: NodePeer
    """The first nodes of the DHT."""
    quiet: trio.Event = attrs.field(factory=trio.Event)
    """Set when all stop talking."""

    @property
    def members(self) -> tuple[Member, ...]:
        return (self.roaming, *self.others)

    async def goes_on(self) -> None:
        """Wait until messages that are sent from now on arrive, from everybody to everybody."""
        now = trio.current_time()
        for sender, receiver in permutations(self.members, 2):
            line = self.ledger.lines[sender.key, receiver.key]
            while not any(message.delivered and message.issued > now for message in line.messages):
                await receiver.changed.park()

    async def end(self) -> None:
        """Stop talking, wait for the last messages, and judge."""
        self.quiet.set()
        while self.ledger.waiting:
            with trio.move_on_after(1):  # reports count at any member
                await self.roaming.changed.park()
        assert self.ledger.faults == []
        for member in self.members:
            if member.software == "Python":
                assert {key: len(ids) for key, ids in member.ids.items()} == {
                    other.key: 1 for other in self.members if other is not member
                }


@asynccontextmanager
async def open_conversation() -> AsyncIterator[Conversation]:
    """Let three members talk for the length of the block."""
    ledger, drive = Ledger(), os.urandom(32).hex()
    with open_world() as world:
        home = world.add_place("home", udp_timeout=FORGETFUL)
        hosts = (home.hosts[0], world.add_place("home").hosts[0], world.add_place("carrier").hosts[0])
        kinds: tuple[Software, ...] = ("Python", "Node", "Python")
        roaming, theirs, ours = (
            Member(host, software, drive, ledger, BOOTSTRAP)
            for host, software in zip(hosts, kinds, strict=True)
        )
        async with (
            open_dht(world, *BOOTSTRAP) as bootstrap,
            open_dht(world, *OTHERS, bootstrap=BOOTSTRAP[0]),
            roaming.running(),
            theirs.running(),
            ours.running(),
            trio.open_nursery() as nursery,
        ):
            await roaming.sees(theirs, ours)
            await theirs.sees(roaming, ours)
            await ours.sees(roaming, theirs)
            conversation = Conversation(world, home, roaming, (theirs, ours), ledger, bootstrap)
            for sender, receiver in permutations(conversation.members, 2):
                nursery.start_soon(talk, conversation.quiet, sender, receiver)
            await conversation.goes_on()
            yield conversation
            await conversation.end()


async def talk(quiet: trio.Event, sender: Member, receiver: Member) -> None:
    """Send a message every now and then, to a member that is there."""
    while not quiet.is_set():
        if receiver.key in sender.present:
            await sender.send(receiver)
        await trio.sleep(PAUSE)


async def test_another_address_on_the_lan() -> None:
    async with open_conversation() as conversation:
        conversation.roaming.host.move("192.168.1.99")
        await conversation.goes_on()


async def test_another_public_address() -> None:
    async with open_conversation() as conversation:
        conversation.home.move()
        await conversation.goes_on()


async def test_the_router_forgets() -> None:
    async with open_conversation() as conversation:
        conversation.home.forget_mappings()
        await conversation.goes_on()


async def test_sleep() -> None:
    """The process is stopped until the others have given it up and its router has forgotten it.

    A sleep of ten minutes differs from that only in its length: every deadline of a connection has passed.
    """
    async with open_conversation() as conversation:
        process = (await conversation.roaming.process.call("process"))["id"]
        os.kill(process, signal.SIGSTOP)
        try:
            for other in conversation.others:
                while conversation.roaming.key in other.present:
                    await other.changed.park()
            await trio.sleep(FORGETFUL)
        finally:
            os.kill(process, signal.SIGCONT)
        await conversation.goes_on()


async def test_the_bootstrap_nodes_are_gone() -> None:
    """All connections of a host break, and those nodes of the DHT that it began with are no longer there."""
    async with open_conversation() as conversation:
        await conversation.bootstrap.kill()
        conversation.home.move()
        await conversation.goes_on()
