"""Every byte arrives once and in order, or the stream ends with an error on both sides. Nothing is left."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from peersockets_core.udx import UdxLimits
from properties.udx.pair import Pair, User, content, open_pair
from simulation import Link

EXAMPLES = int(os.environ.get("PEERSOCKETS_EXAMPLES", "60"))
"""The number of lines to test. For a longer run with new ones: PEERSOCKETS_EXAMPLES=2000 pytest ..."""

several = settings(
    max_examples=EXAMPLES,
    derandomize="PEERSOCKETS_EXAMPLES" not in os.environ,
)

chances = st.floats(0, 0.4)
times = st.floats(0, 0.2)

lines = st.builds(
    Link,
    delay=times,
    jitter=times,
    loss=st.one_of(st.just(0.0), chances),
    burst=st.one_of(st.just(1.0), st.floats(1, 20)),
    reorder=st.one_of(st.just(0.0), chances),
    reorder_delay=times,
    duplicate=st.one_of(st.just(0.0), chances),
    bandwidth=st.sampled_from([float("inf"), 1e6, 20e6]),
    queue=st.sampled_from([float("inf"), 30_000, 200_000]),
    mtu=st.sampled_from([float("inf"), 1500, 1200, 1350]),
)


KEEPALIVE = UdxLimits(keepalive=10.0)
"""A side with nothing to send has to ask, or it never notices that the other side has given up."""


def check(pair: Pair, from_alice: bytes, from_bob: bytes) -> None:
    """Check the state after both sides have closed."""
    for user, sent in ((pair.alice, from_bob), (pair.bob, from_alice)):
        assert sent.startswith(user.received), "a byte is wrong, repeated or out of order"
        if user.error is None:
            assert bytes(user.received) == sent, "the stream closed cleanly without all of the data"
            assert user.ended
    for user in (pair.alice, pair.bob):
        nothing_outstanding(user)


def nothing_outstanding(user: User) -> None:
    assert user.closed
    assert list(user.endpoint.datagrams_to_send(user.host.now)) == []
    assert user.endpoint.next_deadline() == float("inf")


@several
@given(
    seed=st.integers(0, 1 << 30),
    up=lines,
    down=lines,
    sizes=st.tuples(st.integers(0, 120_000), st.integers(0, 120_000)),
    read_delay=st.sampled_from([0.0, 0.002]),
)
def test_any_line(seed: int, up: Link, down: Link, sizes: tuple[int, int], read_delay: float) -> None:
    pair = open_pair(seed=seed, up=up, down=down, read_delay=read_delay, limits=KEEPALIVE)
    from_alice, from_bob = map(content, sizes)
    pair.alice.send(from_alice)
    pair.bob.send(from_bob)
    pair.run_until_closed()
    check(pair, from_alice, from_bob)
    if max(up.loss, down.loss) <= 0.05 and max(up.burst, down.burst) <= 4:
        assert pair.alice.error is pair.bob.error is None, "a line as good as this must not break a stream"


def test_a_side_with_nothing_to_send_asks_whether_the_other_is_alive() -> None:
    """The other side times out, and its last packet is lost, too."""
    pair = open_pair(limits=KEEPALIVE)
    pair.both(delay=0.01, bandwidth=1e6)
    pair.alice.send(b"")
    pair.bob.on_end = lambda bob: None
    pair.network.run_until(lambda: pair.bob.ended, within=5)
    pair.bob.send(content(100_000))
    pair.network.run_for(0.1)
    pair.down.loss = 1.0
    pair.run_until_closed()
    assert pair.alice.error is not None
    assert pair.bob.error is not None


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4])
def test_loss(loss: float) -> None:
    pair = open_pair(seed=7, up=Link(delay=0.01, loss=loss), down=Link(delay=0.01, loss=loss))
    data = content(500_000)
    pair.alice.send(data)
    pair.run_until_closed()
    check(pair, data, b"")
    assert loss > 0.3 or pair.bob.error is None


@pytest.mark.parametrize("burst", [2.0, 10.0, 50.0])
def test_bursts(burst: float) -> None:
    pair = open_pair(seed=1, up=Link(delay=0.01, loss=0.05, burst=burst), down=Link(delay=0.01))
    data = content(2_000_000)
    pair.alice.send(data)
    pair.run_until_closed()
    check(pair, data, b"")
    assert pair.bob.error is None


def test_reordering_is_not_mistaken_for_loss_for_ever() -> None:
    pair = open_pair(seed=1, up=Link(delay=0.02, reorder=0.05, reorder_delay=0.003), down=Link(delay=0.02))
    data = content(2_000_000)
    pair.alice.send(data)
    pair.run_until_closed()
    check(pair, data, b"")
    # The window of RACK is a quarter of a round trip: a packet that comes later is sent again.
    assert pair.up.counts["offered"] < 1.1 * len(data) / 1100


def test_duplicates_are_harmless() -> None:
    pair = open_pair(seed=1, up=Link(delay=0.01, duplicate=1.0), down=Link(delay=0.01, duplicate=1.0))
    data = content(300_000)
    pair.alice.send(data)
    pair.bob.send(data)
    pair.run_until_closed()
    check(pair, data, data)
    assert pair.alice.error is pair.bob.error is None


@several
@given(seed=st.integers(0, 1 << 30), chance=st.floats(0.001, 0.2))
def test_corruption_never_breaks_the_machine(seed: int, chance: float) -> None:
    """UDP's checksum protects the bytes. Without it, wrong bytes may arrive, but nothing worse happens."""
    pair = open_pair(seed=seed, limits=KEEPALIVE)
    pair.both(delay=0.01, corrupt=chance)
    pair.alice.send(content(60_000))
    pair.bob.send(content(60_000))
    pair.run_until_closed()
    for user in (pair.alice, pair.bob):
        nothing_outstanding(user)


