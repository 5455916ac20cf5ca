"""Tasks in the background of a block: the block's exception propagates unchanged, and theirs propagate,
too."""

from __future__ import annotations

import pytest
import trio

from peersockets_trio.runtime.background import background_tasks


async def fail() -> None:
    raise KeyError("a bug")


async def test_tasks_end_with_the_block() -> None:
    async with background_tasks() as nursery:
        nursery.start_soon(trio.sleep_forever)


async def test_the_exception_of_the_block_is_in_no_group() -> None:
    async def block() -> None:
        async with background_tasks() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await block()


async def test_a_bug_of_a_task_propagates() -> None:
    async def block() -> None:
        async with background_tasks() as nursery:
            nursery.start_soon(fail)
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await block()
    assert caught.group_contains(KeyError, match="a bug")


async def test_cancelling_the_block() -> None:
    with trio.move_on_after(0) as scope:
        async with background_tasks():
            await trio.sleep_forever()
    assert scope.cancelled_caught
