from __future__ import annotations

import math

import attrs
import pytest

from peersockets_core import Limits
from peersockets_core.bounds import KIB, MIB, positive
from peersockets_core.dht import HyperDhtLimits
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.swarm import SwarmLimits
from peersockets_core.udx import UdxLimits


@attrs.frozen
class Some:
    size: float = attrs.field(validator=positive("some limits"))


@pytest.mark.parametrize("size", [1, 0.001, MIB, KIB, math.inf])
def test_a_positive_bound(size: float) -> None:
    assert Some(size).size == size


@pytest.mark.parametrize("size", [0, -1, -math.inf, math.nan])
def test_any_other_is_named(size: float) -> None:
    with pytest.raises(ValueError, match=r"^some limits: size must be positive, not "):
        Some(size)


@pytest.mark.parametrize("limits", [Limits, HyperDhtLimits, DhtLimits, SwarmLimits, UdxLimits])
def test_every_bound_of_every_layer_is_checked(limits: type[attrs.AttrsInstance]) -> None:
    for field in attrs.fields(limits):
        if field.name != "rpc":
            with pytest.raises(ValueError, match=f"limits: {field.name} must be positive, not 0"):
                limits(**{field.name: 0})
