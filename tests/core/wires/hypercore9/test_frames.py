from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.support import CUTS, EVERY_FRAME, Cutter, byte_by_byte, extension_frame, random_cuts
from peersockets_core import RemoteProtocolError
from peersockets_core.wires.hypercore9 import frames, varint
from peersockets_core.wires.hypercore9.frames import ExtensionRun, Frame, FrameParser, Item

MIB = 1024 * 1024
LIMIT = 8 * MIB

# simple-message-channels 1.2.1: channel, type, body, frame
VECTORS = [
    (0, 15, "", "010f"),
    (0, 0, "0a", "02000a"),
    (1, 10, "", "011a"),
    (8, 2, "0800", "0482010800"),
    (128, 1, "01", "03811001"),
    (2047, 5, "ffffff", "06f5ff01ffffff"),
    (0, 15, "00" + "41" * 125, "7f0f00" + "41" * 125),
    (0, 15, "00" + "41" * 126, "80010f00" + "41" * 126),
    (3, 9, "00" * 200, "c90139" + "00" * 200),
]


def parse(data: bytes, cut: Cutter, limit: int = LIMIT) -> list[Item]:
    """Return all items in `data`. Runs that were divided only by the cuts are joined."""
    parser, items = FrameParser(limit), list[Item]()
    for chunk in cut(data):
        parser.parse_untrusted(chunk, items)
    return joined(items)


def joined(items: list[Item]) -> list[Item]:
    result: list[Item] = []
    for item in items:
        last = result[-1] if result else None
        if isinstance(item, ExtensionRun) and isinstance(last, ExtensionRun) and item.id == last.id:
            result[-1] = ExtensionRun(item.id, last.payloads + item.payloads)
        else:
            result.append(item)
    return result


@pytest.mark.parametrize(("channel", "message_type", "body", "encoded"), VECTORS)
def test_frames_are_encoded_like_the_reference(
    channel: int, message_type: int, body: str, encoded: str
) -> None:
    assert frames.encode(channel, message_type, bytes.fromhex(body)).hex() == encoded


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("behind", ["", "00", "036a0801"], ids=["nothing", "a keepalive", "a frame"])
@pytest.mark.parametrize(("channel", "message_type", "body", "encoded"), VECTORS[1:])
def test_frames_of_the_reference_are_read(
    channel: int, message_type: int, body: str, encoded: str, behind: str, cut: Cutter
) -> None:
    expected: list[Item] = [Frame(channel, message_type, bytes.fromhex(body))]
    if message_type == 15:
        expected = [ExtensionRun(0, [bytes.fromhex(body)[1:]])]
    if behind == "036a0801":
        expected.append(Frame(6, 10, b"\x08\x01"))
    assert parse(bytes.fromhex(encoded + behind), cut) == expected


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_every_sort_of_frame_in_any_chunks(cut: Cutter) -> None:
    assert parse(EVERY_FRAME, cut) == parse(EVERY_FRAME, CUTS["whole"])


def test_consecutive_extension_messages_are_one_run() -> None:
    head = frames.extension_head(5, 1)
    items: list[Item] = []
    FrameParser(LIMIT).parse_untrusted(head + b"a" + head + b"b" + frames.KEEPALIVE + head + b"c", items)
    assert items == [ExtensionRun(5, [b"a", b"b", b"c"])]


@pytest.mark.parametrize("extension_id", [0, 1, 127, 128, 16_383])
@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 16_384])
def test_an_extension_head_equals_the_start_of_an_encoded_frame(extension_id: int, size: int) -> None:
    body = varint.encode(extension_id) + bytes(size)
    assert frames.extension_head(extension_id, size) + bytes(size) == frames.encode(0, 15, body)


def test_an_extension_message_of_a_channel_is_a_frame() -> None:
    assert parse(frames.encode(1, 15, b"\0payload"), CUTS["whole"]) == [Frame(1, 15, b"\0payload")]


def test_a_header_longer_than_necessary() -> None:
    data = bytes.fromhex("058f8000" + "01" + "61")
    assert parse(data, CUTS["whole"]) == [ExtensionRun(1, [b"a"])]


BAD = {
    "length of nine bytes": ("ffffffffffffffffff01", "varint of more than 8 bytes"),
    "length beyond memory": ("ffffffffffffff7f", "over the limit"),
    "header of nine bytes": ("0affffffffffffffffff01", "varint of more than 8 bytes"),
    "header longer than the frame": ("01800f", "ends within its header"),
    "long header longer than the frame": ("03ffffff7f", "ends within its header"),
    "extension message without an id": ("010f", "ends within its id"),
    "extension message with half an id": ("020f80", "ends within its id"),
    "extension message of a channel without an id": ("011f", "ends within its id"),
    "id of nine bytes": ("0b0fffffffffffffffffff01", "varint of more than 8 bytes"),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD)
def test_bad_frames_are_the_remotes_fault(data: str, reason: str, cut: Cutter) -> None:
    parser, items = FrameParser(LIMIT), list[Item]()
    parser.parse_untrusted(frames.encode(0, 15, b"\0before"), items)
    with pytest.raises(RemoteProtocolError, match=reason):  # noqa: PT012
        for chunk in cut(bytes.fromhex(data) + b"\0" * 9):
            parser.parse_untrusted(chunk, items)
    assert items == [ExtensionRun(0, [b"before"])]


