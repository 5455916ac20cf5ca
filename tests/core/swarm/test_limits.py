"""The bounds of a swarm."""

from __future__ import annotations

import attrs
import pytest

from peersockets_core.swarm import DEFAULT_SWARM_LIMITS, SwarmLimits


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(SwarmLimits)])
def test_a_bound_must_be_positive(field: str) -> None:
    with pytest.raises(ValueError, match=f"limits: {field} must be positive, not 0"):
        SwarmLimits(**{field: 0})


def test_the_defaults_are_those_of_the_reference() -> None:
    assert (DEFAULT_SWARM_LIMITS.max_peers, DEFAULT_SWARM_LIMITS.parallel_dials) == (64, 3)
