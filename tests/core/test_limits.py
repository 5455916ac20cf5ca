from __future__ import annotations

import math

import attrs
import pytest

from peersockets_core import DEFAULT_LIMITS, Limits

NAMES = [field.name for field in attrs.fields(Limits)]


@pytest.mark.parametrize("value", [0, -1, math.nan, -math.inf])
@pytest.mark.parametrize("name", NAMES)
def test_every_bound_is_positive(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"limits: {name} must be positive"):
        Limits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_every_bound_can_be_set(name: str) -> None:
    assert getattr(Limits(**{name: 1}), name) == 1


def test_the_bounds_of_the_reference_are_kept() -> None:
    # simple-message-channels 1.2.1 and hypercore-protocol 8.0.7
    assert DEFAULT_LIMITS.frame_body == 8 * 1024 * 1024
    assert DEFAULT_LIMITS.silence == 20
    assert DEFAULT_LIMITS.keepalive == 10
