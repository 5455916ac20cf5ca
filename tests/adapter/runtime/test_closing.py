from __future__ import annotations

import pytest
import trio
import trio.testing

from peersockets_trio.runtime.closing import Closing


class Door(Closing):
    closed = 0

    def close(self) -> None:
        self.closed += 1


async def test_closing_checkpoints_only_on_request() -> None:
    door = Door()
    with trio.testing.assert_checkpoints():
        await door.aclose()
    with trio.testing.assert_no_checkpoints():
        async with Door() as another:
            assert another.closed == 0
    assert (door.closed, another.closed) == (1, 1)


async def test_the_end_of_a_block_closes_in_every_case() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Door() as door:
            _ = 1 / 0
    assert door.closed == 1


async def test_a_cancelled_close_has_closed() -> None:
    door = Door()
    with trio.CancelScope() as scope:
        scope.cancel()
        await door.aclose()
    assert scope.cancelled_caught
    assert door.closed == 1
