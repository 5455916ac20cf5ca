"""Our address, agreed on by the nodes that see it."""

from __future__ import annotations

from peersockets_core.dht.rpc.nat import NatSampler


def sampled(*addresses: tuple[str, int]) -> tuple[str | None, int]:
    sampler = NatSampler()
    for address in addresses:
        sampler.add(address)
    assert sampler.count == len(addresses)
    return sampler.host, sampler.port


def test_nothing_is_known_at_first() -> None:
    assert sampled() == (None, 0)


def test_one_view_is_believed_until_others_come() -> None:
    assert sampled(("1.1.1.1", 5)) == ("1.1.1.1", 5)


def test_the_first_three_views_have_to_agree() -> None:
    assert sampled(("1.1.1.1", 5), ("1.1.1.1", 6)) == ("1.1.1.1", 0)
    assert sampled(("1.1.1.1", 5), ("2.2.2.2", 5)) == (None, 0)


def test_one_of_four_and_three_of_many_may_lie() -> None:
    good, liar = ("1.1.1.1", 5), ("6.6.6.6", 6)
    assert sampled(good, good, liar, good) == good
    assert sampled(good, liar, liar, good) == (None, 0)
    assert sampled(*[good] * 9, *[liar] * 3) == good
    assert sampled(*[good] * 9, *[liar] * 4) == (None, 0)


def test_a_port_that_differs_for_each_remote_is_unknown() -> None:
    assert sampled(*(("1.1.1.1", port) for port in range(1, 13))) == ("1.1.1.1", 0)


def test_only_the_last_sixteen_views_count() -> None:
    assert sampled(*[("1.1.1.1", 5)] * 50, *[("2.2.2.2", 7)] * 16) == ("2.2.2.2", 7)


def test_only_the_last_view_of_a_witness_counts() -> None:
    sampler = NatSampler()
    for port in range(1, 100):
        sampler.add(("6.6.6.6", port), "liar")
    assert (sampler.host, sampler.port) == ("6.6.6.6", 99)
    for witness in ("a", "b", "c"):
        sampler.add(("1.1.1.1", 5), witness)
    assert (sampler.host, sampler.port) == ("1.1.1.1", 5)
