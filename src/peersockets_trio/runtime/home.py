"""`Home`: the thread and the process in which a node lives. Nothing else may call it."""

from __future__ import annotations

import os
import weakref
from threading import get_ident
from typing import Final

_homes: Final[weakref.WeakSet[Home]] = weakref.WeakSet()


class Home:
    """Where an object was made; `check` raises elsewhere, before anything has changed."""

    __slots__ = ("__weakref__", "thread")

    def __init__(self) -> None:
        self.thread = get_ident()
        """The thread; 0, which is none, in a process that has been forked off since."""
        _homes.add(self)

    def check(self) -> None:
        """Raise `RuntimeError` in another thread than that of `trio.run`, and after a fork."""
        if self.thread == get_ident():
            return
        if not self.thread:
            raise RuntimeError("this node lives in the process before the fork: open another one here")
        raise RuntimeError(
            "this node lives in another thread: call it there, for example with trio.from_thread.run_sync"
        )


def _leave_all() -> None:
    for home in _homes:
        home.thread = 0


os.register_at_fork(after_in_child=_leave_all)