@pytest.mark.parametrize("sizes", [(0, 0), (1, 0), (0, 1), (1, 1), (1152, 1153), (1 << 20, 3)])
def test_sizes(sizes: tuple[int, int]) -> None:
    pair = open_pair(up=Link(delay=0.01), down=Link(delay=0.01))
    from_alice, from_bob = map(content, sizes)
    pair.alice.send(from_alice)
    pair.bob.send(from_bob)
    pair.run_until_closed()
    check(pair, from_alice, from_bob)
    assert pair.alice.error is pair.bob.error is None


@pytest.mark.parametrize("first", [(1 << 32) - 1, (1 << 32) - 100, (1 << 31) - 100])
def test_sequence_numbers_wrap(first: int) -> None:
    pair = open_pair(seed=1, first=first)
    pair.both(delay=0.01, loss=0.05, reorder=0.05)
    pair.alice.send(content(300_000))
    pair.bob.send(content(300_000))
    pair.run_until_closed()
    check(pair, content(300_000), content(300_000))
    assert pair.alice.error is pair.bob.error is None


def test_a_half_stays_open_after_the_other_has_ended() -> None:
    pair = open_pair(up=Link(delay=0.01), down=Link(delay=0.01))
    pair.bob.on_end = lambda bob: None
    pair.alice.send(b"question")
    pair.network.run_until(lambda: pair.bob.ended, within=5)
    pair.network.run_for(60)
    assert not pair.alice.closed
    pair.bob.send(content(100_000))
    pair.run_until_closed()
    check(pair, b"question", content(100_000))
    assert pair.alice.error is pair.bob.error is None


@several
@given(seed=st.integers(0, 1 << 30), after=st.floats(0, 2), loss=st.floats(0, 0.2), who=st.booleans())
@example(seed=0, after=0.0, loss=0.0, who=True)
def test_destroying(seed: int, after: float, loss: float, who: bool) -> None:
    """The side that destroys closes at once. The other side gets the news, or times out."""
    pair = open_pair(seed=seed)
    pair.both(delay=0.02, loss=loss, bandwidth=5e6)
    data = content(1_000_000)
    pair.alice.send(data, end=False)
    pair.bob.send(data, end=False)
    pair.network.run_for(after)
    one, other = (pair.alice, pair.bob) if who else (pair.bob, pair.alice)
    one.stream.destroy()
    pair.network.run_until(lambda: other.closed, within=120)
    pair.network.run_until_idle(within=120)
    assert other.error is not None
    assert data.startswith(other.received)


