from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from peersockets_core.udx.ranges import RangeSet

_ranges = st.tuples(st.integers(0, 60), st.integers(1, 9)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.one_of(_ranges, st.integers(0, 60))))
def test_it_equals_a_set_of_numbers(actions: list[tuple[int, int] | int]) -> None:
    ranges, model = RangeSet(), set[int]()
    for action in actions:
        if isinstance(action, int):
            ranges.cut(action)
            model -= set(range(action))
        else:
            ranges.add(*action)
            model |= set(range(*action))
        assert [number for number in range(75) if number in ranges] == sorted(model)
    listed = ranges.lowest(100)
    assert len(listed) == len(ranges)
    assert all(end < start for (_, end), (start, _) in pairwise(listed))
    assert [number for start, end in listed for number in range(start, end)] == sorted(model)
    assert ranges.lowest(2) == listed[:2]
