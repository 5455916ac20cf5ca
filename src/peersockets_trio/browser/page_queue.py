"""`PageQueue`: the frames that wait for a tab. Messages that follow each other become one frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from peersockets_core.bounds import KIB
from peersockets_core.limits import MESSAGE_COST

from .frames import RECORD_HEAD, write_messages, write_text
from .reports import Loss, Reports, Tally

_FRAME: Final = 64 * KIB
"""Bytes of messages after which another frame begins. A page gets the first message of a frame only with the
last one, and larger frames are no faster."""

_LOW: Final = 2
"""A full queue accepts messages again at half of its limit (the limit divided by this), so that a slow page
misses messages in few places."""


@attrs.define
class _Messages:
    """Messages that become one frame."""

    chunks: list[bytes] = attrs.field(factory=list)
    count: int = 0
    size: int = 0
    cost: int = 0


class PageQueue:
    """A queue with room for `limit` bytes. Messages beyond it are dropped, and counted by handle."""

    def __init__(self, limit: int, wake: Callable[[], None], schedule_report: Callable[[], object]) -> None:
        """Begin empty; `wake` is called when there is something to take again.

        `schedule_report` is called when there is something to report later: call `report` after a while.
        """
        self._limit = limit
        self._wake = wake
        self._schedule_report = schedule_report
        self._report_scheduled = False
        self._awake = False
        self._frames: deque[str | _Messages] = deque()
        self._last: _Messages | None = None  # the last frame, while it takes messages
        self._cost = 0
        self._missed: dict[int, Tally] = {}
        self._reports = Reports()

    @property
    def full(self) -> bool:
        """Whether the queue has no room."""
        return self._cost >= self._limit

    def put_text(self, *fields: object) -> None:
        """Add a text frame, even to a full queue."""
        frame = write_text(*fields)
        self._frames.append(frame)
        self._last = None
        self._cost += len(frame) + MESSAGE_COST
        self._notify()

    def put_message(self, handle: int, page_id: int, payload: bytes) -> None:
        """Add a message of a peer, or drop it if there is no room."""
        size = len(payload)
        if self._missed or self._cost >= self._limit:
            if self._cost > self._limit // _LOW:
                self._missed.setdefault(handle, Tally()).add(size)
                return
            self._report_missed()
        last = self._last
        if last is None:
            last = self._last = _Messages()
            self._frames.append(last)
        last.chunks.append(RECORD_HEAD.pack(handle, page_id, size))
        last.chunks.append(payload)
        last.count += 1
        last.size += size + RECORD_HEAD.size
        cost = size + MESSAGE_COST
        last.cost += cost
        self._cost += cost
        if last.size >= _FRAME:
            self._last = None
        if not self._awake:
            self._notify()

    def put_outcome(self, handle: int, page_id: int, size: int, loss: Loss | None) -> None:
        """Report that a message of the page has left, or is lost."""
        self._reports.add(handle, page_id, size, loss)
        if self._reports.due:
            self._notify()
        elif not self._report_scheduled:
            self._report_scheduled = True
            self._schedule_report()

    def report(self) -> None:
        """Let all outcomes so far be reported."""
        self._report_scheduled = False
        self._reports.mark_due()
        if self._reports.due:
            self._notify()

    def forget(self, handle: int) -> None:
        """Drop the counts of a handle that the page has closed."""
        self._missed.pop(handle, None)
        self._reports.forget(handle)

    def take(self) -> str | bytes | None:
        """Remove and return the next frame, or None."""
        if self._reports.due:
            return self._reports.take()
        if not self._frames:
            self._report_missed()
        if not self._frames:
            self._awake = False
            return None
        frame = self._frames.popleft()
        if isinstance(frame, str):
            self._cost -= len(frame) + MESSAGE_COST
            return frame
        if frame is self._last:
            self._last = None
        self._cost -= frame.cost
        return write_messages(frame.chunks, frame.count)

    def _notify(self) -> None:
        if not self._awake:
            self._awake = True
            self._wake()

    def _report_missed(self) -> None:
        for handle, tally in self._missed.items():
            self.put_text(handle, "missed", tally.messages, tally.size)
        self._missed.clear()
