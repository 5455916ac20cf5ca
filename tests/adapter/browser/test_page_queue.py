from __future__ import annotations

import json
import struct

import attrs

from peersockets_trio.browser.frames import read_binary_untrusted
from peersockets_trio.browser.page_queue import PageQueue


@attrs.define
class Waking:
    times: int = 0

    def __call__(self) -> None:
        self.times += 1


def queue(limit: int = 1_000_000) -> PageQueue:
    return PageQueue(limit, Waking(), Waking())


def drain(queue: PageQueue) -> list[object]:
    """All frames: text as a list, messages as tuples."""
    frames: list[object] = []
    queue.report()
    while (frame := queue.take()) is not None:
        if isinstance(frame, str):
            frames.append(json.loads(frame))
        else:
            frames += read_binary_untrusted(frame)
    return frames


def test_messages_in_a_row_are_one_frame() -> None:
    waiting = queue()
    for message in (b"a", b"b"):
        waiting.put_message(1, 2, message)
    waiting.put_text("peer", 3)
    waiting.put_message(1, 3, b"c")
    batch = b"".join(struct.pack(">III", 1, 2, 1) + message for message in (b"a", b"b"))
    assert waiting.take() == bytes(4) + batch
    assert waiting.take() == '["peer",3]'
    assert waiting.take() == struct.pack(">II", 1, 3) + b"c"
    assert waiting.take() is None


def test_a_frame_that_is_taken_takes_no_more_messages() -> None:
    waiting = queue()
    waiting.put_message(1, 2, b"a")
    assert waiting.take() is not None
    waiting.put_message(1, 2, b"b")
    assert drain(waiting) == [(1, 2, b"b")]


def test_a_long_row_is_several_frames() -> None:
    waiting = queue(10_000_000)
    for _ in range(100):
        waiting.put_message(1, 2, bytes(10_000))
    sizes = []
    while (frame := waiting.take()) is not None:
        sizes.append(len(frame))
    assert len(sizes) == 15
    assert max(sizes) < 80_000


def test_outcomes_overtake_waiting_messages() -> None:
    waiting = queue()
    waiting.put_text("peer", 1)
    waiting.put_outcome(1, 1, 10, None)
    assert drain(waiting) == [[1, "sent", 1, 10], ["peer", 1]]


def test_it_wakes_once_until_it_is_empty() -> None:
    wake = Waking()
    waiting = PageQueue(1000, wake, Waking())
    waiting.put_message(1, 1, b"a")
    waiting.put_text("peer", 1)
    waiting.put_outcome(1, 1, 1, None)
    assert wake.times == 1
    assert len(drain(waiting)) == 3
    waiting.put_outcome(1, 1, 1, "gone")
    assert wake.times == 2


def test_outcomes_gather_until_their_time_or_enough_of_them() -> None:
    wake, scheduled = Waking(), Waking()
    waiting = PageQueue(1000, wake, scheduled)
    for _ in range(3):
        waiting.put_outcome(1, 1, 10, None)
    assert (wake.times, scheduled.times, waiting.take()) == (0, 1, None)
    waiting.put_message(1, 1, b"a")
    assert waiting.take() == struct.pack(">II", 1, 1) + b"a"
    assert waiting.take() is None
    waiting.report()
    assert (wake.times, waiting.take(), waiting.take()) == (2, '[1,"sent",1,30]', None)
    waiting.put_outcome(1, 1, 65_536, None)
    assert (wake.times, scheduled.times, waiting.take()) == (3, 1, '[1,"sent",1,65566]')
    waiting.put_outcome(1, 1, 1, None)
    assert scheduled.times == 2
    waiting.forget(1)
    waiting.report()
    assert (wake.times, waiting.take()) == (3, None)


def test_beyond_the_bound_messages_are_dropped_and_counted_in_their_place() -> None:
    waiting = queue(limit=1000)
    kept = 0
    while not waiting.full:
        waiting.put_message(1, 1, bytes(36))
        kept += 1
    assert kept == 10
    for _ in range(5):
        waiting.put_message(1, 1, bytes(10))
        waiting.put_message(2, 1, bytes(20))
    waiting.put_text(3, "join", 1)
    assert waiting.take() is not None
    waiting.put_message(1, 1, b"after")
    gap = [[1, "missed", 5, 50], [2, "missed", 5, 100]]
    assert drain(waiting) == [[3, "join", 1], *gap, (1, 1, b"after")]


def test_a_slow_page_has_few_gaps() -> None:
    """A queue that was full takes messages again only when it is half empty."""
    waiting = queue(limit=1000)
    while not waiting.full:
        waiting.put_text(1, "join", 1)
    waiting.put_message(1, 1, b"missed")
    assert waiting.take() is not None
    waiting.put_message(1, 1, b"missed as well")
    assert drain(waiting)[-1] == [1, "missed", 2, 20]


def test_missed_messages_are_reported_even_if_nothing_follows() -> None:
    waiting = queue(limit=100)
    waiting.put_message(1, 1, bytes(100))
    waiting.put_message(1, 1, b"missed")
    assert drain(waiting) == [(1, 1, bytes(100)), [1, "missed", 1, 6]]
    waiting.put_message(1, 1, b"a")
    assert drain(waiting) == [(1, 1, b"a")]


def test_a_message_larger_than_the_bound_fits_an_empty_queue() -> None:
    waiting = queue(limit=100)
    waiting.put_message(1, 1, bytes(1000))
    assert drain(waiting) == [(1, 1, bytes(1000))]


def test_a_closed_handle_has_no_counts() -> None:
    waiting = queue(limit=100)
    waiting.put_message(1, 1, bytes(100))
    waiting.put_message(1, 1, b"missed")
    waiting.put_outcome(1, 1, 5, "gone")
    waiting.forget(1)
    assert drain(waiting) == [(1, 1, bytes(100))]
