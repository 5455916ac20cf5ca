"""`FrameParser`: slices of work, the bytes that are kept, and input that is cut anywhere."""

from __future__ import annotations

import itertools

import pytest

from core.support import at
from core.wires.hypercore9.test_frames import joined, parse
from peersockets_core import RemoteProtocolError
from peersockets_core.wires.hypercore9 import frames, varint
from peersockets_core.wires.hypercore9.frames import ExtensionRun, Frame, FrameParser, Item
from peersockets_core.work import RECORD, RUN, Work

LIMIT = 1 << 20
IGNORED = frozenset({0x29, 0x12})


def message(extension_id: int, payload: bytes = b"") -> bytes:
    return frames.extension_head(extension_id, len(payload)) + payload


def sort(item: Item) -> int:
    """Return the work of one item."""
    return RUN + len(item.payloads) if isinstance(item, ExtensionRun) else 1 + RECORD


COSTS: dict[str, tuple[bytes, int, list[Item]]] = {
    "one message": (message(3, b"x"), RUN + 1, [ExtensionRun(3, [b"x"])]),
    "a run": (message(3, b"x") * 5, RUN + 5, [ExtensionRun(3, [b"x"] * 5)]),
    "an empty payload": (message(0) * 2, RUN + 2, [ExtensionRun(0, [b"", b""])]),
    "ids in turn": (
        (message(1, b"x") + message(2, b"y")) * 2,
        4 * RUN + 4,
        [ExtensionRun(1, [b"x"]), ExtensionRun(2, [b"y"])] * 2,
    ),
    "ids of two bytes": (
        message(128, b"x") + message(0x3FFF, b"y") * 2,
        2 * RUN + 3,
        [ExtensionRun(128, [b"x"]), ExtensionRun(0x3FFF, [b"y", b"y"])],
    ),
    "ids of two bytes without a payload": (
        message(128) + message(300) * 2,
        2 * RUN + 3,
        [ExtensionRun(128, [b""]), ExtensionRun(300, [b"", b""])],
    ),
    "an id of three bytes": (message(0x4000, b"x"), 1 + RECORD, [ExtensionRun(0x4000, [b"x"])]),
    "lengths of two bytes": (
        message(1, bytes(126)) + message(1, bytes(16_000)),
        RUN + 2,
        [ExtensionRun(1, [bytes(126), bytes(16_000)])],
    ),
    "a length of three bytes": (message(1, bytes(16_384)), RUN + 1, [ExtensionRun(1, [bytes(16_384)])]),
    "keepalives": (b"\0" * 7, 7, []),
    "keepalives within a run": (
        message(1, b"x") + b"\0\0" + message(1, b"y"),
        RUN + 2 + 2,
        [ExtensionRun(1, [b"x", b"y"])],
    ),
    "ignored frames": (frames.encode(2, 9, b"abc") * 3 + frames.encode(1, 2, b""), 4, []),
    "ignored frames within a run": (
        message(1, b"x") + frames.encode(2, 9, bytes(200)) + message(1, b"y"),
        RUN + 2 + 1,
        [ExtensionRun(1, [b"x", b"y"])],
    ),
    "a frame": (frames.encode(5, 10, b"abc"), 1 + RECORD, [Frame(5, 10, b"abc")]),
    "an extension message of a channel": (
        frames.encode(1, 15, b"\0x"),
        1 + RECORD,
        [Frame(1, 15, b"\0x")],
    ),
    "a long header": (
        bytes.fromhex("058f8000" + "01" + "61"),
        1 + RECORD,
        [ExtensionRun(1, [b"a"])],
    ),
}


@pytest.mark.parametrize(("data", "cost", "items"), COSTS.values(), ids=COSTS)
def test_each_item_is_counted(data: bytes, cost: int, items: list[Item]) -> None:
    work = Work(100_000)
    parser, heard = FrameParser(LIMIT, ignored=IGNORED, work=work), list[Item]()
    parser.parse_untrusted(data, heard)
    assert heard == items
    assert work.left == 100_000 - cost
    assert (parser.has_input, parser.empty, parser.kept) == (False, True, 0)


@pytest.mark.parametrize("left", [1, 2, RUN - 1, RUN, RUN + 1, RUN + 2, 20, 50, 107, 108, 200])
@pytest.mark.parametrize("ids", [(0,), (0, 1), (0, 0, 1)])
def test_a_run_holds_no_more_messages_than_the_work_allows(left: int, ids: tuple[int, ...]) -> None:
    """A slice may end in debt, but only by the cost of one run."""
    data = b"".join(message(number) for number, _ in zip(itertools.cycle(ids), range(100), strict=False))
    work = Work(left)
    parser, heard = FrameParser(LIMIT, work=work), list[Item]()
    parser.feed(data)
    parser.take_untrusted(heard)
    count = sum(len(item.payloads) for item in heard if isinstance(item, ExtensionRun))
    assert 1 <= count <= max(1, left)
    assert work.left == left - sum(map(sort, heard))
    assert -RUN <= work.left <= 0 or count == 100
    assert parser.has_input == (count < 100)
    if count < 100:
        assert parser.kept == len(data)
        assert not parser.empty


