"""The number of requests from one host that a node answers in a second."""

from __future__ import annotations

from peersockets_core.dht.rpc.rates import HostRates


def test_each_host_has_its_own_count() -> None:
    rates = HostRates(2, 100)
    assert [rates.allow("a", 5.1) for _ in range(4)] == [True, True, False, False]
    assert rates.allow("b", 5.2)
    assert rates.allow("a", 6.0)


def test_hosts_beyond_the_bound_share_one_count() -> None:
    rates = HostRates(2, 3)
    assert all(rates.allow(host, 5.0) for host in "abc")
    assert [rates.allow(host, 5.0) for host in "defg"] == [True, True, False, False]
    assert rates.allow("a", 5.0)
    assert len(rates.counts) == 4
