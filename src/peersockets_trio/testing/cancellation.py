"""Cancelling an operation at each of its checkpoints in turn: whatever it leaves behind comes to light."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

_MOST_STEPS: Final = 1000
"""An operation that gives way this often and is still cancelled each time will never come through."""


class _CancelAtStep(trio.abc.Instrument):
    def __init__(self, task: trio.lowlevel.Task, scope: trio.CancelScope, step: int) -> None:
        self._task = task
        self._scope = scope
        self._steps_left = step

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._steps_left -= 1
            if not self._steps_left:
                self._scope.cancel()


async def cancelled_at(step: int, operation: Callable[[], Awaitable[object]]) -> bool:
    """Run `operation` and cancel it when it gives way for the nth time, counting from 1.

    Returns whether that ended it: an operation with fewer steps, or one that was not to be stopped any
    more, comes through.
    """
    if step < 1:
        raise ValueError(f"step must be 1 or more, not {step}")
    with trio.CancelScope() as scope:
        instrument = _CancelAtStep(trio.lowlevel.current_task(), scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            await operation()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancelled_caught


async def cancelled_at_every_step(operation: Callable[[], Awaitable[object]]) -> int:
    """Run `operation` over and over, cancelled one step later each time, until it comes through.

    Returns how often it was cancelled. Steps are those of the task that calls it; those of other tasks, for
    instance of a nursery within `operation`, do not count.
    """
    for step in range(1, _MOST_STEPS):
        if not await cancelled_at(step, operation):
            return step - 1
    raise AssertionError(f"the operation has not come through in {_MOST_STEPS} steps")
