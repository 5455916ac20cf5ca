from __future__ import annotations

from peersockets_core.udx.mtud import BASE, MtuDiscovery


def search(passes: int, *, ipv6: bool = False, maximum: int = 1500) -> MtuDiscovery:
    mtud = MtuDiscovery(ipv6=ipv6, maximum=maximum)
    for _ in range(100):
        if not mtud.wants_probe(0.0):
            return mtud
        payload = mtud.payload
        padding = mtud.probe()
        assert 0 < padding <= 255
        if mtud.probing <= passes:
            mtud.probe_acknowledged(payload + padding)
        else:
            mtud.probe_lost(0.0)
    raise AssertionError("the search does not end")


def test_the_search_starts_at_the_base() -> None:
    assert MtuDiscovery(ipv6=False, maximum=1500).payload == 1152
    assert MtuDiscovery(ipv6=True, maximum=1500).payload == 1132


def test_the_search_comes_close() -> None:
    for passes in (1200, 1201, 1280, 1400, 1492, 1500):
        assert passes - 8 <= search(passes).mtu <= passes
    assert search(1500).mtu == search(9000).mtu == 1500
    assert search(1500, ipv6=True).payload == 1432
    assert search(1500, maximum=1200).mtu == BASE


def test_the_search_repeats_after_a_while() -> None:
    mtud = search(1300)
    assert not mtud.wants_probe(599.0)
    assert mtud.wants_probe(600.0)


def test_a_refused_probe_is_not_repeated() -> None:
    mtud = MtuDiscovery(ipv6=False, maximum=1500)
    mtud.probe()
    refused = mtud.probing
    mtud.probe_lost(0.0, refused=True)
    mtud.probe()
    assert mtud.probing < refused


def test_a_path_that_becomes_a_black_hole() -> None:
    mtud = search(1500)
    assert not mtud.large_timed_out(1.0)
    mtud.large_acknowledged()
    assert not mtud.large_timed_out(2.0)
    assert mtud.large_timed_out(3.0)
    assert mtud.mtu == BASE
    assert not mtud.large_timed_out(4.0)
    assert mtud.wants_probe(4.0)
    mtud.probe()
    assert mtud.probing < 1500


def test_a_refused_size() -> None:
    mtud = search(1500)
    mtud.refused(1.0)
    assert mtud.mtu == BASE
