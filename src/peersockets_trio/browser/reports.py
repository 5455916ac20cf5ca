"""`Reports`: counts the outcome of a page's messages by handle and peer, and writes it in few frames."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import attrs

from peersockets_core.bounds import KIB

from .frames import write_text

_ENOUGH: Final = 64 * KIB
"""Bytes that are reported at once. A page has several times as many on their way to a peer, so it does not
run dry."""

Loss: TypeAlias = Literal["gone", "too large", "full"]
"""The reason why a message of the page did not go to its peer."""


@attrs.define
class Tally:
    """Messages and their bytes."""

    messages: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        """Count a message."""
        self.messages += 1
        self.size += size


@attrs.define
class _Outcome:
    """The outcome of one handle's messages."""

    totals: dict[int, int] = attrs.field(factory=dict)
    """By peer, the bytes that have left or are lost."""
    changed: dict[int, None] = attrs.field(factory=dict)
    """The peers whose total has changed since its last frame, in order."""
    lost: dict[tuple[int, Loss], Tally] = attrs.field(factory=dict)
    """The losses since their last frame."""


class Reports:
    """The outcome of the messages of one page. Frames do not pile up while the page does not read.

    A frame for each message would cost as much as the message. So an outcome waits until it is due: it is a
    loss, or many bytes have left, or its time has come.
    """

    def __init__(self) -> None:
        self.due = False
        """Whether there is something to report now."""
        self._size = 0  # of the outcomes that are not due
        self._outcomes: dict[int, _Outcome] = {}
        self._news: dict[int, None] = {}  # the handles with something to report, in order

    def add(self, handle: int, page_id: int, size: int, loss: Loss | None) -> None:
        """Count a message that has left, or is lost."""
        outcome = self._outcomes.get(handle)
        if outcome is None:
            outcome = self._outcomes[handle] = _Outcome()
        outcome.totals[page_id] = outcome.totals.get(page_id, 0) + size
        outcome.changed[page_id] = None
        if loss is not None:
            outcome.lost.setdefault((page_id, loss), Tally()).add(size)
        self._news[handle] = None
        self._size += size
        if loss is not None or self._size >= _ENOUGH:
            self.due = True

    def mark_due(self) -> None:
        """Note that the time of all outcomes so far has come."""
        self.due = bool(self._news)

    def forget(self, handle: int) -> None:
        """Drop everything about a handle that the page has closed."""
        self._outcomes.pop(handle, None)
        self._news.pop(handle, None)
        self._reset_if_empty()

    def take(self) -> str:
        """Remove and return a frame; something must be due."""
        handle = next(iter(self._news))
        outcome = self._outcomes[handle]
        if outcome.lost:
            (page_id, loss), tally = next(iter(outcome.lost.items()))
            del outcome.lost[page_id, loss]
            return write_text(handle, "lost", page_id, loss, tally.messages, tally.size)
        page_id = next(iter(outcome.changed))
        del outcome.changed[page_id]
        if not outcome.changed:
            del self._news[handle]
            self._reset_if_empty()
        return write_text(handle, "sent", page_id, outcome.totals[page_id])

    def _reset_if_empty(self) -> None:
        if not self._news:
            self.due = False
            self._size = 0
