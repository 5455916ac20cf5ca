"""Parts that the chaos tests share: the check that nothing is left behind."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio.testing

from peersockets_trio import Drive, Node, Topic
from peersockets_trio.runtime.connection_task import ConnectionTask

_FILES = next(folder for folder in (Path("/proc/self/fd"), Path("/dev/fd")) if folder.exists())


def open_files() -> int:
    return len(os.listdir(_FILES))


def in_memory() -> dict[str, int]:
    """Return the number of objects of each kind, after garbage collection."""
    gc.collect()
    kinds = (Node, Drive, Topic, ConnectionTask)
    objects = [type(thing) for thing in gc.get_objects()]
    return {kind.__name__: objects.count(kind) for kind in kinds}


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Check that no task, file descriptor or object is left that was not there before."""
    before = _census()
    yield
    await trio.testing.wait_all_tasks_blocked(0.01)
    after = _census()
    assert after == before, f"{before} before, {after} after"


def _census() -> tuple[object, ...]:
    return in_memory(), trio.lowlevel.current_statistics().tasks_living, open_files()
