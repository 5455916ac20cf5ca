"""`MemoryBudget`: bounds the memory that all remotes together make a node keep, and decides which one gives
way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

SMALL: Final = 4096
"""Bytes. It is not worth ending a connection that keeps less: a handshake, and the beginning of its input."""

Holder = TypeVar("Holder", bound=Hashable)


class MemoryBudget(Generic[Holder]):
    """Accounts for the memory that each remote makes us keep: parts of frames, names, channels, answers.

    `Peersockets` has a budget for its connections, which report their memory as `Connection.kept`. A program
    that embeds connections without a machine does the same: it calls `charge` after each read of a
    connection and `release` when a connection has ended. When `charge` returns True, it closes the
    connections that `give_way` returns.
    """

    def __init__(self, limit: int) -> None:
        """Allow `limit` bytes for all holders together."""
        self.limit = limit
        self.total = 0
        """Bytes of all holders, as of the last charge of each."""
        self.charged: dict[Holder, int] = {}

    def charge(self, holder: Holder, kept: int) -> bool:
        """Note the bytes that a holder keeps now; returns whether all holders together keep too much. Takes
        constant time.
        """
        self.total += kept - self.charged.get(holder, 0)
        self.charged[holder] = kept
        return self.total > self.limit

    def release(self, holder: Holder) -> None:
        """Remove a holder that has ended. Releasing it twice is fine."""
        self.total -= self.charged.pop(holder, 0)

    def give_way(
        self, measure: Callable[[Holder], int], is_stranger: Callable[[Holder], bool]
    ) -> list[Holder]:
        """Release holders until the others keep no more than the limit; returns the released ones.

        First, `measure` returns the current bytes of each holder, which may be fewer than at its last charge.
        Strangers go first, and members only if no stranger keeps more than `SMALL` bytes; within both groups,
        the largest goes first. As long as releasing strangers suffices, a holder with no more than a fair
        share stays. A member with no more than a fair share of the members' memory always stays. Takes time
        proportional to the number of holders.
        """
        charged = self.charged = {holder: measure(holder) for holder in self.charged}
        self.total = sum(charged.values())
        largest_first = sorted(charged, key=charged.__getitem__, reverse=True)
        strangers = [holder for holder in largest_first if is_stranger(holder) and charged[holder] > SMALL]
        members = [holder for holder in largest_first if not is_stranger(holder)]
        released = []
        for holder in (*strangers, *members):
            if self.total <= self.limit:
                break
            self.release(holder)
            released.append(holder)
        return released
