"""`RangeSet`: sets of numbers that mostly come in runs."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class RangeSet:
    """Disjoint ranges in ascending order, each from a first number up to but excluding an end.

    Adding takes time logarithmic in the number of ranges, plus one move of the ranges above in memory.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        """The number of ranges."""
        return len(self._starts)

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._starts, number) - 1
        return index >= 0 and number < self._ends[index]

    def add(self, start: int, end: int) -> None:
        """Add the numbers from `start` up to but excluding `end`."""
        starts, ends = self._starts, self._ends
        first = bisect_left(ends, start)  # first:last are the ranges that touch the new one
        last = bisect_right(starts, end, first)
        if first < last:
            start, end = min(start, starts[first]), max(end, ends[last - 1])
        starts[first:last] = [start]
        ends[first:last] = [end]

    def cut(self, below: int) -> None:
        """Remove all numbers smaller than `below`."""
        starts, ends = self._starts, self._ends
        index = bisect_right(ends, below)
        del starts[:index], ends[:index]
        if starts and starts[0] < below:
            starts[0] = below

    def lowest(self, count: int) -> list[tuple[int, int]]:
        """Return the lowest ranges, at most `count` of them."""
        return list(zip(self._starts[:count], self._ends[:count], strict=True))
