from __future__ import annotations

import attrs
import pytest

from peersockets_core import DEFAULT_LIMITS
from peersockets_core.topics.naming import addresses
from peersockets_trio.browser import GatewayLimits
from peersockets_trio.browser.limits import LARGEST_TOPIC


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(GatewayLimits)])
def test_bounds_are_positive(name: str) -> None:
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"gateway limits: {name} must be positive"):
            GatewayLimits(**{name: value})


def test_the_longest_topic_fits_into_the_name_of_an_extension() -> None:
    for _, name in addresses(bytes(32), "a" * LARGEST_TOPIC, "drive").values():
        assert len(name) < DEFAULT_LIMITS.extension_name
