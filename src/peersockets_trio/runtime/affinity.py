"""`Affinity`: the thread and process of a node. Calls from any other thread or process raise."""

from __future__ import annotations

import os
import weakref
from threading import get_ident
from typing import Final

_affinities: Final[weakref.WeakSet[Affinity]] = weakref.WeakSet()


class Affinity:
    """The place where an object was made. Anywhere else, `check` raises before anything has changed."""

    __slots__ = ("__weakref__", "thread")

    def __init__(self) -> None:
        self.thread = get_ident()
        """The thread's identifier. In a process that was forked later, it is 0, which no thread has."""
        _affinities.add(self)

    def check(self) -> None:
        """Raise `RuntimeError` in any thread other than that of `trio.run`, and after a fork."""
        if self.thread == get_ident():
            return
        if not self.thread:
            raise RuntimeError("this node belongs to the process before the fork: open another one here")
        raise RuntimeError(
            "this node belongs to another thread: call it there, for example with trio.from_thread.run_sync"
        )


def _leave_all() -> None:
    for affinity in _affinities:
        affinity.thread = 0


os.register_at_fork(after_in_child=_leave_all)
