from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peersockets_core.udx.queue import WriteQueue


@given(
    st.lists(st.sampled_from([1, 10, 99, 100, 101, 1000, 8191, 8192, 8250, 30_000]), min_size=1, max_size=12),
    st.sampled_from([1, 2, 7, 60]),
)
def test_it_returns_full_packets_and_every_byte(chunks: list[int], packets: int) -> None:
    queue = WriteQueue()
    written = b""
    for index, size in enumerate(chunks):
        chunk = bytes([index + 1]) * size
        queue.append(chunk)
        written += chunk
    taken = b""
    while queue.size:
        piece = bytes(queue.take(packets * 100, 100))
        assert 0 < len(piece) <= packets * 100
        assert len(piece) % 100 == 0 or not queue.size
        taken += piece
        assert queue.size == len(written) - len(taken)
    assert taken == written


def test_a_large_chunk_is_not_copied() -> None:
    queue, chunk = WriteQueue(), bytes(100_000)
    queue.append(chunk)
    view = queue.take(50_000, 100)
    assert isinstance(view, memoryview)
    assert view.obj is chunk
    queue = WriteQueue()
    queue.append(chunk)
    assert queue.take(200_000, 100) is chunk


def test_small_chunks_fill_a_run_together() -> None:
    queue = WriteQueue()
    for _ in range(9):
        queue.append(bytes(16_384))
    sizes = []
    while queue.size:
        sizes.append(len(queue.take(63_000, 100)))
    assert sizes == [63_000, 63_000, 9 * 16_384 - 2 * 63_000]


def test_the_end_of_a_large_chunk_shares_a_run_with_the_next_chunk() -> None:
    queue = WriteQueue()
    queue.append(bytes(70_000))
    queue.append(bytes(200_000))
    assert [len(queue.take(60_000, 100)) for _ in range(3)] == [60_000, 60_000, 60_000]
