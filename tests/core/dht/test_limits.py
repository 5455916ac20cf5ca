"""The bounds of a HyperDHT node."""

from __future__ import annotations

import attrs
import pytest

from peersockets_core.dht.limits import DEFAULT_HYPER_DHT_LIMITS, HyperDhtLimits

FIELDS = [field.name for field in attrs.fields(HyperDhtLimits) if field.name not in {"rpc", "punches"}]


@pytest.mark.parametrize("field", FIELDS)
def test_a_bound_must_be_positive(field: str) -> None:
    with pytest.raises(ValueError, match=f"limits: {field} must be positive, not 0"):
        HyperDhtLimits(**{field: 0})  # type: ignore[arg-type]


def test_one_owner_and_one_topic_get_a_small_share() -> None:
    limits = DEFAULT_HYPER_DHT_LIMITS
    assert 16 * limits.host_records <= limits.records
    assert 16 * limits.topic_records <= limits.records
    assert 16 * limits.host_values <= limits.values
    assert 16 * limits.host_forwards <= limits.forwards
