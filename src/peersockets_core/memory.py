"""`MemoryBudget`: what all remotes together make a node keep, and who gives way when that is too much."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

SMALL: Final = 4096
"""Bytes that are not worth ending a connection for: a handshake, and the beginning of what follows."""

Holder = TypeVar("Holder", bound=Hashable)


class MemoryBudget(Generic[Holder]):
    """The books over what each of many remotes makes us keep: parts of frames, names, channels, answers.

    `Peersockets` has one for its connections (`Connection.kept` says what one keeps). Who embeds connections
    without a machine does the same: `charge` each connection once after each read, `release` it when it has
    ended, and when `charge` says that it is too much, close whoever `give_way` names.
    """

    def __init__(self, limit: int) -> None:
        """Allow `limit` bytes for all holders together."""
        self.limit = limit
        self.total = 0
        """Bytes of all holders, each as when it was last charged."""
        self._kept: dict[Holder, int] = {}

    def charge(self, holder: Holder, kept: int) -> bool:
        """Note what a holder keeps now; returns whether all of them keep too much. Takes constant time."""
        self.total += kept - self._kept.get(holder, 0)
        self._kept[holder] = kept
        return self.total > self.limit

    def release(self, holder: Holder) -> None:
        """A holder has ended. Releasing twice is fine."""
        self.total -= self._kept.pop(holder, 0)

    def give_way(
        self, measure: Callable[[Holder], int], is_stranger: Callable[[Holder], bool]
    ) -> list[Holder]:
        """Release holders until the others keep no more than the limit; returns those released.

        First, `measure` says anew what each keeps, since it may be less than when it was charged. Strangers
        go first, and members only when no stranger keeps more than `SMALL` bytes; of either, the largest. So
        nobody goes who keeps no more than a fair share, as long as strangers suffice, and no member who keeps
        no more than a fair share of what all members may keep. Takes time in proportion to the holders.
        """
        self._kept = {holder: measure(holder) for holder in self._kept}
        self.total = sum(self._kept.values())
        largest_first = sorted(self._kept, key=self._kept.__getitem__, reverse=True)
        strangers = [holder for holder in largest_first if is_stranger(holder) and self._kept[holder] > SMALL]
        members = [holder for holder in largest_first if not is_stranger(holder)]
        released = []
        for holder in (*strangers, *members):
            if self.total <= self.limit:
                break
            self.release(holder)
            released.append(holder)
        return released
