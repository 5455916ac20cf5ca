"""Every order in which two connections with a real peer can come about, and the outcome of each.

Our node and the real peers are in two network namespaces, joined by a pair of virtual interfaces, so a line
can be cut without a sign: the peer's address goes away. The peer then comes back under the same key, at
another address.

Run it by itself for a table: `unshare --net --map-root-user python tests/interop/orders.py`.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeAlias

import attrs
import trio

from peersockets_trio.testing.internals import node_runtime

sys.path.insert(0, str(Path(__file__).parents[1]))

from interop import hyperdrive13, real_peer
from interop.generations import GENERATIONS, Generation
from interop.node_peer import open_node_peer
from interop.real_peer import RealPeer
from peersockets_core import WIRES, WireName
from peersockets_trio import (
    ConnectionInfo,
    Drive,
    Instrument,
    KeyPair,
    Node,
    PeerEvents,
    PeerLeft,
    open_node,
)

HERE = "10.9.255.1"
AT_A_TIME = 4
SETTLING_TIME = 30.0
SCRIPTS = {"hypercore9": real_peer.PEER_SCRIPT, "hypercore11": hyperdrive13.PEER_SCRIPT}

Side: TypeAlias = Literal["we", "they"]
SIDES: tuple[Side, Side] = ("we", "they")


@attrs.frozen
class Order:
    """Two connections, one after the other."""

    wire: WireName
    first: Side
    """The side that dials the first connection."""
    second: Side
    larger: Side
    """The side that has the larger key."""
    cut: bool
    """Whether the first connection is dead when the second is dialled, and the peer has forgotten it."""
    deduplicates: bool
    """Whether the real peer ends duplicates, too, as a swarm of its generation does."""


@attrs.frozen
class Outcome:
    """The outcome of an order."""

    seconds: float
    """Seconds from the second dial until a message has passed each way on the only connection left."""
    stays: str
    leaves: int
    """How often we saw the peer leave, which should never happen."""

    @property
    def good(self) -> bool:
        return not self.leaves and self.seconds < SETTLING_TIME


ORDERS = [
    Order(*order)
    for order in itertools.product(WIRES, SIDES, SIDES, SIDES, (False, True), (False, True))
    if order[0] == "hypercore9" or not order[-1]
]


@attrs.frozen
class Far:
    """The namespace of the real peers."""

    keeper: int
    """A process in this namespace."""

    @property
    def enter(self) -> list[str]:
        return ["nsenter", "--target", str(self.keeper), "--net", "--preserve-credentials"]

    async def ip(self, *arguments: str) -> None:
        await trio.run_process([*self.enter, "ip", *arguments])


@contextmanager
def far_namespace() -> Iterator[Far]:
    """Make a namespace beside ours that has all addresses in 10.9.0.0/16 except ours."""
    keeper = subprocess.Popen(["unshare", "--net", "sleep", "3600"])
    try:
        ours = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{keeper.pid}/ns/net") == ours:
            pass
        far = Far(keeper.pid)
        for command in (
            "ip link set lo up",
            "ip link add near type veth peer name far",
            f"ip link set far netns {keeper.pid}",
            f"ip addr add {HERE}/16 dev near",
            "ip link set near up",
        ):
            subprocess.run(command.split(), check=True)
        for command in ("ip link set lo up", "ip link set far up", f"ip route add {HERE} dev far"):
            subprocess.run([*far.enter, *command.split()], check=True)
        yield far
    finally:
        keeper.kill()
        keeper.wait()


@asynccontextmanager
async def open_peer(far: Far, order: Order, host: str, seed: bytes) -> AsyncIterator[RealPeer]:
    """A real peer that listens at an address of its own."""
    await far.ip("addr", "add", f"{host}/32", "dev", "far")
    environment = {**os.environ, "PEER_HOST": host}
    with TemporaryDirectory(prefix="corestore-") as storage:
        arguments = [storage] if order.wire == "hypercore11" else []
        async with open_node_peer(
            SCRIPTS[order.wire], *arguments, prefix=far.enter, environment=environment
        ) as process:
            started = await process.call("start", seed=seed.hex())
            if order.deduplicates:
                await process.call("setDeduplicate", on=True)
            listening = await process.call("listen", port=0)
            yield RealPeer(process, bytes.fromhex(started["publicKey"]), listening["port"])


class Counter(Instrument):
    """Counts the connections that were opened and closed."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.changed = trio.lowlevel.ParkingLot()

    def connection_opened(self, info: ConnectionInfo) -> None:
        self.opened += 1
        self.changed.unpark_all()

    def connection_closed(self, info: ConnectionInfo, reason: str, unsent: int) -> None:
        self.closed += 1
        self.changed.unpark_all()

    async def one_is_left_of(self, count: int) -> None:
        while self.opened < count or self.opened - self.closed > 1:
            await self.changed.park()


