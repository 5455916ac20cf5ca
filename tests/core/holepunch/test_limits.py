"""The bounds of hole punching."""

from __future__ import annotations

import attrs
import pytest

from peersockets_core.holepunch import DEFAULT_PUNCH_LIMITS, PunchLimits


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(PunchLimits)])
def test_a_bound_must_be_positive(field: str) -> None:
    with pytest.raises(ValueError, match=f"limits: {field} must be positive, not 0"):
        PunchLimits(**{field: 0})


def test_half_of_all_random_punches_need_no_more_probes_than_documented() -> None:
    missed = 1 - DEFAULT_PUNCH_LIMITS.birthday_sockets / 64_536
    assert missed**174 > 0.5 > missed**175
    assert 1 - missed**DEFAULT_PUNCH_LIMITS.random_probes > 0.999
