"""The window of requests: 80 in a slot of 0.75 s, 160 in four."""

from __future__ import annotations

from peersockets_core.dht.rpc.congestion import SLOT, RequestWindow


def send(window: RequestWindow, count: int, now: float) -> int:
    """Send up to `count` requests. Return how many the window had room for."""
    for number in range(count):
        if not window.has_room(now):
            return number
        window.sent(now)
    return count


def test_a_slot_is_full_after_its_size() -> None:
    window = RequestWindow(80, 10.0)
    assert send(window, 200, 10.0) == 80
    assert window.next_room() == 10.0 + SLOT
    assert send(window, 200, 10.0 + SLOT) == 80
    assert send(window, 200, 10.0 + 2 * SLOT) == 0


def test_a_slot_is_free_again_after_four_slots() -> None:
    window = RequestWindow(80, 10.0)
    send(window, 80, 10.0)
    send(window, 80, 10.0 + SLOT)
    assert send(window, 200, 10.0 + 4 * SLOT) == 80


def test_after_a_pause_all_slots_are_free() -> None:
    window = RequestWindow(2, 10.0)
    send(window, 2, 10.0)
    assert send(window, 9, 10.0 + 99 * SLOT) == 2
    assert window.next_room() == 10.0 + 100 * SLOT


def test_an_answer_makes_room_in_the_current_slot_only() -> None:
    window = RequestWindow(2, 10.0)
    assert send(window, 9, 10.0) == 2
    window.answered()
    assert send(window, 9, 10.0) == 1
    window.answered()
    window.answered()
    window.answered()
    assert send(window, 9, 10.0) == 2
