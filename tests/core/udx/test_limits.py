from __future__ import annotations

import math

import attrs
import pytest

from peersockets_core.udx import UdxLimits

NAMES = [field.name for field in attrs.fields(UdxLimits)]


@pytest.mark.parametrize("value", [0, -1, math.nan, -math.inf])
@pytest.mark.parametrize("name", NAMES)
def test_every_bound_is_positive(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"udx limits: {name} must be positive"):
        UdxLimits(**{name: value})  # type: ignore[arg-type]


def test_the_bounds_of_the_reference_are_kept() -> None:
    # libudx a9af5de
    assert UdxLimits().window == 4 * 1024 * 1024
    assert UdxLimits().timeouts == 6
    assert UdxLimits().send_buffer == 262_144
