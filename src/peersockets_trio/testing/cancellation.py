"""Cancelling an operation at each of its checkpoints in turn: whatever it leaves behind comes to light."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

_MOST_STEPS: Final = 1000
"""An operation that gives way this often and is still cancelled each time will never come through."""


class _CancelAtStep(trio.abc.Instrument):
    def __init__(self, task: trio.lowlevel.Task | None, scope: trio.CancelScope, step: int) -> None:
        self._task = task  # whose steps count; None for everyone's
        self._scope = scope
        self._steps_left = step

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._task in (None, task):
            self._steps_left -= 1
            if not self._steps_left:
                self._scope.cancel()


async def cancelled_at(
    step: int, operation: Callable[[], Awaitable[object]], *, all_tasks: bool = False
) -> bool:
    """Run `operation` and cancel it when it gives way for the nth time, counting from 1.

    With `all_tasks`, the steps of all other tasks count as well, so that it is also cancelled when one of
    them has done half of something.

    Returns whether that ended it: an operation with fewer steps, or one that was not to be stopped any
    more, comes through. Raises `ValueError` for a step below 1, and what `operation` raises.
    """
    if step < 1:
        raise ValueError(f"step must be 1 or more, not {step}")
    with trio.CancelScope() as scope:
        task = None if all_tasks else trio.lowlevel.current_task()
        instrument = _CancelAtStep(task, scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            await operation()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancelled_caught


async def cancelled_at_every_step(
    operation: Callable[[], Awaitable[object]], *, all_tasks: bool = False
) -> int:
    """Run `operation` over and over, cancelled one step later each time, until it comes through.

    Returns how often it was cancelled. Steps and errors are those of `cancelled_at`.
    """
    for step in range(1, _MOST_STEPS):
        if not await cancelled_at(step, operation, all_tasks=all_tasks):
            return step - 1
    raise AssertionError(f"the operation has not come through in {_MOST_STEPS} steps")
