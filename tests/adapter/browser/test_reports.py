from __future__ import annotations

import json

from peersockets_trio.browser.reports import Reports


def taken(reports: Reports) -> list[list[object]]:
    frames = []
    reports.mark_due()
    while reports.due:
        frames.append(json.loads(reports.take()))
    return frames


def test_totals_by_handle_and_peer() -> None:
    reports = Reports()
    assert not reports.due
    for handle, peer, size in [(1, 1, 10), (2, 1, 1), (1, 2, 20), (1, 1, 5), (1, 1, 0)]:
        reports.add(handle, peer, size, None)
    assert taken(reports) == [[1, "sent", 1, 15], [1, "sent", 2, 20], [2, "sent", 1, 1]]
    reports.add(1, 2, 7, None)
    assert taken(reports) == [[1, "sent", 2, 27]]


def test_losses_come_first_and_count_as_sent() -> None:
    reports = Reports()
    reports.add(1, 1, 10, None)
    reports.add(1, 1, 20, "gone")
    reports.add(1, 1, 30, "gone")
    reports.add(1, 1, 40, "full")
    assert taken(reports) == [
        [1, "lost", 1, "gone", 2, 50],
        [1, "lost", 1, "full", 1, 40],
        [1, "sent", 1, 100],
    ]
    reports.add(1, 1, 1, "gone")
    assert taken(reports) == [[1, "lost", 1, "gone", 1, 1], [1, "sent", 1, 101]]


def test_a_forgotten_handle_is_not_reported() -> None:
    reports = Reports()
    reports.add(1, 1, 10, "gone")
    reports.add(2, 1, 10, None)
    reports.forget(1)
    reports.forget(3)
    assert taken(reports) == [[2, "sent", 1, 10]]
