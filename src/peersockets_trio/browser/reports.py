"""`Reports`: counts the outcome of a page's messages by handle and peer, and writes it in few frames."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from .frames import write_text

Loss: TypeAlias = Literal["gone", "too large", "full"]
"""The reason for which a message of the page did not go to its peer."""


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
    """The outcome of the messages of one page. Its frames do not add up while the page does not read them."""

    def __init__(self) -> None:
        self._outcomes: dict[int, _Outcome] = {}
        self._news: dict[int, None] = {}  # the handles with something to report, in order

    def __bool__(self) -> bool:
        """Return whether there is something to report."""
        return bool(self._news)

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

    def forget(self, handle: int) -> None:
        """Drop everything about a handle that the page has closed."""
        self._outcomes.pop(handle, None)
        self._news.pop(handle, None)

    def take(self) -> str:
        """Remove and return a frame; there must be something to report."""
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
        return write_text(handle, "sent", page_id, outcome.totals[page_id])