@pytest.mark.parametrize("budget", [1, 3, 10, 40, 1000])
@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
def test_slices_and_pieces_give_the_same_items(piece: int, budget: int) -> None:
    data = b"".join(data for data, _, _ in COSTS.values() if len(data) < 1000) * 2
    whole, heard = list[Item](), list[Item]()
    FrameParser(LIMIT, ignored=IGNORED).parse_untrusted(data, whole)
    work = Work()
    parser = FrameParser(LIMIT, ignored=IGNORED, work=work)
    for start in range(0, len(data), piece):
        parser.feed(data[start : start + piece])
        while parser.has_input:
            work.left = budget
            parser.take_untrusted(heard)
    assert parser.empty
    assert joined(heard) == joined(whole)


CUT: dict[str, tuple[bytes, int, int]] = {
    "a message": (message(5, b"hello"), 1, 3),
    "a message without a payload, and another": (message(5), 1, 4),
    "an id of two bytes": (message(300, b"hello"), 1, 4),
    "a length of two bytes": (message(5, bytes(200)), 2, 4),
    "both": (message(300, bytes(200)), 2, 5),
    "a length of three bytes": (message(5, bytes(20_000)), 3, 5),
    "an id of three bytes": (message(20_000, b"hello"), 1, 1000),
    "a frame": (frames.encode(5, 10, b"hello"), 1, 1000),
    "an extension message of a channel": (frames.encode(5, 15, b"hello"), 1, 1000),
}


@pytest.mark.parametrize(("data", "length", "head"), CUT.values(), ids=CUT)
def test_an_unfinished_frame_misses_the_rest_of_its_bytes(data: bytes, length: int, head: int) -> None:
    """Of an extension message, only the payload is kept. Before its type and id are known, one byte more may
    show how to go on.
    """
    for cut in [*range(1, min(12, len(data))), len(data) - 1]:
        parser, heard = FrameParser(LIMIT), list[Item]()
        parser.parse_untrusted(data[:cut], heard)
        assert heard == []
        assert not parser.has_input
        assert not parser.empty
        kept = cut - head if cut >= head else cut
        assert (parser.unfinished.size, parser.kept) == (kept, kept)
        undecided = cut <= length or (data[length] == 15 and cut < min(head, length + 3))
        assert parser.unfinished.missing == (1 if undecided else len(data) - cut)
        parser.parse_untrusted(data[cut:] + message(7, b"next"), heard)
        assert len(heard) == 2
        assert heard[-1] == ExtensionRun(7, [b"next"])
        assert parser.empty


@pytest.mark.parametrize("left", [1, 5])
def test_a_completed_message_waits_for_work_like_any_input(left: int) -> None:
    data = message(5, b"hello")
    work = Work()
    parser, heard = FrameParser(LIMIT, work=work), list[Item]()
    parser.parse_untrusted(data[:4], heard)
    work.left = 0
    parser.parse_untrusted(data[4:], heard)
    assert heard == []
    assert (parser.has_input, parser.empty) == (True, False)
    work.left = left
    parser.parse_untrusted(message(6, b"x"), heard)
    assert heard == [ExtensionRun(5, [b"hello"]), ExtensionRun(6, [b"x"])]
    assert (parser.has_input, parser.empty) == (False, True)


def test_an_ignored_frame_is_skipped_across_reads() -> None:
    data = frames.encode(2, 9, bytes(300))
    for first, second in itertools.combinations((2, 3, 4, 50, 200, len(data) - 1), 2):
        parser, heard = FrameParser(LIMIT, ignored=IGNORED), list[Item]()
        parser.parse_untrusted(data[:first], heard)
        assert (parser.empty, parser.has_input, parser.kept) == (False, False, 2 if first == 2 else 0)
        parser.parse_untrusted(data[first:second], heard)
        assert (parser.empty, parser.has_input, parser.kept) == (False, False, 0)
        parser.parse_untrusted(data[second:] + message(1, b"x"), heard)
        assert heard == [ExtensionRun(1, [b"x"])]
        assert parser.empty


@pytest.mark.parametrize("over", [0, 1])
def test_an_ignored_frame_is_bounded_like_any_other(over: int) -> None:
    parser, heard = FrameParser(100, ignored=IGNORED), list[Item]()
    data = frames.encode(2, 9, bytes(100 + over)) + message(1, b"x")
    if over:
        with pytest.raises(RemoteProtocolError, match="over the limit of 100"):
            parser.parse_untrusted(data, heard)
    else:
        parser.parse_untrusted(data, heard)
    assert heard == [ExtensionRun(1, [b"x"])] * (1 - over)


