"""Two peers meet through every pair of NATs through which the original meets itself.

Either peer, or both, run our software.
"""

from __future__ import annotations

import itertools

import trio

from nat.matrix import CELLS, PAIRINGS, Cell, Pair, Try, dial, open_matrix
from nat.world import open_world

AT_ONCE = 10
CHANCES = 3
"""The number of dials of which one has to succeed. If chance decides, one in a thousand dials of the original
fails, and more on a busy machine. `benchmarks.nat` counts them.
"""


async def fault(cell: Cell, pair: Pair) -> str:
    """Dial as often as needed to judge a cell. Return the reason why it is wrong, or an empty text."""
    tries: list[Try] = []
    for _ in range(1 if cell.hopeless else CHANCES):
        tries.append(await dial(*pair))
        if not tries[-1].failure:
            return "they met" if cell.hopeless else ""
    return "" if cell.hopeless else "; ".join(f"{each.failure} {each.evidence}" for each in tries)


async def test_the_matrix() -> None:
    faults: dict[str, str] = {}
    places = trio.CapacityLimiter(AT_ONCE)

    async def judge(name: str, cell: Cell, pair: Pair) -> None:
        async with places:
            faults[name] = await fault(cell, pair)

    with open_world() as world:
        async with open_matrix(world) as matrix:
            pairs = {
                (cell, pairing): await matrix.pair(cell, pairing)
                for cell, pairing in itertools.product(CELLS, PAIRINGS)
            }
            async with trio.open_nursery() as nursery:
                for (cell, pairing), pair in pairs.items():
                    nursery.start_soon(judge, f"{cell.name}, {' to '.join(pairing)}", cell, pair)
    assert len(faults) == len(CELLS) * len(PAIRINGS)
    assert {name: each for name, each in faults.items() if each} == {}
