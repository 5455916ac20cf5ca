"""A nursery for the background tasks of an `async with` block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import trio


@asynccontextmanager
async def background_tasks() -> AsyncIterator[trio.Nursery]:
    """Open a nursery whose tasks are cancelled at the end of the block.

    An exception of the block itself propagates unchanged, and not in a group, because the user of the
    block has opened no nursery. The tasks end by cancellation; any other exception of a task is a bug and
    propagates, too.
    """
    raised: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except BaseException as error:
                raised = error
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if raised is None or group.split(trio.Cancelled)[1] is not None:
            raise
    if raised is not None:
        raise raised


class Task(Protocol):
    """A function that runs for ever, and reports when it has started."""

    async def __call__(self, *, task_status: trio.TaskStatus[None]) -> None: ...


@asynccontextmanager
async def sheltered_task(run: Task) -> AsyncIterator[None]:
    """Run a task until the end of the block. A cancellation from outside reaches the block but not the task,
    which still serves the block while it leaves in good order in a shielded scope.
    """
    scope = trio.CancelScope(shield=True)

    async def shelter(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with scope:
            await run(task_status=task_status)

    async with background_tasks() as nursery:
        await nursery.start(shelter)
        try:
            yield
        finally:
            scope.cancel()
