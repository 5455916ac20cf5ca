"""The bounds of a DHT node."""

from __future__ import annotations

import attrs
import pytest

from peersockets_core.dht.rpc.limits import DEFAULT_DHT_LIMITS, DhtLimits


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(DhtLimits)])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_bound_must_be_positive(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"limits: {field} must be positive"):
        DhtLimits(**{field: value})  # type: ignore[arg-type]


def test_the_defaults_are_those_of_the_reference() -> None:
    assert (DEFAULT_DHT_LIMITS.window, DEFAULT_DHT_LIMITS.checks, DEFAULT_DHT_LIMITS.repings) == (80, 10, 3)
