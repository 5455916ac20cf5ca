"""Two hosts behind random NATs meet at a real blind relay. Either of them, or both, run our software."""

from __future__ import annotations

import trio

from nat.matrix import PAIRINGS, Cell, Pairing, Side, dial, open_matrix, open_peer
from nat.world import open_world

CELL = Cell("random", "random")
CHANCES = 3
"""The number of dials of which one has to succeed. On a busy machine, both sides may reach the relay too
late, as with the original.
"""


CASES: tuple[tuple[Pairing, Side], ...] = (
    *((pairing, "dialler") for pairing in PAIRINGS),
    (("Node", "Python"), "listener"),
    (("Python", "Node"), "listener"),
)
"""Each pairing, and the side that names the relay."""


async def test_two_random_nats_meet_at_a_relay() -> None:
    faults: dict[str, str] = {}
    with open_world() as world:
        relay_host = world.add_place("open").hosts[0]
        async with open_matrix(world) as matrix:
            pairs = {pairing: await matrix.pair(CELL, pairing) for pairing in PAIRINGS}
            async with open_peer(relay_host, "Node") as relay, trio.open_nursery() as nursery:
                key = (await relay.call("relay"))["key"]

                async def meet(pairing: Pairing, side: Side) -> None:
                    for _ in range(CHANCES):
                        tried = await dial(*pairs[pairing], relay=key, names=side)
                        faults[name(pairing, side)] = tried.failure and f"{tried.failure} {tried.evidence}"
                        if not tried.failure:
                            return

                for case in CASES:
                    nursery.start_soon(meet, *case)
    assert faults == {name(*case): "" for case in CASES}


def name(pairing: Pairing, side: Side) -> str:
    return f"{' to '.join(pairing)}, named by the {side}"
