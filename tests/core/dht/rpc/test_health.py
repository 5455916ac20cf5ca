"""Judging whether the network is there, by the nodes that answer."""

from __future__ import annotations

from peersockets_core.dht.rpc.health import NetworkHealth


def ticks(*counts: tuple[int, int]) -> list[bool]:
    """Return the verdict after ticks with these numbers of answers and timeouts."""
    health, answers, timeouts = NetworkHealth(), 0, 0
    found: list[bool] = []
    for answered, timed_out in counts:
        answers, timeouts = answers + answered, timeouts + timed_out
        found.append(health.has_come_back(answers, timeouts))
    return found


def test_the_network_is_gone_after_two_silent_ticks_until_an_answer_comes() -> None:
    assert ticks((5, 0), (0, 1), (0, 3), (1, 2), (1, 0)) == [False, False, False, True, False]


def test_one_silent_tick_may_be_chance() -> None:
    assert ticks((5, 0), (0, 1), (1, 0), (0, 1), (3, 0)) == [False] * 5


def test_without_requests_nothing_is_known() -> None:
    assert ticks((0, 1), (0, 0), (0, 0), (5, 0)) == [False] * 4
    assert ticks((0, 1), (0, 0), (0, 1), (0, 0), (5, 0)) == [False] * 4 + [True]
