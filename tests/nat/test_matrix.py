"""Two peers meet through every pair of NATs through which the original meets itself."""

from __future__ import annotations

import pytest
import trio

from nat.matrix import CELLS, Cell, Outcome, Pair, Pairing, open_matrix, play
from nat.world import open_world

AT_ONCE = 4
TRIES = 2
CHANCES = 3
"""The number of dials of which one has to succeed where chance decides, or where the original takes part.
Some of its dials fail."""

TESTED: tuple[Pairing, ...] = (("Node", "Node"),)


async def faults(cell: Cell, pairing: Pairing, pair: Pair) -> list[str]:
    """Dial as often as it takes to judge a cell, and return why it is not as it should be."""
    if cell.hopeless:
        return ["they met"] if (await play(pair, 1)).met else []
    if "Node" not in pairing and not cell.chance:
        return (await play(pair, TRIES)).failures
    outcome = Outcome()
    while not outcome.met and len(outcome.tries) < CHANCES:
        outcome.tries += (await play(pair, 1)).tries
    return [] if outcome.met else outcome.failures


@pytest.mark.parametrize("pairing", TESTED, ids="-".join)
async def test_the_matrix(pairing: Pairing) -> None:
    found: dict[str, list[str]] = {}
    places = trio.CapacityLimiter(AT_ONCE)

    async def check(cell: Cell, pair: Pair) -> None:
        async with places:
            found[cell.name] = await faults(cell, pairing, pair)

    with open_world() as world:
        async with open_matrix(world) as matrix:
            pairs = {cell: await matrix.pair(cell, pairing) for cell in CELLS}
            async with trio.open_nursery() as nursery:
                for item in pairs.items():
                    nursery.start_soon(check, *item)
    assert {name: failures for name, failures in found.items() if failures} == {}
