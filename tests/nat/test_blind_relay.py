"""Two hosts behind random NATs meet at a real blind relay. Either of them, or both, run our software."""

from __future__ import annotations

import trio

from nat.matrix import PAIRINGS, Cell, Pair, dial, open_matrix, open_peer
from nat.world import open_world

CELL = Cell("random", "random")
CHANCES = 3
"""The number of dials of which one has to succeed. On a busy machine, both sides may reach the relay too
late, as with the original.
"""


async def test_two_random_nats_meet_at_a_relay() -> None:
    faults: dict[str, str] = {}
    with open_world() as world:
        relay_host = world.add_place("open").hosts[0]
        async with open_matrix(world) as matrix:
            pairs = {pairing: await matrix.pair(CELL, pairing) for pairing in PAIRINGS}
            async with open_peer(relay_host, "Node") as relay, trio.open_nursery() as nursery:
                key = (await relay.call("relay"))["key"]

                async def meet(name: str, pair: Pair) -> None:
                    for _ in range(CHANCES):
                        tried = await dial(*pair, relay=key)
                        faults[name] = tried.failure and f"{tried.failure} {tried.evidence}"
                        if not tried.failure:
                            return

                for pairing, pair in pairs.items():
                    nursery.start_soon(meet, " to ".join(pairing), pair)
    assert faults == {" to ".join(pairing): "" for pairing in PAIRINGS}