def test_a_line_that_goes_dead_ends_both_sides_with_an_error() -> None:
    pair = open_pair(up=Link(delay=0.01, bandwidth=1e6), down=Link(delay=0.01))
    pair.alice.send(content(1_000_000), end=False)
    pair.bob.send(content(1_000_000), end=False)
    pair.network.run_for(1)
    pair.both(loss=1.0)
    began = pair.network.now
    pair.run_until_closed()
    assert pair.alice.error is not None
    assert pair.bob.error is not None
    assert 5 < pair.network.now - began < 60


def test_a_line_that_was_dead_for_a_while_recovers() -> None:
    pair = open_pair(up=Link(delay=0.01, bandwidth=1e6), down=Link(delay=0.01))
    data = content(500_000)
    pair.alice.send(data)
    pair.network.run_for(1)
    pair.both(loss=1.0)
    pair.network.run_for(5)
    pair.both(loss=0.0)
    pair.run_until_closed()
    check(pair, data, b"")
    assert pair.alice.error is pair.bob.error is None


def test_a_host_that_moves_is_followed_when_its_user_reports_it() -> None:
    pair = open_pair()
    pair.both(delay=0.01, bandwidth=5e6, queue=100_000)
    data = content(1_500_000)
    pair.alice.send(data)
    pair.bob.send(data)
    for number in range(3):
        pair.network.run_for(0.4)
        pair.alice.host.move(("10.0.0.7", 2000 + number))
        pair.bob.stream.change_remote(11, pair.alice.host.address, pair.network.now)
    pair.run_until_closed()
    check(pair, data, data)
    assert pair.alice.error is pair.bob.error is None


def test_a_host_that_moves_unnoticed_times_out_on_both_sides() -> None:
    pair = open_pair(up=Link(delay=0.01, bandwidth=5e6), down=Link(delay=0.01, bandwidth=5e6))
    data = content(1_500_000)
    pair.alice.send(data)
    pair.bob.send(data)
    pair.network.run_for(0.5)
    pair.alice.host.move(("10.0.0.7", 2000))
    pair.run_until_closed()
    assert pair.alice.error is not None
    assert pair.bob.error is not None
    check(pair, data, data)


def test_a_reader_that_stops_holds_up_the_writer_and_releases_it_again() -> None:
    limits = UdxLimits(window=64 * 1024)
    pair = open_pair(up=Link(delay=0.01), down=Link(delay=0.01), limits=limits)
    data = content(1_000_000)
    pair.bob.reads = False
    pair.alice.send(data)
    pair.network.run_for(120)
    assert len(pair.bob.received) <= limits.window + limits.window_excess
    assert not pair.alice.closed
    pair.bob.reads = True
    pair.bob.read()
    pair.run_until_closed()
    check(pair, data, b"")
    assert pair.alice.error is pair.bob.error is None


def test_messages_keep_their_borders() -> None:
    pair = open_pair(up=Link(delay=0.01), down=Link(delay=0.01))
    sent = [content(size) for size in (0, 1, 1000, 1152)]
    for message in sent:
        pair.alice.stream.send_message(message)
    pair.network.run_for(1)
    assert pair.bob.messages == sent


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> tuple[float, dict[str, int]]:
        pair = open_pair(seed=seed)
        pair.both(delay=0.01, loss=0.1, jitter=0.01, reorder=0.1)
        pair.alice.send(content(100_000))
        pair.run_until_closed()
        return pair.network.now, pair.up.counts

    assert run(1) == run(1) != run(2)


@pytest.mark.parametrize("mtu", [1200, 1210, 1300, 1499])
def test_a_path_that_shrinks_during_a_transfer(mtu: int) -> None:
    pair = open_pair(up=Link(delay=0.01, bandwidth=20e6, mtu=1500), down=Link(delay=0.01))
    largest = 0

    def look(_: float, datagram: object) -> None:
        nonlocal largest
        largest = max(largest, datagram.size)  # type: ignore[attr-defined]

    data = content(3_000_000)
    pair.alice.send(data)
    pair.network.taps.append(look)
    pair.network.run_for(0.8)
    assert largest > 1400, "it found that the path takes more than 1200"
    pair.up.mtu = mtu
    pair.run_until_closed()
    check(pair, data, b"")

    assert pair.alice.error is pair.bob.error is None