@pytest.mark.parametrize(
    ("channel", "message_type"), [(0, 15), (0, 9), (1, 9), (1000, 9), (1, 15), (2**40, 1)]
)
@pytest.mark.parametrize("limit", [20, 200, 20_000])
def test_a_body_of_the_limit_is_accepted_and_one_byte_more_refused(
    channel: int, message_type: int, limit: int
) -> None:
    assert len(parse(frames.encode(channel, message_type, bytes(limit)), CUTS["whole"], limit)) == 1
    with pytest.raises(RemoteProtocolError, match=f"over the limit of {limit}"):
        parse(frames.encode(channel, message_type, bytes(limit + 1)), CUTS["whole"], limit)


def test_the_limit_is_exactly_that_of_the_reference() -> None:
    data = frames.encode(0, 15, bytes(LIMIT))
    assert parse(data, CUTS["whole"]) == [ExtensionRun(0, [bytes(LIMIT - 1)])]
    with pytest.raises(RemoteProtocolError, match="over the limit"):
        parse(frames.encode(0, 15, bytes(LIMIT + 1)), CUTS["whole"])


def test_an_announced_size_takes_no_memory_before_the_bytes_arrive() -> None:
    parser, items = FrameParser(LIMIT), list[Item]()
    head = varint.encode(LIMIT) + b"\x0f"
    tracemalloc.start()
    try:
        for byte in byte_by_byte(head + bytes(50_000)):
            parser.parse_untrusted(byte, items)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not items
    assert not parser.empty
    assert peak < 250_000


def test_the_buffer_is_bounded_by_the_limit() -> None:
    limit = 100_000
    parser, items = FrameParser(limit), list[Item]()
    data = frames.encode(1, 9, bytes(limit)) * 5
    tracemalloc.start()
    try:
        for position in range(0, len(data), 777):
            parser.parse_untrusted(data[position : position + 777], items)
            items.clear()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * limit
    assert parser.empty


def test_empty_shows_whether_a_frame_is_unfinished() -> None:
    parser, items = FrameParser(LIMIT), list[Item]()
    for byte in byte_by_byte(frames.encode(300, 9, bytes(200))):
        parser.parse_untrusted(byte, items)
        assert parser.empty == bool(items)


@pytest.mark.parametrize(
    "frame",
    [
        frames.encode(0, 15, b"\xac\2" + bytes(9)),
        frames.encode(1, 9, b"body"),
        frames.encode(0, 15, bytes(200)),
    ],
)
def test_a_frame_that_arrives_byte_by_byte_is_one_message(frame: bytes) -> None:
    parser, items = FrameParser(LIMIT), list[Item]()
    begun = []
    for byte in byte_by_byte(3 * frame):
        parser.parse_untrusted(byte, items)
        begun.append(parser.unfinished.begun)
    size = len(frame)
    assert [set(begun[at : at + size - 1]) for at in (0, size, 2 * size)] == [{1}, {2}, {3}]


any_frame = st.one_of(
    st.builds(
        frames.encode,
        st.integers(0, 2**40),
        st.integers(0, 14),
        st.binary(max_size=300),
    ),
    st.builds(
        lambda channel, extension_id, payload: frames.encode(
            channel, 15, varint.encode(extension_id) + payload
        ),
        st.sampled_from([0, 0, 0, 1, 300]),
        st.integers(0, 300),
        st.binary(max_size=300),
    ),
    st.just(frames.KEEPALIVE),
)


@given(st.integers(0, 2**40), st.integers(0, 14), st.binary(max_size=400))
def test_round_trip(channel: int, message_type: int, body: bytes) -> None:
    data = frames.encode(channel, message_type, body)
    assert parse(data, CUTS["whole"]) == [Frame(channel, message_type, body)]


@given(st.lists(any_frame, max_size=8), st.integers(0, 1000))
def test_chunks_do_not_matter(sent: list[bytes], seed: int) -> None:
    data = b"".join(sent)
    assert parse(data, random_cuts(seed)) == parse(data, byte_by_byte) == parse(data, CUTS["whole"])


@given(st.binary(max_size=300), st.integers(0, 1000))
def test_arbitrary_bytes_raise_no_other_error(data: bytes, seed: int) -> None:
    with contextlib.suppress(RemoteProtocolError):
        parse(data, random_cuts(seed), 100)


BEGINNINGS = {
    "a length": b"\xff",
    "an extension message": extension_frame(1, bytes(40))[:10],
    "another frame": frames.encode(1, 3, bytes(40))[:10],
}


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=BEGINNINGS)
def test_a_frame_that_begins_behind_a_continued_one_counts_as_the_next(beginning: bytes) -> None:
    parser, items = FrameParser(1000), list[Item]()
    continued = frames.encode(1, 3, bytes(20))
    parser.parse_untrusted(continued[:5], items)
    assert parser.unfinished.begun == 1
    parser.parse_untrusted(continued[5:] + beginning, items)
    assert (len(items), parser.unfinished.begun) == (1, 2)
