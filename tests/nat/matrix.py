"""Dials between every two kinds of places, by our software and the original, on one internet."""

from __future__ import annotations

import itertools
import math
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias

import attrs
import trio

from interop.node_peer import NodePeer, NodePeerError, open_node_peer
from nat.kinds import KINDS
from nat.world import DHT_ADDRESSES, Host, World

Software: TypeAlias = Literal["Node", "Python"]
Pairing: TypeAlias = tuple[Software, Software]
"""The software of the dialling side first, as in every pair here."""
Side: TypeAlias = Literal["dialler", "listener"]

PAIRINGS: Final[tuple[Pairing, ...]] = (
    ("Node", "Node"),
    ("Python", "Python"),
    ("Python", "Node"),
    ("Node", "Python"),
)
Pair: TypeAlias = tuple[NodePeer, NodePeer]
"""The processes of the dialling side and of the other."""

HERE: Final = Path(__file__).parent
NODES: Final = 12
"""The number of nodes of the DHT, each with an address of its own. With eight or more, hyperdht asks nodes
other than the first ones for its address.
"""
BOOTSTRAP: Final = DHT_ADDRESSES[:3]
EXIT_GRACE: Final = 60.0
"""Seconds that a process has to end, beside dozens of others."""

PATIENCE: Final = 60.0
"""Seconds that one try may take. The original gives up 35 seconds after it began to guess ports."""


@attrs.frozen
class Cell:
    """Two places, where a host in one dials a host in the other."""

    dialler: str
    listener: str
    alike: Literal["", "same LAN", "same LAN, blocked"] = ""
    """Empty for two places. Otherwise both hosts are in one place, and reach each other directly, or only at
    its public address.
    """

    @property
    def name(self) -> str:
        return f"{self.dialler}, {self.alike}" if self.alike else f"{self.dialler} to {self.listener}"

    @property
    def chance(self) -> bool:
        """Whether chance decides how soon they meet: one side has to guess a port of the other. A host that
        does not know yet that it is open guesses, too.
        """
        return (self.dialler == "random") != (self.listener == "random")

    @property
    def hopeless(self) -> bool:
        """Whether they cannot meet without a relay: both sides would have to guess."""
        return self.dialler == self.listener == "random" and not self.alike


CELLS: Final = (
    *(Cell(dialler, listener) for dialler, listener in itertools.product(KINDS, KINDS)),
    Cell("home", "home", "same LAN"),
    Cell("home", "home", "same LAN, blocked"),
    Cell("random", "random", "same LAN"),
)


Evidence: TypeAlias = dict[str, object]


@attrs.frozen
class Try:
    """One dial."""

    seconds: float
    """Seconds until the first bytes of the other side, or until the dial failed."""
    failure: str = ""
    evidence: dict[str, Evidence] = attrs.field(factory=dict)
    """For a failed dial: the class of NAT, the punches and the events of the dialler and of the listener."""


@attrs.define
class Outcome:
    """All tries of a cell by one pairing."""

    tries: list[Try] = attrs.field(factory=list)

    @property
    def met(self) -> list[float]:
        """Return the seconds of the successful tries."""
        return [each.seconds for each in self.tries if not each.failure]

    @property
    def rate(self) -> float:
        return len(self.met) / len(self.tries)

    @property
    def median(self) -> float:
        return statistics.median(self.met) if self.met else math.inf

    @property
    def failures(self) -> list[str]:
        return [each.failure for each in self.tries if each.failure]


@attrs.define
class Matrix:
    """The hosts. Each has a process of either software, started on first use."""

    _world: World
    _stack: AsyncExitStack
    _hosts: dict[tuple[Cell | str, int], Host] = attrs.field(factory=dict)
    _peers: dict[tuple[str, Software], NodePeer] = attrs.field(factory=dict)

    async def pair(self, cell: Cell, pairing: Pairing) -> Pair:
        """Return the two processes of a cell. Only the task that opened the matrix may call it."""
        dialler, listener = self._places(cell)
        return await self._peer(dialler, pairing[0]), await self._peer(listener, pairing[1])

    def _places(self, cell: Cell) -> tuple[Host, Host]:
        if not cell.alike:
            return self._host(cell.dialler, 0), self._host(cell.listener, 1)
        if (cell, 0) not in self._hosts:
            place = self._world.add_place(cell.dialler, lan=cell.alike == "same LAN")
            self._hosts[cell, 0], self._hosts[cell, 1] = place.hosts[0], place.add_host()
        return self._hosts[cell, 0], self._hosts[cell, 1]

    def _host(self, kind: str, side: int) -> Host:
        if (kind, side) not in self._hosts:
            self._hosts[kind, side] = self._world.add_place(kind).hosts[0]
        return self._hosts[kind, side]

    async def _peer(self, host: Host, software: Software) -> NodePeer:
        key = (host.namespace, software)
        if key not in self._peers:
            self._peers[key] = await self._stack.enter_async_context(open_peer(host, software))
        return self._peers[key]


@asynccontextmanager
async def open_matrix(world: World) -> AsyncIterator[Matrix]:
    """Run a DHT, and make hosts on demand."""
    async with open_dht(world), AsyncExitStack() as stack:
        yield Matrix(world, stack)


@asynccontextmanager
async def open_dht(world: World, *hosts: str, bootstrap: str = "-") -> AsyncIterator[NodePeer]:
    """Run nodes of the DHT in one process. `bootstrap` is a node of another process."""
    addresses = hosts or DHT_ADDRESSES[:NODES]
    async with open_node_peer(
        HERE / "dht.js", bootstrap, *addresses, prefix=world.inside("dht"), exit_grace=EXIT_GRACE
    ) as process:
        await process.wait_event("ready")
        yield process


def open_peer(host: Host, software: Software) -> AbstractAsyncContextManager[NodePeer]:
    """Run the process of a host."""
    script, program = ("peer.js", "node") if software == "Node" else ("peer.py", sys.executable)
    return open_node_peer(
        HERE / script, *BOOTSTRAP, program=program, prefix=host.enter, exit_grace=EXIT_GRACE
    )


async def dial(
    dialler: NodePeer,
    listener: NodePeer,
    relay: str | None = None,
    *,
    names: Side = "dialler",
) -> Try:
    """Dial once, with new nodes, sockets, mappings and keys on both sides.

    `relay` is the key of a blind relay, which one side `names`.
    """
    server = (await listener.call("listen", relay=relay if names == "listener" else None))["key"]
    client = (await dialler.call("open", relay=relay if names == "dialler" else None))["key"]
    began = trio.current_time()
    outcome = Try(PATIENCE, "neither connected nor failed in time")
    with trio.move_on_after(PATIENCE):
        try:
            dialled = await dialler.call("dial", key=client, publicKey=server)
            await listener.wait_event("accepted", publicKey=client)
            outcome = Try(dialled["seconds"])
        except NodePeerError as error:
            outcome = Try(trio.current_time() - began, str(error))
    if outcome.failure:
        sides = {"dialler": await evidence(dialler, client), "listener": await evidence(listener, server)}
        outcome = attrs.evolve(outcome, evidence=sides)
    await dialler.call("close", key=client)
    await listener.call("close", key=server)
    return outcome


async def evidence(peer: NodePeer, key: str) -> Evidence:
    """Return the state of a node and all its events."""
    events = [event for event in peer.events if event.get("key") == key]
    return {**await peer.call("state", key=key), "events": events}
