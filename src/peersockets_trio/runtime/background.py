"""A nursery for the background tasks of an `async with` block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
