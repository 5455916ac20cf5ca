"""Cancels an operation at each of its checkpoints in turn, to reveal anything that it leaves behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

_MOST_STEPS: Final = 1000
"""The most steps. An operation that is still cancelled after as many steps will never finish."""


class _CancelAtStep(trio.abc.Instrument):
    def __init__(self, task: trio.lowlevel.Task | None, scope: trio.CancelScope, step: int) -> None:
        self._task = task  # the task whose steps count; None for all tasks
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
    """Run `operation`, and cancel it at its checkpoint number `step`, counting from 1.

    With `all_tasks`, the steps of all other tasks count as well, so that the cancellation can also come
    when one of them is half finished.

    Returns whether the cancellation ended it. An operation with fewer steps, or one that could not be
    stopped any more, finishes. Raises `ValueError` for a step below 1, and the errors of `operation`.
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
    """Run `operation` again and again, and cancel it one step later each time, until it finishes.

    Returns the number of cancellations. Steps and errors are those of `cancelled_at`.
    """
    for step in range(1, _MOST_STEPS):
        if not await cancelled_at(step, operation, all_tasks=all_tasks):
            return step - 1
    raise AssertionError(f"the operation has not finished in {_MOST_STEPS} steps")
