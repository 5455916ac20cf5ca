from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from simulation import Datagram, Link

SOURCE, DESTINATION = ("10.0.0.1", 1), ("10.0.0.2", 2)


def datagram(number: int = 0, size: int = 100) -> Datagram:
    """Return a datagram with `size` bytes on the line."""
    return Datagram(SOURCE, DESTINATION, number.to_bytes(4, "big").ljust(size - 28, b"\0"))


def passed(
    link: Link, count: int = 20_000, *, interval: float = 0.001, seed: int = 1
) -> list[tuple[float, int]]:
    """Send datagrams at even intervals. Return the times and numbers of those that arrive, in order of
    arrival.
    """
    random = Random(seed)
    arrivals = []
    for number in range(count):
        for time, arrived in link.transmit(datagram(number), number * interval, random):
            arrivals.append((time, int.from_bytes(arrived.payload[:4], "big")))
    return sorted(arrivals, key=lambda arrival: arrival[0])


def numbers(link: Link, count: int = 20_000) -> list[int]:
    return [number for _, number in passed(link, count)]


def test_a_perfect_line_changes_nothing() -> None:
    assert passed(Link(), 3) == [(0, 0), (0.001, 1), (0.002, 2)]


def test_delay() -> None:
    assert passed(Link(delay=0.5), 2) == [(0.5, 0), (0.501, 1)]


def test_jitter_delays_without_reordering() -> None:
    arrivals = passed(Link(delay=0.1, jitter=0.05))
    delays = [time - number * 0.001 for time, number in arrivals]
    assert [number for _, number in arrivals] == list(range(20_000))
    assert min(delays) >= 0.1
    assert 0.14 < max(delays) <= 0.15 + 1e-9


@pytest.mark.parametrize("burst", [1.0, 4.0])
@pytest.mark.parametrize("loss", [0.01, 0.2, 0.5])
def test_losses_are_as_frequent_as_configured(loss: float, burst: float) -> None:
    assert 1 - len(numbers(Link(loss=loss, burst=burst))) / 20_000 == pytest.approx(loss, rel=0.2)


@pytest.mark.parametrize("burst", [1.0, 5.0])
def test_chances_of_0_and_1_are_exact(burst: float) -> None:
    assert numbers(Link(loss=1.0, burst=burst)) == []
    assert len(numbers(Link(loss=0.0, burst=burst))) == 20_000


def test_bursts_are_as_long_as_configured() -> None:
    arrived = numbers(Link(loss=0.1, burst=8.0), 100_000)
    gaps = [after - before - 1 for before, after in pairwise(arrived)]
    bursts = [gap for gap in gaps if gap]
    assert sum(bursts) / len(bursts) == pytest.approx(8, rel=0.2)


def test_reordering_holds_some_back() -> None:
    link = Link(reorder=0.1, reorder_delay=0.0055)
    arrived = numbers(link)
    assert sorted(arrived) == list(range(20_000))
    assert link.counts["reordered"] == pytest.approx(2000, rel=0.2)
    held_back = [number for place, number in enumerate(arrived) if number + 3 < place]
    assert 0 < len(held_back) <= link.counts["reordered"]


def test_duplicates() -> None:
    link = Link(duplicate=0.3)
    arrived = numbers(link)
    assert set(arrived) == set(range(20_000))
    assert len(arrived) - 20_000 == link.counts["duplicated"] == pytest.approx(6000, rel=0.2)


def test_corruption_flips_one_bit() -> None:
    random, link, clean = Random(1), Link(corrupt=0.5), datagram()
    arrived = [got for _ in range(1000) for _, got in link.transmit(clean, 0, random)]
    flipped = [int.from_bytes(got.payload, "big") ^ int.from_bytes(clean.payload, "big") for got in arrived]
    assert {bits.bit_count() for bits in flipped} == {0, 1}
    assert sum(map(bool, flipped)) == link.counts["corrupted"] == pytest.approx(500, rel=0.2)


def test_an_empty_datagram_has_no_bit_to_flip() -> None:
    empty = Datagram(SOURCE, DESTINATION, b"")
    assert [got for _, got in Link(corrupt=1.0).transmit(empty, 0, Random(1))] == [empty]


def test_a_narrow_line_takes_its_time() -> None:
    # 100 bytes at 80,000 bits a second take 10 ms.
    arrivals = passed(Link(bandwidth=80_000, delay=1.0), 3)
    assert [time for time, _ in arrivals] == pytest.approx([1.01, 1.02, 1.03])


def test_a_full_queue_drops_the_latest() -> None:
    link = Link(bandwidth=80_000, queue=300)
    assert [number for _, number in passed(link, 10, interval=0)] == [0, 1, 2]
    assert link.counts == {"offered": 10, "delivered": 3, "queue full": 7}
    assert link.waiting(0) == pytest.approx(300)
    assert link.waiting(0.02) == pytest.approx(100)
    assert link.longest_wait == pytest.approx(0.02)


def test_datagrams_that_are_too_large_vanish() -> None:
    link, random = Link(mtu=1280), Random(1)
    assert list(link.transmit(datagram(size=1281), 0, random)) == []
    assert len(list(link.transmit(datagram(size=1280), 0, random))) == 1
    link.mtu = 1200  # the path changes
    assert list(link.transmit(datagram(size=1280), 0, random)) == []
    assert link.counts["too large"] == 2


def test_datagrams_that_may_be_fragmented_arrive_whole_or_not_at_all() -> None:
    random, large = Random(1), Datagram(SOURCE, DESTINATION, bytes(1472), may_fragment=True)
    link = Link(mtu=1280, loss=0.1)
    arrived = [got for _ in range(10_000) for _, got in link.transmit(large, 0, random)]
    assert len(arrived) == pytest.approx(8100, rel=0.05)  # neither of the two fragments may be lost
    assert set(arrived) == {large}


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> list[tuple[float, int]]:
        return passed(Link(loss=0.2, jitter=0.1, reorder=0.1, duplicate=0.1), 1000, seed=seed)

    assert run(1) == run(1) != run(2)
