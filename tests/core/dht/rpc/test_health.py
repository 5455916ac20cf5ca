"""Whether the network is there, judged by who answers."""

from __future__ import annotations

from peersockets_core.dht.rpc.health import NetworkHealth


def ticks(*counts: tuple[int, int]) -> list[bool]:
    """The verdict after ticks with so many answers and timeouts each."""
    health, answers, timeouts = NetworkHealth(), 0, 0
    found: list[bool] = []
    for answered, timed_out in counts:
        answers, timeouts = answers + answered, timeouts + timed_out
        found.append(health.has_come_back(answers, timeouts))
    return found


def test_two_silent_ticks_and_then_an_answer() -> None:
    assert ticks((5, 0), (0, 1), (0, 3), (1, 2), (1, 0)) == [False, False, False, True, False]


def test_one_silent_tick_is_chance() -> None:
    assert ticks((5, 0), (0, 1), (1, 0), (0, 1), (3, 0)) == [False] * 5


def test_where_nobody_was_asked_nothing_is_known() -> None:
    assert ticks((0, 1), (0, 0), (0, 0), (5, 0)) == [False] * 4
    assert ticks((0, 1), (0, 0), (0, 1), (0, 0), (5, 0)) == [False] * 4 + [True]
