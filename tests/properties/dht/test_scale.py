"""Two hundred nodes in virtual time; `python -m benchmarks.dht_scale` runs a thousand."""

from __future__ import annotations

import pytest

from properties.dht.scale import Scale, measure

NODES = 200


@pytest.mark.slow
def test_a_network_with_churn_finds_announcements_at_a_low_cost() -> None:
    scale = Scale(NODES)
    joining = scale.storm(10)
    # A node that comes asks the nodes near it. Later, nodes that come ask it, and get an answer each.
    assert joining <= measure(NODES)
    period = scale.churn(4, 0.1)
    assert abs(period.came - NODES * 0.1 * 4) <= 1
    assert period.lookups > 50
    assert period.expected > 200
    assert period.recall >= 0.99
    assert period.requests <= measure(NODES) / 2
    assert period.messages <= measure(NODES)
