from __future__ import annotations

import pytest

from peersockets_core import MessageTooLarge
from peersockets_core.wires.heads import CACHED, Heads


def test_a_head_is_made_once() -> None:
    made: list[int] = []

    def make(size: int) -> bytes:
        made.append(size)
        return b"%d" % size

    heads = Heads(make)
    assert [heads[5], heads[6], heads[5]] == [b"5", b"6", b"5"]
    assert made == [5, 6]


def test_only_a_few_heads_are_kept() -> None:
    heads = Heads(lambda size: b"%d" % size)
    for size in range(10 * CACHED):
        assert heads[size] == b"%d" % size
        assert len(heads) <= CACHED


def test_a_head_of_a_size_that_is_too_large_is_not_kept() -> None:
    def refuse(size: int) -> bytes:
        raise MessageTooLarge(size, 1)

    heads = Heads(refuse)
    for _ in range(2):
        with pytest.raises(MessageTooLarge):
            heads[2]
    assert not heads