@attrs.frozen
class Meeting:
    """Our side of one order."""

    order: Order
    node: Node
    drive: Drive
    events: PeerEvents
    counter: Counter
    port: int

    @property
    def generation(self) -> Generation:
        return next(generation for generation in GENERATIONS if generation.wire == self.order.wire)

    async def dial(self, dialler: Side, peer: RealPeer, host: str) -> None:
        if dialler == "we":
            await self.node.connect_tcp(host, peer.port, wire=self.order.wire)
        else:
            await peer.call("connect", port=self.port, host=HERE)

    async def settle(self, dialler: Side, peer: RealPeer, host: str) -> Outcome:
        """Dial the second connection. Return the outcome."""
        began = trio.current_time()
        await self.dial(dialler, peer, host)
        with trio.move_on_after(SETTLING_TIME) as scope:
            await self.counter.one_is_left_of(2)
            await self.generation.both_ways(self.node, self.drive, peer, 1)
        seconds = SETTLING_TIME if scope.cancelled_caught else trio.current_time() - began
        links = node_runtime(self.node).machine.peer(1).links
        ours = [link.connection.initiator for link in links]
        stays = ", ".join("ours" if initiator else "theirs" for initiator in ours) or "none"
        leaves = 0
        while True:
            try:
                leaves += isinstance(self.events.receive_nowait(), PeerLeft)
            except trio.WouldBlock:
                return Outcome(seconds, stays, leaves)


async def play(far: Far, order: Order, number: int) -> Outcome:
    pairs = sorted(
        (KeyPair.generate(os.urandom) for _ in range(2)), key=lambda pair: pair.public_keys[order.wire]
    )
    ours, theirs = reversed(pairs) if order.larger == "we" else pairs
    before, after = f"10.9.{number}.2", f"10.9.{number}.3"
    counter = Counter()
    async with (
        open_node(key_pair=ours, instruments=[counter]) as node,
        node.open_drive(os.urandom(32)) as drive,
        drive.watch() as events,
        open_peer(far, order, before, theirs.seed) as peer,
    ):
        (listener,) = await node.listen_tcp(0, host=HERE)
        meeting = Meeting(order, node, drive, events, counter, listener.address[1])
        await peer.call("openDrive", key=drive.key.public_key.hex())
        await meeting.dial(order.first, peer, before)
        await meeting.generation.both_ways(node, drive, peer, (await events.receive()).peer_id)
        if not order.cut:
            return await meeting.settle(order.second, peer, before)
        await far.ip("addr", "del", f"{before}/32", "dev", "far")
        async with open_peer(far, order, after, theirs.seed) as returned:
            await returned.call("openDrive", key=drive.key.public_key.hex())
            return await meeting.settle(order.second, returned, after)


async def play_all(orders: list[Order] = ORDERS) -> dict[Order, Outcome]:
    """Play the orders, a few at a time."""
    outcomes: dict[Order, Outcome] = {}
    places = trio.CapacityLimiter(AT_A_TIME)

    async def take_part(far: Far, number: int, order: Order) -> None:
        async with places:
            outcomes[order] = await play(far, order, number)

    with far_namespace() as far:
        async with trio.open_nursery() as nursery:
            for number, order in enumerate(orders):
                nursery.start_soon(take_part, far, number, order)
    return {order: outcomes[order] for order in orders}


def main() -> int:
    """Print the table. Return 1 if an order went wrong."""
    outcomes = trio.run(partial(play_all))
    row = "{:12} {:12} {:13} {:11} {:10} {:12} {:>8} {:16} {:>6}"
    print(
        row.format(
            "wire",
            "dials first",
            "dials second",
            "larger key",
            "first is",
            "peer folds",
            "seconds",
            "we had dialled",
            "leaves",
        )
    )
    for order, outcome in outcomes.items():
        print(
            row.format(
                order.wire,
                order.first,
                order.second,
                order.larger,
                "cut" if order.cut else "alive",
                "yes" if order.deduplicates else "no",
                f"{outcome.seconds:.2f}",
                outcome.stays,
                outcome.leaves,
            ),
            "" if outcome.good else "BAD",
        )
    return 0 if all(outcome.good for outcome in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
