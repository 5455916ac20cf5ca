from __future__ import annotations

import inspect
import math

import attrs
import pytest

from peersockets_core import Limits
from peersockets_core.bounds import KIB, MIB, positive
from peersockets_core.dht import HyperDhtLimits
from peersockets_core.dht.rpc.limits import DhtLimits
from peersockets_core.holepunch.limits import PunchLimits
from peersockets_core.swarm import SwarmLimits
from peersockets_core.udx import UdxLimits
from peersockets_trio import open_node


@attrs.frozen
class Some:
    size: float = attrs.field(validator=positive("some limits"))


@pytest.mark.parametrize("size", [1, 0.001, MIB, KIB, math.inf])
def test_a_positive_bound_is_accepted(size: float) -> None:
    assert Some(size).size == size


@pytest.mark.parametrize("size", [0, -1, -math.inf, math.nan])
def test_the_error_names_any_other_bound(size: float) -> None:
    with pytest.raises(ValueError, match=r"^some limits: size must be positive, not "):
        Some(size)


LAYERS = (Limits, HyperDhtLimits, DhtLimits, PunchLimits, SwarmLimits, UdxLimits)


@pytest.mark.parametrize("limits", LAYERS)
def test_every_bound_of_every_layer_is_checked(limits: type[attrs.AttrsInstance]) -> None:
    for field in attrs.fields(limits):
        if field.name not in ("rpc", "punches"):  # the bounds of other layers
            with pytest.raises(ValueError, match=f"limits: {field.name} must be positive, not 0"):
                limits(**{field.name: 0})


@pytest.mark.parametrize("kind", LAYERS)
def test_a_repr_leaves_out_the_bounds_that_were_not_changed(kind: type) -> None:
    assert repr(kind()) == f"{kind.__name__}()"


def test_a_repr_has_the_bounds_that_were_changed() -> None:
    assert repr(Limits(silence=5.0, connections=7)) == "Limits(connections=7, silence=5.0)"
    assert repr(HyperDhtLimits(rpc=DhtLimits(requests=3))) == "HyperDhtLimits(rpc=DhtLimits(requests=3))"


def test_the_signature_of_open_node_shows_no_numbers() -> None:
    assert inspect.signature(open_node).parameters["limits"].default.__repr__() == "Limits()"
