from __future__ import annotations

import tracemalloc

import pytest

from peersockets_core.wires.pieces import Pieces


@pytest.mark.parametrize("sizes", [(1, 1, 1), (5000, 5000), (5000, 1, 2, 5000, 3), (0, 7, 9000)])
def test_bytes_come_out_as_they_went_in(sizes: tuple[int, ...]) -> None:
    pieces = Pieces()
    assert not pieces
    first, *more = (bytes([index]) * size for index, size in enumerate(sizes))
    pieces.begin(first, missing=sum(map(len, more)) + 4)
    for piece in more:
        pieces.add(piece)
    assert pieces
    assert pieces.missing == 4
    assert b"".join(pieces.take()) == b"".join((first, *more))
    assert not pieces


def test_the_given_bytes_are_not_changed() -> None:
    given = bytes(10)
    pieces = Pieces()
    pieces.begin(given, missing=3)
    pieces.add(b"a")
    pieces.add(b"b")
    assert given == bytes(10)
    assert b"".join(pieces.take()) == bytes(10) + b"ab"


def test_single_bytes_take_little_more_memory_than_their_size() -> None:
    pieces = Pieces()
    tracemalloc.start()
    try:
        pieces.begin(b"", missing=100_000)
        for index in range(90_000):
            pieces.add(bytes((index & 0x7F,)))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 150_000


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 10_000])
def test_kept_and_missing_bytes_are_counted(size: int) -> None:
    pieces = Pieces()
    assert (pieces.size, pieces.missing, pieces.begun) == (0, 0, 0)
    for begun in (1, 2, 3):
        pieces.begin(bytes(5), missing=50_000)
        assert (pieces.size, pieces.missing, pieces.begun) == (5, 50_000, begun)
        for count in (1, 2, 3):
            pieces.add(bytes(size))
            assert (pieces.size, pieces.missing) == (5 + count * size, 50_000 - count * size)
        assert pieces.begun == begun
        assert b"".join(pieces.take()) == bytes(5 + 3 * size)
        assert pieces.size == 0


def test_only_small_pieces_share_an_object() -> None:
    pieces = Pieces()
    pieces.begin(b"", missing=100_000)
    for size in (1, 2, 4095, 4096, 3, 4, 5000):
        pieces.add(bytes(size))
    assert list(map(len, pieces.take())) == [0, 4098, 4096, 7, 5000]
