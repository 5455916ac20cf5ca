"""`peersockets_trio.testing.cancellation`: every checkpoint in turn."""

from __future__ import annotations

import pytest
import trio

from peersockets_trio.testing import cancelled_at, cancelled_at_every_step


async def test_every_checkpoint_is_met_once() -> None:
    reached: list[int] = []

    async def operation() -> None:
        reached.append(0)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
            reached[-1] += 1

    assert await cancelled_at_every_step(operation) == 5
    assert reached == [0, 1, 2, 3, 4, 5]


async def test_steps_of_other_tasks_count_on_request() -> None:
    async def step_often() -> None:
        for _ in range(5):
            await trio.lowlevel.checkpoint()

    async def operation() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(step_often)

    assert await cancelled_at_every_step(operation) == 1
    assert await cancelled_at_every_step(operation, all_tasks=True) >= 5


async def test_an_operation_that_blocks_is_cancelled() -> None:
    assert await cancelled_at(1, trio.sleep_forever)


async def test_a_shielded_operation_finishes() -> None:
    async def operation() -> None:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()

    assert await cancelled_at_every_step(operation) == 0


async def test_errors_propagate() -> None:
    async def operation() -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    assert await cancelled_at(1, operation)
    with pytest.raises(ZeroDivisionError):
        await cancelled_at(2, operation)


async def test_a_function_that_never_finishes_is_reported() -> None:
    async def operation() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    with pytest.raises(AssertionError, match="has not finished in"):
        await cancelled_at_every_step(operation)


async def test_bad_steps() -> None:
    with pytest.raises(ValueError, match="step must be 1 or more, not 0"):
        await cancelled_at(0, trio.sleep_forever)
