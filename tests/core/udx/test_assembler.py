from __future__ import annotations

from peersockets_core.udx.assembler import Assembler


def test_packets_in_any_order() -> None:
    assembler = Assembler(5)
    assembler.keep(7, b"c")
    assembler.keep(7, b"another")
    assembler.keep(8, memoryview(b"d"))
    assembler.keep(10, b"f")
    assert assembler.ranges.lowest(9) == [(7, 9), (10, 11)]
    assert assembler.size == 3 + 3 * 128
    assert assembler.advance(6) == []
    assert assembler.advance(7) == [b"c", b"d"]
    assert (assembler.next, assembler.size) == (9, 1 + 128)
    assert assembler.advance(10) == [b"f"]
    assert (assembler.next, assembler.size, len(assembler.ranges)) == (11, 0, 0)


def test_its_end() -> None:
    assembler = Assembler(5)
    assert not assembler.ended
    assembler.end = 6
    assert not assembler.ended
    assembler.advance(6)
    assert assembler.ended