def test_only_an_unfinished_extension_message_can_be_skipped() -> None:
    for cut in range(4, 12):
        parser, heard = FrameParser(LIMIT), list[Item]()
        data = message(5, bytes(10))
        parser.parse_untrusted(data[:cut], heard)
        assert parser.skip_unfinished() is True
        assert parser.kept == 0
        assert not parser.empty
        parser.parse_untrusted(data[cut:] + message(6, b"x"), heard)
        assert heard == [ExtensionRun(6, [b"x"])]
    parser, heard = FrameParser(LIMIT), list[Item]()
    data = frames.encode(5, 10, bytes(10))
    parser.parse_untrusted(data[:5], heard)
    assert parser.skip_unfinished() is False
    parser.parse_untrusted(data[5:], heard)
    assert heard == [Frame(5, 10, bytes(10))]


def test_cleared_input_leaves_nothing() -> None:
    waiting, unfinished, skipped = (
        message(1, b"x") * 5,
        message(1, b"hello")[:-1],
        frames.encode(2, 9, b"abc"),
    )
    for data, left in ((waiting, 1), (unfinished, 1000), (skipped[:3], 1000), (waiting + unfinished, 0)):
        work = Work(left)
        parser, heard = FrameParser(LIMIT, ignored=IGNORED, work=work), list[Item]()
        parser.parse_untrusted(data, heard)
        assert not parser.empty
        parser.clear()
        assert (parser.empty, parser.has_input, parser.kept) == (True, False, 0)
        work.left = 1000
        heard.clear()
        parser.parse_untrusted(message(2, b"y"), heard)
        assert heard == [ExtensionRun(2, [b"y"])]
    work = Work()
    parser = FrameParser(LIMIT, work=work)
    parser.parse_untrusted(unfinished, [])
    work.left = 0
    parser.parse_untrusted(b"o", heard)
    parser.clear()
    assert (parser.empty, parser.has_input, parser.kept) == (True, False, 0)


@pytest.mark.parametrize("limit", [20, 126, 127, 128, 200, 20_000])
@pytest.mark.parametrize("header", [1, 2, 8])
def test_the_longest_frame_and_one_byte_more(limit: int, header: int) -> None:
    """The bound is that of the body: a longer header does not count."""
    encoded = bytes((0x8A, *[0x80] * (header - 2), 0)) if header > 1 else b"\x5a"
    for more in (0, 1):
        data = varint.encode(header + limit + more) + encoded + bytes(limit + more)
        for cut in (len(data), 8 + header, 2):
            if more:
                with pytest.raises(
                    RemoteProtocolError, match=rf"^frame of \d+ bytes is over the limit of {limit}$"
                ):
                    parse(data, at(cut), limit)
            else:
                assert parse(data, at(cut), limit) == [Frame(0 if header > 1 else 5, 10, bytes(limit))]


def test_a_length_that_no_header_explains_is_refused_at_once() -> None:
    largest = 1000 + varint.MAX_SIZE
    parser = FrameParser(1000)
    parser.parse_untrusted(varint.encode(largest), [])
    assert parser.kept == len(varint.encode(largest))
    with pytest.raises(
        RemoteProtocolError, match=f"^frame of {largest + 1} bytes is over the limit of 1000$"
    ):
        FrameParser(1000).parse_untrusted(varint.encode(largest + 1), [])


@pytest.mark.parametrize("left", [0, 1, RUN + 1])
def test_new_data_joins_the_input_that_waits(left: int) -> None:
    data = message(1, b"hello") + frames.encode(5, 10, b"abc") + message(2, b"you")
    for first, second in itertools.combinations(range(len(data) + 1), 2):
        work = Work(left)
        parser, heard = FrameParser(LIMIT, work=work), list[Item]()
        for piece in (data[:first], data[first:second], data[second:]):
            parser.parse_untrusted(piece, heard)
        work.left = 1000
        while parser.has_input:
            parser.take_untrusted(heard)
        assert joined(heard) == [ExtensionRun(1, [b"hello"]), Frame(5, 10, b"abc"), ExtensionRun(2, [b"you"])]


@pytest.mark.parametrize("limit", [20, 126, 127, 128, 20_000])
def test_the_largest_extension_message_is_part_of_a_run(limit: int) -> None:
    work = Work(1000)
    parser, heard = FrameParser(limit, work=work), list[Item]()
    parser.parse_untrusted(message(1, bytes(limit - 1)) * 2, heard)
    assert heard == [ExtensionRun(1, [bytes(limit - 1)] * 2)]
    assert work.left == 1000 - RUN - 2


@pytest.mark.parametrize("behind", [b"\xff", message(2, b"hello")[:-1], frames.encode(5, 10, b"abc")])
def test_a_run_is_counted_whatever_follows_it(behind: bytes) -> None:
    work = Work(1000)
    parser, heard = FrameParser(LIMIT, work=work), list[Item]()
    parser.parse_untrusted(message(1, b"x") * 5 + behind, heard)
    cost = 1 + RECORD if behind.endswith(b"abc") else 0
    assert work.left == 1000 - RUN - 5 - cost
