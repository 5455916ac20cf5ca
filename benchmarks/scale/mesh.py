"""Computes the reach of a topic message: the connected members, or more if members relay it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TypeVar

import attrs

Member = TypeVar("Member")


@attrs.frozen
class Spread:
    """The reach of one message among the members that could receive it."""

    reached: tuple[float, ...]
    """The part of the other members that has it after one hop, two hops and so on."""
    copies: tuple[int, ...]
    """The copies that were sent by then; a relaying member sends one to everybody but the sender."""


def spread(neighbours: Mapping[Member, set[Member]], source: Member, hops: int) -> Spread:
    """Send a message that members relay until it has taken `hops` hops, each member once."""
    others = max(1, len(neighbours) - 1)
    known = {source}
    front = [source]
    reached, copies, sent = [], [], 0
    for _ in range(hops):
        following: list[Member] = []
        for member in front:
            sent += len(neighbours[member]) - (member is not source)
            for neighbour in neighbours[member]:
                if neighbour not in known:
                    known.add(neighbour)
                    following.append(neighbour)
        front = following
        reached.append((len(known) - 1) / others)
        copies.append(sent)
    return Spread(tuple(reached), tuple(copies))


def average(
    neighbours: Mapping[Member, set[Member]],
    random: Random,
    hops: int,
    messages: int = 20,
) -> Spread:
    """Return the mean spread of messages of some members."""
    sources = random.sample(list(neighbours), min(messages, len(neighbours)))
    spreads = [spread(neighbours, source, hops) for source in sources]
    count = max(1, len(spreads))
    return Spread(
        tuple(sum(each.reached[hop] for each in spreads) / count for hop in range(hops)),
        tuple(round(sum(each.copies[hop] for each in spreads) / count) for hop in range(hops)),
    )
